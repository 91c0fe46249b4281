"""Workflows to be run again from one of their calls. Each call leaves a line in a file; some fail until repaired."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from longshore import context, define

MANY = 20


@define.action(name="part", version="1.0.0", max_attempts=1)
async def part(folder: str, name: str) -> str:
    """Leaves its name; `bad` ones fail until `repaired` is there, `slow` ones wait while there is `wait`."""
    with (Path(folder) / "effects").open("a") as file:
        file.write(f"{name}\n")
    while name.startswith("slow") and (Path(folder) / "wait").exists():
        await asyncio.sleep(0.05)
    if name.startswith("bad") and not (Path(folder) / "repaired").exists():
        raise ValueError(f"{name} is not repaired")
    return name


async def stage(folder: str, names: list[str]) -> list[str]:
    """All of them at once; fails when all have ended and one has failed."""
    found = await asyncio.gather(*(part(folder, name) for name in names), return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return found  # type: ignore[return-value]


@define.workflow(name="stages", version="1.0.0")
async def stages(folder: str) -> list[str]:
    """Twenty, twenty of which the last is bad, twenty."""
    first = await stage(folder, [f"first {number}" for number in range(MANY)])
    second = await stage(folder, [*(f"second {number}" for number in range(MANY - 1)), "bad"])
    third = await stage(folder, [f"slow {number}" for number in range(MANY)])
    return [*first, *second, *third, str(context.uuid4())]


@define.workflow(name="timed", version="1.0.0")
async def timed(folder: str, seconds: float) -> str:
    """A call with a time, beside a timer that is longer."""
    nap = asyncio.create_task(asyncio.sleep(seconds + 0.5))
    await part(folder, "before")
    async with asyncio.timeout(seconds):
        await part(folder, "bad")
        await part(folder, "slow")
    await nap
    return "in time"


@define.workflow(name="told", version="1.0.0")
async def told(folder: str) -> Any:
    """A call, then a signal, which is waited for although the call has failed."""
    failed: ValueError | None = None
    try:
        await part(folder, "bad")
    except ValueError as error:
        failed = error
    word = await context.wait_for_signal("word")
    if failed is not None:
        raise failed
    return word


@define.workflow(name="signed", version="1.0.0")
async def signed(folder: str) -> Any:
    """A token, handed over, then a call, then what the token brings."""
    token = await context.create_token(3600)
    await part(folder, token)
    await part(folder, "bad")
    return await context.wait_for_token(token)
