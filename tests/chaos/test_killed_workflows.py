"""One workflow of three stages over 200 children, whose workers are killed or told to leave ten times: it ends once,
and every child is executed once. Nobody touches the worker of the children.

The moments are drawn from a seed, which each test prints; LONGSHORE_KILLS_SEED repeats a choice. How many children have
begun at each moment is the test's to say (`set_tide`), so that a slow machine changes nothing about where it is hit.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pytest

from longshore.client import Client
from longshore.core.policy import CRASHES_TO_BLOCK
from longshore.routines.routine import Call
from tests.chaos.routines import STAGES, WORD, crowd, set_tide, waves
from tests.chaos.story import Crowd, end_well, say, start_crowd
from tests.support.fleet import Fleet, Part
from tests.support.wait import eventually

DEEDS: Final = 10
AHEAD: Final = 16
"""How many more children than at the moment of a deed may begin: enough that it hits what moves."""
LAST_MOMENT: Final = sum(STAGES) - 2 * AHEAD - 4
LONGEST_PAUSE: Final = 0.3
AFTER_START: Final = 0.2
JUST_AFTER: Final = 0.02
KILLS: Final = 4
MANY: Final = 5000
SIZE: Final = 2048
KNOWN_WITHIN: Final = 10.0
"""Seconds until a new coordinator knows of a death of which the one before it may have been told last."""


@dataclass
class Holder:
    """Who holds the workflow: a worker process, and since which epoch."""

    pid: int
    epoch: int
    crew: Part
    killed_at: float = 0.0


class Scene:
    """The workflow, two workers of one process that may hold it, and what is done to them."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self.fleet = fleet
        self.name = name
        self.seed = int(os.environ.get("LONGSHORE_KILLS_SEED", random.randrange(1_000_000)))
        self.chance = random.Random(self.seed)
        say(test=name, seed=self.seed)  # first: whoever fails has said it
        fleet.start_coordinator()
        self.crews = [self._new_crew(), self._new_crew()]
        fleet.start_workers(processes=1, slots=8, pool="tasks")
        self.crowd = Crowd(fleet, [], [])

    def _new_crew(self, *, ready: bool = True) -> Part:
        return self.fleet.start_workers(processes=1, pool="flows", ready=ready)

    @property
    def run_id(self) -> str:
        """The workflow's run."""
        return self.crowd.ids[0]

    async def begin(self, client: Client) -> None:
        """Start the workflow; no child begins yet."""
        set_tide(self.fleet.folder, 0)
        flow = waves(str(self.fleet.folder), 0.1, list(STAGES))
        await self.begin_with(client, flow, sum(2 * index for width in STAGES for index in range(width)))

    async def begin_with(self, client: Client, flow: Call[int], wanted: int) -> None:
        """Start another workflow that is to give this result."""
        self.crowd = await start_crowd(client, self.fleet, [flow.using(pool="flows")], [wanted])

    def moments(self) -> list[int]:
        """How many children have begun at each deed."""
        return sorted(self.chance.sample(range(1, LAST_MOMENT), DEEDS))

    def raise_tide(self, moment: int) -> None:
        """Let children begin until this moment and a little longer; some in any case, for it may be put away, and wakes
        when one of them ends."""
        set_tide(self.fleet.folder, max(moment + AHEAD, self.crowd.begun() + 4))

    async def come_to(self, moment: int) -> None:
        """Let so many children begin, and wait for it; then for a random while: it may hang, replay or be on its
        way."""
        self.raise_tide(moment)
        await self.crowd.reach(moment)
        await asyncio.sleep(self.chance.uniform(0.0, LONGEST_PAUSE))  # the random moment itself

    async def held(self, after: int = 0) -> Holder:
        """Wait until a process that lives holds it under a later epoch than `after`, and may be killed: one more crash
        must not be the third in a row without progress between, which is for a person (a kill while it hangs charges
        none)."""

        def find() -> Holder | None:
            found = self.fleet.rows.ask(
                "SELECT worker.pid, run.epoch, run.crashes, run.status FROM run"
                " JOIN worker ON worker.session = run.session WHERE run.id = ?",
                self.run_id,
            )
            for pid, epoch, crashes, status in found:
                spared = crashes < CRASHES_TO_BLOCK - 1 or status == "HANGING"
                for crew in self.crews:
                    if pid in crew.children() and epoch > after and spared:
                        return Holder(pid, epoch, crew)
            return None

        holder = await eventually(find, within=20, what="a worker that holds the workflow")
        assert holder is not None
        return holder

    def started_at(self, after: int) -> float:
        """When it was placed under a later epoch than `after`; 0.0 if it was not yet."""
        history = self.fleet.rows.histories()[self.run_id]
        return next((row.at for row in history if row.after == "DISPATCHED" and row.epoch > after), 0.0)

    def kill_coordinator(self) -> None:
        """kill -9, and a new one, which is not waited for."""
        assert self.fleet.coordinator is not None
        self.fleet.coordinator.kill()
        self.fleet.start_coordinator(ready=False)

    async def kill(self, after: int = 0, *, coordinator_after: float | None = None) -> Holder:
        """kill -9 of the process that holds it, and perhaps of the coordinator so many seconds later."""
        holder = await self.held(after)
        holder.killed_at = holder.crew.kill_child(holder.pid)
        if coordinator_after is not None:
            await asyncio.sleep(coordinator_after)  # the word of the death is on its way, taken, or committed by then
            self.kill_coordinator()
        await eventually(lambda: holder.pid not in holder.crew.children(), within=5, what="its end")
        return holder

    async def drain(self) -> Holder:
        """SIGTERM to the worker that holds it; another one comes in its place."""
        holder = await self.held()
        holder.crew.terminate()
        self.crews.remove(holder.crew)
        self.crews.append(self._new_crew(ready=False))
        status = await asyncio.to_thread(holder.crew.wait, 20)
        assert status == 0, holder.crew.words()[-2000:]
        return holder

    async def end(self, count: int = sum(STAGES), **figures: object) -> None:
        """All may begin: it ends once, and each of its children was executed once."""
        set_tide(self.fleet.folder, sum(STAGES))
        counted = await end_well(self.crowd, within=60)
        children = [run_id for (run_id,) in self.fleet.rows.ask("SELECT id FROM run WHERE parent_id = ?", self.run_id)]
        assert len(children) == count
        assert set(children) == set(counted)
        assert set(counted.values()) == {1}, "nobody killed the children's worker"
        say(test=self.name, seed=self.seed, executions=sum(counted.values()), **figures, **self.hit())

    def lost(self, holders: Sequence[Holder]) -> float:
        """The ledger knows of each of these deaths, by the epoch it ended, and of no other. After how many seconds at
        most it knew."""
        history = self.fleet.rows.histories()[self.run_id]
        died = [row for row in history if "its worker" in row.reason and row.before != row.after]
        assert [row.epoch for row in died] == [holder.epoch for holder in holders], history
        known_after = max(row.at - holder.killed_at for row, holder in zip(died, holders, strict=True))
        say(test=self.name, known_after=known_after)
        return known_after

    def hit(self) -> Counter[str]:
        """In which status it was when its worker was lost, or left."""
        history = self.fleet.rows.histories()[self.run_id]
        return Counter(row.before for row in history if "its worker" in row.reason or "put away" in row.reason)


async def test_a_workflow_killed_ten_times_at_random_moments_ends_once_and_every_child_is_executed_once(
    fleet: Fleet,
) -> None:
    scene = Scene(fleet, "killed ten times")
    async with fleet.client() as client:
        await scene.begin(client)
        killed = []
        for moment in scene.moments():
            await scene.come_to(moment)
            killed.append(await scene.kill())
        await scene.end()
    scene.lost(killed)


@pytest.mark.soak
async def test_a_workflow_whose_worker_is_killed_again_while_it_replays_ends_once(fleet: Fleet) -> None:
    scene = Scene(fleet, "killed while it replays")
    async with fleet.client() as client:
        await scene.begin(client)
        killed = []
        for moment in scene.moments()[::2]:
            await scene.come_to(moment)
            first = await scene.kill()
            scene.raise_tide(moment + AHEAD)
            await eventually(lambda: scene.started_at(first.epoch), within=20, what="its next Start")  # noqa: B023
            await asyncio.sleep(AFTER_START)  # how far it has come by then is the moment that is looked for
            killed += [first, await scene.kill(first.epoch)]
        await scene.end()
    scene.lost(killed)


@pytest.mark.soak
async def test_a_workflow_that_loses_coordinators_between_its_workers_ends_once(fleet: Fleet) -> None:
    scene = Scene(fleet, "coordinator killed, too")
    async with fleet.client() as client:
        await scene.begin(client)
        killed = []
        moments = scene.moments()
        halts = set(scene.chance.sample(moments, 3))
        for moment in moments:
            await scene.come_to(moment)
            if moment in halts:
                scene.kill_coordinator()
            killed.append(await scene.kill())
        await scene.end()
    scene.lost(killed)


@pytest.mark.soak
async def test_a_workflow_whose_coordinator_is_killed_just_after_its_worker_ends_once(fleet: Fleet) -> None:
    scene = Scene(fleet, "coordinator killed just after")
    async with fleet.client() as client:
        await scene.begin(client)
        killed = []
        moments = scene.moments()
        halts = set(scene.chance.sample(moments, 5))
        for moment in moments:
            await scene.come_to(moment)
            after = scene.chance.uniform(0.0, JUST_AFTER) if moment in halts else None
            killed.append(await scene.kill(coordinator_after=after))
        await scene.end()
    assert scene.lost(killed) < KNOWN_WITHIN


@pytest.mark.soak
async def test_a_workflow_whose_workers_are_killed_and_drained_in_turn_ends_once(fleet: Fleet) -> None:
    scene = Scene(fleet, "drained in turn")
    async with fleet.client() as client:
        await scene.begin(client)
        killed = []
        for number, moment in enumerate(scene.moments()):
            await scene.come_to(moment)
            if number % 2:
                await scene.drain()
            else:
                killed.append(await scene.kill())
        await scene.end()
    scene.lost(killed)


@pytest.mark.soak
async def test_a_gather_of_thousands_whose_worker_is_killed_while_it_asks_for_them_ends_once(fleet: Fleet) -> None:
    """What it asks for are several messages; some of them were taken when it dies, and come again."""
    scene = Scene(fleet, "thousands")
    async with fleet.client() as client:
        await scene.begin_with(client, crowd(str(fleet.folder), MANY, SIZE, KILLS + 1), MANY * SIZE)
        killed: list[Holder] = []
        for number in range(KILLS):
            after = killed[-1].epoch if killed else 0
            await eventually(lambda: scene.started_at(after), within=20, what="its Start")  # noqa: B023
            await asyncio.sleep(scene.chance.uniform(0.0, 1.0))  # how much it has asked for by then
            killed.append(await scene.kill(after))
            (fleet.folder / f"{WORD}-{number}").touch()  # something must wake it
        (fleet.folder / f"{WORD}-{KILLS}").touch()
        await scene.end(MANY + KILLS + 1)
    scene.lost(killed)
