"""What the chaos tests have in common: many runs under way, their results compared, the ledger checked at the end."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from longshore.client import Client, Run
from longshore.routines.routine import Call
from tests.chaos.routines import lines
from tests.support.fleet import Fleet
from tests.support.ledger_rows import Row
from tests.support.wait import eventually

TRIGGERED_WITHIN: Final = 30.0
SLOWER: Final = 3
"""How many times as long it may take with the reconciler alone."""


class Crowd:
    """Runs under way, each with the result it must come to."""

    def __init__(self, fleet: Fleet, runs: Sequence[Run[Any]], wanted: Sequence[Any]) -> None:
        self.fleet = fleet
        self.runs = list(runs)
        self.wanted = list(wanted)

    @property
    def ids(self) -> list[str]:
        """The runs' ids."""
        return [str(run.id) for run in self.runs]

    def begun(self) -> int:
        """How many executions have begun."""
        return len(lines(self.fleet.folder))

    async def reach(self, count: int, *, within: float = 30.0) -> None:
        """Wait until so many executions have begun."""
        await eventually(lambda: self.begun() >= count, within=within, what=f"{count} executions")


async def end_well(*crowds: Crowd, within: float) -> Counter[str]:
    """All results are right, the ledger is in order, each task in it was executed. Gives how often, by run."""
    fleet = crowds[0].fleet
    async with asyncio.timeout(within if fleet.settings().event_path else SLOWER * within):
        for crowd in crowds:
            results = await asyncio.gather(*(run.result() for run in crowd.runs))
            assert results == crowd.wanted
    await eventually(lambda: not unfinished(fleet), within=10, what="the end of every run in the ledger")
    fleet.rows.check([run_id for crowd in crowds for run_id in crowd.ids])
    counted = Counter(lines(fleet.folder))
    tasks = {str(run_id) for (run_id,) in fleet.rows.ask("SELECT id FROM run WHERE kind <> 'workflow'")}
    assert set(counted) == tasks, "what ended and what was executed are not the same"
    return counted


def unfinished(fleet: Fleet) -> int:
    """How many runs the ledger has that are not final."""
    return sum(fleet.rows.statuses().values()) - fleet.rows.ended()


async def start_crowd(
    client: Client, fleet: Fleet, calls: Sequence[Call[Any]], wanted: Sequence[Any], *, within: float = TRIGGERED_WITHIN
) -> Crowd:
    """Trigger all of it. The routines leave their lines in the fleet's folder."""
    runs = await client.trigger_many(calls, timeout=within)
    return Crowd(fleet, runs, wanted)


def again_after(fleet: Fleet, killed_at: float, worker_ids: set[str]) -> tuple[list[str], float, float]:
    """The runs that a killed worker held, and after how many seconds the last of them was queued and dispatched
    again."""
    taken: list[str] = []
    queued, placed = [0.0], [0.0]
    for run_id, history in fleet.rows.histories().items():
        for index, row in enumerate(history):
            if row.after == "QUEUED" and row.before in ("EXECUTING", "DISPATCHED") and row.at >= killed_at:
                if next((one.worker_id for one in reversed(history[:index]) if one.worker_id), "") not in worker_ids:
                    continue
                taken.append(run_id)
                queued.append(row.at - killed_at)
                placed += [_next_dispatch(history[index:], killed_at)]
    return taken, max(queued), max(placed)


def _next_dispatch(rest: Sequence[Row], since: float) -> float:
    return next((row.at - since for row in rest if row.after == "DISPATCHED"), float("inf"))


def worker_ids(fleet: Fleet, pids: Sequence[int]) -> set[str]:
    """The names under which the ledger knows these processes."""
    marks = ", ".join("?" * len(pids))
    return {str(name) for (name,) in fleet.rows.ask(f"SELECT worker_id FROM worker WHERE pid IN ({marks})", *pids)}


def say(**figures: object) -> None:
    """Figures for whoever runs the tests with `-rP` or `-s`."""
    sys.stdout.write("FIGURES " + " ".join(f"{name}={_short(value)}" for name, value in figures.items()) + "\n")


def _short(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
