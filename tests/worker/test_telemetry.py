"""One span per attempt, and a body that knows it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from longshore import define
from longshore.core.message import Commands
from longshore.telemetry import CURRENT, Telemetry, child, root
from tests.worker.conftest import SiteMaker
from tests.worker.routines import double, fail, total
from tests.worker.scripted import deliver, outcome


class Notebook(Telemetry):
    """Telemetry that is on and keeps what it is told."""

    enabled = True

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []

    def record(
        self,
        name: str,
        kind: str,
        traceparent: str,
        parent: str,
        start: datetime,
        end: datetime,
        attributes: Mapping[str, Any],
        links: Sequence[str] = (),
        error: str = "",
    ) -> None:
        self.spans.append(dict(locals()))


PLACED = root(bytes(range(1, 25)))
BEFORE = child(PLACED, bytes(range(1, 9)))


async def test_each_attempt_is_one_span_below_its_placement_linked_to_the_one_before(sites: SiteMaker) -> None:
    told = Notebook()
    async with sites(telemetry=told) as site:
        site.coordinator.direct(site.coordinator.start(double, 4, traceparent=PLACED, previous_span=BEFORE))
        report = await site.coordinator.finished()
        (span,) = told.spans
        assert (span["name"], span["kind"], span["parent"]) == ("process double", "consumer", PLACED)
        assert span["links"] == (BEFORE,) and not span["error"]
        assert span["traceparent"] == report.traceparent != PLACED
        assert span["traceparent"][:36] == PLACED[:36]
        assert span["start"] <= span["end"]
        assert span["attributes"]["longshore.run.id"] == "r1"


async def test_a_failed_attempt_names_its_error(sites: SiteMaker) -> None:
    told = Notebook()
    async with sites(telemetry=told) as site:
        site.coordinator.direct(site.coordinator.start(fail, "value", traceparent=PLACED))
        await site.coordinator.finished()
        (span,) = told.spans
        assert span["error"] == "not this value"
        assert span["attributes"]["error.type"] == "builtins.ValueError"


async def test_without_a_trace_nothing_is_recorded(sites: SiteMaker) -> None:
    told = Notebook()
    async with sites(telemetry=told) as site:
        site.coordinator.direct(site.coordinator.start(double, 4))
        await site.coordinator.finished()
        assert told.spans == []


async def test_a_workflows_calls_go_out_with_spans_of_their_own_below_its_attempt(sites: SiteMaker) -> None:
    told = Notebook()
    async with sites(telemetry=told) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(total, 1, 2, traceparent=PLACED))
        asked = (await coordinator.report(Commands)).calls
        coordinator.direct(deliver("r1", *[outcome(i, call.address, 1) for i, call in enumerate(asked, 1)]))
        report = await coordinator.finished()
        sends = [span for span in told.spans if span["kind"] == "producer"]
        assert {span["traceparent"] for span in sends} == {call.traceparent for call in asked}
        assert {span["parent"] for span in sends} == {report.traceparent}
        assert [span["name"] for span in sends] == ["send double"] * 2


async def test_log_lines_of_a_body_know_their_run(sites: SiteMaker) -> None:
    seen: list[Any] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(CURRENT.get())

    listening = Listening()
    logging.getLogger("longshore.test.body").addHandler(listening)
    try:
        async with sites(routines=(speak, speak_async)) as site:
            for number, routine in enumerate((speak, speak_async)):
                site.coordinator.direct(site.coordinator.start(routine, run=f"r{number}"))
                await site.coordinator.finished(f"r{number}")
    finally:
        logging.getLogger("longshore.test.body").removeHandler(listening)
    assert [scope.run_id for scope in seen] == ["r0", "r1"]


@define.action(name="speak", version="1.0.0")
def speak() -> None:
    logging.getLogger("longshore.test.body").warning("hello")


@define.action(name="speak.async", version="1.0.0")
async def speak_async() -> None:
    logging.getLogger("longshore.test.body").warning("hello")
