"""How many runs a second one client triggers: one by one, gathered; as a batch (`trigger_many`); as a stream.

    python benchmarks/batches.py [--runs N] [--turns N] [--json]

On RabbitMQ, into a queue that is paused, so that nothing is executed meanwhile; in turns, a fresh queue each. Prints
runs a second and what the client and the coordinator use of their processors per run, each the median of all turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

if not __package__:  # started as a file: the folder above holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import routines
from benchmarks.fleet import Fleet, cpu_seconds, running_fleet
from benchmarks.throughput import SLICE, TEXT, client_of, note
from longshore import Client
from tests.support.rabbit import RabbitNode

FIGURES = ("runs_per_second", "client_us", "coordinator_us")
Way = Callable[[Client, int, str], Awaitable[int]]


async def gathered(client: Client, count: int, queue: str) -> int:
    """One `trigger` for each, all at once."""
    under_way = []
    for number in range(count):
        call = routines.noop(number, TEXT)
        under_way.append(asyncio.ensure_future(client.trigger(call, queue=queue, timeout=60)))
        if number % SLICE == 0:
            await asyncio.sleep(0)
    return len({run.id for run in await asyncio.gather(*under_way)})


async def many(client: Client, count: int, queue: str) -> int:
    """One `trigger_many`."""
    calls = (routines.noop(number, TEXT) for number in range(count))
    return len({run.id for run in await client.trigger_many(calls, queue=queue, timeout=60)})


async def stream(client: Client, count: int, queue: str) -> int:
    """One `trigger_stream`."""
    calls = (routines.noop(number, TEXT) for number in range(count))
    return len({run.id async for run in client.trigger_stream(calls, queue=queue, timeout=60)})


WAYS: dict[str, Way] = {"gathered": gathered, "many": many, "stream": stream}


async def measure(fleet: Fleet, way: Way, count: int, queue: str) -> tuple[float, ...]:
    """The figures of one turn."""
    pids = (os.getpid(), fleet.coordinator.pid)
    async with client_of(fleet) as client:
        await client.pause_queue(queue, create=True)
        await way(client, 500, queue)
        used, begun = [*map(cpu_seconds, pids)], time.perf_counter()
        if await way(client, count, queue) != count:
            raise AssertionError("runs are missing")
        took = time.perf_counter() - begun
        costs = [(cpu_seconds(pid) - before) / count * 1e6 for pid, before in zip(pids, used, strict=True)]
        await (await client.cancel_runs(queue=queue)).wait(timeout=300)
    return (count / took, *costs)


def measured(runs: int, turns: int) -> dict[str, dict[str, float]]:
    """The medians of each way, and the rate as a ratio to single triggers."""
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in WAYS}
    node = RabbitNode()
    try:
        node.start()
        with running_fleet(node) as fleet:
            asyncio.run(warm(fleet))
            for turn in range(turns):
                for place in range(len(WAYS)):  # each comes first, second and last in its turn
                    name = [*WAYS][(turn + place) % len(WAYS)]
                    found[name].append(asyncio.run(measure(fleet, WAYS[name], runs, f"{name}-{turn}")))
                    rate, client, coordinator = found[name][-1]
                    note(f"{name}: {rate:,.0f}/s, client {client:.0f} us, coordinator {coordinator:.0f} us per run")
    finally:
        node.remove()
    figures = {
        name: dict(zip(FIGURES, map(statistics.median, zip(*turns_of, strict=True)), strict=True))
        for name, turns_of in found.items()
    }
    for figure in figures.values():
        figure["rate_to_gathered"] = figure["runs_per_second"] / figures["gathered"]["runs_per_second"]
    return figures


async def warm(fleet: Fleet) -> None:
    """Until a worker is there."""
    async with client_of(fleet) as client:
        await client.run(routines.noop(0, TEXT), accept_timeout=60)


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--runs", type=int, default=20_000)
    words.add_argument("--turns", type=int, default=5)
    words.add_argument("--json", action="store_true")
    given = words.parse_args()
    figures = measured(given.runs, given.turns)
    if given.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(
            f"{name:>9} {figure['runs_per_second']:>8,.0f} runs/s ({figure['rate_to_gathered']:.2f} of gathered), "
            f"client {figure['client_us']:.0f} us, coordinator {figure['coordinator_us']:.0f} us per run"
        )


if __name__ == "__main__":
    main()
