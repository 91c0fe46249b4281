"""Workflows that compute without an end: ended, with their stack told, and the others of the worker go on."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from longshore import ForbiddenInWorkflow, define
from longshore.core.ids import RunId
from longshore.core.message import Abandon, Start
from longshore.routines.routine import Routine
from longshore.worker.attempt import Attempt
from longshore.worker.pumps import STRIKE_AGAIN, STRIKES, Pumps
from tests.support.wait import eventually_sync
from tests.worker.conftest import SiteMaker
from tests.worker.scripted import value_of

SOON = timedelta(seconds=1)
NEVER = timedelta(hours=1)
AFTER_THAT = 10.0


@define.workflow(name="pumps.spins", version="1.0.0")
async def spins() -> None:
    while True:
        await asyncio.sleep(0)


@define.workflow(name="pumps.computes", version="1.0.0")
async def computes() -> None:
    try:
        while True:
            pass
    except Exception:  # noqa: BLE001 - what a careless loop does
        await asyncio.sleep(3600)


@define.workflow(name="pumps.tidies", version="1.0.0")
async def tidies() -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        while True:
            pass


@define.workflow(name="pumps.plain", version="1.0.0")
async def plain(number: int) -> int:
    return number


ROUTINES: tuple[Routine[..., Any], ...] = (spins, computes, tidies, plain)


@pytest.mark.parametrize("endless", [spins, computes])
async def test_a_workflow_that_computes_without_an_end_fails_with_its_stack_and_the_others_go_on(
    sites: SiteMaker, endless: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with sites(routines=ROUTINES, pump_limit=SOON) as site:
        site.coordinator.direct(site.coordinator.start(endless, run="r1"))
        site.coordinator.direct(site.coordinator.start(plain, 7, run="r2"))
        first = await site.coordinator.finished("r1")
        assert first.how == "failed" and first.error is not None and not first.retry
        assert first.error.type == "longshore.core.errors.ForbiddenInWorkflow"
        assert "computed for over 1 s without waiting for anything" in first.error.message
        assert "test_pumps.py" in first.error.message
        assert value_of(await site.coordinator.finished("r2")) == 7
    assert "has computed for over 1 s, holding up all workflows here" in caplog.text


async def test_one_that_nobody_wants_any_more_is_ended_at_once(sites: SiteMaker) -> None:
    async with sites(routines=ROUTINES, pump_limit=NEVER) as site:
        site.coordinator.direct(site.coordinator.start(spins, run="r1"))
        site.coordinator.direct(Abandon(RunId("r1"), 1))
        site.coordinator.direct(site.coordinator.start(plain, 7, run="r2"))
        assert value_of(await site.coordinator.finished("r2")) == 7


async def test_one_that_computes_while_it_is_put_away_is_ended_too(sites: SiteMaker) -> None:
    async with sites(routines=ROUTINES, pump_limit=SOON, suspend_after=timedelta(seconds=0)) as site:
        site.coordinator.direct(site.coordinator.start(tidies, run="r1"))
        site.coordinator.direct(site.coordinator.start(plain, 7, run="r2"))
        assert value_of(await site.coordinator.finished("r2")) == 7


# ------------------------------------------------------------------------------------- the watch itself, in a thread


class Scene:
    """A thread in which code is watched."""

    def __init__(self, code: Callable[[], object]) -> None:
        self.ended_with: list[int] = []
        self.pumps = Pumps(SOON, give_up=self.ended_with.append)
        self.told: list[str] = []
        self.began = threading.Event()
        self._code = code
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.began.wait(AFTER_THAT)

    def _run(self) -> None:
        start = Start(run_id=RunId("r1"), epoch=1, attempt=1, routine="pumps.plain", version="1.0.0")
        try:
            with self.pumps.watched(Attempt(start, plain)):
                self.began.set()
                self._code()
        except ForbiddenInWorkflow as error:
            self.told.append(str(error))

    def look(self, after: float) -> None:
        self.pumps.look(time.monotonic() + after)


def spin() -> None:
    while True:
        pass


def test_it_is_struck_when_its_time_is_over_and_not_before() -> None:
    scene = Scene(spin)
    scene.look(0.5)
    scene.look(0.9)
    assert scene.thread.is_alive()
    scene.look(1.5)  # its loop is asked to stop
    scene.look(1.7)
    assert scene.thread.is_alive()
    scene.look(2.0)
    scene.thread.join(AFTER_THAT)
    assert "for over 1 s" in scene.told[0] and "in spin" in scene.told[0]


def test_nothing_is_raised_into_a_thread_whose_pump_is_over() -> None:
    for _ in range(200):  # the blow and the end of the pump at the same moment, in every order
        scene = Scene(lambda: None)
        scene.look(2)
        scene.look(3)
        scene.thread.join(AFTER_THAT)
        assert not scene.thread.is_alive()
        assert len(scene.told) <= 1


AFTERWARDS = """
import sys, threading
from tests.worker.test_pumps import Scene
gate = threading.Event()
scene = Scene(gate.wait)
scene.look(2)
gate.set()
scene.thread.join(10)
def traced(frame, event, argument):
    return traced
def called():
    return 1
sys.settrace(traced)
print(sum(called() for _ in range(1000)))
"""


def test_a_blow_that_came_too_late_leaves_nothing_behind_that_other_threads_would_look_for() -> None:
    """When such an exception was taken back, CPython 3.11 gets no further than the next traced call in any thread."""
    done = subprocess.run([sys.executable, "-c", AFTERWARDS], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "1000\n"


@pytest.fixture
def door() -> Iterator[threading.Lock]:
    lock = threading.Lock()
    lock.acquire()
    yield lock
    lock.release()


def test_where_blows_have_no_effect_the_process_ends(door: threading.Lock, caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(door.acquire)
    for blow in range(STRIKES):
        scene.look(2 + blow * STRIKE_AGAIN)
        assert not scene.ended_with
    with caplog.at_level(logging.CRITICAL):
        scene.look(2 + STRIKES * STRIKE_AGAIN)
    assert scene.ended_with == [70]
    assert "this process ends" in caplog.text


def test_code_that_swallows_the_first_blow_is_struck_again() -> None:
    blows: list[BaseException] = []

    def stubborn() -> None:
        try:
            spin()
        except BaseException as error:  # noqa: BLE001 - the worst that user code does
            blows.append(error)
        spin()

    scene = Scene(stubborn)
    scene.look(1)
    scene.look(2)
    eventually_sync(lambda: blows, within=AFTER_THAT)
    scene.look(3)
    assert scene.thread.is_alive()
    scene.look(2 + STRIKE_AGAIN)
    scene.thread.join(AFTER_THAT)
    assert len(scene.told) == 1
