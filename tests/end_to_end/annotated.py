"""Routines that change metadata and wait for a file, for the end to end tests."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from longshore import context, define

PATIENCE = 30.0


def _await(path: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.01)


@define.action(name="part", version="1.0.0")
def part(number: int, times: int) -> int:
    for _ in range(times):
        context.metadata.parent.increment("done")
        context.metadata.root.increment("all", 0.5)
    context.metadata.set("number", number)
    return number


@define.workflow(name="parts", version="1.0.0")
async def parts(count: int, times: int, first: bool = True) -> Any:
    context.metadata.set("phase", "parts")
    if first:
        await parts(count, times, False)
    await asyncio.gather(*(part(number, times) for number in range(count)))
    context.metadata.increment("pumps")
    context.add_tags("counted")
    return dict(context.metadata)


@define.action(name="tells", version="1.0.0")
def tells(path: str) -> str:
    context.metadata.increment("n")
    context.progress(0.4, "epoch 4")
    context.metadata.increment("text")
    _await(path)
    return "told"
