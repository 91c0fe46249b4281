"""Routines for the tests of very many children of one workflow. The workflows live in the pool `flows`, what they call
in the pool `tasks`; each body of a task leaves a line in a file, so that every execution can be counted."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

from longshore import define
from tests.end_to_end.away import leave_line

HELD = "held"


def hold(folder: Path, after: int) -> None:
    """No `note` with a higher number is executed before `let_go`."""
    (folder / HELD).write_text(str(after))


def let_go(folder: Path) -> None:
    """Those held go on."""
    (folder / HELD).unlink()


def is_held(folder: str, number: int) -> bool:
    try:
        return number > int((Path(folder) / HELD).read_text())
    except FileNotFoundError:
        return False


class Wrong(Exception):
    """A class that the workflow knows."""


@define.action(name="many.same", version="1.0.0")
async def same(number: int) -> int:
    return number


@define.action(name="many.note", version="1.0.0")
async def note(folder: str, number: int, text: str = "") -> int:
    while is_held(folder, number):
        await asyncio.sleep(0.05)
    leave_line(folder, str(number))
    return number


@define.action(name="many.check", version="1.0.0", max_attempts=1)
async def check(folder: str, number: int, wrong: int) -> int:
    """Fails for one number; those after the hundredth wait to be canceled."""
    leave_line(folder, str(number))
    if number == wrong:
        raise Wrong(number)
    if number > 100:
        await asyncio.sleep(60)
    return number


@define.workflow(name="many.in_order", version="1.0.0")
async def in_order(count: int) -> int:
    """How many results came right and in order."""
    right = 0
    async for result in same.map(range(count), pool="tasks"):
        right += result == right
    return right


@define.workflow(name="many.notes", version="1.0.0")
async def notes(folder: str, count: int) -> int:
    """The same, each counted."""
    right = 0
    async for result in note.map(itertools.repeat(folder), range(count), pool="tasks"):
        right += result == right
    return right


@define.workflow(name="many.texts", version="1.0.0")
async def texts(folder: str, count: int, size: int) -> int:
    """All at once, each with a text of its own; how many came back right."""
    calls = (note(folder, number, f"{number:0{size}}").using(pool="tasks") for number in range(count))
    results = await asyncio.gather(*calls)
    return sum(result == number for number, result in enumerate(results))


@define.workflow(name="many.fails_fast", version="1.0.0")
async def fails_fast(folder: str, count: int, wrong: int) -> list[int]:
    """How many results came before the failure, then the number that failed."""
    came = 0
    try:
        async for _ in check.map(itertools.repeat(folder), range(count), itertools.repeat(wrong), pool="tasks"):
            came += 1
    except Wrong as error:
        return [came, error.args[0]]
    return [came]


@define.workflow(name="many.collects", version="1.0.0")
async def collects(folder: str, count: int, wrong: int) -> list[str]:
    """The text of what is no number, and where it stood."""
    found = check.map(
        itertools.repeat(folder), range(count), itertools.repeat(wrong), return_exceptions=True, pool="tasks"
    )
    results = [result async for result in found]
    return [f"{place}: {result!r}" for place, result in enumerate(results) if result != place]
