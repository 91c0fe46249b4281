"""`isolation="process"`: warm children that can be killed, and whose death is that of one run only."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from longshore.core.ids import RunId
from longshore.core.message import CancelRun, ClaimCheck, Progress
from tests.support.wait import eventually
from tests.worker.conftest import Site, SiteMaker
from tests.worker.routines import apart, apart_async, double
from tests.worker.scripted import value_of


async def pid(site: Site, run: str) -> int:
    """The process id of the child that executes this run."""
    site.coordinator.direct(site.coordinator.start(apart, "pid", run=run))
    found = value_of(await site.coordinator.finished(run, within=20))
    assert isinstance(found, int)
    return found


async def test_runs_go_one_after_another_through_the_same_child(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        first = await pid(site, "r1")
        assert first != os.getpid()
        assert await pid(site, "r2") == first


async def test_an_async_body_runs_in_the_child_too(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(apart_async, 41))
        assert value_of(await site.coordinator.finished(within=20)) == 42


async def test_a_failure_in_the_child_comes_back_with_its_traceback(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(apart, "raise"))
        report = await site.coordinator.finished(within=20)
        assert report.how == "failed" and report.error is not None
        assert report.error.type == "builtins.ValueError" and "routines.py" in report.error.traceback


async def test_a_child_that_dies_is_a_crash_of_its_run_only(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        coordinator = site.coordinator
        first = await pid(site, "r0")
        coordinator.direct(coordinator.start(apart, "die", run="r1"), coordinator.start(double, 4, run="r2"))
        report = await coordinator.finished("r1", within=20)
        assert report.how == "crashed"
        assert report.error is not None and "SIGKILL" in report.error.message
        assert value_of(await coordinator.finished("r2")) == 8
        assert await pid(site, "r3") != first
        coordinator.direct(coordinator.start(apart, "exit", run="r4"))
        exited = await coordinator.finished("r4", within=20)
        assert exited.how == "crashed" and exited.error is not None and "status 7" in exited.error.message


async def test_progress_crosses_the_pipe(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(apart, "progress"))
        assert value_of(await site.coordinator.finished(within=20)) == "progress"
        site.coordinator.direct(site.coordinator.start(apart, "notice", run="r2"))
        await site.coordinator.started("r2")
        told = site.coordinator.all(Progress)
        assert not told or (told[0].fraction, told[0].text) == (0.5, "half way")
        site.coordinator.direct(CancelRun(RunId("r2"), 1, "enough"))
        assert value_of(await site.coordinator.finished("r2")) == "noticed"


async def test_a_large_result_is_stored_by_the_child(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(apart, "large"))
        report = await site.coordinator.finished(within=20)
        assert isinstance(report.result, ClaimCheck) and report.result.key.startswith("runs/r1/")
        assert site.cargo.load(report.result) == b"y" * 200_000


async def test_code_that_does_not_notice_its_cancel_is_killed(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(apart, "spin"))
        await site.coordinator.started(within=20)
        site.coordinator.direct(CancelRun(RunId("r1"), 1, "enough"))
        assert (await site.coordinator.finished(within=5)).how == "canceled"
        assert (await site.coordinator.beat()).stuck == 0


async def test_what_takes_longer_than_its_timeout_is_killed(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(apart, "spin", timeout_ms=300))
        report = await site.coordinator.finished(within=20)
        assert report.how == "timed_out"
        assert report.error is not None and "0.3 s" in report.error.message


async def test_children_end_with_their_worker(sites: SiteMaker) -> None:
    async with sites(slots=1, grace=timedelta(seconds=1)) as site:
        child = await pid(site, "r1")
        site.worker.drain()
        await site.exit()
        await eventually(lambda: not Path(f"/proc/{child}").exists(), within=5)
