"""The supervisor: its children live, come again when they die, and end with it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from longshore.core.message import ChildDied
from longshore.worker.supervisor import Supervisor
from tests.support.wait import eventually
from tests.worker.conftest import NAMES, BusMaker
from tests.worker.scripted import ScriptedCoordinator


def command(folder: Path, act: str = "") -> list[str]:
    return [sys.executable, "-m", "tests.worker.supervised", str(folder), act]


def alive(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.alive")}


@asynccontextmanager
async def supervised(
    folder: Path, buses: BusMaker, act: str = "", processes: int = 2
) -> AsyncIterator[tuple[Supervisor, ScriptedCoordinator, Callable[[], asyncio.Task[int]]]]:
    coordinator = ScriptedCoordinator(buses("coordinator"), NAMES)
    await coordinator.open()
    supervisor = Supervisor(command(folder, act), processes, buses("supervisor"), NAMES)
    running = asyncio.create_task(supervisor.run())
    try:
        yield supervisor, coordinator, lambda: running
    finally:
        supervisor.stop()
        supervisor.stop()
        await asyncio.wait([running], timeout=10)
        await coordinator.close()


async def test_a_dead_child_is_reported_at_once_and_replaced(tmp_path: Path, buses: BusMaker) -> None:
    async with supervised(tmp_path, buses) as (supervisor, coordinator, _):
        await eventually(lambda: len(alive(tmp_path)) == 2, within=10)
        session, pid = next(iter(supervisor.children.items()))
        os.kill(pid, signal.SIGKILL)
        died = await coordinator.until(lambda: [r for r in coordinator.reports if isinstance(r, ChildDied)], within=5)
        assert died[0].session == session and "SIGKILL" in died[0].how
        await eventually(lambda: len(alive(tmp_path)) == 3, within=10)
        assert session not in supervisor.children and len(supervisor.children) == 2


async def test_the_end_of_what_a_dead_child_wrote_to_stderr_is_told_and_passed_on(
    tmp_path: Path, buses: BusMaker, capfd: pytest.CaptureFixture[str]
) -> None:
    async with supervised(tmp_path, buses, "groan", processes=1) as (_, coordinator, _):
        died = await coordinator.until(lambda: [r for r in coordinator.reports if isinstance(r, ChildDied)], within=20)
        assert "SIGKILL" in died[0].how and died[0].tail.endswith("the mast is down")
    assert "the mast is down" in capfd.readouterr().err


async def test_a_death_is_told_again_to_whoever_comes_after_a_coordinator_that_did_not_keep_it(
    tmp_path: Path, buses: BusMaker
) -> None:
    def words(coordinator: ScriptedCoordinator) -> list[str]:
        return [report.session for report in coordinator.reports if isinstance(report, ChildDied)]

    async with supervised(tmp_path, buses, processes=1) as (supervisor, coordinator, running):
        await eventually(lambda: len(alive(tmp_path)) == 1, within=10)
        session, pid = next(iter(supervisor.children.items()))
        os.kill(pid, signal.SIGKILL)
        await coordinator.until(lambda: words(coordinator), within=5)
        await coordinator.close()
        after = ScriptedCoordinator(buses("coordinator"), NAMES)
        await after.open()
        try:
            assert await after.until(lambda: words(after), within=10) == [session]
            supervisor.stop()
            assert await asyncio.wait_for(running(), 10) == 0
        finally:
            await after.close()


async def test_a_signal_drains_the_children_and_the_supervisor_ends_with_the_last(
    tmp_path: Path, buses: BusMaker
) -> None:
    async with supervised(tmp_path, buses) as (supervisor, coordinator, running):
        await eventually(lambda: len(alive(tmp_path)) == 2, within=10)
        supervisor.stop()
        assert await asyncio.wait_for(running(), 10) == 0
        assert {path.stem for path in tmp_path.glob("*.drained")} == alive(tmp_path)
        assert not coordinator.reports


async def test_a_child_that_says_the_usage_is_wrong_is_not_started_again(tmp_path: Path, buses: BusMaker) -> None:
    async with supervised(tmp_path, buses, "usage", processes=1) as (_, _, running):
        assert await asyncio.wait_for(running(), 20) == 2
        assert len(alive(tmp_path)) == 1


async def test_the_last_words_of_a_child_that_cannot_start_are_kept_once_for_all_of_them(
    tmp_path: Path, buses: BusMaker, caplog: pytest.LogCaptureFixture
) -> None:
    async with supervised(tmp_path, buses, "words", processes=3) as (supervisor, _, running):
        assert await asyncio.wait_for(running(), 20) == 2
        assert supervisor.last_words == "the sails are torn\nmend them"
        assert "a worker process ended" not in caplog.text


async def test_a_program_that_is_not_there_is_the_last_word_too(tmp_path: Path, buses: BusMaker) -> None:
    supervisor = Supervisor([str(tmp_path / "missing")], 2, buses("supervisor"), NAMES)
    assert await asyncio.wait_for(supervisor.run(), 20) == 2
    assert "missing" in supervisor.last_words


async def test_children_that_fail_come_again_with_growing_pauses(tmp_path: Path, buses: BusMaker) -> None:
    async with supervised(tmp_path, buses, "fail", processes=1) as (_, coordinator, _):
        await eventually(lambda: len(alive(tmp_path)) >= 3, within=20)
        await coordinator.until(lambda: len(coordinator.reports) >= 2)


@pytest.mark.parametrize("act", ["", "grumble"])
async def test_children_drain_when_their_supervisor_is_killed(tmp_path: Path, act: str) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from longshore.broker.local import LocalRouter\n"
        "from longshore.core.envelope import Names\n"
        "from longshore.worker.supervisor import Supervisor\n"
        "from tests.worker.test_supervisor import command\n"
        "async def main():\n"
        "    names = Names('test')\n"
        "    bus = LocalRouter(names).bus(user='supervisor')\n"
        f"    await Supervisor(command(Path({str(tmp_path)!r}), {act!r}), 2, bus, names).run()\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    await eventually(lambda: len(alive(tmp_path)) == 2, within=20)
    process.kill()
    await process.wait()
    await eventually(lambda: len(list(tmp_path.glob("*.drained"))) == 2, within=10)
