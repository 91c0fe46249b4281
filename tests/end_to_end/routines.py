"""Routines that the end to end tests run, in workers of their own processes."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Any

from longshore import RetryAfter, context, define

_log = logging.getLogger("tests.routines")


class Odd(Exception):
    """A class that a caller knows who imports this module."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@define.task(name="add", version="1.0.0")
def add(x: int, y: int = 1) -> int:
    return x + y


@define.action(name="echo", version="1.0.0")
async def echo(value: Any) -> Any:
    return value


@define.action(name="say", version="1.0.0")
def say(text: str) -> str:
    _log.warning("said %s", text)
    return text


@define.action(name="odd", version="1.0.0", max_attempts=1)
def odd(number: int) -> int:
    if number % 2:
        raise Odd(number)
    return number


@define.action(name="flaky", version="1.0.0", max_attempts=3)
async def flaky(works_at: int) -> int:
    if context.attempt < works_at:
        raise RetryAfter(0.05, f"attempt {context.attempt} is too early")
    return context.attempt


@define.action(name="patient", version="1.0.0", max_attempts=2)
async def patient() -> None:
    raise RetryAfter(3600, "much later")


@define.action(name="nap", version="1.0.0")
async def nap(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "rested"


@define.action(name="hold", version="1.0.0")
def hold(folder: str, name: str) -> str:
    """Says that it has begun, and goes on as soon as the file `go` is there, or the run is canceled."""
    place = Path(folder)
    with (place / f"{name}.begun").open("a") as file:
        file.write(f"{os.getpid()}\n")
    while not (place / "go").exists() and not context.canceled:
        time.sleep(0.005)
    return name


@define.action(name="hold.unmeasured", version="1.0.0")
def hold_unmeasured(folder: str, name: str) -> str:
    """The same for one test only: a routine that was never measured counts as long, so nothing is placed behind it."""
    result: str = hold.function(folder, name)
    return result


@define.action(name="big", version="1.0.0")
def big(size: int) -> bytes:
    return bytes(size)


@define.action(name="heavy", version="1.0.0")
def heavy(size: int) -> bytes:
    """Every page of it is really there (one of zeros is not)."""
    return b"x" * size


@define.action(name="text", version="1.0.0")
def text(size: int) -> str:
    return "x" * size


@define.action(name="length", version="1.0.0", max_attempts=2)
def length(data: bytes) -> int:
    return len(data)


@define.action(name="stow", version="1.0.0", max_attempts=2)
def stow(size: int) -> bytes:
    """A large result, tried again once, soon."""
    return bytes(size)


@define.action(name="peak", version="1.0.0")
def peak() -> int:
    """The most memory that this worker ever used, bytes (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


@define.workflow(name="deep", version="1.0.0")
async def deep(levels: int) -> int:
    return 1 + await deep(levels - 1) if levels > 1 else await add(0)


@define.workflow(name="total", version="1.0.0")
async def total(count: int) -> int:
    return sum(await asyncio.gather(*(echo(number) for number in range(count))))


@define.workflow(name="waits", version="1.0.0")
async def waits(folder: str, names: list[str]) -> list[str]:
    return await asyncio.gather(*(hold(folder, name) for name in names))


@define.workflow(name="sleeps", version="1.0.0")
async def sleeps(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "woken"


@define.workflow(name="catches", version="1.0.0")
async def catches(number: int) -> list[Any]:
    try:
        return ["fine", await odd(number)]
    except Odd as error:
        return [type(error).__name__, error.number]


@define.workflow(name="passes.on", version="1.0.0")
async def passes_on(number: int) -> int:
    return await odd(number)


@define.workflow(name="impatient", version="1.0.0")
async def impatient(folder: str) -> str:
    try:
        async with asyncio.timeout(0.3):
            return await hold(folder, "impatient")
    except TimeoutError:
        return "gave up"


@define.workflow(name="carries", version="1.0.0")
async def carries(size: int) -> int:
    """Both a large result and a large argument."""
    return await length(await big(size) + b"!")


@define.workflow(name="traced", version="1.0.0")
async def traced(text: str) -> list[Any]:
    return list(await asyncio.gather(say(text), flaky(2)))


@define.workflow(name="holds.once", version="1.0.0")
async def holds_once(folder: str) -> str:
    return await hold(folder, "held")


@define.action(name="shout", version="1.0.0", max_attempts=1)
def shout(size: int) -> None:
    raise ValueError("x" * size)


@define.action(name="garble", version="1.0.0", max_attempts=1)
def garble(how: str) -> Any:
    """Values and errors that cannot travel as they are."""
    if how == "error":
        raise ValueError("half a character: \ud800")
    if how == "result":
        return ["half a character: \ud800"]
    if how == "endless":
        endless: list[Any] = []
        endless.append(endless)
        return endless
    context.progress(0.5, "half a character: \ud800")
    return how


@define.workflow(name="bulky", version="1.0.0")
async def bulky(count: int, size: int) -> int:
    """Inputs and results that fit a message one by one, but not all together."""
    lengths = await asyncio.gather(*(length(b"x" * size) for _ in range(count)))
    texts = await asyncio.gather(*(text(size) for _ in range(count)))
    return sum(lengths) + sum(map(len, texts))


@define.action(name="stamp", version="1.0.0")
def stamp(folder: str, name: str) -> None:
    Path(folder, name).touch()


@define.workflow(name="careful", version="1.0.0")
async def careful(folder: str) -> str:
    """Cleans up when it is canceled: with a call that the cancel does not reach."""
    try:
        return await hold(folder, "careful")
    except asyncio.CancelledError:
        await stamp(folder, "cleaned")
        raise


@define.workflow(name="second.try", version="1.0.0", max_attempts=2)
async def second_try(folder: str) -> str:
    """Fails while a child is under way; the second attempt is a fresh one."""
    if context.attempt == 1:
        waiting = asyncio.ensure_future(hold(folder, "left.behind"))
        await echo("the first step")
        try:
            raise RetryAfter(0.05, "once more")
        finally:
            del waiting
    return await say("second")


@define.workflow(name="group", version="1.0.0")
async def group(folder: str) -> list[str]:
    """One child fails: the group cancels the other, and the workflow goes on."""
    caught: list[str] = []
    try:
        async with asyncio.TaskGroup() as together:
            together.create_task(_held(folder))
            together.create_task(_fails())
    except* Odd as several:
        caught += [type(error).__name__ for error in several.exceptions]
    return caught


async def _held(folder: str) -> str:
    return await hold(folder, "grouped")


async def _fails() -> int:
    return await odd(1)


@define.workflow(name="first.of", version="1.0.0")
async def first_of(folder: str) -> str:
    """The faster of two, the other is dropped."""
    slow = asyncio.create_task(_held(folder))
    fast = asyncio.create_task(_nap())
    done, _ = await asyncio.wait((slow, fast), return_when=asyncio.FIRST_COMPLETED)
    slow.cancel()
    return done.pop().result()


async def _nap() -> str:
    return await nap(0.05)


@define.workflow(name="mixed", version="1.0.0")
async def mixed(count: int) -> int:
    """Half of the calls fail; gather keeps their exceptions."""
    found = await asyncio.gather(*(odd(number) for number in range(count)), return_exceptions=True)
    return sum(isinstance(one, Odd) for one in found)


@define.workflow(name="outer", version="1.0.0")
async def outer(folder: str, levels: int) -> str:
    return await (outer(folder, levels - 1) if levels else holds_once(folder))


@define.action(name="dies", version="1.0.0", isolation="process", on_crash="fail")
def dies() -> None:
    os._exit(9)


@define.action(name="dies.once", version="1.0.0", isolation="process")
def dies_once(folder: str) -> int:
    mark = Path(folder) / "died"
    if not mark.exists():
        mark.touch()
        os._exit(9)
    return context.attempt
