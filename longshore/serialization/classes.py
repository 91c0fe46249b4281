"""Classes by name: `module:qualname` and back. It never imports a module just because bytes name it.

A class is found when its module is already imported, or lies under a module somebody allowed. A script's `__main__`
travels under the name another process would import it by.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection
from pathlib import Path
from types import ModuleType
from typing import Final

from longshore.core.errors import DecodeError, EncodingError

_MAIN: Final = "__main__"


def name_of(cls: type) -> str:
    """`module:qualname` of a class that can be found again. Raises EncodingError for one inside a function."""
    module = _public_module(cls.__module__)
    found = _walk(sys.modules.get(cls.__module__), cls.__qualname__)
    if found is not cls:
        raise EncodingError(
            f"{cls.__module__}.{cls.__qualname__} cannot be found by its name on the other side: define the class at "
            "the top level of a module, or codec.register it"
        )
    return f"{module}:{cls.__qualname__}"


def find(name: str, allowed: Collection[str] = ()) -> type:
    """The class named `module:qualname`.

    Raises DecodeError when its module is neither imported nor under one of the `allowed` modules, or has no such class.
    """
    module_name, _, qualname = name.partition(":")
    module = _module(module_name, allowed)
    if module is None:
        raise DecodeError(
            f"the value holds a {name.replace(':', '.')}, whose module is not imported here: import {module_name} "
            "first (a worker: name it among its modules), or codec.allow it"
        )
    found = _walk(module, qualname)
    if not isinstance(found, type):
        raise DecodeError(f"module {module_name} has no class {qualname}: do both sides have the same version of it?")
    return found


def find_known(dotted: str, modules: Collection[str], *, strict: bool = False) -> type | None:
    """The class `module.QualName` in the nearest of these modules, which is imported if it was not; else None.

    With `strict`, a module inside of another counts only where none of its neighbours is named: which of a package's
    modules are seen in it depends on what else has been imported.
    """
    around = [name for name in modules if dotted.startswith(name + ".")]
    if not around:
        return None
    name = max(around, key=len)
    closed = strict and any(other.startswith(name + ".") for other in modules)
    through = (type,) if closed else (ModuleType, type)
    try:
        module = _module(name, (name,))
    except DecodeError:
        return None
    found = _walk(module, dotted[len(name) + 1 :], through)
    return found if isinstance(found, type) else None


def dotted(cls: type) -> str:
    """`module.QualName`, with a script's `__main__` under its importable name."""
    return f"{_public_module(cls.__module__)}.{cls.__qualname__}"


def _module(name: str, allowed: Collection[str]) -> ModuleType | None:
    module = sys.modules.get(name)
    if module is None and name == _public_module(_MAIN):
        module = sys.modules.get(_MAIN)
    if module is None and any(name == root or name.startswith(root + ".") for root in allowed):
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise DecodeError(f"module {name} is allowed but cannot be imported: {error}") from error
    return module


def _public_module(name: str) -> str:
    if name != _MAIN:
        return name
    main = sys.modules.get(_MAIN)
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else name


def _walk(module: ModuleType | None, qualname: str, through: tuple[type, ...] = (ModuleType, type)) -> object:
    """What lies in the module under this name; `through` are the kinds of things that are looked into on the way."""
    found: object = module
    for part in qualname.split("."):
        found = vars(found).get(part) if found is module is not None or isinstance(found, through) else None
    return found
