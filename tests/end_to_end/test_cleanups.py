"""The cleanup of a canceled workflow outlives the workers it is on: killed, or told to go; within its grace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from longshore import Client
from longshore.client import Run
from longshore.core.policy import CRASHES_TO_BLOCK
from tests.end_to_end.away import lines
from tests.end_to_end.cleaning import deadly, endless, saga
from tests.end_to_end.conftest import Broker, in_status
from tests.end_to_end.house import House
from tests.end_to_end.test_lost_workers import holder
from tests.support.fleet import Part
from tests.support.wait import eventually

CLEANING = "tests.end_to_end.cleaning"
WANTED = ["flight", "hotel", "car"]
GRACE = 60.0


@pytest.fixture(scope="module")
def house(rabbit: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A pool for what workflows call; each test has a crew of its own that may die."""
    with House(tmp_path_factory.mktemp("house"), rabbit.vhost()) as house:
        house.decide()
        house.work(pool="tasks", module=CLEANING)
        yield house


async def crew_of(house: House, pool: str) -> Part:
    return await asyncio.to_thread(house.work, pool=pool, module=CLEANING)


async def gone_on(run: Run[Any]) -> list[dict[str, Any]]:
    """The history rows that say it was placed once more for its cleanup."""
    rows = await run.history()
    return [row for row in rows if row["from_status"] == row["to_status"] == "CANCELING" and row["valid"]]


async def undone(house: House, folder: Path, run: Run[Any], name: str, leave: Callable[[], Any]) -> None:
    """Its worker goes while this is being undone; it is done before, or after, another one has the workflow."""
    await eventually(lambda: f"undo-{name}" in lines(folder), within=20, what=f"undo-{name}")
    pid = await eventually(lambda: holder(house, run), within=20, what="a worker that holds it")
    done = folder / f"go-undo-{name}"
    if name == "hotel":
        done.touch()
    await leave()
    await eventually(lambda: holder(house, run) != pid, within=20, what="the end of that worker")
    done.touch()


@pytest.mark.parametrize("how", ["killed", "drained"])
async def test_a_saga_takes_everything_back_once_though_its_worker_goes_each_time(
    house: House, client: Client, tmp_path: Path, how: str
) -> None:
    crews = [await crew_of(house, how)]

    async def leave() -> None:
        if how == "killed":
            crews[-1].kill_child(holder(house, run) or None)
            return
        crews[-1].terminate()
        await asyncio.to_thread(crews[-1].wait, 20)
        crews.append(await crew_of(house, how))

    run = await client.trigger(saga(str(tmp_path), *WANTED).using(pool=how))
    await eventually(lambda: len(lines(tmp_path)) == len(WANTED), within=20)
    await in_status(run, "HANGING")
    await run.cancel(reason="enough")
    for name in reversed(WANTED):
        await undone(house, tmp_path, run, name, leave)
    await in_status(run, "CANCELED", within=30)
    booked, taken_back = [f"book-{one}" for one in WANTED], [f"undo-{one}" for one in reversed(WANTED)]
    assert lines(tmp_path) == [*booked, *taken_back]
    assert (await run.history())[-1]["reason"] == "enough"
    assert {row["status"] for row in await run.tree() if row["run_id"] != run.id} == {"COMPLETED"}
    assert how == "drained" or len(await gone_on(run)) >= len(WANTED) - 1  # the last one may find it over


async def test_a_cleanup_that_kills_its_worker_is_given_up_after_the_third(
    house: House, client: Client, tmp_path: Path
) -> None:
    await crew_of(house, "deadly")
    run = await client.trigger(deadly(str(tmp_path)).using(pool="deadly"))
    await in_status(run, "HANGING")
    await run.cancel(reason="enough")
    await in_status(run, "CANCELED", within=40)
    assert lines(tmp_path) == ["book-undo"]
    reason = (await run.history())[-1]["reason"]
    assert reason.startswith("enough; 3 workers lost in a row") and "SIGKILL" in reason
    assert len(await gone_on(run)) == CRASHES_TO_BLOCK - 1


@pytest.mark.soak
async def test_a_cleanup_that_never_ends_is_ended_by_its_grace_though_its_worker_is_killed_again_and_again(
    house: House, client: Client, tmp_path: Path
) -> None:
    crew = await crew_of(house, "endless")
    run = await client.trigger(endless(str(tmp_path)).using(pool="endless"))
    await in_status(run, "HANGING")
    await run.cancel(reason="enough")
    begun, kills = time.monotonic(), 0
    await eventually(lambda: lines(tmp_path) == ["book-undo"], within=20)
    while time.monotonic() < begun + GRACE - 10:
        pid = await eventually(lambda: holder(house, run), within=20, what="a worker that holds it")
        await eventually(lambda: waits(house, run), within=20, what="its answer")
        crew.kill_child(pid)
        kills += 1
        await eventually(lambda: holder(house, run) not in (0, pid), within=20, what="another worker")  # noqa: B023
    await in_status(run, "CANCELED", within=30)
    assert GRACE - 1 < time.monotonic() - begun < GRACE + 10
    assert kills > CRASHES_TO_BLOCK and lines(tmp_path) == ["book-undo"]
    assert "outlived the grace" in (await run.history())[-1]["reason"]


def waits(house: House, run: Run[Any]) -> bool:
    """Whether its code has answered all it was told."""
    ((last, processed),) = house.rows.ask("SELECT last_seq, processed_seq FROM run WHERE id = ?", run.id)
    return bool(last == processed)
