"""Routines that change metadata; a module, so that child processes can import it."""

from __future__ import annotations

from typing import Any, Final

from longshore import context, define
from tests.worker.routines import double, passes

seen: Final[list[Any]] = []


@define.action(name="notes", version="1.0.0")
def notes(times: int, door: str = "") -> dict[str, Any]:
    metadata = context.metadata
    for _ in range(times):
        metadata.increment("n")
        metadata.parent.increment("done")
    metadata.set("phase", "first")
    metadata.set("phase", {"at": (1, 2)})
    metadata.append("log", "a")
    metadata.delete("old")
    context.add_tags("red", "blue")
    context.remove_tags("blue")
    if door:
        passes(door).wait(30)
    metadata.root.append("seen", context.run_id)
    return dict(metadata)


@define.action(name="notes.apart", version="1.0.0", isolation="process")
def notes_apart(times: int) -> dict[str, Any]:
    for _ in range(times):
        context.metadata.increment("n")
        context.metadata.parent.increment("done", 2)
    return dict(context.metadata)


@define.workflow(name="notes.flow", version="1.0.0")
async def notes_flow(breaks: bool = False) -> Any:
    context.metadata.increment("pumps")
    first = await double(1)
    context.metadata.increment("pumps")
    context.metadata.root.set("last", first)
    seen.append(context.metadata["pumps"])
    if breaks:
        raise ValueError("breaks")
    return context.metadata["pumps"]
