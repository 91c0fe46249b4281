"""Routines for the tests of queues: each body notes when it begins and when it ends, and in which process."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from longshore import define
from tests.end_to_end.away import leave_line, lines


@define.action(name="queued.body", version="1.0.0")
async def body(folder: str, number: int, seconds: float = 0.02, key: str = "") -> int:
    leave_line(folder, f"begin {number} {os.getpid()} {time.time():.6f} {key}")
    await asyncio.sleep(seconds)
    leave_line(folder, f"end {number} {os.getpid()} {time.time():.6f} {key}")
    return number


@define.action(name="queued.gate", version="1.0.0")
async def gate(folder: str) -> str:
    """Ends as soon as a file `go` is there."""
    leave_line(folder, f"begin -1 {os.getpid()} {time.time():.6f} ")
    while not (Path(folder) / "go").exists():
        await asyncio.sleep(0.02)
    return "went"


@define.workflow(name="queued.flow", version="1.0.0")
async def flow(folder: str, first: int, count: int, queue: str) -> int:
    """Its children are in this queue; two steps of them."""
    half = count // 2
    done = 0
    for numbers in (range(first, first + half), range(first + half, first + count)):
        done += len(await asyncio.gather(*(body(folder, number).using(queue=queue) for number in numbers)))
    return done


@define.workflow(name="queued.waits", version="1.0.0")
async def waits(folder: str, queue: str) -> str:
    """Its one child is in this queue and waits for a file."""
    return await gate(folder).using(queue=queue)


class Event(NamedTuple):
    """A body begins (+1) or ends (-1)."""

    at: float
    step: int
    number: int
    pid: int
    key: str


def events(folder: Path, deaths: Mapping[int, float] | None = None) -> list[Event]:
    """What has begun and ended, in its order. What executed in a process that was killed ended when that died."""
    found: list[Event] = []
    executing: dict[int, set[tuple[int, str]]] = {}
    for line in lines(folder):
        word, number, pid, at, key = line.split(" ")
        inside = executing.setdefault(int(pid), set())
        (inside.add if word == "begin" else inside.discard)((int(number), key))
        found.append(Event(float(at), 1 if word == "begin" else -1, int(number), int(pid), key))
    for dead, when in (deaths or {}).items():
        for last, its_key in executing.get(dead, ()):
            begun = max(one.at for one in found if (one.number, one.pid) == (last, dead))
            found.append(Event(max(when, begun), -1, last, dead, its_key))
    return sorted(found, key=lambda one: (one.at, one.step))


def most_at_once(happened: list[Event]) -> int:
    """How many executed at the same time, at most."""
    now = most = 0
    for event in happened:
        now += event.step
        most = max(most, now)
    return most


def begun(folder: Path) -> int:
    """How many bodies have begun."""
    return sum(line.startswith("begin") for line in lines(folder))


def most_of_each_key(happened: list[Event]) -> Counter[str]:
    """The same of each key."""
    keys = {event.key for event in happened}
    return Counter({key: most_at_once([event for event in happened if event.key == key]) for key in keys})
