"""Hooks: what else is to happen when a run begins or ends, declared on a routine or for all routines of a worker.

Declaring registers nothing: a worker finds a `Hooks` among the names of the modules it is given. A hook's own failure
changes nothing about the run; what middleware raises itself does not either. It runs nothing on its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from longshore.core.errors import DefinitionError, nearest


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run stands, as its hooks are told: `status` is EXECUTING for `on_start`, else the one it ends with. `error`
    is the exception, where there is one; `result` what it returned."""

    status: str
    result: Any = None
    error: BaseException | None = None


Hook = Callable[[Any, Outcome], object]
"""Given `longshore.context` and the outcome; may be `async def`."""
Middleware = Callable[[Any, Callable[[], Any]], Any]
"""Given `longshore.context` and the rest of the call; `async def` around `async def` bodies, `def` around others."""

MOMENTS: Final = ("on_start", "on_success", "on_failure", "on_cancel", "on_complete")
NAMES: Final = (*MOMENTS, "middleware")


class HookOptions(TypedDict, total=False):
    """The hooks of a routine: one function each, or several in order."""

    on_start: Hook | Iterable[Hook]
    on_success: Hook | Iterable[Hook]
    on_failure: Hook | Iterable[Hook]
    on_complete: Hook | Iterable[Hook]
    on_cancel: Hook | Iterable[Hook]
    middleware: Middleware | Iterable[Middleware]


class Hooks:
    """`everywhere = Hooks(on_failure=report)` in a module of a worker: for every routine of that worker, after the
    routine's own.

    `on_start`: before the first attempt's body. `on_success`: it returned. `on_failure`: it has failed for good (no
    attempt is left, or its time was over). `on_cancel`: it was canceled after it began. `on_complete`: after each of
    these three. They run where the body runs, before the outcome is told, at least once; none runs for a run whose
    worker is lost. `middleware` wraps the body: `def m(context, call): ... return call()`.

    Raises DefinitionError for a name that is none, or what cannot be called.
    """

    __slots__ = NAMES

    on_start: tuple[Hook, ...]
    on_success: tuple[Hook, ...]
    on_failure: tuple[Hook, ...]
    on_cancel: tuple[Hook, ...]
    on_complete: tuple[Hook, ...]
    middleware: tuple[Middleware, ...]

    def __init__(self, **given: Any) -> None:
        for name in given:
            if name not in NAMES:
                meant = nearest(name, NAMES)
                hint = f"did you mean {meant[0]}?" if meant else f"there are: {', '.join(NAMES)}"
                raise DefinitionError(f"Hooks has no {name!r}; {hint}")
        for name in NAMES:
            setattr(self, name, _functions(name, given.get(name)))

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in NAMES)

    def followed_by(self, others: Hooks) -> Hooks:
        """These, then the others; the middleware of the others is outside."""
        merged = {name: (*getattr(self, name), *getattr(others, name)) for name in MOMENTS}
        return Hooks(**merged, middleware=(*others.middleware, *self.middleware))

    def without_middleware(self) -> Hooks:
        """The moments only."""
        return Hooks(**{name: getattr(self, name) for name in MOMENTS})

    def wrapping(self, function: Callable[..., Any]) -> tuple[Middleware, ...]:
        """The middleware that fits this body, outermost first."""
        asynchronous = inspect.iscoroutinefunction(function)
        return tuple(one for one in self.middleware if is_async(one) == asynchronous)


def is_async(function: object) -> bool:
    """Whether calling it gives something to await."""
    called = getattr(type(function), "__call__", None)  # noqa: B004 - of an object, whether its call is a coroutine
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _functions(name: str, given: Any) -> tuple[Any, ...]:
    if given is None:
        return ()
    several = tuple(given) if isinstance(given, list | tuple) else (given,)
    for one in several:
        if not callable(one) or isinstance(one, type):
            raise DefinitionError(f"{name}={one!r}: give a function of (context, {_SECOND[name]}), or a list of them")
        try:
            inspect.signature(one).bind(None, None)
        except TypeError:
            shown = getattr(one, "__name__", repr(one))
            raise DefinitionError(f"{name}={shown}: it must take two arguments, (context, {_SECOND[name]})") from None
        except ValueError:
            continue  # a builtin that does not say what it takes
    return several


_SECOND: Final = {**dict.fromkeys(MOMENTS, "outcome"), "middleware": "call"}
