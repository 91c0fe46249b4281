"""A look at workflows while they run, in tests: which lines do what a replay will not do again.

It sees through methods, libraries and arguments, where the reading of the source (`lint`) cannot; but only what is
executed. It slows the thread it watches many times over, and changes nothing. Lines marked as for the lint are left
alone, and what logging or asyncio do for themselves.
"""

from __future__ import annotations

import ast
import asyncio
import linecache
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType, MethodType
from typing import Any, Final

from longshore.engine.guards import HERE
from longshore.engine.hazards import NAMES, UNORDERED, Hazard, full_name, full_names, hazard, looked_up
from longshore.engine.lint import Finding
from longshore.engine.reading import IN_ORDER, MARK, ORDER_BLIND
from longshore.routines.routine import Routine

_PATHS: Final = sysconfig.get_paths()
_LIBRARIES: Final = ("stdlib", "platstdlib", "purelib", "platlib")
_NOT_THEIRS: Final = (
    *{f"{_PATHS[name]}/" for name in _LIBRARIES},
    "<frozen",
    "<string",
    f"{Path(__file__).resolve().parents[1]}/",
)
_EXEMPT: Final = frozenset({"logging", "asyncio", "importlib", "linecache", "warnings", "longshore"})
"""What these do on the way to a hazard, they do for themselves."""
_ORDERED: Final = (int, float, complex, asyncio.Future)
"""Elements whose sets have the same order everywhere, tasks and futures in a workflow among them."""
_FEW: Final = 2


class Watch:
    """`with Watch(routine) as watch:` watches this thread; then `findings` has each place once, in order."""

    def __init__(self, routine: Routine[..., Any]) -> None:
        self._routine = routine.id
        self._package = _package(routine.function.__module__)
        self._found: dict[tuple[str, int, str], Finding] = {}
        self._names = full_names()
        self._bound = {
            (value.__func__.__code__, id(value.__self__)): name
            for value, name in looked_up()
            if type(value) is MethodType and hasattr(value.__func__, "__code__")
        }
        self._iterated: dict[CodeType, dict[int, list[ast.expr]]] = {}

    @property
    def findings(self) -> list[Finding]:
        """What was found, in the order of files and lines."""
        return sorted(self._found.values())

    def __enter__(self) -> Watch:
        self._before = sys.getprofile(), sys.gettrace()
        sys.settrace(self._trace)
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        profile, trace = self._before
        sys.setprofile(profile)
        sys.settrace(trace)

    def _report(self, frame: FrameType, what: str, why: Hazard) -> None:
        code, line = frame.f_code, frame.f_lineno
        if not _marked(code.co_filename, line):
            self._found.setdefault(
                (code.co_filename, line, what),
                Finding(code.co_filename, line, self._routine, code.co_qualname, what, why),
            )

    def _is_theirs(self, frame: FrameType) -> bool:
        """Whether it is the user's code: no library's, unless the workflow lies in that library."""
        if not frame.f_code.co_filename.startswith(_NOT_THEIRS):
            return True
        return _package(frame.f_globals.get("__name__")) == self._package

    def _behind(self, frame: FrameType | None) -> FrameType | None:
        """The user's frame that led here through a library; None if something exempt is on the way."""
        while frame is not None and not self._is_theirs(frame):
            if _package(frame.f_globals.get("__name__")) in _EXEMPT:
                return None
            frame = frame.f_back
        return frame

    # ---------------------------------------------------------------------------------------------- what is called

    def _called(self, frame: FrameType, event: str, argument: Any) -> None:
        if HERE.loop is None:
            return
        if event == "c_call":
            self._look(full_name(argument, self._names), frame)
        elif event == "call" and frame.f_back is not None:
            self._look(self._name_of(frame), frame.f_back)

    def _name_of(self, frame: FrameType) -> str:
        """The full name of the Python function that begins; "" for a method, unless a module offers it as its own."""
        code = frame.f_code
        if "." in code.co_qualname:
            return self._bound.get((code, id(frame.f_locals.get("self"))), "")
        return f"{frame.f_globals.get('__name__', '')}.{code.co_qualname}"

    def _look(self, name: str, caller: FrameType) -> None:
        why = hazard(name, called=True, arguments=True) if name else None
        if why is None:
            return
        direct = self._is_theirs(caller)
        theirs = caller if direct else self._behind(caller) if name in NAMES else None
        if theirs is not None and (direct or not self._is_known(theirs)):
            self._report(theirs, f"{name.removeprefix('builtins.')}()", why)

    def _is_known(self, frame: FrameType) -> bool:
        """Whether its line was named for what it called itself: what that calls in turn is no news."""
        place = frame.f_code.co_filename, frame.f_lineno
        return any(known[:2] == place for known in self._found)

    # -------------------------------------------------------------------------------------------- what is gone through

    def _trace(self, frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        return self._line if HERE.loop is not None and self._is_theirs(frame) else None

    def _line(self, frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
        if event == "line":
            for node in self._expressions(frame.f_code).get(frame.f_lineno, ()):
                if _is_unordered(_value(node, frame)):
                    self._report(frame, f"the set `{ast.unparse(node)}`", UNORDERED)
        return self._line

    def _expressions(self, code: CodeType) -> dict[int, list[ast.expr]]:
        """What is gone through in order on each line of the function, as far as it is a name."""
        found = self._iterated.get(code)
        if found is None:
            found = self._iterated[code] = {}
            for node in _iterated(_function(code)):
                found.setdefault(node.lineno, []).append(node)
        return found


def _package(module: object) -> str:
    return str(module).partition(".")[0]


def _marked(file: str, line: int) -> bool:
    above = linecache.getline(file, line - 1).strip()
    return MARK in linecache.getline(file, line).partition("#")[2] or (above.startswith("#") and MARK in above)


def _function(code: CodeType) -> ast.AST | None:
    """The definition of this code, if its source is at hand."""
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except (SyntaxError, ValueError, RecursionError):
        return None
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    lines = ((min([one.lineno, *(maker.lineno for maker in one.decorator_list)]), one) for one in functions)
    return next((one for line, one in lines if (line, one.name) == (code.co_firstlineno, code.co_name)), None)


def _iterated(node: ast.AST | None) -> Iterator[ast.expr]:
    if node is None:
        return
    blind: set[int] = set()
    for one in ast.walk(node):  # outer nodes before inner ones
        match one:
            case ast.For(iter=iterated):
                yield iterated
            case ast.Call(func=ast.Name(id=name), args=arguments) if f"builtins.{name}" in ORDER_BLIND:
                blind.update(id(argument) for argument in arguments if not _awaits(argument))
            case ast.Call(func=ast.Name(id=name), args=arguments) if f"builtins.{name}" in IN_ORDER:
                yield from arguments
            case ast.Call(func=ast.Attribute(attr="join"), args=[argument]):
                yield argument
            case ast.Call(func=ast.Attribute(attr="pop", value=of), args=[]):
                yield of
            case ast.ListComp() | ast.GeneratorExp() | ast.DictComp() if id(one) not in blind:
                yield from (part.iter for part in one.generators)


def _awaits(node: ast.AST) -> bool:
    return any(isinstance(one, ast.Await) for one in ast.walk(node))


_MISSING: Final = object()


def _value(node: ast.expr, frame: FrameType) -> Any:
    """What a name, or an attribute kept in an object's own dictionary, stands for; running none of the user's code."""
    match node:
        case ast.Name(id=name):
            return frame.f_locals.get(name, frame.f_globals.get(name, _MISSING))
        case ast.Attribute(value=of, attr=name):
            return getattr(_value(of, frame), "__dict__", {}).get(name, _MISSING)
    return _MISSING


def _is_unordered(value: Any) -> bool:
    if type(value) not in (set, frozenset) or len(value) < _FEW:
        return False
    return not all(isinstance(element, _ORDERED) for element in value)
