"""What the builds of a rolling deployment are made of: every body says on a line which build executed which run."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from longshore import context, define

LINES = "executed.jsonl"


def note(folder: str, build: str, version: str) -> None:
    """Append a line; short ones are written whole, whoever else writes."""
    fields = {"run": context.run_id, "attempt": context.attempt, "build": build, "version": version}
    line = json.dumps({**fields, "pid": os.getpid()}) + "\n"
    file = os.open(Path(folder) / LINES, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


async def pause(seconds: float) -> None:
    """So long, or until somebody says go."""
    await (asyncio.sleep(seconds) if seconds else context.wait_for_signal("go"))


def routines(build: str, version: str) -> dict[str, Any]:
    """The routines of one version, as this build has them."""

    @define.action(name="stamp", version=version)
    async def stamp(folder: str) -> str:
        note(folder, build, version)
        await asyncio.sleep(0.05)
        return version

    @define.action(name="flaky", version=version, retry_first="1s")
    async def flaky(folder: str) -> str:
        note(folder, build, version)
        if context.attempt == 1:
            raise ConnectionError("not yet")
        return version

    @define.workflow(name="parcel", version=version)
    async def parcel(folder: str, seconds: float) -> list[str]:
        first = await stamp(folder)
        await pause(seconds)
        return [first, *await asyncio.gather(stamp(folder), flaky(folder), stamp(folder).using(version="latest"))]

    @define.workflow(name="fresh", version=version, children_version="latest")
    async def fresh(folder: str, seconds: float) -> list[str]:
        first = await stamp(folder)
        await pause(seconds)
        return [first, await stamp(folder), await stamp(folder).using(version="pinned")]

    made: list[Callable[..., Any]] = [stamp, flaky, parcel, fresh]
    return {f"{one.name}_{version[0]}": one for one in made}  # type: ignore[attr-defined]
