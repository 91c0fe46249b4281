"""One trace over client, coordinator, workers, sub-routines and retries, as an OTLP backend elsewhere gets it."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from longshore import Client
from longshore.telemetry import setup
from tests.end_to_end.conftest import Broker
from tests.end_to_end.house import House, log_lines
from tests.end_to_end.routines import echo, flaky, hold, holds_once, say, traced
from tests.end_to_end.test_foreign import message, run_foreign
from tests.support.otlp import OtlpReceiver, ReceivedSpan
from tests.support.wait import eventually

Spans = list[ReceivedSpan]


@pytest.fixture(scope="module")
def backend() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def house(rabbit: Broker, backend: OtlpReceiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    environment = backend.environment
    with House(tmp_path_factory.mktemp("house"), rabbit.vhost(), environment=environment) as house:
        house.decide()
        house.work()
        yield house


@pytest.fixture
def client(house: House, backend: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client that traces; not yet open: its spans leave it at the latest when it is closed."""
    for name, value in backend.environment.items():
        monkeypatch.setenv(name, value)
    return house.client(telemetry=setup("longshore-client", "test"))


def spans_of(backend: OtlpReceiver, run_ids: Callable[[Spans], bool], trace_id: str) -> Spans:
    """The spans of one trace, once they are all there."""

    def mine(spans: Spans) -> Spans:
        return [span for span in spans if span.trace_id == trace_id]

    return mine(backend.spans(until=lambda spans: run_ids(mine(spans)), within=15))


def trace_of(backend: OtlpReceiver, run_id: str) -> str:
    """The id of the trace in which a run was triggered."""

    def sent(spans: Spans) -> Spans:
        return [span for span in spans if span.attributes.get("longshore.run.id") == run_id]

    return sent(backend.spans(until=lambda spans: bool(sent(spans)), within=15))[0].trace_id


def of_run(spans: Spans, run_id: str) -> Spans:
    return [span for span in spans if span.attributes.get("longshore.run.id") == run_id]


def one(spans: Spans, kind: str) -> ReceivedSpan:
    (found,) = [span for span in spans if span.kind == kind]
    return found


def ordered(spans: Spans, kind: str) -> Spans:
    return sorted((span for span in spans if span.kind == kind), key=lambda span: span.start)


def test_one_run_is_three_spans_from_three_processes(house: House, client: Client, backend: OtlpReceiver) -> None:
    async def act() -> str:
        async with client:
            run = await client.trigger(echo(1))
            await run.result(timeout=10)
            return run.id

    run_id = asyncio.run(act())
    client._telemetry.close()  # type: ignore[union-attr]
    spans = spans_of(backend, lambda spans: len(spans) >= 3, trace_of(backend, run_id))
    send, place, process = (one(spans, kind) for kind in ("producer", "internal", "consumer"))
    assert [span.service for span in (send, place, process)] == [
        "longshore-client", "longshore-coordinator", "longshore-worker",
    ]  # fmt: skip
    assert [span.name for span in (send, place, process)] == [
        f"send {house.namespace}.commands", "place echo", "process echo",
    ]  # fmt: skip
    assert not send.parent_id
    assert (place.parent_id, process.parent_id) == (send.span_id, place.span_id)
    assert send.start <= place.start <= process.end and place.end <= process.end
    assert {span.attributes["messaging.system"] for span in (send, process)} == {"rabbitmq"}
    assert process.attributes["longshore.routine.version"] == "1.0.0" and process.status != "error"
    assert len(of_run(spans, run_id)) == len(spans) == 3


def test_a_workflow_its_subroutines_and_a_retry_are_one_trace(
    house: House, client: Client, backend: OtlpReceiver
) -> None:
    async def act() -> tuple[str, list[Any]]:
        async with client:
            run = await client.trigger(traced("hello"))
            assert await run.result(timeout=20) == ["hello", 2]
            return run.id, list(await run.tree())

    run_id, tree = asyncio.run(act())
    client._telemetry.close()  # type: ignore[union-attr]
    # root: send, place, process; say: send, place, process; flaky: send, and place and process for each attempt
    spans = spans_of(backend, lambda spans: len(spans) >= 11, trace_of(backend, run_id))
    assert len(spans) == 11
    ids = {row["routine"]: row["run_id"] for row in tree}
    assert {span.attributes["longshore.run.id"] for span in spans} == set(ids.values())
    by_id = {span.span_id: span for span in spans}
    root = one(of_run(spans, run_id), "consumer")
    for routine in ("say", "flaky"):
        mine = of_run(spans, ids[routine])
        send = one(mine, "producer")
        assert send.parent_id == root.span_id and send.service == "longshore-worker"
        for place in ordered(mine, "internal"):
            assert place.parent_id == send.span_id and place.service == "longshore-coordinator"
        for process in ordered(mine, "consumer"):
            assert by_id[process.parent_id].kind == "internal" and process.service == "longshore-worker"
    first, second = ordered(of_run(spans, ids["flaky"]), "internal")
    assert first.links == [] and second.links == [first.key]
    failed, worked = ordered(of_run(spans, ids["flaky"]), "consumer")
    assert (failed.parent_id, worked.parent_id) == (first.span_id, second.span_id)
    assert failed.status == "error" and "RetryAfter" in failed.attributes["error.type"]
    assert worked.status != "error" and worked.attributes["longshore.attempt"] == 2
    assert Counter(span.attributes["longshore.run.id"] for span in spans)[ids["say"]] == 3


def test_the_second_placement_after_a_killed_worker_is_linked_to_the_first(
    rabbit: Broker, client: Client, house: House, backend: OtlpReceiver, tmp_path: Path
) -> None:
    crew = house.work(pool="mortal", processes=1)

    async def act() -> tuple[str, str]:
        async with client:
            run = await client.trigger(holds_once(str(tmp_path)).using(pool="mortal"))
            await eventually((tmp_path / "held.begun").exists, within=10)
            begun = (tmp_path / "held.begun").read_text()
            await asyncio.to_thread(crew.kill_child)
            await eventually(lambda: (tmp_path / "held.begun").read_text() != begun, within=20)
            (tmp_path / "go").touch()
            assert await run.result(timeout=20) == "held"
            _, child = await run.tree()
            assert child["attempt"] == 1
            return run.id, child["run_id"]

    root_id, child_id = asyncio.run(act())
    client._telemetry.close()  # type: ignore[union-attr]

    # the spans of the killed process's attempts died with it; the placements tell of them
    def complete(spans: Spans) -> bool:
        placed = all(len(ordered(of_run(spans, run_id), "internal")) == 2 for run_id in (root_id, child_id))
        return placed and bool(ordered(of_run(spans, root_id), "consumer"))

    spans = spans_of(backend, complete, trace_of(backend, root_id))
    for run_id in (root_id, child_id):
        first, second = ordered(of_run(spans, run_id), "internal")
        assert second.links == [first.key] and second.parent_id == first.parent_id
        process = one(of_run(spans, run_id), "consumer")
        assert process.parent_id == second.span_id
    crew.terminate()
    crew.wait(20)


def test_the_trace_of_a_foreign_trigger_is_continued(house: House, backend: OtlpReceiver) -> None:
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    traceparent = f"00-{trace_id}-{span_id}-01"
    asyncio.run(run_foreign(house, [message("echo", 1, traceparent=traceparent)], answers=1))
    spans = spans_of(backend, lambda spans: len(spans) >= 2, trace_id)
    place, process = one(spans, "internal"), one(spans, "consumer")
    assert place.parent_id == span_id and process.parent_id == place.span_id


def test_a_trace_that_is_not_sampled_is_not_exported(house: House, backend: OtlpReceiver) -> None:
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    asyncio.run(run_foreign(house, [message("echo", 1, traceparent=f"00-{trace_id}-{span_id}-00")], answers=1))
    other = secrets.token_hex(16)
    asyncio.run(run_foreign(house, [message("echo", 1, traceparent=f"00-{other}-{span_id}-01")], answers=1))
    spans_of(backend, lambda spans: len(spans) >= 2, other)
    assert not [span for span in backend.spans(within=1) if span.trace_id == trace_id]


def test_log_lines_of_worker_and_coordinator_carry_run_and_trace(
    house: House, client: Client, backend: OtlpReceiver
) -> None:
    word = secrets.token_hex(4)

    async def act() -> tuple[str, str]:
        async with client:
            run = await client.trigger(say(word))
            await run.result(timeout=10)
            failed = await client.trigger("odd", args=[1])
            with pytest.raises(Exception, match="failed"):
                await failed.result(timeout=10)
            return run.id, failed.id

    run_id, failed_id = asyncio.run(act())
    client._telemetry.close()  # type: ignore[union-attr]
    worker_lines = [line for part in house.parts if "worker" in part.name for line in log_lines(part)]
    (said,) = [line for line in worker_lines if line["message"] == f"said {word}"]
    assert said["run_id"] == run_id and said["routine"].startswith("say")
    assert said["trace_id"] == trace_of(backend, run_id) and len(said["span_id"]) == 16
    assert house.coordinator is not None
    coordinator_lines = [line for line in log_lines(house.coordinator) if line.get("run_id") == failed_id]
    assert coordinator_lines and coordinator_lines[0]["trace_id"] == trace_of(backend, failed_id)


def test_without_any_backend_the_tree_shows_where_the_time_went(rabbit: Broker, tmp_path: Path) -> None:
    with House(tmp_path / "plain", rabbit.vhost()) as house:
        house.decide()
        house.work(slots=1)

        async def act() -> str:
            async with house.client() as client:
                first = await client.trigger(hold(str(tmp_path), "first"))
                await eventually((tmp_path / "first.begun").exists, within=10)
                second = await client.trigger(flaky(1))
                assert await second.status() == "QUEUED"
                await asyncio.get_running_loop().run_in_executor(None, house.json, "runs", "tree", second.id)
                (tmp_path / "go").touch()
                await first.result(timeout=10)
                await second.result(timeout=10)
                run = await client.trigger(traced("x"))
                await run.result(timeout=10)
                return run.id

        run_id = asyncio.run(act())
        rows = house.json("runs", "tree", run_id)
        assert [row["routine"] for row in rows] == ["traced", "say", "flaky"]
        for row in rows:
            assert (
                row["created_at"] <= row["queued_at"] and row["created_at"] <= row["started_at"] <= row["finished_at"]
            )
            assert row["queued_ms"] >= 0 and row["executing_ms"] > 0
        assert "░" in house.run("runs", "tree", run_id).stdout or "█" in house.run("runs", "tree", run_id).stdout
