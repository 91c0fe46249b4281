"""The session between a worker and its coordinator, over faults of the bus."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from longshore.broker.bus import Outgoing
from longshore.core import envelope
from longshore.core.ids import RunId
from longshore.core.message import Drain, Finished, Ping, Start, Started
from longshore.core.outbox import held_digest
from longshore.serialization.envelope import pack
from longshore.worker.grace import SAME_ORDER
from tests.support.wait import eventually
from tests.worker import routines
from tests.worker.conftest import NAMES, BusMaker, SiteMaker
from tests.worker.routines import double, echo, wait, wait_async
from tests.worker.scripted import ScriptedCoordinator, value_of


async def test_hello_says_what_is_offered_and_a_probe_that_can_be_read(sites: SiteMaker) -> None:
    async with sites(slots=3, pool="heavy") as site:
        hello = await site.coordinator.hello()
        assert (hello.pool, hello.slots, hello.held) == ("heavy", 3, [])
        assert {"double", "sum", "apart"} <= {offer.routine for offer in hello.offers}
        assert hello.probe is not None and hello.probe.key.startswith("probes/")
        assert hello.worker_id == site.worker.worker_id


async def test_hello_is_repeated_until_somebody_welcomes(sites: SiteMaker) -> None:
    async with sites(welcoming=False) as site:
        await site.coordinator.hello(3, within=5)
        site.coordinator.welcome()
        site.coordinator.direct(site.coordinator.start(double, 1))
        await site.coordinator.finished()


async def test_a_refused_worker_ends_with_the_coordinators_words(sites: SiteMaker) -> None:
    async with sites(welcoming=False) as site:
        site.coordinator.refusal = "the payload folder is another one"
        site.coordinator.welcome()
        ended = await site.exit()
        assert ended.code == 2 and "the payload folder is another one" in ended.reason


async def test_reports_wait_for_a_coordinator_that_is_away_and_come_once_in_order(
    sites: SiteMaker, buses: BusMaker
) -> None:
    async with sites() as site:
        first = site.coordinator
        first.direct(first.start(wait_async, "door", run="a"), first.start(wait_async, "door", run="b"))
        await first.until(lambda: len(first.all(Started, "a")) + len(first.all(Started, "b")) == 2)
        await first.close()
        routines.passes("door").set()
        second = ScriptedCoordinator(buses("coordinator"), NAMES)
        second.term = 2
        second.taken = first.taken
        second.session = first.session
        await second.open()
        try:
            hello = await second.hello()
            assert {held.run_id for held in hello.held} == {"a", "b"}
            assert (await second.finished("a")).how == "completed"
            assert (await second.finished("b")).how == "completed"
            assert len(second.reports) == 2
        finally:
            await second.close()


async def test_a_gap_in_directives_is_answered_with_hello(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.sent += 1  # one is lost on the way
        coordinator.direct(coordinator.start(double, 1))
        await coordinator.hello(2)
        assert not coordinator.all(Finished)
        coordinator.direct(coordinator.start(double, 1))
        await coordinator.finished()


async def test_a_ping_that_asks_for_hello_gets_one_that_names_what_is_held(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(wait_async, "door", epoch=7))
        await coordinator.started()
        coordinator.ping(Ping(term=1, taken=coordinator.taken, hello=True))
        hello = await coordinator.hello(2)
        assert [(held.run_id, held.epoch, held.started) for held in hello.held] == [("r1", 7, True)]


async def test_an_end_that_is_not_taken_is_still_held(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(double, 1))
        await coordinator.finished()
        coordinator.ping(Ping(term=1, taken=0, hello=True))
        assert [held.run_id for held in (await coordinator.hello(2)).held] == ["r1"]
        coordinator.ping(Ping(term=1, taken=coordinator.taken, hello=True))
        assert (await coordinator.hello(3)).held == []


async def test_a_start_that_comes_twice_is_executed_once(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(wait_async, "door"), coordinator.start(wait_async, "door"))
        await coordinator.started()
        routines.passes("door").set()
        await coordinator.finished()
        await coordinator.beat()
        assert len(coordinator.all(Finished)) == len(coordinator.all(Started)) == 1


async def test_a_body_of_garbage_is_survived(sites: SiteMaker, buses: BusMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        bus = buses("stranger")
        await bus.open(timeout=5)
        try:
            for body in (b"", b"\xc1\xc1", pack([coordinator.start(double, 1)])[0][:-3], b"\x93\x01\x02\x03"):
                headers: dict[str, str | int] = {envelope.TERM: 1, envelope.NUMBER: 1}
                await bus.publish([Outgoing(NAMES.workers, coordinator.session, body, headers)], timeout=5)
        finally:
            await bus.close()
        await coordinator.hello(2)
        coordinator.direct(coordinator.start(double, 1))
        await coordinator.finished()


async def test_a_beat_says_which_directive_was_the_last(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(echo, 1, run="a"), coordinator.start(echo, 1, run="b"))
        await coordinator.beat(lambda beat: beat.directive == 2)


async def test_the_digest_in_a_beat_is_over_what_the_ledger_holds_when_it_has_read_all_reports(
    sites: SiteMaker,
) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        await coordinator.beat(lambda beat: beat.held == held_digest(()))
        coordinator.direct(coordinator.start(echo, 1, run="a"), coordinator.start(wait_async, "door", run="b", epoch=3))
        await coordinator.finished("a")  # sent, and `taken` not told: still in Hello, not in the digest
        await coordinator.beat(lambda beat: beat.held == held_digest([(RunId("b"), 3)]))
        routines.passes("door").set()
        await coordinator.finished("b")
        await coordinator.beat(lambda beat: beat.held == held_digest(()))


# ------------------------------------------------------------------------------------------------------------ the drain


async def test_a_drained_worker_finishes_what_runs_hands_back_the_rest_and_says_bye(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(wait, "door", run="a"), coordinator.start(wait, "door", run="b"))
        await coordinator.started("a")
        site.worker.drain()
        released = await coordinator.until(lambda: [r for r in coordinator.reports if type(r).__name__ == "Released"])
        assert (released[0].run_id, released[0].reason, released[0].lost) == ("b", "", False)
        assert (await coordinator.beat(lambda beat: beat.draining)).draining
        coordinator.direct(coordinator.start(double, 1, run="c"))
        assert await coordinator.until(lambda: [r for r in coordinator.reports if getattr(r, "run_id", "") == "c"])
        routines.passes("door").set()
        assert value_of(await coordinator.finished("a")) == "door"
        assert (await site.exit()).code == 0
        assert type(coordinator.reports[-1]).__name__ == "Bye"


async def test_what_outlives_the_grace_is_handed_back_as_lost(sites: SiteMaker) -> None:
    async with sites(grace=timedelta(milliseconds=200)) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(wait, "door"))
        await coordinator.started()
        site.worker.drain()
        released = await coordinator.until(lambda: [r for r in coordinator.reports if type(r).__name__ == "Released"])
        assert released[0].lost
        assert (await site.exit()).code == 0


async def test_a_second_order_to_leave_does_not_wait(sites: SiteMaker) -> None:
    async with sites(grace=timedelta(minutes=5)) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(wait, "door"))
        await coordinator.started()
        site.worker.drain()
        site.worker.drain()  # the same order by another way
        await coordinator.beat(lambda beat: beat.draining)
        assert not site.running.done()
        asked_at = time.monotonic()
        await eventually(lambda: time.monotonic() - asked_at >= SAME_ORDER, within=5)
        assert not site.running.done()
        site.worker.drain()
        released = await coordinator.until(lambda: [r for r in coordinator.reports if type(r).__name__ == "Released"])
        assert released[0].lost
        assert (await site.exit()).code == 0


async def test_a_worker_leaves_when_the_coordinator_orders_it_and_takes_the_time_it_is_given(sites: SiteMaker) -> None:
    async with sites(grace=timedelta(milliseconds=1)) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(wait, "door"))
        await coordinator.started()
        coordinator.direct(Drain(grace_ms=60_000))
        await coordinator.beat(lambda beat: beat.draining)
        routines.passes("door").set()
        assert value_of(await coordinator.finished()) == "door"
        assert (await site.exit()).code == 0


async def test_an_order_with_another_grace_ends_the_wait_sooner(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(wait, "door"))
        await coordinator.started()
        coordinator.direct(Drain(grace_ms=3_600_000))
        await coordinator.beat(lambda beat: beat.draining)
        site.worker.drain()  # its first signal beside the order
        coordinator.direct(Drain())
        await coordinator.beat(lambda beat: beat.draining)
        assert not site.running.done()
        coordinator.direct(Drain(grace_ms=0))
        released = await coordinator.until(lambda: [r for r in coordinator.reports if type(r).__name__ == "Released"])
        assert released[0].lost
        assert (await site.exit()).code == 0


async def test_a_worker_without_a_coordinator_leaves_in_bounded_time(sites: SiteMaker) -> None:
    async with sites(grace=timedelta(milliseconds=100)) as site:
        site.coordinator.direct(site.coordinator.start(wait, "door"))
        await site.coordinator.started()
        await site.coordinator.close()
        site.worker.drain()
        assert (await site.exit(within=15)).code == 0


@pytest.mark.parametrize("count", [300])
async def test_the_starts_of_one_body_may_be_of_every_kind(sites: SiteMaker, count: int) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        kinds = (double, echo, routines.plain)
        starts: list[Start] = [coordinator.start(kinds[i % 3], i, run=f"m{i}") for i in range(count)]
        coordinator.direct(*starts)
        for i in range(count):
            report = await coordinator.finished(f"m{i}")
            assert value_of(report) == (2 * i, i, i + 1)[i % 3]
