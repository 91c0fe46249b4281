"""Modules of the user's program, whose exceptions come back from routines as their own class."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from longshore.core.errors import UsageError
from longshore.routines import Call


def module_name(module: str | ModuleType) -> str:
    """The module's name; one given as text is imported, so that its classes are known."""
    if isinstance(module, ModuleType):
        return module.__name__
    try:
        return importlib.import_module(module).__name__
    except ImportError as error:
        raise UsageError(f"modules: {module!r} cannot be imported: {error}") from error


def module_of(what: Call[Any] | str) -> str:
    """Where the called function is defined; "" for one that is only named."""
    return "" if isinstance(what, str) else what.routine.function.__module__
