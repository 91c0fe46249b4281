"""Spans of real processes, received by a backend in another process over OTLP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from longshore.telemetry import Telemetry, child, root, setup
from longshore.telemetry.ids import parse
from longshore.telemetry.spans import Attributes
from tests.support.otlp import OtlpReceiver

START = datetime(2026, 11, 21, 13, 0, 0, 123457, tzinfo=UTC)
END = START + timedelta(milliseconds=12.345)
TRIGGER = root(bytes(range(24)))
FIRST = child(TRIGGER, b"first try"[:8])
SECOND = child(TRIGGER, b"again try"[:8])


@contextmanager
def telemetry(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> Iterator[Telemetry]:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = setup("longshore-worker", "worker-1")
    try:
        yield made
    finally:
        made.close()


def program(text: str, environment: dict[str, str]) -> str:
    """Run a program of its own: what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", text], env=kept | environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_retried_run_arrives_with_parents_links_kinds_and_times(
    otlp: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with telemetry(monkeypatch, otlp.environment) as made:
        made.record("send train", "producer", TRIGGER, "", START, END, {"messaging.system": "rabbitmq"})
        made.record(
            "process train", "consumer", FIRST, TRIGGER, START, END, {"longshore.attempt": 1}, (), "ValueError: no"
        )
        made.record("process train", "consumer", SECOND, TRIGGER, START, END, {"longshore.attempt": 2}, [FIRST])
    sent, failed, again = otlp.spans(until=lambda spans: len(spans) == 3, within=10)

    assert (sent.kind, failed.kind, again.kind) == ("producer", "consumer", "consumer")
    assert {span.trace_id for span in (sent, failed, again)} == {TRIGGER[3:35]}
    assert (sent.span_id, failed.span_id, again.span_id) == (TRIGGER[36:52], FIRST[36:52], SECOND[36:52])
    assert (sent.parent_id, failed.parent_id, again.parent_id) == ("", sent.span_id, sent.span_id)
    assert (sent.links, failed.links, again.links) == ([], [], [failed.key])
    assert (failed.status, failed.error, again.status) == ("error", "ValueError: no", "unset")
    assert (sent.attributes, again.attributes) == ({"messaging.system": "rabbitmq"}, {"longshore.attempt": 2})
    assert sent.start == 1_795_266_000_123_457_000 and sent.end - sent.start == 12_345_000
    assert (sent.service, sent.resource["service.instance.id"], sent.scope) == (
        "longshore-worker",
        "worker-1",
        "longshore",
    )


def test_nothing_is_exported_for_a_trace_that_is_not_sampled(
    otlp: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with telemetry(monkeypatch, otlp.environment) as made:
        made.record("unsampled", "internal", root(bytes(range(24)), sampled=False), "", START, END, {})
        made.record("no id", "internal", "", "", START, END, {})
        made.record("sampled", "internal", TRIGGER, "not a parent", START, END, {}, ["not a link"])
    assert [span.name for span in otlp.spans(within=10)] == ["sampled"]


def test_the_sampler_of_the_environment_decides_where_a_trace_begins(
    otlp: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratio = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    with telemetry(monkeypatch, otlp.environment | ratio) as made:
        roots = [made.root(bytes(8) + bytes([n]) + bytes(6) + bytes([n]) + bytes(7) + b"\1") for n in range(256)]
        for traceparent in roots:
            made.record("root", "internal", traceparent, "", START, END, {})
    assert [(span := parse(text)) is not None and span.sampled for text in roots] == [n < 64 for n in range(256)]
    assert len(otlp.spans(until=lambda spans: len(spans) >= 64, within=10)) == 64


def test_the_service_name_of_the_environment_wins(otlp: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with telemetry(monkeypatch, otlp.environment | {"OTEL_SERVICE_NAME": "mine"}) as made:
        made.record("x", "internal", TRIGGER, "", START, END, {})
    assert otlp.spans(within=10)[0].service == "mine"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "TRUE"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_SAMPLER": "always_off"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
    ],
)
def test_without_a_backend_telemetry_is_off_and_every_call_harmless(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with telemetry(monkeypatch, environment) as made:
        assert not made.enabled
        assert made.root(bytes(24)) == ""
        made.record("x", "internal", TRIGGER, "", START, END, {})
        made.share()
        made.detach(made.attach("no traceparent"))


def test_without_a_backend_the_sdk_is_not_even_imported() -> None:
    text = """
import sys
from longshore.telemetry import setup
made = setup("longshore-worker", "1")
made.detach(made.attach("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
print(made.current(), [name for name in sys.modules if name.startswith("opentelemetry")])
"""
    assert program(text, {}).strip() == "[]"


def test_the_traces_endpoint_alone_is_enough_and_is_taken_as_it_is(
    otlp: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with telemetry(monkeypatch, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{otlp.url}/v1/traces"}) as made:
        made.record("x", "internal", TRIGGER, "", START, END, {})
    assert otlp.spans(within=10)[0].name == "x"


@pytest.mark.parametrize("answers", [False, True], ids=["refuses", "accepts and stays silent"])
def test_a_backend_that_does_not_answer_costs_the_spans_and_a_bounded_time(
    answers: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if not answers:
            silent.close()
        with telemetry(monkeypatch, {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}) as made:
            for _ in range(2000):
                made.record("x", "internal", TRIGGER, "", START, END, {})
            begun = time.monotonic()
            made.close(timeout=0.5)
            assert time.monotonic() - begun < 2
            made.record("late", "internal", TRIGGER, "", START, END, {})
    assert "the telemetry backend did not take the last spans within 0.5 s: they are lost" in caplog.text


USER_PROGRAM = """
import sys
from opentelemetry import trace
from longshore.telemetry import setup
made = setup("longshore-worker", "1")
{before}
made.share()
token = made.attach("{attempt}")
with trace.get_tracer("users").start_as_current_span("inner"):
    print(made.current())
made.detach(token)
print(repr(made.current()))
made.close()
"""


def test_spans_of_user_code_become_children_of_the_attempt_and_go_the_same_way(otlp: OtlpReceiver) -> None:
    printed = program(USER_PROGRAM.format(before="", attempt=FIRST), otlp.environment).split()
    inner = otlp.spans(within=10)[0]
    assert (inner.trace_id, inner.parent_id, inner.service) == (FIRST[3:35], FIRST[36:52], "longshore-worker")
    assert printed == [f"00-{inner.trace_id}-{inner.span_id}-01", "''"]


def test_an_sdk_that_the_user_set_up_is_left_alone(otlp: OtlpReceiver) -> None:
    own = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
"""
    printed = program(USER_PROGRAM.format(before=own, attempt=FIRST), otlp.environment)
    assert f'"parent_id": "0x{FIRST[36:52]}"' in printed
    assert otlp.count() == 0


def test_building_a_span_is_cheap(monkeypatch: pytest.MonkeyPatch, otlp: OtlpReceiver) -> None:
    attributes: Attributes = {
        "messaging.system": "rabbitmq",
        "longshore.run.id": "x",
        "longshore.attempt": 1,
        "a": "b",
        "c": True,
    }
    with telemetry(monkeypatch, otlp.environment | {"OTEL_BSP_SCHEDULE_DELAY": "30000"}) as made:
        best = min(_time_of_300(made, attributes) for _ in range(5))
    assert best / 300 < 15e-6


def _time_of_300(made: Telemetry, attributes: Attributes) -> float:
    begun = time.process_time()
    for _ in range(300):
        made.record("process x", "consumer", FIRST, TRIGGER, START, END, attributes)
    return time.process_time() - begun
