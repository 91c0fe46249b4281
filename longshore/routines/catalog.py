"""The routines a worker or a client's local engine knows: collected from modules, by name and version.

Collecting imports the modules and looks at their names, no more: what is not in a module's namespace is not found.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from types import ModuleType
from typing import Any

from longshore.core import versions
from longshore.core.errors import DefinitionError, nearest
from longshore.core.message import Offer
from longshore.routines.hooks import Hooks
from longshore.routines.reach import allow_own
from longshore.routines.routine import Routine

AnyRoutine = Routine[..., Any]


class Catalog:
    """Routines by name and version. `modules` are the names of the modules they came from, in the order given."""

    def __init__(
        self, routines: Iterable[AnyRoutine] = (), *, modules: Iterable[str] = (), hooks: Iterable[Hooks] = ()
    ) -> None:
        self.modules = tuple(modules)
        self.hooks: dict[str, Hooks] = {}
        """What hooks a routine has, by its id: its own and those for all. Routines without any are not in it."""
        self._by_name: dict[str, dict[str, AnyRoutine]] = {}
        for routine in routines:
            self._add(routine)
        everywhere = Hooks()
        for one in hooks:
            everywhere = everywhere.followed_by(one)
        for routine in self:
            added = everywhere.without_middleware() if routine.kind == "workflow" else everywhere
            if found := routine.policy.hooks.followed_by(added):
                self.hooks[routine.id] = found

    def _add(self, routine: AnyRoutine) -> None:
        known = self._by_name.setdefault(routine.name, {}).setdefault(routine.version, routine)
        if known is not routine:
            raise DefinitionError(
                f"{routine.id} is declared twice: at {known.place} and at {routine.place}; "
                "give one of them another name or version"
            )

    def find(self, name: str, version: str = "") -> AnyRoutine | None:
        """The routine of that name and version (the newest without a version), or None."""
        offered = self._by_name.get(name)
        if offered is None or version:
            return offered.get(version) if offered else None
        return max(offered.values(), key=lambda routine: versions.parse(routine.version))

    def near(self, name: str) -> list[str]:
        """The known names most like this one."""
        return nearest(name, list(self._by_name))

    def offers(self) -> list[Offer]:
        """What a worker with these routines says in its Hello."""
        offers = [routine.offer() for routine in self]
        for offer in offers:
            hooks = self.hooks.get(f"{offer.routine}@{offer.version}")
            offer.hooks = hooks is not None and bool(hooks.on_cancel or hooks.on_failure or hooks.on_complete)
        return offers

    def __iter__(self) -> Iterator[AnyRoutine]:
        return (routine for offered in self._by_name.values() for routine in offered.values())

    def __len__(self) -> int:
        return sum(map(len, self._by_name.values()))


def collect(modules: Iterable[str | ModuleType]) -> Catalog:
    """The routines of these modules, given as objects or as names that `python -m` in this folder would find. Values
    may name classes of the modules that their code imports from here on.

    Raises DefinitionError when a module cannot be imported or a name and version is declared twice.
    """
    if isinstance(modules, str):
        modules = (modules,)
    imported = [module if isinstance(module, ModuleType) else _imported(module) for module in modules]
    values = [value for module in imported for value in list(vars(module).values())]
    found = (value for value in values if isinstance(value, Routine))
    hooks = {id(value): value for value in values if isinstance(value, Hooks)}
    catalog = Catalog(found, modules=[module.__name__ for module in imported], hooks=hooks.values())
    allow_own(catalog)
    return catalog


def _module_of_file(name: str) -> str:
    path = PurePath(name).with_suffix("")
    if not path.is_absolute() and ".." not in path.parts:
        return ".".join(path.parts)
    return f"{path.name}, in the folder {path.parent}"


def _imported(name: str) -> ModuleType:
    if name.endswith(".py") or "/" in name:
        raise DefinitionError(f"{name!r} is a file; give the module's name as for `python -m`: {_module_of_file(name)}")
    if "" not in sys.path:
        sys.path.insert(0, "")  # the current folder, as `python -m` does
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise DefinitionError(f"module {name!r} needs {error.name!r}, which is not installed here") from error
        raise DefinitionError(
            f"there is no module {name!r}; name it as for `python -m`, from its folder or installed in this environment"
        ) from error
    except Exception as error:  # whatever the user's module raises becomes an answer that names it
        raise DefinitionError(
            f"module {name!r} could not be imported: {type(error).__name__}: {error}; try `python -c 'import {name}'`"
        ) from error
