"""Routines whose runs fail in every way there is, for the tests of failing."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from longshore import Hooks, Outcome, context, define
from tests.end_to_end.away import leave_line


@define.action(name="climbs", version="1.0.0", max_attempts=2, retry_first="10ms")
def climbs(folder: str, top: int, dies_at: int, fails_at: int) -> list[Any]:
    """Goes step by step, keeping where it is; it takes its worker with it once, and fails once."""
    begin = context.last_checkpoint or 0
    leave_line(folder, f"begins at {begin}")
    for step in range(begin, top):
        if step == fails_at and context.attempt == 1:
            raise ValueError("slipped")
        if step == dies_at and not (Path(folder) / "died").exists():
            (Path(folder) / "died").touch()
            time.sleep(0.5)  # what was kept is on its way
            os.kill(os.getpid(), signal.SIGKILL)
        context.checkpoint(step + 1)
    return [begin, context.attempt]


@define.action(name="silent.once", version="1.0.0", max_attempts=2, retry_first="10ms", heartbeat_timeout="500ms")
def silent_once(seconds: float) -> int:
    if context.attempt == 1:
        time.sleep(seconds)
    return context.attempt


@define.action(name="faulty", version="1.0.0", isolation="process")
def faulty() -> None:
    ctypes.string_at(0)


@define.action(name="greedy", version="1.0.0", isolation="process", memory_limit="160MiB")
def greedy() -> int:
    return len(bytearray(1 << 31))


@define.action(name="greedy.once", version="1.0.0", isolation="process", memory_limit="160MiB", pool_on_oom="big")
def greedy_once(folder: str) -> int:
    if not Path(folder, "starved").exists():
        Path(folder, "starved").touch()
        return len(bytearray(1 << 31))
    return context.attempt


def hears(here: Any, outcome: Outcome) -> None:
    leave_line(os.environ["TROUBLED"], f"{here.routine} {outcome.status} {here.run_id}")


everywhere = Hooks(on_failure=hears, on_cancel=hears)


@define.action(name="fails.slowly", version="1.0.0", max_attempts=2, retry_first="1h", retry_max="1h")
async def fails_slowly() -> None:
    raise ValueError("again in an hour")


@define.action(name="kills", version="1.0.0", on_crash="fail")
def kills() -> None:
    time.sleep(0.5)  # its Started is on its way
    os.kill(os.getpid(), signal.SIGKILL)


@define.action(name="spins.apart", version="1.0.0", isolation="process")
def spins_apart() -> None:
    while True:
        time.sleep(0.01)


@define.action(name="waits.told", version="1.0.0")
def waits_told() -> str:
    while not context.canceled:
        time.sleep(0.01)
    return "told"


@define.action(name="sleeps", version="1.0.0")
async def sleeps() -> None:
    await asyncio.sleep(3600)


@define.workflow(name="sleeps.long", version="1.0.0")
async def sleeps_long() -> None:
    await sleeps()
