"""A look at the code of workflows before they run: which lines would not do the same again in a replay.

It reads source only, the workflow's and that of the functions beside it which it calls; it runs nothing, and what it
cannot see through it passes over. A line with the comment `# longshore: deterministic` is left alone; on the line of a
`def`, all of that function.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any, Final, NamedTuple

from longshore.engine.hazards import Hazard, full_names
from longshore.engine.reading import MARK, Reading, Sources
from longshore.routines.routine import Routine


class Finding(NamedTuple):
    """A line that would not do the same again. `routine` is the workflow, `inside` the function the line stands in."""

    file: str
    line: int
    routine: str
    inside: str
    what: str
    hazard: Hazard

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}: workflow {self.routine}{f' (in {self.inside})' if self.inside else ''}: "
            f"{self.what} {self.hazard.why}, and this code runs again whenever the run is resumed: use "
            f"{self.hazard.instead} (where it cannot matter, mark the line `# {MARK}`)"
        )


def lint(routines: Iterable[Routine[..., Any]]) -> list[Finding]:
    """The findings in all workflows among these, each place once, in the order of files and lines."""
    sources, names = Sources(), full_names()
    found: dict[tuple[str, int, str], Finding] = {}
    for routine in routines:
        if routine.kind == "workflow":
            for finding in _of_workflow(routine, sources, names):
                found.setdefault((finding.file, finding.line, finding.what), finding)
    return sorted(found.values())


def _of_workflow(routine: Routine[..., Any], sources: Sources, names: dict[int, str]) -> Iterator[Finding]:
    first = plain(routine.function)
    waiting = [] if first is None else [first]
    seen = set(waiting)
    while waiting:
        function = waiting.pop()
        reading = Reading(function, sources, names)
        inside = "" if function is first else function.__qualname__
        for line, what, hazard in reading.places:
            yield Finding(function.__code__.co_filename, line, routine.id, inside, what, hazard)
        for value in reading.named:
            called = plain(value)
            if called is not None and called not in seen and _beside(called, function):
                seen.add(called)
                waiting.append(called)


def plain(value: Any) -> FunctionType | None:
    """The function under a routine or decorators, or None."""
    while type(value) in _WRAPPERS and "__wrapped__" in vars(value):
        value = vars(value)["__wrapped__"]
    return value if type(value) is FunctionType else None


_WRAPPERS: Final = (FunctionType, type(functools.lru_cache(abs)))


def _beside(called: FunctionType, caller: FunctionType) -> bool:
    """Whether a function is the user's own: of the caller's package, or of a module that lies in the same folder."""
    if str(called.__module__).partition(".")[0] == str(caller.__module__).partition(".")[0]:
        return True
    return os.path.dirname(called.__code__.co_filename) == os.path.dirname(caller.__code__.co_filename)
