"""The client's spans, received by a backend in another process over OTLP."""

from __future__ import annotations

import os

import pytest

from longshore.routines import define
from longshore.telemetry import root, setup
from longshore.telemetry.ids import parse
from tests.client.conftest import NewClient
from tests.client.scripted import Scripted
from tests.support.otlp import OtlpReceiver


@define.task(name="add", version="1.0.0")
def add(x: int, y: int = 1) -> int:
    return x + y


@pytest.fixture
def exporting(otlp: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> OtlpReceiver:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in otlp.environment.items():
        monkeypatch.setenv(name, value)
    return otlp


async def test_each_trigger_is_a_producer_span_at_the_top_of_a_new_trace(
    coordinator: Scripted, new_client: NewClient, exporting: OtlpReceiver
) -> None:
    async with new_client(telemetry=None) as client:
        assert await client.run(add(1)) == 2
        run = await client.trigger("add", args=[1])
    first, second = exporting.spans(until=lambda spans: len(spans) == 2, within=10)
    by_run = {span.attributes["longshore.run.id"]: span for span in (first, second)}
    for trigger in coordinator.triggers:
        span, own = by_run[trigger.run_id], parse(trigger.traceparent)
        assert own is not None
        assert (span.name, span.kind) == ("send longshore.commands", "producer")
        assert (span.trace_id, span.span_id) == (f"{own.trace_id:032x}", f"{own.span_id:016x}")
        assert not span.parent_id
        assert span.attributes["messaging.destination.name"] == "longshore.commands"
    assert by_run[run.id].attributes["longshore.routine.name"] == "add"
    assert first.trace_id != second.trace_id


async def test_below_a_span_of_the_caller_the_trace_goes_on(
    coordinator: Scripted, new_client: NewClient, exporting: OtlpReceiver
) -> None:
    import opentelemetry.trace  # noqa: F401 - a program that traces has it imported

    caller = root(bytes(range(24)))
    telemetry = setup("longshore-client", "test")
    async with new_client(telemetry=telemetry) as client:
        token = telemetry.attach(caller)
        await client.trigger(add(1))
        telemetry.detach(token)
    telemetry.close()
    (span,) = exporting.spans(until=lambda spans: len(spans) == 1, within=10)
    above = parse(caller)
    assert above is not None
    assert (span.trace_id, span.parent_id) == (f"{above.trace_id:032x}", f"{above.span_id:016x}")


async def test_without_telemetry_of_ours_the_run_hangs_below_the_callers_own_span(
    coordinator: Scripted, new_client: NewClient
) -> None:
    import opentelemetry.trace  # noqa: F401

    from longshore.telemetry import Telemetry

    telemetry, caller = Telemetry(), root(bytes(range(24)))
    async with new_client(telemetry=telemetry) as client:
        token = telemetry.attach(caller)
        await client.trigger(add(1))
        telemetry.detach(token)
        await client.trigger(add(2))
    assert [trigger.traceparent for trigger in coordinator.triggers] == [caller, ""]
