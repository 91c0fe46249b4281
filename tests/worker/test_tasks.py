"""Tasks and actions on a worker: what comes back for each way in which a body can end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from longshore.core.ids import RunId
from longshore.core.message import Abandon, CancelRun, ClaimCheck, Finished, Progress, Released, Started
from longshore.serialization.arguments import encode_arguments
from tests.support.wait import eventually
from tests.worker import routines
from tests.worker.conftest import SiteMaker
from tests.worker.routines import (
    block_loop,
    calls_another,
    double,
    echo,
    fail,
    ident,
    large,
    length,
    overlong,
    stubborn,
    talk,
    unencodable,
    until_canceled,
    wait,
    wait_async,
)
from tests.worker.scripted import value_of


@pytest.mark.parametrize(("routine", "value"), [(double, 21), (echo, [1, "two", None])], ids=["def", "async def"])
async def test_a_body_that_returns_comes_back_with_its_result_and_its_beginning_is_told_once(
    sites: SiteMaker, routine: Any, value: Any
) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(routine, value))
        report = await site.coordinator.finished()
        assert value_of(report) == (42 if routine is double else value)
        told = [started.at for started in site.coordinator.all(Started)]
        told += [report.started_at] if report.started_at else []
        assert len(told) == 1 and told[0] <= report.at
        assert report.slot_us > 0


async def test_a_thousand_runs_in_one_body_come_back_each_once(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        for kind in (double, echo):
            coordinator.direct(*[coordinator.start(kind, i, run=f"{kind.name}{i}") for i in range(500)])
        reports = await coordinator.until(lambda: _ends(coordinator) if len(_ends(coordinator)) == 1000 else None)
        assert len({report.run_id for report in reports}) == 1000
        assert all(report.how == "completed" for report in reports)


def _ends(coordinator: Any) -> list[Finished]:
    return [report for report in coordinator.reports if isinstance(report, Finished)]


async def test_a_body_that_runs_on_is_reported_as_started(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(wait, "door"))
        started = await site.coordinator.started(within=1)
        routines.passes("door").set()
        report = await site.coordinator.finished()
        assert report.started_at is None
        assert started.at < report.at


async def test_more_than_the_slots_wait_their_turn_and_the_late_ones_are_handed_back(sites: SiteMaker) -> None:
    async with sites(slots=2) as site:
        coordinator = site.coordinator
        coordinator.direct(*[coordinator.start(wait, "door", run=f"r{i}") for i in range(4)])
        await coordinator.until(lambda: len(_of(coordinator, Started)) == 2)
        released = await coordinator.until(lambda: two if len(two := _of(coordinator, Released)) == 2 else None)
        assert {report.run_id for report in released} == {"r2", "r3"}
        assert all(not report.reason and not report.lost for report in released)
        routines.passes("door").set()
        await coordinator.finished("r0")
        await coordinator.finished("r1")


def _of(coordinator: Any, kind: type[Any]) -> list[Any]:
    return [report for report in coordinator.reports if isinstance(report, kind)]


async def test_a_slot_goes_to_another_kind_when_its_own_has_nothing(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(wait, "first", run="r1"))
        await coordinator.started("r1")
        coordinator.direct(coordinator.start(echo, 1, run="r2"))
        routines.passes("first").set()
        await coordinator.finished("r2", within=1)


@pytest.mark.parametrize(
    ("kind", "how", "retry", "type_name"),
    [
        ("os", "failed", True, "builtins.OSError"),
        ("value", "failed", False, "builtins.ValueError"),
        ("abort", "aborted", False, "longshore.core.errors.AbortRun"),
        ("after", "failed", True, "longshore.core.errors.RetryAfter"),
        ("exit", "failed", False, "builtins.SystemExit"),
    ],
)
async def test_each_failure_says_whether_another_attempt_helps(
    sites: SiteMaker, kind: str, how: str, retry: bool, type_name: str
) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(fail, kind))
        report = await site.coordinator.finished()
        assert (report.how, report.retry) == (how, retry)
        assert report.error is not None
        assert report.error.type == type_name
        assert "longshore/worker" not in report.error.traceback
        assert "routines.py" in report.error.traceback
        assert report.retry_after_ms == (1500 if kind == "after" else None)


async def test_arguments_that_do_not_fit_fail_at_once_naming_the_parameter(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(double, "many"))
        report = await site.coordinator.finished()
        assert (report.how, report.retry) == ("failed", False)
        assert report.error is not None and "'x'" in report.error.message
        assert report.error.type == "longshore.core.errors.ArgumentError"


async def test_a_task_that_calls_another_routine_fails_at_once_and_says_what_to_write(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(calls_another))
        report = await site.coordinator.finished()
        assert (report.how, report.retry) == ("failed", False)
        assert report.error is not None and "only a workflow may wait for other routines" in report.error.message


async def test_a_result_that_cannot_travel_fails_naming_the_path(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(unencodable))
        report = await site.coordinator.finished()
        assert (report.how, report.retry) == ("failed", False)
        assert report.error is not None and "deep" in report.error.message


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff", b"\x01\xc1"], ids=["none", "garbage", "bad msgpack"])
async def test_an_input_that_cannot_be_read_is_a_system_failure(sites: SiteMaker, data: bytes) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(echo, input=data))
        report = await site.coordinator.finished()
        assert report.how == ("system_failure" if data else "failed")  # no input at all: no arguments, one is missing


@pytest.mark.parametrize("routine", [length, double], ids=["async def", "def"])
async def test_a_payload_that_is_missing_is_a_system_failure(sites: SiteMaker, routine: Any) -> None:
    async with sites() as site:
        check = ClaimCheck(key="inputs/nowhere/abc", size=100_000, sha256="0" * 64)
        site.coordinator.direct(site.coordinator.start(routine, input=check))
        report = await site.coordinator.finished()
        assert report.how == "system_failure"
        assert report.error is not None and "inputs/nowhere/abc" in report.error.message


async def test_a_large_result_is_stored_and_a_large_input_is_fetched(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(large, 300_000))
        report = await coordinator.finished()
        assert isinstance(report.result, ClaimCheck)
        assert report.result.key.startswith("runs/r1/")
        assert site.cargo.load(report.result) == b"x" * 300_000
        value = site.cargo.stow(encode_arguments((b"z" * 100_000,), {}), "inputs/r2")
        coordinator.direct(coordinator.start(length, run="r2", input=value))
        assert value_of(await coordinator.finished("r2")) == 100_000


async def test_the_cache_key_is_told_when_it_is_asked_for(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(
            coordinator.start(double, 4, run="a", cache=True),
            coordinator.start(double, "4", run="b", cache=True),
            coordinator.start(double, 5, run="c", cache=True),
            coordinator.start(double, 4, run="d"),
        )
        keys = [(await coordinator.finished(run)).cache_key for run in "abcd"]
        assert keys[0] == keys[1] != keys[2]
        assert len(keys[0]) == 64 and keys[3] == ""


async def test_an_unknown_routine_is_handed_back_with_near_names(sites: SiteMaker) -> None:
    async with sites() as site:
        start = site.coordinator.start(double, 1)
        start.routine = "dubble"
        site.coordinator.direct(start)
        released = await site.coordinator.report(Released)
        assert "dubble" in released.reason and "double" in released.reason


async def test_code_in_a_thread_sees_its_cancel(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(until_canceled))
        await site.coordinator.started()
        site.coordinator.direct(CancelRun(RunId("r1"), 1, "enough"))
        assert value_of(await site.coordinator.finished()) == "noticed"


async def test_a_coroutine_is_canceled_where_it_waits(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(wait_async, "never"))
        await site.coordinator.started()
        site.coordinator.direct(CancelRun(RunId("r1"), 1, "enough"))
        assert (await site.coordinator.finished()).how == "canceled"


async def test_a_run_canceled_before_its_turn_is_handed_back(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(wait, "door", run="r1"), coordinator.start(wait, "door", run="r2"))
        await coordinator.started("r1")
        coordinator.direct(CancelRun(RunId("r2"), 1, "enough"))
        await coordinator.report(Released, "r2", within=1)


async def test_a_coroutine_that_takes_too_long_is_ended_and_timed_out(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(overlong))
        report = await site.coordinator.finished(within=5)
        assert report.how == "timed_out"
        assert report.error is not None and report.error.type == "builtins.TimeoutError"
        assert (await site.coordinator.beat()).stuck == 0


async def test_a_thread_that_outlives_its_timeout_keeps_its_slot_and_is_counted_as_stuck(sites: SiteMaker) -> None:
    async with sites(slots=2) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(stubborn, "door"))
        assert (await coordinator.finished(within=5)).how == "timed_out"
        await coordinator.beat(lambda beat: beat.stuck == 1)
        routines.passes("door").set()
        await coordinator.beat(lambda beat: beat.stuck == 0)
        assert len(coordinator.all(Finished)) == 1


async def test_a_worker_whose_slots_are_all_stuck_leaves(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(stubborn, "door"))
        ended = await site.exit(within=10)
        assert ended.code == 1 and "stuck" in ended.reason


async def test_user_code_that_blocks_its_loop_does_not_stop_a_beat(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(block_loop, "door"))
        await site.coordinator.started()
        for _ in range(5):
            await site.coordinator.beat(within=1)
        routines.passes("door").set()
        await site.coordinator.finished()


async def test_of_many_words_on_progress_the_last_one_arrives(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(talk, 10_000))
        await site.coordinator.finished()
        told = site.coordinator.all(Progress)
        assert len(told) < 100


async def test_a_routine_sees_its_run(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(ident, attempt=3))
        assert value_of(await site.coordinator.finished()) == ["r1", 3, "ident@1.0.0"]


async def test_an_abandoned_run_reports_nothing(sites: SiteMaker) -> None:
    async with sites(slots=2) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(wait, "door"))
        await coordinator.started()
        coordinator.direct(Abandon(RunId("r1"), 1))
        await coordinator.beat(lambda beat: beat.stuck == 1)
        routines.passes("door").set()
        await coordinator.beat(lambda beat: beat.stuck == 0)
        coordinator.direct(coordinator.start(double, 1, run="r2"))
        await coordinator.finished("r2")
        assert not coordinator.all(Finished, "r1")


async def test_a_newer_epoch_replaces_what_is_held_and_the_same_one_is_ignored(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(wait_async, "door"))
        await coordinator.started()
        coordinator.direct(coordinator.start(wait_async, "door"))
        coordinator.direct(coordinator.start(wait_async, "door", epoch=2))
        await eventually(lambda: len(coordinator.all(Started)) == 2, within=5)
        routines.passes("door").set()
        assert (await coordinator.finished()).epoch == 2
        await asyncio.gather(coordinator.beat(), coordinator.beat())
        assert len(coordinator.all(Finished)) == 1
