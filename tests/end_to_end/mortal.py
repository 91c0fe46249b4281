"""Routines for the tests of lost workers. Each body of a task leaves a line in a file, so that every execution can be
counted; some kill the process they run in until a file `repaired` is there."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from longshore import define
from tests.end_to_end.away import leave_line


def is_repaired(folder: str) -> bool:
    """Whether what kills workers is repaired."""
    return (Path(folder) / "repaired").exists()


def die() -> None:
    """kill -9 of the process this runs in."""
    os.kill(os.getpid(), signal.SIGKILL)


@define.action(name="mortal.note", version="1.0.0")
async def note(folder: str, name: str) -> str:
    leave_line(folder, name)
    return name


@define.action(name="mortal.kills", version="1.0.0")
async def kills(folder: str) -> str:
    """A task that takes its worker with it."""
    leave_line(folder, "kills")
    if not is_repaired(folder):
        die()
    return "alive"


@define.action(name="mortal.kills_once", version="1.0.0", on_crash="fail")
async def kills_once(folder: str) -> None:
    """The same; it must not be executed again."""
    leave_line(folder, "kills")
    die()


@define.workflow(name="mortal.kills_late", version="1.0.0")
async def kills_late(folder: str) -> list[str]:
    """A workflow that takes its worker with it, after its first call has ended: in every replay."""
    first = await note(folder, "first").using(pool="tasks")
    if not is_repaired(folder):
        die()
    return [first, await note(folder, "second").using(pool="tasks")]


@define.action(name="mortal.gate", version="1.0.0")
async def gate(folder: str, number: int) -> int:
    """Ends as soon as a file `go` is there."""
    leave_line(folder, f"gate-{number}")
    while not (Path(folder) / "go").exists():
        await asyncio.sleep(0.1)
    return number


@define.workflow(name="mortal.many", version="1.0.0")
async def many(folder: str, count: int) -> int:
    """Many calls at once, and one more when all have ended."""
    numbers = await asyncio.gather(*(gate(folder, number).using(pool="tasks") for number in range(count)))
    await note(folder, "last").using(pool="tasks")
    return sum(numbers)
