"""Workflows that are put away, drained or orphaned by a coordinator go on elsewhere: what has ended is not executed
again, what is under way is not dispatched twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from longshore import Client
from longshore.client import Run
from tests.end_to_end.away import lines, naps, one, steps
from tests.end_to_end.conftest import Broker, in_status
from tests.end_to_end.house import House
from tests.support.fleet import Part
from tests.support.wait import eventually

AWAY = "tests.end_to_end.away"
DONE = ["first", "left", "right", "last"]


@pytest.fixture(scope="module")
def house(rabbit: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A pool for what is called; each test has a crew of its own for its workflows."""
    with House(tmp_path_factory.mktemp("house"), rabbit.vhost()) as house:
        house.decide()
        house.work(pool="tasks", module=AWAY, slots=64)
        yield house


async def flows(house: House, pool: str, *, suspend_after: str = "300s", max_hanging: str = "1000") -> Part:
    """A worker process for workflows."""
    return await asyncio.to_thread(
        house.work,
        pool=pool,
        module=AWAY,
        LONGSHORE_SUSPEND_AFTER=suspend_after,
        LONGSHORE_MAX_HANGING=max_hanging,
    )


async def leave(crew: Part) -> None:
    """A drain."""
    crew.terminate()
    assert await asyncio.to_thread(crew.wait, 20) == 0


async def at_the_gates(run: Run[Any], folder: Path) -> None:
    await eventually(lambda: lines(folder) and sorted(lines(folder)) == ["first", "left", "right"], within=10)
    await in_status(run, "HANGING", within=5)


def open_gate(folder: Path, name: str) -> None:
    (folder / f"go-{name}").touch()


def wakes(house: House, run: Run[Any]) -> list[float]:
    """When it was woken."""
    return [row.at for row in house.rows.histories()[run.id] if (row.before, row.after) == ("SUSPENDED", "QUEUED")]


async def check_steps(house: House, run: Run[Any], folder: Path) -> None:
    """It ended well, and every body was executed once, under one epoch."""
    assert await run.result(timeout=15) == DONE
    assert sorted(lines(folder)) == sorted([*DONE, "cleanup"])
    children = house.rows.ask("SELECT epoch, attempt, crashes FROM run WHERE parent_id = ?", run.id)
    assert children == [(1, 1, 0)] * 5
    assert (await run.info())["crashes"] == 0


async def test_after_a_drain_it_goes_on_on_another_worker(house: House, client: Client, tmp_path: Path) -> None:
    leaving = await flows(house, "drain")
    run = await client.trigger(steps(str(tmp_path)).using(pool="drain"))
    await at_the_gates(run, tmp_path)
    await leave(leaving)
    await in_status(run, "SUSPENDED", within=5)
    assert "cleanup" not in lines(tmp_path)
    open_gate(tmp_path, "left")
    await in_status(run, "QUEUED", within=5)
    await flows(house, "drain")
    open_gate(tmp_path, "right")
    await check_steps(house, run, tmp_path)


async def test_after_it_was_put_away_it_goes_on_within_a_second_of_what_it_waits_for(
    house: House, client: Client, tmp_path: Path
) -> None:
    await flows(house, "brief", suspend_after="100ms")
    run = await client.trigger(one(str(tmp_path)).using(pool="brief"))
    await in_status(run, "SUSPENDED", within=10)
    await eventually(lambda: lines(tmp_path) == ["only"], within=5)
    open_gate(tmp_path, "only")
    assert await run.result(timeout=10) == "only"
    ((ended_at,),) = house.rows.ask("SELECT finished_at / 1e6 FROM run WHERE parent_id = ?", run.id)
    resumed = [row.at for row in house.rows.histories()[run.id] if row.after == "EXECUTING"][-1]
    assert 0 <= resumed - ended_at < 1, f"resumed {resumed - ended_at:.2f} s after its call had ended"
    assert lines(tmp_path) == ["only"]


async def test_put_away_several_times_it_executes_nothing_twice(house: House, client: Client, tmp_path: Path) -> None:
    await flows(house, "again", suspend_after="100ms")
    run = await client.trigger(steps(str(tmp_path)).using(pool="again"))
    await in_status(run, "SUSPENDED", within=10)
    open_gate(tmp_path, "left")
    await eventually(lambda: len(wakes(house, run)) == 1, within=10)
    await in_status(run, "SUSPENDED", within=10)
    open_gate(tmp_path, "right")
    await check_steps(house, run, tmp_path)
    assert len(wakes(house, run)) >= 2


async def test_beyond_the_bound_some_are_put_away_and_all_end(house: House, client: Client, tmp_path: Path) -> None:
    await flows(house, "tight", max_hanging="2")
    folders = [tmp_path / str(number) for number in range(5)]
    for folder in folders:
        folder.mkdir()
    runs = await client.trigger_many([one(str(folder)).using(pool="tight") for folder in folders])

    async def three_away() -> bool:
        found = sorted([await run.status() for run in runs])
        return found == ["HANGING"] * 2 + ["SUSPENDED"] * 3

    await eventually(three_away, within=10)
    for folder in folders:
        open_gate(folder, "only")
    assert await asyncio.gather(*(run.result(timeout=15) for run in runs)) == ["only"] * 5
    assert [lines(folder) for folder in folders] == [["only"]] * 5


async def test_a_parent_of_many_that_is_put_away_is_not_woken_for_each(
    house: House, client: Client, tmp_path: Path
) -> None:
    await flows(house, "many", suspend_after="100ms")
    run = await client.trigger(naps(str(tmp_path), 40, 0.12).using(pool="many"))
    assert await run.result(timeout=20) == list(range(40))
    assert len(wakes(house, run)) <= 3, "40 children ended within 5 s: the first, the last, perhaps one between"
    assert sorted(lines(tmp_path)) == sorted(f"nap-{number}" for number in range(40))


async def test_after_a_restart_of_the_coordinator_those_that_hang_and_those_put_away_go_on(
    house: House, client: Client, tmp_path: Path
) -> None:
    await flows(house, "stay")
    await flows(house, "gone", suspend_after="100ms")
    (tmp_path / "stay").mkdir()
    (tmp_path / "gone").mkdir()
    stays = await client.trigger(steps(str(tmp_path / "stay")).using(pool="stay"))
    goes = await client.trigger(steps(str(tmp_path / "gone")).using(pool="gone"))
    await at_the_gates(stays, tmp_path / "stay")
    await in_status(goes, "SUSPENDED", within=10)
    await eventually(lambda: len(lines(tmp_path / "gone")) == 3, within=5)
    assert house.coordinator is not None
    house.coordinator.kill()
    for folder in ("stay", "gone"):
        open_gate(tmp_path / folder, "left")
    await asyncio.to_thread(house.decide)
    for folder in ("stay", "gone"):
        open_gate(tmp_path / folder, "right")
    await check_steps(house, stays, tmp_path / "stay")
    await check_steps(house, goes, tmp_path / "gone")
