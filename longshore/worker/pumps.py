"""A watch over the workflows' thread: a pump that takes long is logged with its stack, one that never ends is ended.

Workflows should only arrange work. One that computes without an end would hold up all others of its worker, whatever
is decided about it. Its loop is stopped between two of its steps; if it does not come to an end of the step under way,
it is struck with an exception, from another thread and only while it runs. Where even that has no effect, because it
stands in foreign code that waits for something, the process ends; the others go on elsewhere.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from longshore.core.errors import ForbiddenInWorkflow
from longshore.engine import stacks
from longshore.worker.attempt import Attempt
from longshore.worker.desk import log

LONG: Final = 1.0
STRIKE_FIRST: Final = 0.4
"""Seconds from the stopping of its loop to the first blow."""
STRIKE_AGAIN: Final = 5.0
STRIKES: Final = 6
"""How often it is stopped or struck before the process ends."""
EXIT_STATUS: Final = 70


class Endless(BaseException):
    """Raised into a workflow that computes without an end; no `except Exception` takes it."""


class _Pump:
    """One stretch of a workflow's code, `since` when."""

    __slots__ = ("attempt", "limit", "since", "stack", "stop", "strikes", "struck_at", "warned", "where")

    def __init__(self, attempt: Attempt, stop: Callable[[], None], where: Callable[[], str], limit: float) -> None:
        self.attempt = attempt
        self.limit = limit
        self.stop = stop
        self.where = where
        self.since = time.monotonic()
        self.warned = False
        self.strikes = 0
        self.struck_at = 0.0
        self.stack = ""


class Pumps:
    """See the module. `give_up` ends the process."""

    def __init__(self, limit: timedelta, give_up: Callable[[int], object] = os._exit) -> None:
        self._limit = limit.total_seconds()
        self._give_up = give_up
        self._lock = threading.Lock()
        self._pump: _Pump | None = None
        self._thread = 0

    # ---------------------------------------------------------------------------------------- in the workflows' thread

    @contextmanager
    def watched(
        self,
        attempt: Attempt,
        stop: Callable[[], None] = lambda: None,
        where: Callable[[], str] = lambda: "",
        time_left: float = math.inf,
    ) -> Iterator[_Pump]:
        """Code of this workflow runs in here; nothing is raised into the thread outside. `stop`, called in another
        thread, has Endless raised after the step under way; `where` says in this one where its coroutines stand. Raises
        ForbiddenInWorkflow, with the places, for what had to be ended."""
        self._thread = threading.get_ident()
        pump = self._pump = _Pump(attempt, stop, where, min(self._limit, time_left))
        try:
            yield pump
        except Endless:
            raise self.too_long(pump) from None
        finally:
            self._leave(pump)

    def _leave(self, pump: _Pump) -> None:
        while True:
            try:
                with self._lock:
                    self._pump = None  # from here on it is not struck any more
                if pump.strikes:
                    _take_what_is_on_its_way()
            except Endless:
                continue
            return

    def too_long(self, pump: _Pump) -> ForbiddenInWorkflow:
        """What is to be told of a workflow that was struck."""
        return ForbiddenInWorkflow(
            f"workflow {pump.attempt.routine.id} computed for over {self._limit:g} s without waiting for anything, "
            "holding up all workflows of its worker: move that to a task (@define.task) and await it\n"
            f"{pump.where() or pump.stack}"
        )

    # --------------------------------------------------------------------------------------------- in another thread

    def look(self, now: float) -> None:
        """Warn of a pump that takes long, strike one that takes too long or is not wanted any more. `now` is
        monotonic."""
        pump = self._pump
        if pump is None or now - pump.since < min(LONG, pump.limit):
            return
        if not pump.warned and now - pump.since >= LONG:
            pump.warned = True
            log.warning(
                "workflow %s (run %s) has computed for over %g s, holding up all workflows here; move that to a task\n"
                "%s",
                pump.attempt.routine.id,
                pump.attempt.run_id,
                LONG,
                stacks.of_thread(self._thread),
            )
        again = STRIKE_FIRST if pump.strikes == 1 else STRIKE_AGAIN
        over = pump.attempt.reported or now - pump.since >= pump.limit
        if over and (not pump.strikes or now - pump.struck_at >= again):
            self._end(pump, now)

    def _end(self, pump: _Pump, now: float) -> None:
        text = "workflow %s (run %s) computes without an end and is %s\n%s"
        shown = pump.attempt.routine.id, pump.attempt.run_id
        with self._lock:
            if self._pump is not pump:
                return
            if pump.strikes >= STRIKES:
                log.critical(text, *shown, "not to be ended: this process ends", stacks.of_thread(self._thread))
                self._give_up(EXIT_STATUS)
                return
            pump.strikes, pump.struck_at = pump.strikes + 1, now
            pump.stack = stacks.of_thread(self._thread)
            log.error(text, *shown, "ended", pump.stack)
            if pump.strikes == 1:
                pump.stop()
            else:
                _strike(self._thread, Endless)


def _take_what_is_on_its_way() -> None:
    """Have raised here, in this thread, what it was struck with and has not felt yet. (To take it back by NULL leaves
    the interpreter's flag for such exceptions set, in CPython 3.11: from then on every function call of every thread
    looks for one, and where calls are traced none ever ends.)"""
    for _ in range(2):
        pass  # going round is where the interpreter looks


def _strike(thread: int, error: type[BaseException]) -> None:
    """Have this raised in a thread at its next instruction. Source: Python/C API, PyThreadState_SetAsyncExc."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
