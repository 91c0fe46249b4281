"""Everything that can be killed is killed, at random, for minutes: `make soak`. LONGSHORE_STORM_SECONDS is how long it
lasts, LONGSHORE_STORM_SEED repeats a choice of deeds (not their timing).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from longshore.client import Client
from tests.chaos.conftest import NewFleet
from tests.chaos.routines import apart, note, pair, stages, thread_note
from tests.chaos.story import Crowd, end_well, say, start_crowd, unfinished
from tests.support.fleet import Fleet, Part

SECONDS = float(os.environ.get("LONGSHORE_STORM_SECONDS", "180"))
WIDTHS = [20, 20]
CROWD = 100
MOST_WAITING = 1500


class Storm:
    """The deeds. Each leaves the fleet with all its parts, alive or about to be."""

    def __init__(self, fleet: Fleet, chance: random.Random) -> None:
        self.fleet = fleet
        self.chance = chance
        self.done: Counter[str] = Counter()
        self.coordinator = fleet.start_coordinator()
        self.crews = [fleet.start_workers(processes=2), fleet.start_workers(processes=1)]

    async def blow(self, until: float) -> None:
        """One deed after the other."""
        deeds: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self.kill_child, 5),
            (self.kill_crew, 2),
            (self.kill_coordinator, 4),
            (self.freeze_child, 3),
            (self.drain_crew, 2),
            (self.restart_broker, 1),
        ]
        while time.monotonic() < until:
            await asyncio.sleep(self.chance.uniform(1.0, 5.0))  # the pace of the storm
            (deed,) = self.chance.choices([deed for deed, _ in deeds], [weight for _, weight in deeds])
            self.done[deed.__name__] += 1
            await deed()

    async def kill_child(self) -> None:
        """One worker process; its supervisor says so."""
        children = self.chance.choice(self.crews).children()
        if children:
            os.kill(self.chance.choice(children), signal.SIGKILL)

    async def kill_crew(self) -> None:
        """A supervisor and its children; nobody says so."""
        crew = self._leave()
        crew.kill()

    async def drain_crew(self) -> None:
        """SIGTERM to a supervisor."""
        crew = self._leave()
        crew.terminate()
        assert await asyncio.to_thread(crew.wait, 40) == 0

    async def kill_coordinator(self) -> None:
        """And a new one at once."""
        self.coordinator.kill()
        self.coordinator = self.fleet.start_coordinator(ready=False)

    async def freeze_child(self) -> None:
        """One worker process stands still: within its lease, past it, or until the broker has cut it off."""
        children = self.chance.choice(self.crews).children()
        if children:
            pid = self.chance.choice(children)
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(self.chance.choice((1.0, 6.0, 12.0, 25.0)))  # how long it stands still
            os.kill(pid, signal.SIGCONT)

    async def restart_broker(self) -> None:
        """RabbitMQ, killed and started again."""
        await asyncio.to_thread(self.fleet.rabbit.restart)

    def _leave(self) -> Part:
        crew = self.crews.pop(0)
        self.crews.append(self.fleet.start_workers(processes=self.chance.choice((1, 2)), ready=False))
        return crew


async def feed(client: Client, fleet: Fleet, until: float) -> list[Crowd]:
    """Runs of every kind, as many as the fleet bears."""
    crowds: list[Crowd] = []
    folder = str(fleet.folder)
    while time.monotonic() < until:
        calls = [(note, thread_note, note, apart)[v % 4](folder, v, (v % 5) * 0.05) for v in range(CROWD)]
        crowds.append(await start_crowd(client, fleet, calls, [2 * v for v in range(CROWD)], within=120))
        flows = [pair(folder, v, 0.1) for v in range(5)]
        crowds.append(await start_crowd(client, fleet, flows, [4 * v for v in range(5)], within=120))
        wide = [stages(folder, 0.05, WIDTHS)]
        crowds.append(await start_crowd(client, fleet, wide, [sum(sum(range(w)) * 2 for w in WIDTHS)], within=120))
        while unfinished(fleet) > MOST_WAITING and time.monotonic() < until:
            await asyncio.sleep(0.5)  # how much waits at most
    return crowds


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_a_storm_loses_no_run(new_fleet: NewFleet) -> None:
    seed = int(os.environ.get("LONGSHORE_STORM_SEED", random.randrange(1_000_000)))
    fleet = new_fleet(heartbeat="1s", unresponsive_after="4s", lease="8s")
    storm = Storm(fleet, random.Random(seed))
    async with fleet.client() as client:
        until = time.monotonic() + SECONDS
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(feed(client, fleet, until))
            group.create_task(storm.blow(until))
        crowds = feeding.result()
        counted = await end_well(*crowds, within=240)
    runs = len(fleet.rows.runs("id"))
    say(test="storm", seed=seed, runs=runs, executions=sum(counted.values()), **storm.done)
