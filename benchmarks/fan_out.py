"""What one workflow with very many children costs: time, and the memory that each process needs more at its peak.

    python benchmarks/fan_out.py [--map N] [--gather N] [--bytes N]

prints one JSON line. It starts what it needs; worker and coordinator are the commands of a user with their defaults.
The memory before is that of processes which have run a small workflow of the same kind.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: the folder above holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import routines
from benchmarks.fleet import Fleet, children, peak_bytes, reset_peak, rss_bytes, running_fleet
from longshore import Client
from tests.support.rabbit import RabbitNode

MIB = 1 << 20
WARM = 300
WITHIN = 900.0


async def measured(fleet: Fleet, call: Any, expected: int, warm: Any) -> dict[str, float]:
    """Run the call; how long it took, and how much more each process needed at its peak."""
    async with Client(broker_url=fleet.broker_url) as client:
        await client.run(warm, timeout=WITHIN)
        (worker,) = children(fleet.worker.pid)
        processes = {"coordinator": fleet.coordinator.pid, "worker": worker, "client": os.getpid()}
        before = {name: rss_bytes(pid) for name, pid in processes.items()}
        for pid in processes.values():
            reset_peak(pid)
        begun = time.perf_counter()
        result = await client.run(call, timeout=WITHIN)
        seconds = time.perf_counter() - begun
        if result != expected:
            raise AssertionError(f"{result} results were right, of {expected}")
        grew = {f"{name}_grew_mib": (peak_bytes(pid) - before[name]) / MIB for name, pid in processes.items()}
    return {"seconds": round(seconds, 2)} | {name: round(figure, 1) for name, figure in grew.items()}


async def main() -> None:
    """Measure both, or what was asked for."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--map", type=int, default=100_000)
    words.add_argument("--gather", type=int, default=10_000)
    words.add_argument("--bytes", type=int, default=2048)
    given = words.parse_args()
    node = RabbitNode()
    node.start()
    figures: dict[str, Any] = {}
    try:
        if given.map:
            with running_fleet(node) as fleet:
                call = routines.maps(given.map)
                figures["map"] = await measured(fleet, call, given.map, routines.maps(WARM))
        if given.gather:
            with running_fleet(node) as fleet:
                call = routines.gather_texts(given.gather, given.bytes)
                warm = routines.gather_texts(WARM, given.bytes)
                figures["gather"] = await measured(fleet, call, given.gather, warm)
    finally:
        node.remove()
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())
