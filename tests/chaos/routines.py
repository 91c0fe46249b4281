"""What the fleet of the chaos tests runs. Each body leaves a line in a file, so that every execution can be counted."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from longshore import context, define

STAGES = (70, 70, 60)
UNTIL_TOLD = -1.0
"""As a body's seconds: until the test says so."""
WORD = "go"


def leave_line(folder: str) -> None:
    """Append this run and its attempt: one write, so that lines of several processes never mix."""
    line = f"{context.run_id} {context.attempt}\n".encode()
    file = os.open(Path(folder) / "lines", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def lines(folder: Path) -> list[str]:
    """The run of every execution so far, in order."""
    try:
        return [line.split()[0] for line in (folder / "lines").read_text().splitlines()]
    except FileNotFoundError:
        return []


def is_told(folder: str) -> bool:
    """Whether the test has said that those who wait for its word may end."""
    return (Path(folder) / WORD).exists()


@define.action(name="chaos.note", version="1.0.0")
async def note(folder: str, value: int, seconds: float) -> int:
    leave_line(folder)
    while seconds == UNTIL_TOLD and not is_told(folder):
        await asyncio.sleep(0.1)
    await asyncio.sleep(seconds)
    return 2 * value


@define.action(name="chaos.thread", version="1.0.0")
def thread_note(folder: str, value: int, seconds: float) -> int:
    leave_line(folder)
    while seconds == UNTIL_TOLD and not is_told(folder):
        time.sleep(0.1)
    time.sleep(max(seconds, 0))
    return 2 * value


@define.action(name="chaos.apart", version="1.0.0", isolation="process")
def apart(folder: str, value: int, seconds: float) -> int:
    leave_line(folder)
    while seconds == UNTIL_TOLD and not is_told(folder):
        time.sleep(0.1)
    time.sleep(max(seconds, 0))
    return 2 * value


@define.workflow(name="chaos.stages", version="1.0.0")
async def stages(folder: str, seconds: float, widths: list[int]) -> int:
    """One child per item, stage after stage; each stage needs the one before."""
    total = 0
    for width in widths:
        total += sum(await asyncio.gather(*(note(folder, index, seconds) for index in range(width))))
    return total


@define.workflow(name="chaos.pair", version="1.0.0")
async def pair(folder: str, value: int, seconds: float) -> int:
    """Two steps, one after the other."""
    first = await note(folder, value, seconds)
    return await thread_note(folder, first, seconds)


# ------------------------------------------------------------------------------------------- children held by a tide


def set_tide(folder: Path, height: int) -> None:
    """So many of the children may begin; one write, by rename, so that nobody reads half of it."""
    (folder / "tide.new").write_text(str(height))
    (folder / "tide.new").rename(folder / "tide")


def is_dry(folder: str) -> bool:
    """Whether one more child may begin."""
    place = Path(folder) / "tide"
    return len(lines(Path(folder))) < int(place.read_text())


@define.action(name="chaos.wave", version="1.0.0")
async def wave(folder: str, value: int, seconds: float) -> int:
    """Begins when the tide is high enough: how far its parent can come is the test's to say, not the machine's."""
    while not is_dry(folder):
        await asyncio.sleep(0.02)
    leave_line(folder)
    await asyncio.sleep(seconds)
    return 2 * value


@define.action(name="chaos.weigh", version="1.0.0")
async def weigh(folder: str, data: bytes) -> int:
    leave_line(folder)
    return len(data)


@define.action(name="chaos.gate", version="1.0.0")
async def gate(folder: str, number: int) -> int:
    """Ends when the file `go-NUMBER` is there."""
    leave_line(folder)
    while not (Path(folder) / f"{WORD}-{number}").exists():
        await asyncio.sleep(0.05)
    return 0


@define.workflow(name="chaos.crowd", version="1.0.0")
async def crowd(folder: str, count: int, size: int, gates: int) -> int:
    """Many children at once, each with an argument of its own, and a few that end when they are told."""
    last = [gate(folder, number).using(pool="tasks") for number in range(gates)]
    calls = [weigh(folder, bytes(size)).using(pool="tasks") for _ in range(count)]
    return sum(await asyncio.gather(*last, *calls))


@define.workflow(name="chaos.waves", version="1.0.0")
async def waves(folder: str, seconds: float, widths: list[int]) -> int:
    """`stages` with the children in the pool `tasks`: whoever kills this workflow's workers kills none of theirs."""
    total = 0
    for width in widths:
        calls = [wave(folder, index, seconds).using(pool="tasks") for index in range(width)]
        total += sum(await asyncio.gather(*calls))
    return total
