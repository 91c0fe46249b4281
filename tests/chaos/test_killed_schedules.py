"""kill -9 of the coordinator around the ticks of schedules: each tick is one run, whatever was going on."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from tests.chaos.routines import note
from tests.support.fleet import Fleet
from tests.support.wait import eventually

SCHEDULES = 5
KILLS = 6
SECOND = timedelta(seconds=1)


async def test_each_tick_is_one_run_although_the_coordinator_is_killed_around_it(fleet: Fleet) -> None:
    fleet.start_coordinator()
    fleet.start_workers(processes=1)
    chance = random.Random(7)
    async with fleet.client() as client:
        for number in range(SCHEDULES):
            given: dict[str, Any] = {"args": [str(fleet.folder), number, 0.0], "every": "1s", "missed": "catch_up"}
            await client.schedules.create(note, id=f"s{number}", **given)
        for _ in range(KILLS):
            await asyncio.sleep(1 - time.time() % 1 + chance.uniform(-0.02, 0.06))  # about the time of a tick
            assert fleet.coordinator is not None
            fleet.coordinator.kill()
            await asyncio.to_thread(fleet.wait_ready, fleet.start_coordinator(ready=False))
        for number in range(SCHEDULES):
            await client.schedules.pause(f"s{number}")

        async def all_ended() -> bool:
            return set(fleet.rows.statuses()) == {"COMPLETED"}

        await eventually(all_ended, within=60, what="the end of every run")
    told = [json.loads(text) for (text,) in fleet.rows.ask("SELECT schedule FROM run")]
    for number in range(SCHEDULES):
        stamps = sorted(datetime.fromisoformat(one["timestamp"]) for one in told if one["schedule_id"] == f"s{number}")
        assert len(stamps) > KILLS
        assert stamps == [stamps[0] + step * SECOND for step in range(len(stamps))], Counter(stamps).most_common(3)
    fleet.rows.check([run_id for (run_id,) in fleet.rows.runs("id")])
