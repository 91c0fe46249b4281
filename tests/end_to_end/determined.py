"""Routines for the tests of replays: a workflow that uses time and chance, and one before its code is changed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from longshore import context, define


@define.action(name="note", version="1.0.0")
def note(folder: str, name: str, *drawn: Any) -> list[Any]:
    """Writes down what it was given, and goes on as soon as the file `NAME.go` is there."""
    with (Path(folder) / name).open("a") as file:
        file.write(f"{list(drawn)}\n")
    while not (Path(folder) / f"{name}.go").exists() and not context.canceled:
        time.sleep(0.005)
    return list(drawn)


@define.workflow(name="draws", version="1.0.0")
async def draws(folder: str) -> list[Any]:
    return [
        await note(folder, f"step-{number}", context.now.isoformat(), str(context.uuid4()), context.random.random())
        for number in range(2)
    ]


@define.workflow(name="changing", version="1.0.0")
async def changing(folder: str) -> list[Any]:
    return [await note(folder, "first"), await note(folder, "second", "old")]


@define.workflow(name="careless", version="1.0.0")
async def careless() -> float:
    return time.time()
