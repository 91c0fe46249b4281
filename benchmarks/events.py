"""What the events exchange costs: off, on with nobody listening, with a listener, with a listener that is dead (bound,
and takes nothing), in turns on fresh fleets.

    python benchmarks/events.py [--runs N] [--turns N] [--ways off unheard ...]

prints one JSON line: runs a second and the coordinator's processor time per run as median and quartiles, and the cost
as a ratio to off, pair by pair (each turn is a pair; their order alternates). Processor time is what to look at on a
machine that does other things, too. The target: unheard under 1.03 of off, over nine pairs at least:

    python benchmarks/events.py --turns 9 --ways off unheard
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aio_pika
from aio_pika.abc import AbstractConnection

if not __package__:  # started as a file: the folder above holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import routines
from benchmarks.fleet import Fleet, cpu_seconds, running_fleet
from benchmarks.throughput import TEXT, all_of, client_of, note
from longshore import Client
from tests.support.rabbit import RabbitNode

WAYS = ("off", "unheard", "heard", "dead")
FIGURES = ("runs_per_second", "coordinator_us_per_run")


async def measure(fleet: Fleet, count: int, way: str) -> tuple[float, float]:
    """Runs a second, and microseconds of the coordinator per run."""
    async with client_of(fleet) as client, dead_listener(fleet, wanted=way == "dead"):
        listening = asyncio.create_task(listen(client)) if way == "heard" else None
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


@asynccontextmanager
async def dead_listener(fleet: Fleet, *, wanted: bool) -> AsyncIterator[None]:
    """A program that has bound a queue of its own, consumes from it, and never answers for anything."""
    if not wanted:
        yield
        return
    connection = await aio_pika.connect(fleet.broker_url)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        queue = await channel.declare_queue(exclusive=True)
        namespace = fleet.environment.get("LONGSHORE_NAMESPACE", "longshore")
        await exchange_there(connection, f"{namespace}.events")
        await queue.bind(f"{namespace}.events", "runs")
        await queue.consume(lambda _: None)
        yield


async def exchange_there(connection: AbstractConnection, name: str) -> None:
    """Wait until the coordinator has declared its exchange."""
    async with asyncio.timeout(60):
        while True:
            async with connection.channel() as looking:
                with suppress(aio_pika.exceptions.ChannelNotFoundEntity):
                    await looking.get_exchange(name)
                    return
            await asyncio.sleep(0.1)


def spread(values: list[float]) -> dict[str, float]:
    """The median and the quartiles."""
    first, median, third = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": round(median, 4), "first_quartile": round(first, 4), "third_quartile": round(third, 4)}


def said(found: dict[str, list[tuple[float, float]]]) -> dict[str, dict[str, object]]:
    """What is printed: each way's figures, and its cost and rate to `off` in the same turn."""
    figures: dict[str, dict[str, object]] = {}
    for way, turns in found.items():
        figures[way] = {name: spread([one[place] for one in turns]) for place, name in enumerate(FIGURES)}
        if way != "off" and found.get("off"):
            pairs = list(zip(turns, found["off"], strict=True))
            figures[way]["rate_to_off"] = spread([one[0] / off[0] for one, off in pairs])
            figures[way]["cost_to_off"] = spread([one[1] / off[1] for one, off in pairs])
    return figures


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    wanted = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in wanted.ways}
    node = RabbitNode()
    try:
        node.start()
        for turn in range(wanted.turns):
            for way in wanted.ways[:: 1 if turn % 2 == 0 else -1]:
                with running_fleet(node, LONGSHORE_EVENTS="off" if way == "off" else "on") as fleet:
                    found[way].append(asyncio.run(measure(fleet, wanted.runs, way)))
                note(f"{way}: {found[way][-1][0]:,.0f} runs/s, coordinator {found[way][-1][1]:.0f} us per run")
    finally:
        node.remove()
    print(json.dumps(said(found)))


if __name__ == "__main__":
    main()
