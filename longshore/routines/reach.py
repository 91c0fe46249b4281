"""Which modules a routine's code can name, as it is written: the same wherever that code runs.

A child's exception comes back as its class only where the caller could have named the class in an `except`. What else a
process happens to have imported must not count: a workflow goes on in other workers, which have imported other things.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from longshore.routines.routine import Routine


@functools.lru_cache(maxsize=4096)
def modules_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The function's own module, those that it imports and, for each of the user's own among them, those that they
    import in turn; in the order found. Imports inside of functions are not seen."""
    found: dict[str, None] = {}
    waiting = [function.__module__]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = None
        module = sys.modules.get(name)
        if module is not None and _beside(module, function):
            waiting += _named(module)
    return tuple(found)


def _named(module: ModuleType) -> Iterator[str]:
    for value in list(vars(module).values()):
        if isinstance(value, ModuleType):
            yield value.__name__
        elif isinstance(value, Routine):
            yield value.function.__module__
        elif isinstance(value, type | FunctionType):
            yield str(value.__module__)


def _beside(module: ModuleType, function: Callable[..., Any]) -> bool:
    """Whether a module is the user's own: of the function's package, or in the same folder."""
    if module.__name__.partition(".")[0] == function.__module__.partition(".")[0]:
        return True
    file = getattr(module, "__file__", None)
    return file is not None and os.path.dirname(file) == os.path.dirname(function.__code__.co_filename)
