"""Runs the hooks of an attempt and wraps its body in middleware. What they raise is logged and noted at the attempt;
it changes nothing.

It decides which hooks are due from the report that is about to be sent; it sends nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final

from longshore.core.errors import AbortRun, RetryAfter, RunCrashed, RunSystemFailure, RunTimedOut
from longshore.core.ids import RunId
from longshore.core.message import Finished, HooksRun, RunHooks, Start, Value
from longshore.core.policy import MAX_ATTEMPTS_CAP
from longshore.core.run import Status
from longshore.engine import enter_task
from longshore.routines.catalog import Catalog
from longshore.routines.context import RunContext, RunLogger, context
from longshore.routines.hooks import Hook, Hooks, Middleware, Outcome
from longshore.worker.attempt import WORKFLOW, Attempt
from longshore.worker.bench import ABORTED, COMPLETED, FAILED, SYSTEM_FAILURE, TIMED_OUT
from longshore.worker.desk import Note
from longshore.worker.tray import Tray

LIMIT: Final = 30.0
"""Seconds that the hooks of a run may take; then its outcome is told without them."""
_WORDS: Final = (AbortRun, RetryAfter, asyncio.CancelledError, GeneratorExit)
"""What middleware may raise in earnest: its word on the run, and what goes through it."""

Aside = Callable[..., Awaitable[Any]]
Due = tuple[list[Hook], Outcome]
_STARTED: Final = Outcome(Status.EXECUTING.value)


# ------------------------------------------------------------------------------------------------------- which are due


def due_before(attempt: Attempt) -> Due | None:
    """What is due before the body begins: of the first attempt only."""
    hooks = attempt.hooks
    if hooks is None or not hooks.on_start or attempt.start.attempt > 1:
        return None
    return list(hooks.on_start), _STARTED


def due_after(attempt: Attempt, report: Finished, result: Any = None) -> Due | None:
    """What is due when the body is over and this is to be reported; None where the run goes on."""
    hooks, status = attempt.hooks, _final(attempt, report)
    if hooks is None or status is None:
        return None
    returned = result if status is Status.COMPLETED else None
    error = None if status is Status.COMPLETED else attempt.overdue or attempt.error
    return _of(hooks, status), Outcome(status.value, returned, error)


def due_elsewhere(hooks: Hooks, order: RunHooks) -> Due:
    """What is due for a run that has ended while no worker had it."""
    status, error = Status(order.status), None
    if status is not Status.CANCELED:
        kind = {Status.CRASHED: RunCrashed, Status.TIMED_OUT: RunTimedOut}.get(status, RunSystemFailure)
        error = kind(order.reason, run_id=order.run_id, status=order.status)
    return _of(hooks, status), Outcome(order.status, None, error)


def _of(hooks: Hooks, status: Status) -> list[Hook]:
    moment = {Status.COMPLETED: hooks.on_success, Status.CANCELED: hooks.on_cancel}.get(status, hooks.on_failure)
    return [*moment, *hooks.on_complete]


def _final(attempt: Attempt, report: Finished) -> Status | None:
    """The status that the ledger will give the run for this report; None: it is not over."""
    if attempt.canceled is not None or attempt.start.canceling is not None:
        begun = attempt.user_code or attempt.kind == "process"
        return Status.CANCELED if begun else None
    if report.how == FAILED and report.retry:
        allowed = attempt.start.max_attempts or attempt.routine.policy.max_attempts
        return Status.FAILED if attempt.start.attempt >= min(allowed, MAX_ATTEMPTS_CAP) else None
    return _FINAL.get(report.how)


_FINAL: Final = {
    COMPLETED: Status.COMPLETED,
    FAILED: Status.FAILED,
    ABORTED: Status.FAILED,
    TIMED_OUT: Status.TIMED_OUT,
    SYSTEM_FAILURE: Status.SYSTEM_FAILURE,
}

# -------------------------------------------------------------------------------------------------------- running them


def run(attempt: Attempt, due: Due | None) -> None:
    """Run them one after another, in this thread; those that are `async def` on a loop of their own."""
    if due is None:
        return
    hooks, outcome = due
    with enter_task(_context(attempt)) as run_context:
        for hook in hooks:
            try:
                answer = hook(context, outcome)
                if inspect.isawaitable(answer):
                    asyncio.run(_bounded(answer))
            except BaseException as error:  # noqa: BLE001 - a hook's own failure changes nothing about its run
                _note(attempt, run_context, hook, error)


def run_loaded(attempt: Attempt, report: Finished, load: Callable[[Value], Any]) -> None:
    """Run those that are due after a workflow's end; `load` gives the result, where anybody wants it. Blocks."""
    due = due_after(attempt, report)
    if due is not None and report.how == COMPLETED and report.result:
        due = due_after(attempt, report, load(report.result))
    run(attempt, due)


class Elsewhere:
    """Hooks of runs that have ended while no worker had them: each in a thread of its own, told when it is done."""

    def __init__(self, catalog: Catalog, tray: Tray[Note]) -> None:
        self._catalog = catalog
        self._tray = tray
        self._under_way: set[RunId] = set()

    def run(self, order: RunHooks) -> None:
        """Run what is due. Nobody waits for it; told again meanwhile, it is the same."""
        routine = self._catalog.find(order.routine, order.version)
        if routine is None or order.run_id in self._under_way:
            return
        self._under_way.add(order.run_id)
        attempt = Attempt(Start(order.run_id, 0, order.attempt, order.routine, order.version), routine)
        work = partial(self._work, attempt, self._catalog.hooks.get(routine.id), order)
        threading.Thread(target=work, name="longshore-hooks", daemon=True).start()

    def _work(self, attempt: Attempt, hooks: Hooks | None, order: RunHooks) -> None:
        run(attempt, None if hooks is None else due_elsewhere(hooks, order))
        self._under_way.discard(order.run_id)
        self._tray.put(Note(attempt, HooksRun(order.run_id)))


async def run_async(attempt: Attempt, due: Due | None, aside: Aside) -> None:
    """Run them on this loop; those that are no `async def` in a thread beside it."""
    if due is None:
        return
    hooks, outcome = due
    with enter_task(attempt.context) as run_context:
        for hook in hooks:
            try:
                if inspect.iscoroutinefunction(hook):
                    await asyncio.wait_for(hook(context, outcome), LIMIT)
                    continue
                answer = await aside(contextvars.copy_context().run, hook, context, outcome)
                if inspect.isawaitable(answer):
                    await asyncio.wait_for(answer, LIMIT)
            except BaseException as error:  # noqa: BLE001 - as above
                _note(attempt, run_context, hook, error)


async def _bounded(answer: Awaitable[object]) -> None:
    await asyncio.wait_for(answer, LIMIT)


def _context(attempt: Attempt) -> RunContext:
    """Of a workflow one without its waits and chance: hooks run once, outside its loop."""
    if attempt.kind != WORKFLOW:
        return attempt.context
    own = attempt.context
    return RunContext(own.run_id, routine=own.routine, attempt=own.attempt)


def _note(attempt: Attempt, run_context: RunContext, function: object, error: BaseException) -> None:
    name = getattr(function, "__qualname__", repr(function))
    RunLogger(run_context).error(
        "%s of %s failed, which changes nothing about the run", name, attempt.routine.id, exc_info=error
    )
    if not run_context.silent:
        attempt.hook_errors = [*attempt.hook_errors, f"{name}: {type(error).__name__}: {error}"]


# ---------------------------------------------------------------------------------------------------------- middleware


def wrapped(attempt: Attempt, function: Callable[..., Any]) -> Callable[..., Any]:
    """The body in its middleware; the body itself where there is none."""
    hooks: Hooks | None = attempt.hooks
    around = hooks.wrapping(function) if hooks is not None and hooks.middleware else ()
    if not around:
        return function
    layer = _async_layer if inspect.iscoroutinefunction(function) else _layer

    def body(*args: Any, **kwargs: Any) -> Any:
        def call() -> Any:
            return function(*args, **kwargs)

        for one in reversed(around):
            call = layer(attempt, one, call)
        return call()

    return body


class _Inner:
    """The rest of a call, as one middleware sees it, and what came of it."""

    def __init__(self, attempt: Attempt, middleware: Middleware) -> None:
        self._attempt = attempt
        self._middleware = middleware
        self.called = False
        self.value: Any = None
        self.error: BaseException | None = None

    def judge(self, error: BaseException) -> None:
        """Raise what counts: the body's own error, or the middleware's word on the run. All else is noted."""
        if error is self.error or isinstance(error, _WORDS):
            raise error
        _note(self._attempt, self._attempt.context, self._middleware, error)
        if self.error is not None:
            raise self.error


def _layer(attempt: Attempt, middleware: Middleware, following: Callable[[], Any]) -> Callable[[], Any]:
    def call() -> Any:
        inner = _Inner(attempt, middleware)

        def rest() -> Any:
            inner.called = True
            try:
                inner.value = following()
            except BaseException as error:
                inner.error = error
                raise
            return inner.value

        try:
            return middleware(context, rest)
        except BaseException as error:  # noqa: BLE001 - judged: what is the middleware's own changes nothing
            inner.judge(error)
        return inner.value if inner.called else rest()

    return call


def _async_layer(
    attempt: Attempt, middleware: Middleware, following: Callable[[], Coroutine[Any, Any, Any]]
) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def call() -> Any:
        inner = _Inner(attempt, middleware)

        async def rest() -> Any:
            inner.called = True
            try:
                inner.value = await following()
            except BaseException as error:
                inner.error = error
                raise
            return inner.value

        try:
            return await middleware(context, rest)
        except BaseException as error:  # noqa: BLE001 - as above
            inner.judge(error)
        return inner.value if inner.called else await rest()

    return call
