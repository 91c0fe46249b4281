"""The same routines after a change of `changing`, under the same version."""

from __future__ import annotations

from typing import Any

from longshore import context, define
from tests.end_to_end.determined import draws, note

__all__ = ["changing", "draws", "note"]


@define.workflow(name="changing", version="1.0.0")
async def changing(folder: str) -> list[Any]:
    first = await note(folder, "first")
    if context.patch("in-two"):
        return [first, await note(folder, "second", "new"), context.patch("in-two")]
    return [first, await note(folder, "second", "old")]
