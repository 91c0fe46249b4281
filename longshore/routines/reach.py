"""Which modules a routine's code can name, as it is written: the same wherever that code runs.

A child's exception comes back as its class only where the caller's code, or what it calls, could have named the class.
What else a process happens to have imported must not count: a workflow goes on in other processes, which have imported
other things, or the same ones later. Imports inside of functions count, so their modules are imported when they are
needed; the source is read for them, nothing is executed.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from types import FunctionType, ModuleType
from typing import Any, Final, NamedTuple

from longshore.routines.routine import Routine
from longshore.serialization import codec

_OURS: Final = f"{__name__.partition('.')[0]}."
"""A library like others, whoever's routines lie in it."""


class _Home(NamedTuple):
    """Where a routine is at home: what lies in its package, or beside it, is the user's own."""

    package: str
    folder: str


def modules_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The function's own module, those that it imports and, for each of the user's own among them, those that they
    import in turn; in the order found."""
    return _closure(function.__module__, _home_of(function))


def _home_of(function: Callable[..., Any]) -> _Home:
    return _Home(function.__module__.partition(".")[0], os.path.dirname(function.__code__.co_filename))


@functools.lru_cache(maxsize=1024)
def _closure(name: str, home: _Home) -> tuple[str, ...]:
    found: dict[str, bool] = {}
    waiting = [(name, True)]  # whether it is imported whenever the first one is
    while waiting:
        name, early = waiting.pop(0)
        if name in found and found[name] >= early:
            continue
        found[name] = early
        spec = _spec(name)
        if spec is None or not _is_own(name, spec, home):
            continue
        package = spec.name if spec.submodule_search_locations is not None else spec.parent or ""
        for other, at_once in _written(spec.origin or "", package):
            waiting.append((other, early and at_once))
        if early:
            waiting += [(other, True) for other in _held(sys.modules.get(name))]
    return tuple(name for name in found if _spec(name) is not None)


def allow_own(routines: Iterable[Routine[..., Any]]) -> None:
    """Let values name classes of the modules that these routines' own code imports, before it has imported them."""
    for name, home in {(one.function.__module__, _home_of(one.function)) for one in routines}:
        for known in _closure(name, home):
            spec = _spec(known)
            if spec is not None and _is_own(known, spec, home):
                codec.allow(known)


def _is_own(name: str, spec: ModuleSpec, home: _Home) -> bool:
    if f"{name}.".startswith(_OURS):
        return False
    if name.partition(".")[0] == home.package:
        return True
    return spec.origin is not None and os.path.dirname(spec.origin) == home.folder


def _spec(name: str) -> ModuleSpec | None:
    """Where a module comes from; None if there is none. Imports nothing, not even the packages above it."""
    module = sys.modules.get(name)
    if module is not None:
        return getattr(module, "__spec__", None)
    above, _, last = name.rpartition(".")
    try:
        if not above:
            return importlib.util.find_spec(last)
        package = _spec(above)
        places = None if package is None else package.submodule_search_locations
        return None if places is None else PathFinder.find_spec(name, list(places))
    except (ImportError, AttributeError, ValueError, KeyError):  # the last: a namespace package that is not imported
        return None


def _held(module: ModuleType | None) -> Iterator[str]:
    """The modules of the routines, classes and functions that a module has, however it came to them."""
    for value in list(vars(module).values()) if module is not None else ():
        if isinstance(value, Routine):
            yield value.function.__module__
        elif isinstance(value, type | FunctionType):
            yield str(value.__module__)


@functools.lru_cache(maxsize=1024)
def _written(origin: str, package: str) -> tuple[tuple[str, bool], ...]:
    """The modules that this source imports, and whether it does so at once. A name that may be a module or something in
    one is given as a module, too."""
    if not origin.endswith(".py"):
        return ()
    try:
        with tokenize.open(origin) as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return ()
    later = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    return tuple((name, id(node) not in later) for node in ast.walk(tree) for name in _imported(node, package))


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (name for alias in names for name in _with_those_above(alias.name))
        case ast.ImportFrom(module=module, names=names, level=level):
            try:
                base = importlib.util.resolve_name("." * level + (module or ""), package or None)
            except ImportError:
                return
            yield from _with_those_above(base)
            yield from (f"{base}.{alias.name}" for alias in names if _spec(f"{base}.{alias.name}") is not None)


def _with_those_above(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))
