"""A rolling deployment: the build under one pool name is exchanged worker by worker, under load, and back again for
what is left over. Nothing is lost, nothing is executed by a build that does not offer it."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from longshore import Client
from longshore.client import Run
from tests.end_to_end.builds.rolling import LINES
from tests.end_to_end.conftest import Build, in_status
from tests.end_to_end.house import House
from tests.support.fleet import Part

BUILDS = "tests.end_to_end.builds"
OFFERED = {"old": {"1.0.0"}, "both": {"1.0.0", "2.0.0"}, "new": {"2.0.0"}}
EVERY = 0.05
"""Seconds between two triggers."""
LONG = 5.0
"""Seconds for which every fifth workflow waits: some live over an exchange."""


class Load:
    """What is triggered all the while: tasks, retries, workflows that wait, by bare name and by version."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.runs: list[Run[Any]] = []
        self._client = client
        self._folder = str(folder)
        self._chance = random.Random(7)

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[Load]:
        async with asyncio.TaskGroup() as group:
            going = group.create_task(self._go_on())
            yield self
            going.cancel()

    async def _go_on(self) -> None:
        while True:
            await self._trigger()
            await asyncio.sleep(EVERY)

    async def _trigger(self) -> None:
        name = self._chance.choice(["stamp", "stamp", "stamp", "flaky", "parcel", "fresh"])
        args: list[Any] = [self._folder]
        if name in ("parcel", "fresh"):
            args.append(LONG if self._chance.random() < 0.2 else self._chance.uniform(0.2, 2.0))
        version: dict[str, Any] = {"version": "1.0.0"} if self._chance.random() < 0.2 else {}
        self.runs.append(await self._client.trigger(name, args=args, **version))


async def start(house: House, build: str, count: int = 2) -> list[Part]:
    """Worker processes of a build, each under a supervisor of its own."""
    starting = [asyncio.to_thread(house.work, module=f"{BUILDS}.{build}") for _ in range(count)]
    return await asyncio.gather(*starting)


async def leave(client: Client, parts: list[Part]) -> None:
    """Have them leave, one after the other."""
    for part in parts:
        (pid,) = part.children()
        (worker,) = [one for one in await client.workers() if f"-{pid}-" in one.worker_id]
        await client.drain_worker(worker.worker_id)
        assert await asyncio.to_thread(part.wait, 30) == 0, part.words()[-2000:]


def executed(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LINES).read_text().splitlines()]


def check(house: House, folder: Path) -> None:
    """Every run ended once and well, in the version it has, on a worker that offers it; no body was executed twice."""
    versions = dict(house.rows.ask("SELECT id, version FROM run"))
    assert house.rows.statuses() == {"COMPLETED": len(versions)}
    lines = executed(folder)
    misplaced = [one for one in lines if one["version"] not in OFFERED[one["build"]]]
    assert misplaced == []
    assert [one for one in lines if versions[one["run"]] != one["version"]] == []
    twice = [one for one, times in Counter((line["run"], line["attempt"]) for line in lines).items() if times > 1]
    assert twice == []
    bodies = dict(house.rows.ask("SELECT id, attempt FROM run WHERE routine IN ('stamp', 'flaky')"))
    assert {(run, attempt) for run, last in bodies.items() for attempt in range(1, last + 1)} == {
        (line["run"], line["attempt"]) for line in lines
    }
    assert house.rows.ask("SELECT id FROM run WHERE crashes > 0 OR losses > 0") == []
    assert house.rows.ask("SELECT run_id FROM history WHERE valid = 0 OR reason LIKE '%has no routine%'") == []
    ends = "SELECT run_id FROM history WHERE to_status = 'COMPLETED' GROUP BY run_id HAVING count(*) > 1"
    assert house.rows.ask(ends) == []


async def test_builds_are_exchanged_worker_by_worker_and_nothing_is_lost_or_misplaced(
    build: Build, tmp_path: Path
) -> None:
    house = build()
    house.decide()
    old = await start(house, "rolling_old")
    async with house.client() as client:
        load = Load(client, tmp_path)
        async with load.going_on():
            moving = await client.trigger("fresh", args=[str(tmp_path), 0])
            await in_status(moving, "HANGING", within=30)
            between = await start(house, "rolling_both")
            await leave(client, old)
            straddling = len(load.runs)
            await moving.signal("go")
            assert await moving.result(timeout=30) == ["1.0.0", "2.0.0", "1.0.0"]
            new = await start(house, "rolling_new")
            late = await client.trigger("parcel@1.0.0", args=[str(tmp_path), 0])
            await in_status(late, "HANGING", within=30)
            await leave(client, between)
        await late.signal("go")
        await in_status(late, "QUEUED", within=30)
        why = await late.why_waiting()
        assert why is not None and "no worker offers parcel@1.0.0; offered versions: 2.0.0" in why["text"], why
        back = await start(house, "rolling_old", 1)
        load.runs.append(late)
        results = [await run.result(timeout=60) for run in load.runs]
        infos = [await run.info() for run in load.runs]

        check(house, tmp_path)
        by_build = Counter(line["build"] for line in executed(tmp_path))
        assert set(by_build) == {"old", "both", "new"}, by_build
        assert straddling > 50 and len(results) > straddling
        for info, result in zip(infos, results, strict=True):
            if info.routine == "parcel":
                assert result[:3] == [info.version] * 3 and result[3] >= info.version, "pinned, but for the last one"
            elif info.routine == "fresh":
                assert result[2] == info.version and result[1] >= result[0]
        by_pool = house.run("workers", "drain", "--pool", "default", "--wait")
        assert by_pool.returncode == 0 and by_pool.stdout.count("has left") == 3, (by_pool.stdout, by_pool.stderr)
        assert [part.wait(10) for part in [*new, *back]] == [0, 0, 0]
