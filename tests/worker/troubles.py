"""Routines that fall silent, take too long, take too much: a module, so that child processes can import it."""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import os
import signal
import sys
import time
from typing import Any

from longshore import context, define
from tests.worker import routines


@define.action(name="silent", version="1.0.0", heartbeat_timeout="300ms", max_attempts=2)
def silent(door: str) -> str:
    routines.passes(door).wait(30)
    return "late"


@define.action(name="lively", version="1.0.0", heartbeat_timeout="400ms")
def lively(seconds: float) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        context.heartbeat()
        time.sleep(0.01)
    return "alive"


@define.action(name="silent.async", version="1.0.0", heartbeat_timeout="300ms", retry_on=KeyError)
async def silent_async() -> None:
    await asyncio.sleep(60)


@define.action(name="silent.apart", version="1.0.0", heartbeat_timeout="500ms", isolation="process")
def silent_apart(times: int) -> str:
    for index in range(times):
        context.heartbeat()
        context.progress(index / times, f"step {index}")
        time.sleep(0.0005)
    time.sleep(60 if not times else 0)
    return "alive"


@define.workflow(name="slow.arranger", version="1.0.0", timeout="300ms")
async def slow_arranger(pieces: int, each: float) -> Any:
    for _ in range(pieces):
        await routines.double(1)
        over = time.perf_counter() + each  # longshore: deterministic (it decides nothing)
        while time.perf_counter() < over:  # longshore: deterministic
            pass
    return "arranged"


@define.action(name="keeper", version="1.0.0")
def keeper(end: str) -> Any:
    return _keep(end)


@define.action(name="keeper.async", version="1.0.0")
async def keeper_async(end: str) -> Any:
    return _keep(end)


@define.action(name="keeper.apart", version="1.0.0", isolation="process")
def keeper_apart(end: str) -> Any:
    return _keep(end)


def _keep(end: str) -> Any:
    before = context.last_checkpoint
    kept: Any = {"step": 0, "data": b""}
    for step in range(50):
        kept["step"] = step
        kept["data"] = b"x" * 100_000 if end == "large" and step == 49 else b""
        context.checkpoint(kept)
        context.checkpoint(kept)
    kept["step"] = "changed afterwards"
    if end == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if end != "return":
        raise ValueError(end)
    return [before and before[0], context.last_checkpoint is kept]


@define.action(name="keeps.nonsense", version="1.0.0")
def keeps_nonsense() -> None:
    context.checkpoint(object())


@define.action(name="greedy", version="1.0.0", isolation="process", memory_limit="160MiB")
def greedy(how: str) -> Any:
    if how == "at once":
        return len(bytearray(1 << 31))
    if how == "shared":  # no data of the process's own: only who looks at it can tell
        block = mmap.mmap(-1, 400 << 20)
        for at in range(0, len(block), 4096):
            block[at] = 1
        time.sleep(30)
    if how == "bit by bit":
        held = []
        while True:
            held.append(b"x" * (1 << 20))
    return os.getpid()


@define.action(name="faulty", version="1.0.0", isolation="process")
def faulty() -> None:
    sys.stderr.write("about to touch nothing\n")
    sys.stderr.flush()
    ctypes.string_at(0)
