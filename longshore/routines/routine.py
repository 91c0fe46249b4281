"""A routine, and a call of it: bound arguments that wait for somebody to execute them.

What `await routine(...)` means is the business of the engine in force (`CURRENT_ENGINE`); nothing in here executes
anything. A call behaves like a coroutine object: it can be awaited once, given to `asyncio.gather`, `create_task` or a
TaskGroup, and warns when nobody ever does.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Generic, NoReturn, ParamSpec, Protocol, TypeVar, Unpack

from longshore.core.errors import UsageError
from longshore.core.message import Offer, Options
from longshore.core.versions import PINNED
from longshore.routines.context import CURRENT_RUN
from longshore.routines.mapping import CONCURRENCY, check_concurrency, results
from longshore.routines.options import TriggerOptions, to_message
from longshore.routines.policy import Kind, Policy
from longshore.serialization.arguments import Arguments, Signature

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Routine(Generic[P, R_co]):
    """A named, versioned function, made by `define.task`, `define.action` or `define.workflow`.

    Calling it binds the arguments and gives a `Call`; `function` is the plain function.
    """

    name: str
    version: str
    kind: Kind
    policy: Policy
    function: Callable[..., Any]
    signature: Signature

    def __post_init__(self) -> None:
        function = self.function
        self.__dict__.update(
            id=f"{self.name}@{self.version}",
            __wrapped__=function,
            __doc__=function.__doc__,
            __name__=function.__name__,
            __qualname__=function.__qualname__,
            __module__=function.__module__,
        )

    id: str = ""
    """`name@version`."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Call[R_co]:
        """A call with these arguments. Raises ArgumentError, naming the parameter, when they do not fit."""
        arguments = self.signature.bind(args, kwargs)
        caller = sys._getframe(1)
        return Call(self, arguments, caller.f_code.co_filename, caller.f_lineno)

    def map(
        self,
        items: Iterable[Any],
        /,
        *more: Iterable[Any],
        concurrency: int = CONCURRENCY,
        return_exceptions: bool = False,
        **options: Unpack[TriggerOptions],
    ) -> AsyncGenerator[R_co, None]:
        """A run for each item, as an async iterator of their results in the order of the items.

        An item is the first argument; further iterables give the further ones, and the shortest ends it. At most
        `concurrency` runs are under way. A failure ends the iteration at once, with the exception of the one that
        failed first; with `return_exceptions` it stands in its result's place. Leaving the loop early cancels what is
        under way. `options` are those of every run. Raises UsageError for a wrong option or number.
        """
        caller = sys._getframe(1)
        message = to_message(options)
        if message.debounce is not None:
            raise UsageError(f"{self.name}.map(debounce=...): a debounce would make all of them one run; leave it out")
        if message.idempotency_key:
            raise UsageError(
                f"{self.name}.map(idempotency_key=...): one key for all would make all of them one run; leave it out, "
                "or call each item yourself with .using(idempotency_key=...)"
            )

        file, line = caller.f_code.co_filename, caller.f_lineno
        del caller  # the iterator must not hold a frame

        def begin(arguments: tuple[Any, ...]) -> Awaitable[Any]:
            call = Call(self, self.signature.bind(arguments, {}), file, line)
            call.options = message if options else None
            return call.begin()

        given = zip(items, *more, strict=False)
        return results(given, begin, check_concurrency(concurrency), return_exceptions=return_exceptions)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.id}>"

    @property
    def place(self) -> str:
        """Where it is declared, `file:line`."""
        code = self.function.__code__
        return f"{code.co_filename}:{code.co_firstlineno}"

    def offer(self) -> Offer:
        """What a worker says of it."""
        policy = self.policy
        return Offer(
            routine=self.name,
            version=self.version,
            kind=self.kind,
            cache=policy.cache,
            cache_ttl_ms=_milliseconds(policy.cache_ttl),
            max_attempts=policy.max_attempts,
            timeout_ms=_milliseconds(policy.timeout),
            retry_first_ms=policy.retry_first // _MILLISECOND,
            retry_factor=policy.retry_factor,
            retry_max_ms=policy.retry_max // _MILLISECOND,
            on_crash=policy.on_crash,
            pool_on_oom=policy.pool_on_oom,
            queue=policy.queue,
            children=policy.children,
            keep_ms=_kept_ms(policy.keep),
            keep_count=_kept_count(policy),
        )


def _kept_ms(keep: timedelta | str | None) -> int:
    return 0 if isinstance(keep, str) else -1 if keep is None else -(-keep // _MILLISECOND)


def _kept_count(policy: Policy) -> int:
    if policy.keep_count is None:
        return 0 if policy.keep == "off" else -1
    return policy.keep_count


def _milliseconds(length: timedelta | None) -> int | None:
    return None if length is None else -(-length // _MILLISECOND)


class Call(Coroutine[Any, Any, R_co], Generic[R_co]):
    """A routine with bound arguments and the options of one run, executed once: awaited here or triggered by a client.

    Raises UsageError when awaited where no engine is in force, or a second time.
    """

    __slots__ = ("_given", "_waiting", "arguments", "file", "line", "options", "refused", "routine", "taken")

    def __init__(self, routine: Routine[Any, R_co], arguments: Arguments, file: str, line: int) -> None:
        self.routine = routine
        self.arguments = arguments
        self.options: Options | None = None
        self.file = file
        self.line = line
        self.taken = False
        self.refused = False  # whoever wanted to execute it was told why not: it was not forgotten
        self._given: TriggerOptions | None = None
        self._waiting: Generator[Any, Any, R_co] | None = None

    @property
    def wanted(self) -> str:
        """What it asks for: `name@version` as it is imported here; the name alone where its options say which
        version."""
        said = self.options.version if self.options is not None else ""
        return self.routine.id if said in ("", PINNED) else self.routine.name

    @property
    def place(self) -> str:
        """Where the call stands in the code, `file:line`."""
        return f"{self.file}:{self.line}"

    def using(self, **options: Unpack[TriggerOptions]) -> Call[R_co]:
        """The same call with options for this run; earlier ones stay unless named again. Replaces this call.

        Raises UsageError for an unknown option or a wrong value, naming the option.
        """
        given: TriggerOptions = {**(self._given or {}), **options}
        try:
            message = to_message(given)
        except UsageError:
            self.refused = True
            raise
        self.take()
        copy = Call(self.routine, self.arguments, self.file, self.line)
        copy.options, copy._given = message, given
        return copy

    def take(self) -> None:
        """Whoever executes the call says so once. Raises UsageError when somebody already has."""
        if self.taken:
            raise UsageError(
                f"this call of {self.routine.id} ({self.place}) was already awaited, triggered or replaced by "
                f"using(); a call is executed once: call {self.routine.function.__name__}(...) again"
            )
        self.taken = True

    # ------------------------------------------------------------------------------------- what a coroutine object has

    def __await__(self) -> Generator[Any, Any, R_co]:
        return self._begin()

    def send(self, value: Any, /) -> Any:
        """One step for the event loop; begins the call at the first."""
        return (self._waiting or self._begin()).send(value)

    def throw(
        self,
        error: type[BaseException] | BaseException,
        value: BaseException | object = None,
        traceback: TracebackType | None = None,
        /,
    ) -> Any:
        """Raise an exception where the call waits (a cancellation before the first step: nothing was asked for)."""
        raised = _instance(error, value)
        if traceback is not None:
            raised = raised.with_traceback(traceback)
        self.taken = True
        if self._waiting is None:
            raise raised
        return self._waiting.throw(raised)

    def close(self) -> None:
        """Give the call up."""
        self.taken = True
        if self._waiting is not None:
            self._waiting.close()

    def begin(self) -> Awaitable[R_co]:
        """Give the call to the engine in force: what to wait for. Raises UsageError."""
        self.take()
        engine = CURRENT_ENGINE.get()
        if engine is None:
            self._refuse()
        return engine.execute(self)

    def _begin(self) -> Generator[Any, Any, R_co]:
        self._waiting = waiting = self.begin().__await__()
        return waiting

    def _refuse(self) -> NoReturn:
        routine, function = self.routine, self.routine.function.__name__
        raise UsageError(
            f"{self.place}: nothing here can execute {routine.id}: `await {function}(...)` works inside a workflow "
            f"on a worker. From a script: `async with Client() as client: await client.run({function}(...))` "
            f"(with `longshore dev MODULE` running, or a coordinator and workers); to run the plain function here and "
            f"now: {function}.function(...)"
        )

    def __del__(self) -> None:
        if self.taken or self.refused or sys.is_finalizing():
            return
        run = CURRENT_RUN.get()
        if run is not None and run.silent:  # a workflow that is put away, or says again what it said before
            return
        function = self.routine.function.__name__
        warnings.warn_explicit(
            f"call of {self.routine.id} was never awaited nor triggered: write `await {function}(...)`",
            RuntimeWarning,
            self.file,
            self.line,
        )

    def __repr__(self) -> str:
        return f"<call of {self.routine.id} at {self.place}>"

    def _no_value(self, *_: object) -> NoReturn:
        """Used as if it were the result: the usual slip is a forgotten await."""
        self.taken = True
        function = self.routine.function.__name__
        raise TypeError(
            f"{self!r} is no value yet: in a workflow write `await` before it; elsewhere, {function}.function(...) "
            "runs the plain function"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _no_value
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __neg__ = __round__ = _no_value
    __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = _no_value
    __int__ = __float__ = __index__ = _no_value


def _instance(error: type[BaseException] | BaseException, value: object) -> BaseException:
    if isinstance(value, BaseException):
        return value
    if isinstance(error, BaseException):
        return error
    return error() if value is None else error(value)


class Engine(Protocol):
    """What `await routine(...)` means here."""

    def execute(self, call: Call[Any], /) -> Awaitable[Any]:
        """The result to wait for. Called once per call, when it is first awaited."""


CURRENT_ENGINE: Final[ContextVar[Engine | None]] = ContextVar("longshore_engine", default=None)
"""The engine in force; set by whoever runs a routine."""
