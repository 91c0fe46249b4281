"""Runs whose workers are lost until a person is needed, resumed from the command line; and a workflow whose worker is
lost while many calls are open."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from longshore import Client
from longshore.client import Run
from longshore.core.policy import CRASHES_TO_BLOCK, LOSSES_TO_BLOCK
from tests.end_to_end.away import lines
from tests.end_to_end.conftest import Broker, in_status
from tests.end_to_end.house import House
from tests.end_to_end.mortal import kills, kills_late, kills_once, many, note
from tests.support.fleet import Part
from tests.support.wait import eventually

MORTAL = "tests.end_to_end.mortal"
MANY = 1000
AT_ONCE = (CRASHES_TO_BLOCK, CRASHES_TO_BLOCK + 1)
"""How often a body is executed that kills its worker at once, until a person is needed: the first time the ledger may
not have heard that it began."""
UNDER_WAY_OR_DONE = ("QUEUED", "DISPATCHED", "EXECUTING", "HANGING", "COMPLETED")
TIMES_BLOCKED = "SELECT count(*) FROM history WHERE run_id = ? AND to_status = 'BLOCKED'"


@pytest.fixture(scope="module")
def house(rabbit: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A pool for what workflows call; each test has a crew of its own that may die."""
    with House(tmp_path_factory.mktemp("house"), rabbit.vhost()) as house:
        house.decide()
        house.work(pool="tasks", module=MORTAL, slots=100)
        yield house


async def crew_of(house: House, pool: str, *, processes: int = 1) -> Part:
    return await asyncio.to_thread(house.work, pool=pool, module=MORTAL, processes=processes)


async def resumed(house: House, run: Run[Any], reason: str) -> dict[str, Any]:
    """`longshore runs resume`; the history row of it."""
    told = await asyncio.to_thread(house.json, "runs", "resume", run.id, "--reason", reason)
    assert told["run_id"] == run.id and told["status"] in UNDER_WAY_OR_DONE
    rows = [row for row in await run.history() if row["from_status"] == "BLOCKED"]
    assert len(rows) == 1 and rows[0]["to_status"] == "QUEUED" and rows[0]["valid"]
    assert rows[0]["reason"].startswith("resumed by ") and rows[0]["reason"].endswith(f": {reason}")
    return rows[0]


async def test_a_task_blocked_by_three_crashes_in_a_row_goes_on_when_a_person_resumes_it(
    house: House, client: Client, tmp_path: Path
) -> None:
    await crew_of(house, "crash")
    run = await client.trigger(kills(str(tmp_path)).using(pool="crash"))
    await in_status(run, "BLOCKED", within=40)
    before = len(lines(tmp_path))
    assert before in AT_ONCE
    info = await run.info()
    assert (info["crashes"], info["attempt"]) == (CRASHES_TO_BLOCK, 1)
    why = await asyncio.to_thread(house.run, "runs", "why", run.id)
    assert f"{CRASHES_TO_BLOCK} crashes in a row" in why.stdout and "SIGKILL" in why.stdout, why.stdout
    (tmp_path / "repaired").touch()
    await resumed(house, run, "it kills no more")
    assert await run.result(timeout=20) == "alive"
    assert len(lines(tmp_path)) == before + 1
    info = await run.info()
    assert (info["crashes"], info["attempt"]) == (0, 1)


async def test_what_must_not_be_executed_again_is_not_even_if_it_kills_its_worker_at_once(
    house: House, client: Client, tmp_path: Path
) -> None:
    await crew_of(house, "once")
    run = await client.trigger(kills_once(str(tmp_path)).using(pool="once"))
    await in_status(run, "CRASHED", within=40)
    assert lines(tmp_path) == ["kills"]


async def test_a_workflow_blocked_by_three_crashes_in_its_replays_goes_on_and_calls_nothing_twice(
    house: House, client: Client, tmp_path: Path
) -> None:
    await crew_of(house, "replays")
    run = await client.trigger(kills_late(str(tmp_path)).using(pool="replays"))
    await in_status(run, "BLOCKED", within=40)
    (tmp_path / "repaired").touch()
    await resumed(house, run, "its code is repaired")
    assert await run.result(timeout=20) == ["first", "second"]
    assert lines(tmp_path) == ["first", "second"]


@pytest.mark.soak
async def test_a_resumed_run_that_crashes_on_is_blocked_again_after_three_more(
    house: House, client: Client, tmp_path: Path
) -> None:
    await crew_of(house, "hopeless")
    run = await client.trigger(kills(str(tmp_path)).using(pool="hopeless"))
    await in_status(run, "BLOCKED", within=40)
    await resumed(house, run, "in vain")
    await eventually(lambda: house.rows.ask(TIMES_BLOCKED, run.id) == [(2,)], within=60)
    assert len(lines(tmp_path)) in range(2 * min(AT_ONCE), 2 * max(AT_ONCE) + 1)


async def test_a_run_blocked_by_ten_losses_before_its_start_goes_on_when_a_person_resumes_it(
    house: House, client: Client, tmp_path: Path
) -> None:
    crew = await crew_of(house, "frozen", processes=2)
    frozen: set[int] = set()

    async def freeze_all() -> None:
        """Every process of the crew stands still as soon as the ledger knows it; the run is held by one of them."""
        for pid in await asyncio.to_thread(house.wait_joined, crew, 2):
            if pid not in frozen:
                frozen.add(pid)
                os.kill(pid, signal.SIGSTOP)

    await freeze_all()
    run = await client.trigger(note(str(tmp_path), "once").using(pool="frozen"))
    for number in range(LOSSES_TO_BLOCK):
        await in_status(run, "DISPATCHED", within=20)
        await freeze_all()  # the one that came in place of the last: it takes the run when this one is lost
        await eventually(lambda: losses(house, run) == number, within=10)  # noqa: B023
        pid = await eventually(lambda: holder(house, run), within=10)
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: losses(house, run) > number, within=10)  # noqa: B023
    await in_status(run, "BLOCKED", within=10)
    assert (await run.info())["crashes"] == 0 and lines(tmp_path) == []
    assert f"{LOSSES_TO_BLOCK} workers lost before it started" in (await run.history())[-1]["reason"]
    for pid in frozen & set(crew.children()):
        os.kill(pid, signal.SIGCONT)
    await resumed(house, run, "the machines are repaired")
    assert await run.result(timeout=20) == "once"
    assert lines(tmp_path) == ["once"] and losses(house, run) == 0


def losses(house: House, run: Run[Any]) -> int:
    ((count,),) = house.rows.ask("SELECT losses FROM run WHERE id = ?", run.id)
    return int(count)


def holder(house: House, run: Run[Any]) -> int:
    """The process that holds the run; 0 if none does."""
    found = house.rows.ask(
        "SELECT worker.pid FROM run JOIN worker ON worker.session = run.session WHERE run.id = ?", run.id
    )
    return found[0][0] if found else 0


async def test_a_workflow_whose_worker_is_killed_while_a_thousand_calls_are_open_goes_on_elsewhere(
    house: House, client: Client, tmp_path: Path
) -> None:
    crew = await crew_of(house, "many")
    run = await client.trigger(many(str(tmp_path), MANY).using(pool="many"))
    await in_status(run, "HANGING", within=20)
    await eventually(lambda: len(lines(tmp_path)) == 100, within=20, what="every slot being in use")
    await asyncio.to_thread(crew.kill)  # with its supervisor: nobody comes in its place
    await in_status(run, "SUSPENDED", within=60)
    assert (await run.info())["crashes"] == 0
    children = house.rows.ask("SELECT count(*) FROM run WHERE parent_id = ?", run.id)
    assert children == [(MANY,)]
    await crew_of(house, "many")
    (tmp_path / "go").touch()
    assert await run.result(timeout=60) == sum(range(MANY))
    assert sorted(lines(tmp_path)) == sorted([*(f"gate-{number}" for number in range(MANY)), "last"])
    info = await run.info()
    assert (info["crashes"], info["attempt"]) == (0, 1)
    assert house.rows.ask("SELECT count(*) FROM run WHERE parent_id = ?", run.id) == [(MANY + 1,)]
    assert house.rows.ask("SELECT max(crashes), max(losses), max(attempt) FROM run WHERE parent_id = ?", run.id) == [
        (0, 0, 1)
    ]
