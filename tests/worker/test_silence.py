"""Attempts that give no sign of life are ended; those that do go on, without a word to the coordinator for each."""

from __future__ import annotations

import pytest

from longshore.core.message import Commands, Finished, Progress
from longshore.routines.catalog import Catalog, collect
from tests.worker import routines, troubles
from tests.worker.conftest import SiteMaker
from tests.worker.scripted import deliver, outcome, value_of
from tests.worker.troubles import lively, silent, silent_apart, silent_async, slow_arranger

STALLED = "longshore.core.errors.Stalled"


@pytest.fixture
def catalog() -> Catalog:
    return collect([troubles, routines])


def check(report: Finished, limit: str) -> None:
    assert (report.how, report.retry) == ("failed", True)
    assert report.error is not None and report.error.type == STALLED
    assert "no sign of life for" in report.error.message and f"heartbeat_timeout is {limit}" in report.error.message


async def test_a_thread_that_falls_silent_has_failed_and_keeps_its_slot(sites: SiteMaker) -> None:
    async with sites(slots=2) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(silent, "door"))
        check(await coordinator.finished(within=5), "0.3 s")
        await coordinator.beat(lambda beat: beat.stuck == 1)
        routines.passes("door").set()
        await coordinator.beat(lambda beat: beat.stuck == 0)
        assert len(coordinator.all(Finished)) == 1


async def test_a_coroutine_that_falls_silent_is_canceled_and_tried_again_whatever_its_retry_on(
    sites: SiteMaker,
) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(silent_async))
        check(await site.coordinator.finished(within=5), "0.3 s")
        assert (await site.coordinator.beat()).stuck == 0


async def test_a_child_process_that_falls_silent_is_killed(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(silent_apart, 0))
        report = await site.coordinator.finished(within=20)
        check(report, "0.5 s")
        assert report.error is not None and "its process was killed" in report.error.message
        assert (await site.coordinator.beat()).stuck == 0


async def test_signs_of_life_keep_an_attempt_going_and_never_leave_the_worker(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(lively, 1.2))
        assert value_of(await site.coordinator.finished(within=5)) == "alive"
        assert site.coordinator.all(Progress) == []


async def test_the_words_of_a_child_are_few_and_the_last_one_is_among_them(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(silent_apart, 2000))
        assert value_of(await site.coordinator.finished(within=20)) == "alive"
        said = site.coordinator.all(Progress)
        assert 1 <= len(said) <= 30
        assert all(0 <= one.fraction < 1 and one.text.startswith("step ") for one in said)


async def test_a_workflow_whose_code_was_active_for_too_long_is_timed_out_between_two_facts(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(slow_arranger, 9, 0.2))
        for seq in (1, 2):
            commands = await coordinator.until(
                lambda seq=seq: [one for one in coordinator.all(Commands) if one.upto_seq == seq - 1]
            )
            call = commands[0].calls[0]
            coordinator.direct(deliver("r1", outcome(seq, call.address, 2)))
        report = await coordinator.finished()
        assert report.how == "timed_out"
        assert report.error is not None and "0.3 s" in report.error.message


async def test_a_workflow_that_computes_past_its_timeout_is_stopped(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(routines.toils, 20, timeout_ms=400))
        commands = await coordinator.report(Commands)
        coordinator.direct(deliver("r1", outcome(1, commands.calls[0].address, 2)))
        report = await coordinator.finished(within=10)
        assert report.how == "timed_out"
