"""Engines: what `await routine(...)` means where code runs, and the deterministic loop on which workflows live.

Everything is imported at its first use: the loop alone needs only the standard library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from longshore.engine.force import TaskEngine as TaskEngine
    from longshore.engine.force import WorkflowEngine as WorkflowEngine
    from longshore.engine.force import enter_task as enter_task
    from longshore.engine.workflow import WorkflowExecution as WorkflowExecution

_HOMES: Final = {
    "TaskEngine": "longshore.engine.force",
    "WorkflowEngine": "longshore.engine.force",
    "WorkflowExecution": "longshore.engine.workflow",
    "enter_task": "longshore.engine.force",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'longshore.engine' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
