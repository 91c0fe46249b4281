"""Routines that the worker's tests run; a module, so that child processes can import it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from typing import Any, Final

from longshore import AbortRun, DecodeError, RetryAfter, TokenFailed, context, define
from longshore.routines.routine import Routine

gates: Final[dict[str, threading.Event]] = {}
"""Doors that tests open; by name, set up by each test that uses one."""
seen: Final[list[Any]] = []


def passes(door: str) -> threading.Event:
    return gates.setdefault(door, threading.Event())


@define.task(name="double", version="1.0.0")
def double(x: int) -> int:
    return 2 * x


@define.action(name="echo", version="1.0.0")
async def echo(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


@define.action(name="wait", version="1.0.0")
def wait(door: str) -> str:
    passes(door).wait(30)
    return door


@define.action(name="wait.async", version="1.0.0")
async def wait_async(door: str) -> str:
    while not passes(door).is_set():
        await asyncio.sleep(0.005)
    return door


@define.action(name="block.loop", version="1.0.0")
async def block_loop(door: str) -> str:
    passes(door).wait(30)
    return door


@define.action(name="until.canceled", version="1.0.0")
def until_canceled() -> str:
    while not context.canceled:
        time.sleep(0.005)
    return "noticed"


@define.action(name="stubborn", version="1.0.0", timeout="200ms")
def stubborn(door: str) -> str:
    passes(door).wait(30)
    return "late"


@define.action(name="overlong", version="1.0.0", timeout="200ms")
async def overlong() -> None:
    await asyncio.sleep(60)


@define.action(name="fail", version="1.0.0", retry_on=(OSError,))
def fail(kind: str) -> None:
    match kind:
        case "os":
            raise OSError("the disk is tired")
        case "value":
            raise ValueError("not this value")
        case "abort":
            raise AbortRun("never again")
        case "after":
            raise RetryAfter(1.5)
        case "exit":
            raise SystemExit(3)


@define.action(name="calls.another", version="1.0.0", max_attempts=3)
async def calls_another() -> int:
    return await double(1)


@define.action(name="unencodable", version="1.0.0")
def unencodable() -> Any:
    return {"deep": [threading.Lock()]}


@define.action(name="large", version="1.0.0")
async def large(size: int) -> bytes:
    return b"x" * size


@define.action(name="length", version="1.0.0")
async def length(data: bytes) -> int:
    return len(data)


@define.action(name="talk", version="1.0.0")
def talk(times: int) -> None:
    for index in range(times):
        context.progress(index / times, f"step {index}")


@define.action(name="ident", version="1.0.0")
def ident() -> list[Any]:
    return [context.run_id, context.attempt, context.routine]


@define.action(name="apart", version="1.0.0", isolation="process")
def apart(what: str) -> Any:
    match what:
        case "pid":
            return os.getpid()
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(7)
        case "raise":
            raise ValueError("from the child")
        case "progress":
            context.progress(0.5, "half way")
        case "large":
            return b"y" * 200_000
        case "notice":
            while not context.canceled:
                time.sleep(0.005)
            return "noticed"
        case "spin":
            while True:
                time.sleep(0.01)
    return what


@define.action(name="apart.async", version="1.0.0", isolation="process")
async def apart_async(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


@define.workflow(name="plain", version="1.0.0")
async def plain(x: int) -> int:
    return x + 1


@define.workflow(name="sum", version="1.0.0")
async def total(*values: int) -> int:
    parts = await asyncio.gather(*(double(value) for value in values))
    return sum(parts)


@define.workflow(name="sleepy", version="1.0.0")
async def sleepy(hours: float) -> None:
    await asyncio.sleep(3600 * hours)


@define.workflow(name="chain", version="1.0.0")
async def chain(x: int) -> list[Any]:
    first = await double(x)
    await asyncio.sleep(60)
    try:
        second: Any = await double(first)
    except ValueError as error:
        second = f"caught {error}"
    return [first, second]


@define.workflow(name="careful", version="1.0.0")
async def careful() -> str:
    try:
        await double(1)
    except asyncio.CancelledError:
        await echo("cleaned")
        raise
    return "never canceled"


@define.workflow(name="heavy", version="1.0.0")
async def heavy(size: int) -> int:
    data = await large(size)
    return await length(data + b"!")


@define.workflow(name="watchful", version="1.0.0")
async def watchful() -> list[bool]:
    seen = [context.canceled]
    try:
        await double(1)
        seen.append(context.canceled)
        await double(2)
    except asyncio.CancelledError:
        seen.append(context.canceled)
    return seen


@define.workflow(name="hasty", version="1.0.0")
async def hasty() -> float:
    return time.time()


@define.workflow(name="toils", version="1.0.0")
async def toils(seconds: float) -> str:
    await double(1)

    def compute(depth: int) -> None:
        if depth:
            return compute(depth - 1)
        over = time.perf_counter() + seconds  # longshore: deterministic (it decides nothing)
        while time.perf_counter() < over:  # longshore: deterministic
            pass

    compute(9)
    return "done"


@define.workflow(name="hopeless", version="1.0.0")
async def hopeless() -> None:
    await asyncio.Event().wait()


@define.workflow(name="hears", version="1.0.0")
async def hears(count: int) -> list[Any]:
    token = await context.create_token("1h")
    heard: list[Any] = []
    for _ in range(count):
        try:
            heard.append(await context.wait_for_signal("word"))
        except DecodeError as error:
            heard.append(str(error))
    try:
        return [*heard, await context.wait_for_token(token)]
    except TokenFailed as error:
        return [*heard, str(error)]


ALL: Final[tuple[Routine[..., Any], ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Routine)
)
