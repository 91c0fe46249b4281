"""Routines for the tests of workflows that are put away: each body of a task leaves a line in a file, so that every
execution can be counted. The workflows live in the pool `flows`, what they call in the pool `tasks`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from longshore import define


def leave_line(folder: str, name: str) -> None:
    """One write, so that lines never mix."""
    file = os.open(Path(folder) / "lines", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{name}\n".encode())
    finally:
        os.close(file)


def lines(folder: Path) -> list[str]:
    """What has been executed so far, in order."""
    place = folder / "lines"
    return place.read_text().splitlines() if place.exists() else []


@define.action(name="away.note", version="1.0.0")
async def note(folder: str, name: str) -> str:
    leave_line(folder, name)
    return name


@define.action(name="away.gate", version="1.0.0")
async def gate(folder: str, name: str) -> str:
    """Ends as soon as a file `go-NAME` is there."""
    leave_line(folder, name)
    while not (Path(folder) / f"go-{name}").exists():
        await asyncio.sleep(0.01)
    return name


@define.action(name="away.nap", version="1.0.0")
async def nap(folder: str, number: int, seconds: float) -> int:
    leave_line(folder, f"nap-{number}")
    await asyncio.sleep(seconds)
    return number


@define.workflow(name="away.steps", version="1.0.0")
async def steps(folder: str) -> list[str]:
    """One call, two at once, one more; and a cleanup that must come once, at the end."""
    try:
        found = [await note(folder, "first").using(pool="tasks")]
        both = (gate(folder, name).using(pool="tasks") for name in ("left", "right"))
        found += await asyncio.gather(*both)
        return [*found, await note(folder, "last").using(pool="tasks")]
    finally:
        await note(folder, "cleanup").using(pool="tasks")


@define.workflow(name="away.one", version="1.0.0")
async def one(folder: str) -> str:
    return await gate(folder, "only").using(pool="tasks")


@define.workflow(name="away.naps", version="1.0.0")
async def naps(folder: str, count: int, apart: float) -> list[int]:
    """Many children that end one after another."""
    calls = (nap(folder, number, apart * (number + 1)).using(pool="tasks") for number in range(count))
    return await asyncio.gather(*calls)
