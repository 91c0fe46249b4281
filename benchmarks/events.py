"""What the events exchange costs: off, on with nobody listening, on with a listener, in turns on fresh fleets.

    python benchmarks/events.py [--runs N] [--turns N]

prints one JSON line: the median of runs a second and of the coordinator's processor time per run, and both as ratios
to off. Processor time is what to look at on a machine that does other things, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from pathlib import Path

if not __package__:  # started as a file: the folder above holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import routines
from benchmarks.fleet import Fleet, cpu_seconds, running_fleet
from benchmarks.throughput import TEXT, all_of, client_of, note
from longshore import Client
from tests.support.rabbit import RabbitNode

WAYS = ("off", "unheard", "heard")


async def measure(fleet: Fleet, count: int, *, heard: bool) -> tuple[float, float]:
    """Runs a second, and microseconds of the coordinator per run."""
    async with client_of(fleet) as client:
        listening = asyncio.create_task(listen(client)) if heard else None
        await all_of(client.run(routines.noop(-number, TEXT), accept_timeout=60) for number in range(1, 500))
        await asyncio.sleep(2)  # a listener is found within a second
        used, begun = cpu_seconds(fleet.coordinator.pid), time.perf_counter()
        await all_of(client.run(routines.noop(number, TEXT)) for number in range(count))
        took = time.perf_counter() - begun
        await asyncio.sleep(1)
        cost = (cpu_seconds(fleet.coordinator.pid) - used) / count * 1e6
        if listening is not None:
            listening.cancel()
            (came,) = await asyncio.gather(listening, return_exceptions=True)
            if isinstance(came, Exception):
                raise came
    return count / took, cost


async def listen(client: Client) -> None:
    """Take every change."""
    async for _ in client.events():
        pass


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=5)
    wanted = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    node = RabbitNode()
    try:
        node.start()
        for _ in range(wanted.turns):
            for way in WAYS:
                with running_fleet(node, LONGSHORE_EVENTS="off" if way == "off" else "on") as fleet:
                    found[way].append(asyncio.run(measure(fleet, wanted.runs, heard=way == "heard")))
                note(f"{way}: {found[way][-1][0]:,.0f} runs/s, coordinator {found[way][-1][1]:.0f} us per run")
    finally:
        node.remove()
    rate = {way: statistics.median(one[0] for one in found[way]) for way in WAYS}
    cost = {way: statistics.median(one[1] for one in found[way]) for way in WAYS}
    print(
        json.dumps(
            {way: {"runs_per_second": rate[way], "coordinator_us_per_run": cost[way],
                   "rate_to_off": rate[way] / rate["off"], "cost_to_off": cost[way] / cost["off"]} for way in WAYS}
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
