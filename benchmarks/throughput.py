"""Throughput, latency, memory and idle cost on a private RabbitMQ + SQLite + one worker process.

    python benchmarks/throughput.py [--quick] [--only NAME ...]

prints one JSON line. It starts what it needs. Nothing in Longshore knows of it: the client is the ordinary one, the
coordinator and the worker are the commands of a user with their defaults.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: the folder above holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import routines
from benchmarks.fleet import ROOT, Fleet, cpu_seconds, rss_bytes, running_fleet
from benchmarks.prototype import prototype_p50_ms
from longshore import Client
from tests.support.rabbit import RabbitNode

TEXT = "x" * 180
"""Makes the arguments about 200 bytes."""
SLICE = 250
"""So many calls are begun before the event loop gets its turn."""
REPEATS = 3
"""Fan-outs per figure; the best of them counts out a noisy neighbour, all are printed on stderr."""


def client_of(fleet: Fleet) -> Client:
    """The ordinary client, with the settings a user would have in the environment."""
    return Client(broker_url=fleet.broker_url)


async def fan_out(fleet: Fleet, routine: Any, count: int, first: int = 0) -> float:
    """Runs per second from the first call to the last result, every result compared."""
    async with client_of(fleet) as client:
        await client.run(routine(-1 - first, TEXT))
        numbers = range(first, first + count)
        used, begun = cpu_used(fleet), time.perf_counter()
        results = await all_of(client.run(routine(number, TEXT)) for number in numbers)
        took = time.perf_counter() - begun
    costs = {name: (now - used[name]) / count * 1e6 for name, now in cpu_used(fleet).items()}
    note("  processor time per run: " + ", ".join(f"{name} {cost:.0f} us" for name, cost in costs.items()))
    if results != list(numbers):
        raise AssertionError("a result is wrong or out of place")
    return count / took


async def all_of(runs: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """What all of these give, begun a slice at a time: a producer that lets its event loop breathe."""
    begun: list[asyncio.Task[Any]] = []
    for run in runs:
        begun.append(asyncio.create_task(run))
        if len(begun) % SLICE == 0:
            await asyncio.sleep(0)
    return await asyncio.gather(*begun)


def cpu_used(fleet: Fleet) -> dict[str, float]:
    """Processor seconds used so far, by part."""
    return {
        "client": time.process_time(),
        "coordinator": cpu_seconds(fleet.coordinator.pid),
        "worker": sum(map(cpu_seconds, fleet.worker_processes())),
        "broker": cpu_seconds(fleet.broker_pid) if fleet.broker_pid else 0.0,
    }


async def best_fan_out(fleet: Fleet, routine: Any, count: int) -> float:
    """The best of a few fan-outs with arguments never used before."""
    rates = [await fan_out(fleet, routine, count, first=turn * count) for turn in range(REPEATS)]
    note(f"{routine.name}: {', '.join(f'{rate:,.0f}' for rate in rates)} runs/s")
    return max(rates)


async def sequential_p50_ms(fleet: Fleet, routine: Callable[[int], Any], count: int = 300) -> float:
    """The median time of one call after another, in milliseconds."""
    async with client_of(fleet) as client:
        await client.run(routine(0))
        times = []
        for number in range(count):
            begun = time.perf_counter()
            await client.run(routine(number))
            times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1000


async def gather_seconds(fleet: Fleet, count: int) -> float:
    """One workflow that gathers so many children."""
    async with client_of(fleet) as client:
        await client.run(routines.gather(10))
        begun = time.perf_counter()
        right = await client.run(routines.gather(count))
        took = time.perf_counter() - begun
    if right != count:
        raise AssertionError(f"{right} of {count} results are right")
    return took


async def bytes_per_queued_run(fleet: Fleet, count: int) -> float:
    """How much the coordinator's memory grows per run that waits for a slot."""
    async with client_of(fleet) as client:
        blocking = [await client.trigger(routines.wait(3600.0, TEXT))]
        await asyncio.sleep(2)
        before = rss_bytes(fleet.coordinator.pid)
        for _ in range(count // 10_000):
            await client.trigger_many([routines.wait(0.0, TEXT) for _ in range(10_000)])
        await asyncio.sleep(5)
        after = rss_bytes(fleet.coordinator.pid)
        await blocking[0].cancel(reason="measured")
    return (after - before) / count


async def idle_cpu_percent(fleet: Fleet, seconds: float) -> float:
    """The larger of what coordinator and worker use of a core while nothing happens."""
    async with client_of(fleet) as client:
        await client.run(routines.noop(1, TEXT))
    await asyncio.sleep(3)
    groups = {"coordinator": [fleet.coordinator.pid], "worker": fleet.worker_processes()}
    before = {name: sum(map(cpu_seconds, pids)) for name, pids in groups.items()}
    await asyncio.sleep(seconds)
    used = {name: (sum(map(cpu_seconds, pids)) - before[name]) / seconds * 100 for name, pids in groups.items()}
    note(f"idle: {', '.join(f'{name} {percent:.2f} %' for name, percent in used.items())}")
    return max(used.values())


def note(text: str) -> None:
    """Tell the person who watches."""
    print(text, file=sys.stderr, flush=True)


Measure = Callable[[Fleet], Coroutine[Any, Any, float]]


def measures(quick: bool) -> dict[str, Measure]:
    """The figures that need a fleet with default settings, by name."""
    runs, children, queued, idle = (4_000, 2_000, 20_000, 10.0) if quick else (20_000, 10_000, 200_000, 60.0)
    return {
        "runs_per_second": lambda fleet: best_fan_out(fleet, routines.noop, runs),
        "cached_default_runs_per_second": lambda fleet: best_fan_out(fleet, routines.cached, runs),
        "sequential_p50_ms": lambda fleet: sequential_p50_ms(fleet, lambda number: routines.noop(number, TEXT)),
        "three_step_p50_ms": lambda fleet: sequential_p50_ms(fleet, routines.three_steps, 100),
        "gather_10000_s": lambda fleet: gather_seconds(fleet, children),
        "idle_cpu_percent": lambda fleet: idle_cpu_percent(fleet, idle),
        "traced_runs_per_second": lambda fleet: best_fan_out(fleet, routines.noop, runs),
        "bytes_per_queued_run": lambda fleet: bytes_per_queued_run(fleet, queued),
    }


def measure_all(node: RabbitNode, quick: bool, only: list[str]) -> dict[str, float | None]:
    """Each figure, on a fresh fleet."""
    figures: dict[str, float | None] = {}
    for name, measure in measures(quick).items():
        if only and name not in only:
            continue
        note(f"measuring {name} ...")
        if name == "sequential_p50_ms":
            figures["prototype_p50_ms"] = prototype_p50_ms(node.vhost())
        figures[name] = _on_fleet(node, name, measure)
        note(f"{name} = {figures[name]:.4g}")
    return figures


def _on_fleet(node: RabbitNode, name: str, measure: Measure) -> float:
    if name != "traced_runs_per_second":
        with running_fleet(node, slots=1 if name == "bytes_per_queued_run" else 16) as fleet:
            return asyncio.run(measure(fleet))
    words = [sys.executable, "-m", "tests.support.otlp", "--discard"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as receiver:
        try:
            assert receiver.stdout is not None
            port = receiver.stdout.readline().decode().strip()
            if not port.isdigit():
                raise RuntimeError("the receiver of spans did not start")
            endpoint = f"http://127.0.0.1:{port}"
            os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
            with running_fleet(node, otlp=endpoint) as fleet:
                return asyncio.run(measure(fleet))
        finally:
            os.environ.pop("OTEL_EXPORTER_OTLP_ENDPOINT", None)
            receiver.kill()


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="fewer runs, shorter idle time: for a first look")
    parser.add_argument("--only", nargs="*", default=[], help="only these figures")
    wanted = parser.parse_args()
    node = RabbitNode()
    try:
        node.start()
        figures = measure_all(node, wanted.quick, wanted.only)
    finally:
        node.remove()
    order = [
        "runs_per_second",
        "cached_default_runs_per_second",
        "traced_runs_per_second",
        "sequential_p50_ms",
        "prototype_p50_ms",
        "three_step_p50_ms",
        "gather_10000_s",
        "bytes_per_queued_run",
        "idle_cpu_percent",
    ]
    print(json.dumps({name: figures[name] for name in order if name in figures}))


if __name__ == "__main__":
    main()
