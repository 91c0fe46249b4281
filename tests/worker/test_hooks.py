"""Hooks and middleware, wherever a body runs: which of them run, with what, and that their own failures change
nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from longshore import Outcome, define
from longshore.core.ids import RunId
from longshore.core.message import CancelRun, Commands, Delivery, HooksRun, RunHooks
from longshore.routines.catalog import Catalog, collect
from longshore.worker.desk import Note
from longshore.worker.hooking import Elsewhere
from longshore.worker.tray import Tray
from tests.support.wait import eventually
from tests.worker import hooked
from tests.worker.conftest import SiteMaker
from tests.worker.hooked import aborting, after, before, flows, in_process, in_thread, on_loop, while_failing
from tests.worker.scripted import deliver, value_of

TASKS = pytest.mark.parametrize("routine", [in_thread, on_loop, in_process], ids=["thread", "loop", "process"])
ALL = pytest.mark.parametrize(
    "routine", [in_thread, on_loop, in_process, flows], ids=["thread", "loop", "process", "workflow"]
)


@pytest.fixture
def catalog() -> Catalog:
    return collect([hooked])


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(hooked.PLACE, str(tmp_path / "lines"))
    return tmp_path / "lines"


def lines(place: Path) -> list[str]:
    """What was noted, without the middleware's and the bodies' own lines."""
    found = place.read_text().splitlines() if place.exists() else []
    return [line for line in found if line not in ("body", "after") and not line.startswith("before")]


@ALL
async def test_success_runs_the_hooks_in_order_before_it_is_told(sites: SiteMaker, place: Path, routine: Any) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(routine, "well"))
        assert value_of(await site.coordinator.finished(within=20)) == "well"
        assert lines(place) == [
            "start EXECUTING None - attempt 1",
            "success COMPLETED 'well' - attempt 1",
            "complete COMPLETED 'well' - attempt 1",
            "everywhere COMPLETED 'well' - attempt 1",
        ]


@ALL
async def test_failure_is_told_to_hooks_when_no_attempt_is_left(sites: SiteMaker, place: Path, routine: Any) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(routine, "fail"))
        assert (await site.coordinator.finished(within=20)).how == "failed"
        assert lines(place) == ["start EXECUTING None - attempt 1"]
        site.coordinator.direct(site.coordinator.start(routine, "fail", run="r2", attempt=2))
        assert (await site.coordinator.finished("r2", within=20)).how == "failed"
        assert lines(place)[1:] == [
            "failure FAILED None ValueError attempt 2",
            "complete FAILED None ValueError attempt 2",
            "everywhere FAILED None ValueError attempt 2",
        ]
        site.coordinator.direct(site.coordinator.start(routine, "fail", run="r3", attempt=2, max_attempts=5))
        await site.coordinator.finished("r3", within=20)
        assert len(lines(place)) == 4


@TASKS
async def test_a_canceled_task_runs_its_cancel_hook(sites: SiteMaker, place: Path, routine: Any) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(routine, "stop"))
        await eventually(lambda: place.exists() and "body" in place.read_text(), within=20)
        site.coordinator.direct(CancelRun(RunId("r1"), 1, "enough"))
        await site.coordinator.finished(within=10)
        moments = [line.split()[:2] for line in lines(place)]
        assert moments == [
            ["start", "EXECUTING"],
            ["cancel", "CANCELED"],
            ["complete", "CANCELED"],
            ["everywhere", "CANCELED"],
        ]


async def test_a_canceled_workflow_runs_its_cancel_hook_after_its_cleanup(sites: SiteMaker, place: Path) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(flows, "stop"))
        await coordinator.report(Commands)
        cancel = Delivery(seq=1, kind="cancel", address="", at=datetime.now(UTC), status="enough")  # type: ignore[arg-type]
        coordinator.direct(deliver("r1", cancel))
        assert (await coordinator.finished()).how == "canceled"
        assert [line.split()[0] for line in lines(place)] == ["start", "cancel", "complete", "everywhere"]


@TASKS
async def test_what_takes_too_long_has_failed_for_good(sites: SiteMaker, place: Path, routine: Any) -> None:
    async with sites(slots=2) as site:
        what = "stop" if routine is on_loop else "hang"
        site.coordinator.direct(site.coordinator.start(routine, what, timeout_ms=800))
        assert (await site.coordinator.finished(within=20)).how == "timed_out"
        found = await eventually(lambda: all_ if len(all_ := lines(place)) == 4 else [], within=5)
        assert found[1:] == [
            "failure TIMED_OUT None TimeoutError attempt 1",
            "complete TIMED_OUT None TimeoutError attempt 1",
            "everywhere TIMED_OUT None TimeoutError attempt 1",
        ]


async def test_middleware_is_around_the_body_and_sees_the_run(sites: SiteMaker, place: Path) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(in_thread, "well"))
        await site.coordinator.finished()
        found = place.read_text().splitlines()
        assert found[1:4] == ["before r1", "body", "after"]


async def test_what_middleware_raises_itself_changes_nothing_and_is_logged_with_the_run(
    sites: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(before, run="r1"), coordinator.start(after, run="r2"))
        assert value_of(await coordinator.finished("r1")) == 7
        assert value_of(await coordinator.finished("r2")) == 7
        coordinator.direct(coordinator.start(while_failing, run="r3"))
        report = await coordinator.finished("r3")
        assert report.error is not None and report.error.type == "builtins.ValueError"
    told = [(record.__dict__["run_id"], record.getMessage()) for record in caplog.records if record.exc_info]
    assert {run for run, _ in told} == {"r1", "r2", "r3"}
    assert all("which changes nothing about the run" in text for _, text in told)


async def test_middleware_may_change_the_result_and_have_its_word_on_the_run(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(aborting, 4, run="r1"), coordinator.start(aborting, 0, run="r2"))
        assert value_of(await coordinator.finished("r1")) == 8
        assert (await coordinator.finished("r2")).how == "aborted"


async def test_a_failing_hook_is_logged_with_its_run(sites: SiteMaker, caplog: pytest.LogCaptureFixture) -> None:
    async with sites() as site:
        with caplog.at_level(logging.ERROR):
            site.coordinator.direct(site.coordinator.start(in_thread, "well"))
            await site.coordinator.finished()
        told = [record for record in caplog.records if "hook" in str(record.exc_info)]
        assert {record.__dict__["run_id"] for record in told} == {"r1"}
        assert "breaks of in.thread@1.0.0 failed" in told[0].getMessage()


async def test_hooks_of_a_run_that_ended_while_nobody_had_it_run_on_a_worker_of_its_routine(
    sites: SiteMaker, place: Path
) -> None:
    async with sites() as site:
        offers = {offer.routine: offer.hooks for offer in site.coordinator.hellos[0].offers}
        assert offers["in.thread"] and offers["before"]
        orders = [("CANCELED", "enough"), ("CRASHED", "its worker was lost"), ("TIMED_OUT", "over")]
        for run_id, (status, reason) in zip(("r7", "r8", "r9"), orders, strict=True):
            site.coordinator.direct(RunHooks(RunId(run_id), "in.thread", "1.0.0", 2, status, reason))
        site.coordinator.direct(RunHooks(RunId("r9"), "unknown", "1.0.0", 2, "CANCELED"))
        found = await eventually(lambda: all_ if len(all_ := lines(place)) == 9 else [], within=10)
        assert {line for line in found if "everywhere" not in line} == {
            "cancel CANCELED None - attempt 2",
            "complete CANCELED None - attempt 2",
            "failure CRASHED None RunCrashed attempt 2",
            "complete CRASHED None RunCrashed attempt 2",
            "failure TIMED_OUT None RunTimedOut attempt 2",
            "complete TIMED_OUT None RunTimedOut attempt 2",
        }
        for run_id in ("r7", "r8", "r9"):
            await site.coordinator.report(HooksRun, run_id)


async def test_hooks_that_are_under_way_are_not_begun_again_and_a_routine_without_any_says_so_at_once() -> None:
    entered, told = threading.Event(), threading.Event()
    calls: list[str] = []

    def slow(here: Any, outcome: Outcome) -> None:
        calls.append(outcome.status)
        entered.set()
        assert told.wait(10)

    module = ModuleType("two")
    module.slow = define.action(name="slow", version="1.0.0", on_cancel=slow)(lambda: None)  # type: ignore[attr-defined]
    module.bare = define.action(name="bare", version="1.0.0")(lambda: None)  # type: ignore[attr-defined]
    tray: Tray[Note] = Tray(asyncio.get_running_loop(), lambda: None)
    elsewhere = Elsewhere(collect([module]), tray)
    order = RunHooks(RunId("r1"), "slow", "1.0.0", 1, "CANCELED")
    elsewhere.run(order)
    assert await asyncio.to_thread(entered.wait, 10)
    elsewhere.run(order)
    elsewhere.run(RunHooks(RunId("r2"), "bare", "1.0.0", 1, "CANCELED"))
    elsewhere.run(RunHooks(RunId("r3"), "unknown", "1.0.0", 1, "CANCELED"))
    (bare,) = await eventually(tray.take, within=10)
    assert bare.report == HooksRun(RunId("r2"))
    told.set()
    (slowly,) = await eventually(tray.take, within=10)
    assert slowly.report == HooksRun(RunId("r1")) and calls == ["CANCELED"]
