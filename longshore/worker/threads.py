"""Runs `def` routines in threads of its own, one per slot in use. A thread takes the next attempt itself where one
ended.

It cannot stop a thread: what outlives its time keeps its slot and is told by `context.canceled`.
"""

from __future__ import annotations

import threading
from contextvars import Context
from queue import SimpleQueue
from typing import Any, Final

from longshore.core.message import Finished
from longshore.engine import enter_task
from longshore.worker import hooking
from longshore.worker.attempt import Attempt
from longshore.worker.bench import check_wanted
from longshore.worker.desk import Desk
from longshore.worker.voices import AttemptVoice

KIND: Final = "thread"


class ThreadExecutor:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._given: SimpleQueue[Attempt | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0  # threads that wait, less attempts given and not yet taken
        self._lock = threading.Lock()
        self._closing = False

    def wake(self) -> None:
        """See Executor."""
        if not self._closing:
            self._give(self._desk.slots.take(KIND, self._desk.slots.total))

    def interrupt(self, attempt: Attempt) -> None:
        """See Executor: the code is told, nothing else can be done."""
        attempt.context.canceled = True

    def close(self) -> None:
        """See Executor. Threads whose code does not return are left behind."""
        if self._closing:
            return
        self._closing = True
        for _ in self._threads:
            self._given.put(None)

    def _give(self, attempts: list[Attempt]) -> None:
        if not attempts:
            return
        with self._lock:
            self._idle -= len(attempts)
            missing = min(-self._idle, self._desk.slots.total - len(self._threads))
            for _ in range(missing):
                self._idle += 1
                number = len(self._threads) + 1
                thread = threading.Thread(target=self._live, name=f"longshore-task-{number}", daemon=True)
                self._threads.append(thread)
                thread.start()
        for attempt in attempts:
            self._given.put(attempt)

    # -------------------------------------------------------------------------------------------- in each thread

    def _live(self) -> None:
        while (attempt := self._given.get()) is not None:
            following: Attempt | None = attempt
            while following is not None:
                following = self._work(following)
            with self._lock:
                self._idle += 1

    def _work(self, attempt: Attempt) -> Attempt | None:
        desk = self._desk
        desk.begin(attempt)
        try:
            report = Context().run(self._report, attempt)
        except BaseException as error:  # noqa: BLE001 - whatever a routine raises is its outcome, SystemExit included
            attempt.error = error
            report = desk.bench.failed(attempt, error)
        if attempt.hooks is not None:
            self._finish(attempt, report)
        attempt.error = None  # its frames hold the routine's values
        desk.end(attempt, report)
        started = desk.next(KIND)
        if len(started) > 1:
            self._give(started[1:])
        return started[0] if started else None

    def _finish(self, attempt: Attempt, report: Finished) -> None:
        due = None if attempt.reported else hooking.due_after(attempt, report, attempt.result)
        if due is not None:
            attempt.settle(report)
            Context().run(hooking.run, attempt, due)
        attempt.result = None

    def _report(self, attempt: Attempt) -> Finished:
        bench, routine = self._desk.bench, attempt.routine
        check_wanted(attempt)
        arguments = bench.prepare(attempt)
        token = self._desk.enter(attempt, AttemptVoice(self._desk, attempt))
        try:
            with enter_task(attempt.context):
                if attempt.hooks is None:
                    value = routine.function(*arguments.args, **arguments.kwargs)
                else:
                    hooking.run(attempt, hooking.due_before(attempt))
                    value = hooking.wrapped(attempt, routine.function)(*arguments.args, **arguments.kwargs)
                    attempt.result = value
        finally:
            if token is not None:
                self._desk.telemetry.detach(token)
        result: Any = bench.result(value)
        if result is None:
            result = bench.stow(value, attempt.key_prefix)
        return bench.completed(attempt, result, arguments)
