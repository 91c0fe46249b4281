"""A deterministic event loop: a deque of ready callbacks, a clock that stands still, no selector. It never waits.

It runs plain asyncio code (gather, TaskGroup, timeout, Queue, ...) until nothing is ready. Time passes and timers fire
only when its owner says so. Whatever reaches for the world raises ForbiddenInWorkflow.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import math
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from longshore.core.errors import UsageError
from longshore.engine import guards, origins
from longshore.engine.addresses import Scope
from longshore.engine.closed import ClosedLoop

_SALT_SHIFT: Final = 24
_APART: Final = 1 << (_SALT_SHIFT - 1)
"""Where the numbers of futures begin, and of tasks that only some Python versions make."""
LONGEST: Final = 100 * 365.25 * 86_400
"""Seconds that a timer may take."""
_THROWS: Final = 20
"""How often a coroutine that is put away may await again before it is dropped where it stands."""


_IGNORED: Final = "ignored GeneratorExit"
"""What Python says of a coroutine that awaits again when it is closed."""


class PutAway(BaseException):
    """Unwinds a coroutine that is put away. User code is not meant to see it; nothing it does then has an effect."""


class DurableTimer(asyncio.TimerHandle):
    """A timer that the owner of the loop keeps."""

    __slots__ = ("address", "microseconds")

    address: str
    microseconds: int


class Owner(Protocol):
    """Who keeps the timers and hears of failures that nobody awaited."""

    def timer_asked(self, timer: DurableTimer) -> None: ...
    def timer_canceled(self, timer: DurableTimer) -> None: ...
    def failure_lost(self, context: dict[str, Any]) -> None: ...


class OrderedFuture(asyncio.Future[Any]):
    """A future hashed by its number, so that a set of them has the same order in every replay."""

    order: int

    def __hash__(self) -> int:
        return self.order


class WorkflowTask(asyncio.Task[Any]):
    """An asyncio task that knows its scope, hashed by its number in the order of making."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        loop: asyncio.AbstractEventLoop,
        name: str | None,
        context: contextvars.Context,
        scope: Scope,
        order: int,
    ) -> None:
        self.order = order
        self.scope = scope
        self.ground = context
        super().__init__(coro, loop=loop, name=name, context=context)
        self._log_destroy_pending = False  # the loop holds it for as long as the loop lives

    def __hash__(self) -> int:
        return self.order

    def put_away(self) -> bool:
        """Unwind the coroutine where it stands; the loop must have been halted before. Whether it ended."""
        coro = self.get_coro()
        return any(self.ground.run(_ends, coro) for _ in range(_THROWS))


def _ends(coro: Any) -> bool:
    """Whether the coroutine ends when it is unwound. What it held is dropped in here, in its own context."""
    try:
        coro.throw(PutAway())
    except BaseException:  # noqa: BLE001 - whatever the user's `finally` raises: it has ended
        return True
    return False


def _drop(stubborn: list[WorkflowTask]) -> None:
    """Have the garbage collector take coroutines that do not end, here and now: it tries to close them, which runs
    their code once more. In here that code finds a loop that executes nothing; elsewhere, at any later time and in any
    thread, it could do whatever it likes."""
    hook, enabled = sys.unraisablehook, gc.isenabled()
    gc.disable()  # so that no other thread's turn comes first
    sys.unraisablehook = lambda told: None if _IGNORED in str(told.exc_value) else hook(told)
    try:
        stubborn.clear()
        gc.collect()
    finally:
        sys.unraisablehook = hook
        if enabled:
            gc.enable()


class WorkflowLoop(ClosedLoop):
    """See the module. `salt` sets apart the hashes of different workflows' tasks; a workflow keeps its own for ever."""

    def __init__(self, owner: Owner, *, salt: int = 0) -> None:
        guards.install()
        origins.install()
        self.clock = 0.0
        """Seconds since the workflow started."""
        self.halted = False
        self.escaped: BaseException | None = None
        """A SystemExit or KeyboardInterrupt that came out of the code: it ends the workflow."""
        self.stopped: BaseException | None = None
        """Set by another thread: raised out of `pump` before its next step, however much is ready."""
        self._owner = owner
        self._ready: deque[asyncio.Handle] = deque()
        self._root = Scope("0")
        self._order = salt << _SALT_SHIFT
        self._order_apart = self._order + _APART
        self._made: list[WorkflowTask] = []  # strong: a task nobody holds must not be collected half-way
        self._room = 64

    # ------------------------------------------------------------------------------------------------ for its owner

    def start(self, coro: Coroutine[Any, Any, Any], context: contextvars.Context) -> WorkflowTask:
        """Make the main task, scope `0`."""
        return self._make(coro, self._root, self._next_order(), None, context)

    def pump(self) -> None:
        """Run until nothing is ready, or the loop is halted."""
        ready = self._ready
        with self._running():
            while ready:
                if self.stopped is not None:
                    raise self.stopped
                handle = ready.popleft()
                if handle._cancelled:
                    continue
                try:
                    handle._run()
                except (SystemExit, KeyboardInterrupt) as error:
                    self.escaped = error
                    self.halt()

    def fire(self, timer: DurableTimer) -> None:
        """The timer's instant has come."""
        self._ready.append(timer)

    def halt(self) -> None:
        """Run nothing more, whatever is asked."""
        self.halted = True
        self._ready.clear()

    def put_away(self) -> None:
        """Unwind every task that has not ended, without any effect outside its own memory."""
        self.halt()
        with self._running():
            stubborn = self._unwind()
            if stubborn:
                ground = stubborn[0].ground.copy()
                ground.run(_drop, stubborn)  # that list has the last references

    def _unwind(self) -> list[WorkflowTask]:
        """Those that do not end, whatever is thrown at them."""
        stubborn: list[WorkflowTask] = []
        while self._made:
            made = self._made.pop()
            if made.done():
                made._log_traceback = False
            elif not made.put_away():
                stubborn.append(made)
        return stubborn

    def report_lost(self) -> None:
        """Tell the owner of failures of tasks that nobody awaited."""
        for made in self._made:
            if made.done() and made._log_traceback:
                made._log_traceback = False
                if isinstance(made.exception(), PutAway):
                    continue
                lost = {"message": f"scope {made.scope.path}: nobody awaited it", "exception": made.exception()}
                self._owner.failure_lost(lost)

    def live(self) -> list[WorkflowTask]:
        """The tasks that have not ended, in the order of making."""
        return [made for made in self._made if not made.done()]

    @contextmanager
    def _running(self) -> Iterator[None]:
        loop, hooks, outer = asyncio._get_running_loop(), sys.get_asyncgen_hooks(), guards.HERE.loop
        asyncio._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._close_generator)
        guards.HERE.loop = self
        try:
            yield
        finally:
            guards.HERE.loop = outer
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(loop)

    def _close_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        # Dropped by the code at this very place: closed, as any loop does. Found by the garbage collector, at a place
        # that differs in each replay: its `finally` is not run at all.
        if guards.HERE.loop is self and not guards.HERE.collecting and not self.halted:
            self.create_task(generator.aclose())

    # ------------------------------------------------------------------------------------ what asyncio asks of a loop

    def get_debug(self) -> bool:
        """Always False: debug mode looks at the real clock."""
        return False

    def is_running(self) -> bool:
        """Always True for code inside."""
        return True

    def is_closed(self) -> bool:
        """Whether it has been halted."""
        return self.halted

    def close(self) -> None:
        """Nothing is open."""

    def time(self) -> float:
        """Seconds since the workflow started, as the ledger told them; still while code runs."""
        return self.clock

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Run the callback in this pump, after what is ready already."""
        handle = asyncio.Handle(callback, args, self, context)
        if not self.halted:
            self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """A durable timer of `delay` seconds."""
        return self.call_at(self.clock + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """A durable timer; an instant that is not in the future is now, an infinite one never comes."""
        timer = DurableTimer(when, callback, args, self, context)
        timer.address = ""
        delay = when - self.clock
        if self.halted or not math.isfinite(delay):
            return timer
        if delay > LONGEST:
            raise UsageError(
                f"a workflow waits for {delay:g} s, which is over a hundred years: to wait until somebody says so, use "
                "context.wait_for_signal(...) or a token"
            )
        timer.microseconds = round(delay * 1_000_000)
        if timer.microseconds <= 0:
            self._ready.append(timer)
        else:
            self._owner.timer_asked(timer)
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, DurableTimer) and handle.address and not self.halted:
            self._owner.timer_canceled(handle)

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        future = OrderedFuture(loop=self)
        future.order = self._next_order_apart()
        return future

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: contextvars.Context | None = None,
        **_eager: Any,
    ) -> asyncio.Task[Any]:
        """A task in a scope of its own, below the task that makes it."""
        parent = self.scope()
        if origins.made_by_wait_for(1):
            scope, order = parent, self._next_order_apart()
        else:
            scope, order = parent.child(), self._next_order()
        return self._make(coro, scope, order, None if name is None else str(name), context)

    def scope(self) -> Scope:
        """The scope of the code that runs now; of a bare callback, the main one."""
        current = asyncio.current_task(self)
        return current.scope if isinstance(current, WorkflowTask) else self._root

    def _next_order(self) -> int:
        self._order += 1
        return self._order

    def _next_order_apart(self) -> int:
        self._order_apart += 1
        return self._order_apart

    def _make(
        self, coro: Any, scope: Scope, order: int, name: str | None, context: contextvars.Context | None
    ) -> WorkflowTask:
        ground = contextvars.copy_context() if context is None else context
        made = WorkflowTask(
            coro, loop=self, name=name or f"workflow {scope.path}", context=ground, scope=scope, order=order
        )
        self._made.append(made)
        if len(self._made) > self._room:
            self._made = self.live()
            self._room = max(64, 2 * len(self._made))
        return made

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A failure that nobody awaited."""
        self._owner.failure_lost(context)

    default_exception_handler = call_exception_handler

    async def shutdown_asyncgens(self) -> None:
        """Nothing to do: see `_close_generator`."""
