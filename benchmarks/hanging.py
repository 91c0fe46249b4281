"""What workflows that wait cost: memory of a worker that holds many, and of a coordinator that has put many away.

    python benchmarks/hanging.py [--hanging N] [--suspended N]

prints one JSON line. They wait for a timer of a month; half of those that hang for a routine that nobody executes.
It starts what it needs; the worker and the coordinator are the commands of a user with their defaults, but for when to
put away.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: the folder above holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import routines
from benchmarks.fleet import Fleet, children, rss_bytes, running_fleet
from longshore import Client
from tests.support.rabbit import RabbitNode

MIB = 1 << 20
AT_ONCE = 2000
"""So many are triggered before the next ones: the client keeps nothing of those that were accepted."""
WARM = 200
"""So many wait before the first look at the memory."""
WITHIN = 900.0


def statuses(fleet: Fleet) -> Counter[str]:
    """How many workflows stand where, by the ledger's file."""
    with closing(sqlite3.connect(f"file:{fleet.folder}/ledger.db?mode=ro", uri=True, timeout=30)) as ledger:
        rows = ledger.execute("SELECT status, count(*) FROM run WHERE kind = 'workflow' GROUP BY status")
        return Counter(dict(rows.fetchall()))


async def until(what: str, check: Callable[[], bool]) -> None:
    """Look again and again. Raises TimeoutError naming what did not come."""
    end = time.monotonic() + WITHIN
    while not check():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {WITHIN:g} s")
        await asyncio.sleep(0.2)


async def trigger(fleet: Fleet, count: int, *, calling: bool = False) -> None:
    """Start so many waiting workflows."""
    async with Client(broker_url=fleet.broker_url) as client:
        for first in range(0, count, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, count))
            waiting: list[Any] = [
                routines.waits_for_nobody(number) if calling and number % 2 else routines.sleeps(number)
                for number in numbers
            ]
            await client.trigger_many(waiting, timeout=120)


async def hanging(node: RabbitNode, count: int) -> dict[str, float]:
    """So many HANGING in one worker process."""
    with running_fleet(node) as fleet:
        await trigger(fleet, WARM, calling=True)
        await until("the first ones waiting", lambda: statuses(fleet)["HANGING"] == WARM)
        (worker,) = children(fleet.worker.pid)
        before = rss_bytes(worker)
        begun = time.perf_counter()
        await trigger(fleet, count - WARM, calling=True)
        await until("all of them waiting", lambda: statuses(fleet)["HANGING"] == count)
        took = time.perf_counter() - begun
        after = rss_bytes(worker)
    return {
        "hanging": count,
        "worker_before_mib": round(before / MIB, 1),
        "worker_mib": round(after / MIB, 1),
        "bytes_each": round((after - before) / (count - WARM)),
        "seconds": round(took, 1),
    }


async def suspended(node: RabbitNode, count: int) -> dict[str, float]:
    """So many SUSPENDED: what is left of them in the coordinator."""
    with running_fleet(node, LONGSHORE_SUSPEND_AFTER="1s", LONGSHORE_MAX_HANGING="500") as fleet:
        await trigger(fleet, AT_ONCE)
        await until("the first ones put away", lambda: statuses(fleet)["SUSPENDED"] == AT_ONCE)
        before = rss_bytes(fleet.coordinator.pid)
        begun = time.perf_counter()
        for upto in range(2 * AT_ONCE, count + 1, AT_ONCE):  # those still queued are in memory: never many at once
            await trigger(fleet, AT_ONCE)
            await until("all of them put away", lambda upto=upto: statuses(fleet)["SUSPENDED"] == upto)  # type: ignore[misc]
        took = time.perf_counter() - begun
        after = rss_bytes(fleet.coordinator.pid)
    return {
        "suspended": count,
        "coordinator_before_mib": round(before / MIB, 1),
        "coordinator_mib": round(after / MIB, 1),
        "coordinator_grew_mib": round((after - before) / MIB, 1),
        "seconds": round(took, 1),
    }


async def main() -> None:
    """Measure both, or what was asked for."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--hanging", type=int, default=10_000)
    words.add_argument("--suspended", type=int, default=100_000)
    given = words.parse_args()
    node = RabbitNode()
    node.start()
    try:
        figures: dict[str, float] = {}
        if given.hanging:
            figures |= await hanging(node, given.hanging)
        if given.suspended:
            figures |= await suspended(node, given.suspended)
    finally:
        node.remove()
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())
