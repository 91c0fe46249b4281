"""The program of a warm child process: it imports the routines once, then executes one attempt after another.

An entry point (`python -m longshore.worker.process_child FD`). It speaks only to its worker and dies with it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import inspect
import os
import queue
import signal
import socket
import sys
import threading
from contextvars import Context
from typing import Any, Final

from longshore.core.errors import LongshoreError
from longshore.core.message import Finished, Value
from longshore.engine import enter_task
from longshore.payloads import Cargo, open_store
from longshore.routines.catalog import Catalog, collect
from longshore.telemetry import Telemetry, setup, setup_logging
from longshore.telemetry.log import CURRENT, LogScope
from longshore.worker import hooking
from longshore.worker.attempt import Attempt
from longshore.worker.bench import Bench
from longshore.worker.frames import Cancel, Ended, Execute, Pipe, Prepare, Prepared
from longshore.worker.memory import bounded
from longshore.worker.parent import die_with_parent
from longshore.worker.voice import ChildVoice

_GONE: Final = 3


class Child:
    """One attempt at a time, in the main thread; another thread listens."""

    def __init__(self, pipe: Pipe, catalog: Catalog, bench: Bench, telemetry: Telemetry) -> None:
        self._pipe = pipe
        self._catalog = catalog
        self._bench = bench
        self._telemetry = telemetry
        self._voice = ChildVoice(pipe, bench)
        self._orders: queue.SimpleQueue[Execute] = queue.SimpleQueue()
        self._attempt: Attempt | None = None

    def live(self) -> None:
        """Until the worker is gone, which ends the process."""
        threading.Thread(target=self._listen, name="longshore-pipe", daemon=True).start()
        while True:
            self._pipe.send(Ended(self._execute(self._orders.get())))

    def _listen(self) -> None:
        while (frame := self._pipe.receive()) is not None:
            if isinstance(frame, Execute):
                self._orders.put(frame)
            elif isinstance(frame, Cancel) and self._attempt is not None:
                self._attempt.context.canceled = True
        os._exit(_GONE)  # the worker is gone; nobody would hear what the code still says

    def _execute(self, order: Execute) -> Finished:
        start = order.start
        routine = self._catalog.find(start.routine, start.version)
        if routine is None:
            raise SystemExit(f"{start.routine}@{start.version} is known to the worker and not to its child process")
        attempt = self._attempt = Attempt(start, routine)
        attempt.span = order.span
        self._voice.attempt = attempt
        attempt.context.voice = self._voice
        attempt.begin()
        attempt.hooks = self._catalog.hooks.get(routine.id)
        try:
            report = Context().run(self._report, attempt)
        except BaseException as error:  # noqa: BLE001 - whatever a routine raises is its outcome, SystemExit included
            attempt.error = error
            report = self._bench.failed(attempt, error)
        try:
            if attempt.hooks is not None and not attempt.context.canceled:  # else the worker runs them, unhurried
                Context().run(hooking.run, attempt, hooking.due_after(attempt, report, attempt.result))
            return report
        finally:
            self._attempt = None
            attempt.context.silent = True  # a thread that its code left behind must not speak for the next one
            self._voice.flush()

    def _report(self, attempt: Attempt) -> Finished:
        arguments = self._bench.prepare(attempt)
        attempt.user_code = True
        CURRENT.set(LogScope(attempt.run_id, attempt.routine.id, attempt.span))
        token = self._telemetry.attach(attempt.span) if attempt.span else None
        try:
            with bounded(attempt.routine.policy.memory_limit), enter_task(attempt.context):
                hooking.run(attempt, hooking.due_before(attempt))
                value = hooking.wrapped(attempt, attempt.routine.function)(*arguments.args, **arguments.kwargs)
                if inspect.iscoroutine(value):
                    value = asyncio.run(value)
                if attempt.hooks is not None:
                    attempt.result = value
        finally:
            self._telemetry.detach(token)
        result: Value | None = self._bench.result(value)
        return self._bench.completed(attempt, self._stowed(value, attempt) if result is None else result, arguments)

    def _stowed(self, value: Any, attempt: Attempt) -> Value:
        return self._bench.stow(value, attempt.key_prefix)


def _heard(_number: int, _frame: object) -> None:
    """Not SIG_IGN: that would be inherited by the programs that routines start."""


def main() -> None:
    """Prepare as the worker says, then live."""
    faulthandler.enable()  # a fault leaves its stack in stderr, and so in the run's evidence
    pipe = Pipe(socket.socket(fileno=int(sys.argv[1])))
    die_with_parent(signal.SIGKILL, int(sys.argv[2]))
    for asked in (signal.SIGTERM, signal.SIGINT):  # whoever stops all processes: the worker ends us, when it may
        signal.signal(asked, _heard)
    prepare = pipe.receive()
    if not isinstance(prepare, Prepare):
        raise SystemExit(_GONE)
    sys.path[:] = prepare.path
    setup_logging(prepare.log_json, prepare.log_level)
    try:
        catalog = collect(prepare.modules)
        cargo = Cargo(open_store(**prepare.store), prepare.inline_limit)  # type: ignore[arg-type]  # its own keywords
    except LongshoreError as error:
        pipe.send(Prepared(f"{type(error).__name__}: {error}"))
        raise SystemExit(1) from error
    telemetry = setup("longshore-worker", f"{socket.gethostname()}-{os.getpid()}")
    telemetry.share()
    pipe.send(Prepared())
    Child(pipe, catalog, Bench(cargo, prepare.project), telemetry).live()


if __name__ == "__main__":
    main()
