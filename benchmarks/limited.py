"""What a queue's limit costs when it holds up nothing: runs per second with a limit above the load, and without one.

    python benchmarks/limited.py [--pairs N] [--runs N]

prints one JSON line. In one fleet on a private RabbitMQ the limit is set and lifted in turn, so that whatever else the
machine does meets both alike; the figure is the median of the pairs' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from pathlib import Path

if not __package__:  # started as a file: the folder above holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import routines
from benchmarks.fleet import Fleet, running_fleet
from benchmarks.throughput import client_of, fan_out, note
from tests.support.rabbit import RabbitNode

ABOVE = 1_000_000


async def rate(fleet: Fleet, count: int, first: int, *, limited: bool) -> float:
    """Runs per second of a fan-out whose queue has a limit it never reaches, or none."""
    async with client_of(fleet) as client:
        await client.limit_queue("default", limit=ABOVE if limited else None)
    return await fan_out(fleet, routines.noop, count, first=first)


async def main() -> None:
    """Measure the pairs."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--pairs", type=int, default=7)
    words.add_argument("--runs", type=int, default=10_000)
    given = words.parse_args()
    node = RabbitNode()
    node.start()
    ratios: list[float] = []
    rates: list[tuple[float, float]] = []
    try:
        with running_fleet(node) as fleet:
            await rate(fleet, given.runs, 0, limited=False)  # warm
            for number in range(given.pairs):
                order = (False, True) if number % 2 else (True, False)
                first = (2 * number + 1) * given.runs
                found = {
                    limited: await rate(fleet, given.runs, first + turn * given.runs, limited=limited)
                    for turn, limited in enumerate(order)
                }
                rates.append((found[False], found[True]))
                ratios.append(found[True] / found[False])
                note(f"without {found[False]:,.0f}, with {found[True]:,.0f} runs/s: {ratios[-1]:.2f}")
    finally:
        node.remove()
    print(json.dumps({"median_ratio": statistics.median(ratios), "ratios": ratios, "runs_per_second": rates}))


if __name__ == "__main__":
    asyncio.run(main())
