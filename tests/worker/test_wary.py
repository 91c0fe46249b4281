"""Bodies that begin only when the broker has their Started."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from longshore.broker.bus import Bus, Outgoing, Sent
from longshore.core import envelope
from longshore.core.ids import RunId
from longshore.core.message import Abandon, CancelRun, Finished, Released, Started, Suspended
from tests.worker import routines
from tests.worker.conftest import BusMaker, SiteMaker
from tests.worker.routines import chain, plain, wait_async
from tests.worker.scripted import deliver, outcome, value_of


class SlowBus:
    """A bus whose broker takes its time: the first numbered report is not confirmed while the gate is closed."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.gate = asyncio.Event()
        self.came = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def publish(self, messages: Sequence[Outgoing], *, timeout: float) -> list[Sent]:
        sent = await self._bus.publish(messages, timeout=timeout)
        if not self.came.is_set() and any(envelope.NUMBER in message.headers for message in messages):
            self.came.set()
            await self.gate.wait()
        return sent


async def test_a_wary_task_begins_when_its_started_has_arrived(sites: SiteMaker, buses: BusMaker) -> None:
    bus = SlowBus(buses("worker"))
    routines.passes("door").set()
    async with sites(bus=bus) as site:
        coordinator = site.coordinator
        coordinator.direct(  # in one body: the next would say that the ledger has taken the word
            coordinator.start(wait_async, "door", wary=True), coordinator.start(wait_async, "door", run="calm")
        )
        await coordinator.finished("calm")
        assert coordinator.all(Started)
        assert not coordinator.all(Finished), "the calm one came later, and has ended"
        bus.gate.set()
        report = await coordinator.finished()
        assert value_of(report) == "door" and report.started_at is None
        assert len(coordinator.all(Started)) == 1


async def test_a_wary_workflow_begins_when_its_started_has_arrived_and_misses_no_fact(
    sites: SiteMaker, buses: BusMaker
) -> None:
    bus = SlowBus(buses("worker"))
    async with sites(bus=bus) as site:
        coordinator = site.coordinator
        coordinator.direct(
            coordinator.start(chain, 1, wary=True),
            deliver("r1", outcome(1, "0:0", 2)),
            coordinator.start(plain, 1, run="calm"),
        )
        await coordinator.finished("calm")
        assert [type(report) for report in coordinator.reports if report.run_id == "r1"] == [Started]
        bus.gate.set()
        await coordinator.until(lambda: [one for one in coordinator.reports if getattr(one, "upto_seq", None) == 1])
        assert len(coordinator.all(Started)) == 1


async def test_a_wary_task_that_is_canceled_before_it_begins_is_handed_back(sites: SiteMaker, buses: BusMaker) -> None:
    bus = SlowBus(buses("worker"))
    async with sites(bus=bus, slots=1) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(wait_async, "never", wary=True))
        await bus.came.wait()
        coordinator.direct(CancelRun(RunId("r1"), 1, "enough"))
        await coordinator.report(Released)
        bus.gate.set()
        routines.passes("door").set()
        coordinator.direct(coordinator.start(wait_async, "door", run="next"))
        await coordinator.finished("next")
        assert not coordinator.all(Finished)


async def test_what_is_abandoned_before_it_begins_never_does_and_holds_no_slot(
    sites: SiteMaker, buses: BusMaker
) -> None:
    bus = SlowBus(buses("worker"))
    async with sites(bus=bus, slots=1) as site:
        coordinator = site.coordinator
        coordinator.direct(
            coordinator.start(wait_async, "never", wary=True), coordinator.start(chain, 1, run="flow", wary=True)
        )
        await bus.came.wait()
        coordinator.direct(Abandon(RunId("r1"), 1), Abandon(RunId("flow"), 1))
        beat = await coordinator.beat(lambda beat: beat.directive == 4)
        assert beat.stuck == 0
        bus.gate.set()
        routines.passes("door").set()
        coordinator.direct(coordinator.start(wait_async, "door", run="next"))
        await coordinator.finished("next")
        assert {report.run_id for report in coordinator.reports if not isinstance(report, Started)} == {"next"}


async def test_a_drain_hands_back_what_has_not_begun(sites: SiteMaker, buses: BusMaker) -> None:
    bus = SlowBus(buses("worker"))
    async with sites(bus=bus) as site:
        coordinator = site.coordinator
        coordinator.direct(
            coordinator.start(wait_async, "never", wary=True), coordinator.start(chain, 1, run="flow", wary=True)
        )
        await bus.came.wait()
        site.worker.drain()
        await coordinator.report(Released)
        bus.gate.set()
        assert (await site.exit()).code == 0
        (back,) = coordinator.all(Released, "flow")
        assert not back.lost and not coordinator.all(Suspended, "flow")
        assert not coordinator.all(Finished)


async def test_after_a_reconnection_that_brought_the_word_it_begins(sites: SiteMaker, buses: BusMaker) -> None:
    """The publish is never confirmed, but Welcome says that the ledger has it."""
    bus = SlowBus(buses("worker"))
    routines.passes("door").set()
    async with sites(bus=bus) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(wait_async, "door", wary=True))
        await coordinator.started()
        coordinator.welcoming = True
        coordinator.welcome()
        await coordinator.finished()
        bus.gate.set()
