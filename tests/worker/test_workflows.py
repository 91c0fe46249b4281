"""Workflows on a worker: what they ask for, how they go on, how they come back from their journal, how they are put
away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from longshore.core.ids import Address, RunId
from longshore.core.message import (
    Abandon,
    Call,
    CallRow,
    CancelRun,
    ClaimCheck,
    Commands,
    Delivery,
    Failure,
    Fetch,
    Finished,
    Released,
    Started,
    Suspended,
)
from longshore.serialization.arguments import decode_arguments
from tests.worker.conftest import SiteMaker
from tests.worker.routines import (
    careful,
    chain,
    double,
    hasty,
    heavy,
    hopeless,
    length,
    plain,
    sleepy,
    toils,
    total,
    watchful,
)
from tests.worker.scripted import ScriptedCoordinator, deliver, outcome, page, value_of


def calls(coordinator: ScriptedCoordinator, run: str = "r1") -> list[Call]:
    return [call for commands in coordinator.all(Commands, run) for call in commands.calls]


async def answered(coordinator: ScriptedCoordinator, upto: int, run: str = "r1") -> Commands:
    """The Commands that answer everything up to this seq."""
    found = await coordinator.until(lambda: [c for c in coordinator.all(Commands, run) if c.upto_seq == upto])
    return found[0]


async def test_a_workflow_that_waits_for_nothing_is_one_report(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(plain, 1))
        report = await site.coordinator.finished()
        assert value_of(report) == 2
        assert report.upto_seq == 0
        assert not site.coordinator.all(Commands)


async def test_calls_go_out_with_inputs_ids_and_places_and_results_come_back(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(total, 1, 2, 3))
        asked = await answered(coordinator, 0)
        assert [call.routine for call in asked.calls] == ["double"] * 3
        assert [decode_arguments(call.input).args for call in asked.calls if isinstance(call.input, bytes)] == [
            (1,),
            (2,),
            (3,),
        ]
        assert len({call.child_id for call in asked.calls}) == 3
        assert all(call.version == "1.0.0" and "routines.py:" in call.place for call in asked.calls)
        assert all(len(call.cache_key) == 64 for call in asked.calls)
        assert coordinator.all(Started)
        results = [outcome(seq, call.address, 2 * seq) for seq, call in enumerate(asked.calls, 1)]
        coordinator.direct(deliver("r1", results[0]))
        await answered(coordinator, 1)
        coordinator.direct(deliver("r1", *results[1:]))
        report = await coordinator.finished()
        assert value_of(report) == 12
        assert report.upto_seq == 3


async def test_a_thousand_calls_are_split_and_only_the_last_part_answers(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(total, *range(1100)))
        await answered(coordinator, 0)
        parts = coordinator.all(Commands)
        assert [len(part.calls) for part in parts] == [500, 500, 100]
        assert [part.upto_seq for part in parts] == [None, None, 0]


async def test_deliveries_out_of_order_or_twice_are_applied_once_in_order(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(total, 1, 2))
        first, second = (await answered(coordinator, 0)).calls
        one, two = outcome(1, first.address, 2), outcome(2, second.address, 4)
        coordinator.direct(deliver("r1", two))
        fetch = await coordinator.report(Fetch)
        assert fetch.after == 0
        coordinator.direct(page("r1", 0, 2, [], [one, two]), deliver("r1", one), deliver("r1", two))
        assert value_of(await coordinator.finished()) == 6
        assert len(coordinator.all(Finished)) == 1


async def test_a_timer_is_an_instant_and_a_failure_is_raised_where_it_is_awaited(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        started_at = datetime.now(UTC)
        coordinator.direct(coordinator.start(chain, 5, started_at=started_at))
        (first,) = (await answered(coordinator, 0)).calls
        told = outcome(1, first.address, 10)
        coordinator.direct(deliver("r1", told))
        (timer,) = (await answered(coordinator, 1)).timers
        assert abs(timer.due_at - (told.at + timedelta(seconds=60))) < timedelta(milliseconds=10)
        coordinator.direct(deliver("r1", Delivery(2, "timer", timer.address, timer.due_at)))
        (second,) = (await answered(coordinator, 2)).calls
        failed = outcome(3, second.address, status="FAILED", result=None, error=Failure("builtins.ValueError", "odd"))
        coordinator.direct(deliver("r1", failed))
        result = value_of(await coordinator.finished())
        assert result[0] == 10 and result[1].startswith("caught odd")


async def test_a_cancel_lets_the_code_clean_up(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(careful))
        (first,) = (await answered(coordinator, 0)).calls
        coordinator.direct(deliver("r1", Delivery(1, "cancel", Address(""), datetime.now(UTC))))
        cleanup = await answered(coordinator, 1)
        assert [call.routine for call in cleanup.calls] == ["echo"]
        assert cleanup.closed == [first.address]
        coordinator.direct(deliver("r1", outcome(2, cleanup.calls[0].address, "cleaned")))
        assert (await coordinator.finished()).how == "canceled"


async def test_a_workflow_sees_that_it_is_canceled_only_with_the_delivery_that_says_so(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(watchful))
        (first,) = (await answered(coordinator, 0)).calls
        coordinator.direct(CancelRun(RunId("r1"), 1, "enough"), deliver("r1", outcome(1, first.address, 2)))
        await answered(coordinator, 1)
        coordinator.direct(deliver("r1", Delivery(2, "cancel", Address(""), datetime.now(UTC))))
        assert value_of(await coordinator.finished()) == [False, False, True]


async def test_a_journal_is_fetched_and_replayed_and_only_what_is_new_is_asked_for(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(total, *range(4)))
        asked = (await answered(coordinator, 0)).calls
        coordinator.direct(Abandon(RunId("r1"), 1))
        rows = [CallRow(c.address, "call", c.routine, c.digest, 0, c.child_id, c.place) for c in asked]
        again = coordinator.start(total, *range(4), epoch=2, last_seq=3, processed_seq=1, started_at=datetime.now(UTC))
        coordinator.direct(again)
        fetch = await coordinator.report(Fetch)
        assert (fetch.epoch, fetch.after) == (2, -1)
        results = [outcome(seq, call.address, 2 * (seq - 1)) for seq, call in enumerate(asked, 1)]
        coordinator.direct(page("r1", -1, 2, rows, results[:2], epoch=2, last=False))
        assert (await coordinator.report(Fetch, nth=2)).after == 2
        coordinator.direct(page("r1", 2, 3, [], results[2:3], epoch=2))
        hangs = await coordinator.until(lambda: [c for c in coordinator.all(Commands) if c.epoch == 2])
        assert (hangs[0].upto_seq, hangs[0].calls) == (3, [])
        coordinator.direct(deliver("r1", results[3], epoch=2))
        report = await coordinator.finished()
        assert value_of(report) == 2 * sum(range(4))
        assert report.epoch == 2


async def test_a_page_in_parts_is_read_whole_and_one_that_overtakes_it_does_not_end_the_replay(
    sites: SiteMaker,
) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(total, *range(4)))
        asked = (await answered(coordinator, 0)).calls
        rows = [CallRow(c.address, "call", c.routine, c.digest, 0, c.child_id, c.place) for c in asked]
        results = [outcome(seq, call.address, 2 * (seq - 1)) for seq, call in enumerate(asked, 1)]
        again = coordinator.start(total, *range(4), epoch=2, last_seq=4, processed_seq=1, started_at=datetime.now(UTC))
        coordinator.direct(again)
        await coordinator.report(Fetch)
        part = page("r1", -1, 4, rows[:2], [], epoch=2)
        part.more = True
        coordinator.direct(page("r1", 1, 4, [], results[1:], epoch=2), part)
        coordinator.direct(page("r1", -1, 4, rows[2:], results, epoch=2))
        report = await coordinator.finished()
        assert (report.how, report.epoch, value_of(report)) == ("completed", 2, 2 * sum(range(4)))
        assert len(coordinator.all(Fetch)) == 1


async def test_code_that_does_not_fit_its_journal_is_nondeterminism(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(total, 1, last_seq=1, processed_seq=0))
        await coordinator.report(Fetch)
        row = CallRow(Address("0/0:0"), "call", "something.else", "0" * 16, 0, RunId("c"), "old.py:3")
        coordinator.direct(page("r1", -1, 1, [row], [outcome(1, "0/0:0", 2)]))
        report = await coordinator.finished()
        assert (report.how, report.retry) == ("nondeterminism", False)
        assert report.error is not None
        assert "something.else" in report.error.message and "double" in report.error.message


async def test_large_values_are_stowed_and_fetched_before_they_are_delivered(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(heavy, 1))
        (first,) = (await answered(coordinator, 0)).calls
        stowed = site.cargo.stow(_encoded(b"x" * 200_000), "runs/c1")
        coordinator.direct(deliver("r1", outcome(1, first.address, result=stowed)))
        (second,) = (await answered(coordinator, 1)).calls
        assert second.routine == length.name
        assert isinstance(second.input, ClaimCheck) and second.input.key.startswith(f"inputs/{second.child_id}/")
        assert site.cargo.load(second.input)[0][0] == b"x" * 200_000 + b"!"
        coordinator.direct(deliver("r1", outcome(2, second.address, 200_001)))
        assert value_of(await coordinator.finished()) == 200_001


def _encoded(value: Any) -> Any:
    from longshore.serialization.values import encode

    return encode(value)


async def test_a_workflow_that_nothing_can_wake_fails_saying_where_it_waits(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(hopeless))
        report = await site.coordinator.finished()
        assert report.how == "failed"
        assert report.error is not None and "routines.py" in report.error.message


async def test_waiting_workflows_use_no_slot(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        coordinator = site.coordinator
        coordinator.direct(*[coordinator.start(total, i, run=f"w{i}") for i in range(20)])
        for i in range(20):
            await answered(coordinator, 0, f"w{i}")
        coordinator.direct(coordinator.start(double, 1, run="task"))
        assert value_of(await coordinator.finished("task", within=2)) == 2


async def test_beyond_the_bound_the_longest_waiting_are_put_away(sites: SiteMaker) -> None:
    async with sites(max_hanging=2) as site:
        coordinator = site.coordinator
        for i in range(4):
            coordinator.direct(coordinator.start(total, i, run=f"w{i}"))
            await answered(coordinator, 0, f"w{i}")
        for run in ("w0", "w1"):
            assert (await coordinator.report(Suspended, run)).upto_seq == 0
        assert not coordinator.all(Suspended, "w3")


async def test_beyond_the_bound_those_that_wait_for_time_only_go_before_those_that_wait_for_routines(
    sites: SiteMaker,
) -> None:
    async with sites(max_hanging=2) as site:
        coordinator = site.coordinator
        for run, routine in (("w0", total), ("w1", sleepy), ("w2", total), ("w3", sleepy)):
            coordinator.direct(coordinator.start(routine, 1, run=run))
            await answered(coordinator, 0, run)
        for run in ("w1", "w3"):
            await coordinator.report(Suspended, run)
        assert not coordinator.all(Suspended, "w0") and not coordinator.all(Suspended, "w2")


async def test_what_has_waited_long_is_put_away_however_busy_the_worker_is(sites: SiteMaker) -> None:
    async with sites(suspend_after=timedelta(milliseconds=500)) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(total, 1, run="waits"))
        await answered(coordinator, 0, "waits")
        for number in range(40):
            coordinator.direct(coordinator.start(plain, number, run=f"busy-{number}"))
            await coordinator.finished(f"busy-{number}")
            if coordinator.all(Suspended, "waits"):
                break
            await asyncio.sleep(0.1)  # never quiet for as long as the host waits for news
        assert coordinator.all(Suspended, "waits")


async def test_what_has_waited_long_is_put_away(sites: SiteMaker) -> None:
    async with sites(suspend_after=timedelta(milliseconds=200)) as site:
        site.coordinator.direct(site.coordinator.start(total, 1))
        await answered(site.coordinator, 0)
        assert (await site.coordinator.report(Suspended, within=5)).upto_seq == 0


async def test_a_worker_says_at_its_start_which_lines_of_a_workflow_would_not_do_the_same_again(
    sites: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    async with sites(routines=[hasty, double]):
        (record,) = [record for record in caplog.records if record.name == "longshore.worker"]
    assert record.levelname == "WARNING"
    line = hasty.function.__code__.co_firstlineno + 2
    assert f"tests/worker/routines.py:{line}: workflow hasty@1.0.0: time.time() reads the clock" in record.getMessage()
    assert "use context.now" in record.getMessage()
    caplog.clear()
    async with sites(routines=[hasty, double], advises=False):
        assert not caplog.records


async def test_a_pump_over_a_second_is_reported_once_with_the_line_it_stands_at(
    sites: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    async with sites(routines=[toils, double]) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(toils, 1.7))
        (first,) = (await answered(coordinator, 0)).calls
        coordinator.direct(deliver("r1", outcome(1, first.address, 2)))
        assert value_of(await coordinator.finished()) == "done"
    (record,) = [record for record in caplog.records if record.name == "longshore.worker"]
    text = record.getMessage()
    assert "workflow toils@1.0.0 (run r1) has computed for over 1 s, holding up all workflows here" in text
    assert "move that to a task" in text
    assert "in toils" in text and "in compute" in text and "while time.perf_counter() < over" in text
    assert "engine/loop.py" not in text


async def test_a_drain_puts_workflows_away_without_any_effect_of_their_cleanup(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(careful))
        await answered(coordinator, 0)
        site.worker.drain()
        assert (await coordinator.report(Suspended)).upto_seq == 0
        assert (await site.exit()).code == 0
        assert [call.routine for call in calls(coordinator)] == ["double"]
        assert not coordinator.all(Finished) and not coordinator.all(Released)


async def test_an_abandoned_workflow_says_nothing_more(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(careful))
        (first,) = (await answered(coordinator, 0)).calls
        coordinator.direct(Abandon(RunId("r1"), 1), deliver("r1", outcome(1, first.address, 1)))
        coordinator.direct(coordinator.start(plain, 1, run="other"))
        await coordinator.finished("other")
        assert not coordinator.all(Finished) and len(coordinator.all(Commands)) == 1
