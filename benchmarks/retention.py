"""What keeping costs and what it holds down: the size of the ledger's file over very many runs, and their speed.

    python benchmarks/retention.py [--runs N] [--keep N] [--off N] [--json]

prints how the file grows while runs go through a fleet with `LONGSHORE_RETENTION=off,KEEP`, and with `--off` how fast
as many go through one that keeps them all. A run that ended in the last 30 s stays whatever is set.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import sys
import time
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: the folder above holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import routines
from benchmarks.fleet import Fleet, cpu_seconds, running_fleet
from longshore import Client
from tests.support.rabbit import RabbitNode

MIB = 1 << 20
SLICE = 2000
"""So many calls are under way at once."""
POINTS = 25
TEXT = "x" * 180
LINE = "{runs:>9,.0f} {mib:>9.1f} MiB {rows:>9,.0f} rows {per_second:>7,.0f}/s {coordinator_us:>6.0f} us/run"
START_WITHIN = 120.0
"""Seconds until the coordinator must take the first run, however busy the machine is."""
SETTLED = 0.4
"""From this part of the runs on the file must not grow: the grace of 30 s and the beginning are over."""


def file_bytes(fleet: Fleet) -> int:
    """The ledger's file with what was written ahead."""
    return sum(one.stat().st_size for one in fleet.folder.glob("ledger.db*"))


def rows(fleet: Fleet) -> int:
    """How many runs the ledger has."""
    connection = sqlite3.connect(f"file:{fleet.folder}/ledger.db?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT COUNT(*) FROM run").fetchone()[0])
    finally:
        connection.close()


async def curve(fleet: Fleet, runs: int, show: bool) -> list[dict[str, float]]:
    """So many runs one slice after the other; at each point what the file has, and how fast it went since the last."""
    points: list[dict[str, float]] = []
    every = max(SLICE, runs // POINTS // SLICE * SLICE)
    async with Client(broker_url=fleet.broker_url) as client:
        await client.run(routines.noop(-1, TEXT), accept_timeout=START_WITHIN)
        begun, used = time.perf_counter(), cpu_seconds(fleet.coordinator.pid)
        for first in range(0, runs, SLICE):
            numbers = range(first, min(first + SLICE, runs))
            results = await asyncio.gather(*(client.run(routines.noop(number, TEXT)) for number in numbers))
            if results != list(numbers):
                raise AssertionError("a result is wrong or out of place")
            done = numbers.stop
            if done % every and done < runs:
                continue
            took, cost = time.perf_counter() - begun, cpu_seconds(fleet.coordinator.pid) - used
            many = done - (points[-1]["runs"] if points else 0)
            sizes = {"mib": file_bytes(fleet) / MIB, "rows": rows(fleet)}
            points.append({"runs": done, **sizes, "per_second": many / took, "coordinator_us": cost / many * 1e6})
            if show:
                print(LINE.format(**points[-1]), flush=True)
            begun, used = time.perf_counter(), cpu_seconds(fleet.coordinator.pid)
    return points


def settled(points: list[dict[str, float]], name: str) -> list[float]:
    """A figure at each point from where nothing may grow any more."""
    return [one[name] for one in points if one["runs"] >= SETTLED * points[-1]["runs"]]


async def measured(node: RabbitNode, runs: int, keep: int, *, off: int = 0, show: bool = False) -> dict[str, Any]:
    """The curve, how much the file grew in its settled part (as a factor), and the speed with all kept as a share."""
    with running_fleet(node, LONGSHORE_RETENTION=f"off,{keep}") as fleet:
        points = await curve(fleet, runs, show)
    sizes = settled(points, "mib")
    rate = statistics.median(settled(points, "per_second"))
    figures: dict[str, Any] = {"runs": runs, "keep": keep, "growth": max(sizes) / sizes[0], "per_second": rate}
    figures |= {"most_mib": max(sizes), "points": points}
    if off:
        with running_fleet(node, LONGSHORE_RETENTION="off") as fleet:
            all_kept = await curve(fleet, off, show)
        figures["coordinator_us"] = statistics.median(settled(points, "coordinator_us"))
        figures["off_coordinator_us"] = statistics.median(settled(all_kept, "coordinator_us"))
        figures["off_per_second"] = statistics.median(settled(all_kept, "per_second"))
        figures["ratio"] = rate / figures["off_per_second"]
        figures["off_mib_per_100000"] = all_kept[-1]["mib"] / off * 100_000
    return figures


async def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--runs", type=int, default=500_000)
    words.add_argument("--keep", type=int, default=20_000)
    words.add_argument("--off", type=int, default=0)
    words.add_argument("--json", action="store_true")
    given = words.parse_args()
    node = RabbitNode()
    node.start()
    try:
        figures = await measured(node, given.runs, given.keep, off=given.off, show=not given.json)
    finally:
        node.remove()
    if given.json:
        print(json.dumps(figures))
        return
    said = [f"grew by {figures['growth']:.3f} from {SETTLED:.0%} on, {figures['most_mib']:.0f} MiB at most"]
    said.append(f"{figures['per_second']:,.0f} runs/s")
    if given.off:
        said.append(f"{figures['ratio']:.2f} of what it is with all kept ({figures['off_per_second']:,.0f}/s)")
        said.append(f"the coordinator {figures['coordinator_us']:.0f} us a run, {figures['off_coordinator_us']:.0f} us")
    print("; ".join(said))


if __name__ == "__main__":
    asyncio.run(main())
