"""Where the coroutines of a workflow stand, as text: for people who ask why it waits. Looks, never touches."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from longshore.core.ids import Address
from longshore.engine.loop import WorkflowTask
from longshore.routines.routine import Call

_OURS: Final = Path(__file__).parent
_INSIDE: Final = tuple(
    f"{folder}{os.sep}" for folder in (os.path.dirname(asyncio.__file__), _OURS, _OURS.parent / "routines")
)
_HOST: Final = (*_INSIDE, f"{_OURS.parent / 'worker'}{os.sep}", threading.__file__)
_DEPTH: Final = 100
_SHOWN: Final = 20


def caller() -> str:
    """`file:line` of the nearest code that is neither asyncio's nor ours."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def of_thread(ident: int) -> str:
    """Where a thread that runs a workflow stands at this moment, from the workflow's own code on."""
    frame = sys._current_frames().get(ident)
    if frame is None:
        return ""
    lines = traceback.extract_stack(frame)
    first = next((at for at, line in enumerate(lines) if not line.filename.startswith(_HOST)), 0)
    return "".join(traceback.format_list(lines[first:][-_SHOWN:]))


def describe(live: Iterable[WorkflowTask], waiting: Iterable[Address]) -> str:
    """A paragraph for each coroutine: its scope, the addresses it waits for, the lines it stands at from outside in."""
    addresses: dict[str, list[str]] = {}
    for address in waiting:
        addresses.setdefault(address.rpartition(":")[0], []).append(address)
    return "\n".join("\n".join(_paragraph(one, addresses.get(one.scope.path, []))) for one in live)


def _paragraph(one: WorkflowTask, addresses: list[str]) -> list[str]:
    lines = [f"coroutine {one.scope.path}" + (f" waits for {', '.join(addresses)}" if addresses else "")]
    waits: Any = one.get_coro()
    for _ in range(_DEPTH):
        if isinstance(waits, Call):
            lines.append(f"  {waits.place} calls {waits.routine.id}")
        frame = getattr(waits, "cr_frame", None) or getattr(waits, "gi_frame", None)
        if frame is not None and not frame.f_code.co_filename.startswith(_INSIDE):
            lines.append(f"  {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}")
        waits = getattr(waits, "cr_await", None) or getattr(waits, "gi_yieldfrom", None)
        if waits is None:
            break
    return lines
