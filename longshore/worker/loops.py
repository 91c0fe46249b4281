"""Runs `async def` routines: one event loop in one thread, one asyncio task per attempt.

HOT PATH. It never touches the bus's loop but through the tray, and never blocks: what is read from or written to the
payload store goes through a small pool of threads.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from contextvars import Context
from typing import Any, Final

from longshore.core.message import Finished
from longshore.engine import enter_task
from longshore.worker import hooking
from longshore.worker.attempt import Attempt
from longshore.worker.bench import check_wanted
from longshore.worker.desk import Desk
from longshore.worker.keeping import Keeping
from longshore.worker.voices import LoopVoice

KIND: Final = "loop"
PAYLOAD_THREADS: Final = 4
CLOSE_TIMEOUT: Final = 5.0


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's event loop where it is installed, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class LoopExecutor:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._slots = desk.slots
        self._woken = False
        self._ended = 0
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._payloads = concurrent.futures.ThreadPoolExecutor(PAYLOAD_THREADS, "longshore-payloads")
        self._loop = new_loop()
        self._keeping = Keeping(desk, self._aside)
        self._thread = threading.Thread(target=self._live, name="longshore-loop", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """See Executor."""
        if not self._woken and not self._closing:
            self._woken = True
            self._loop.call_soon_threadsafe(self._look)

    def interrupt(self, attempt: Attempt) -> None:
        """See Executor: its asyncio task is canceled."""
        if not self._closing:
            self._loop.call_soon_threadsafe(self._cancel, attempt)

    def close(self) -> None:
        """See Executor. Tasks that do not end in time are left behind with their thread."""
        if self._closing:
            return
        self._closing = True
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(CLOSE_TIMEOUT)
        self._payloads.shutdown(wait=False, cancel_futures=True)
        if not self._thread.is_alive():
            self._loop.close()

    # ------------------------------------------------------------------------------------------ on the loop's thread

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._loop.create_task(self._settle())

    async def _settle(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT / 2)
        await self._loop.shutdown_asyncgens()
        self._loop.stop()

    def _look(self) -> None:
        self._woken = False
        self._launch(self._slots.take(KIND, self._slots.total))

    def _turn(self) -> None:
        ended, self._ended = self._ended, 0
        self._launch(self._desk.next(KIND, ended))

    def _launch(self, attempts: list[Attempt]) -> None:
        create_task, tasks, begin = self._loop.create_task, self._tasks, self._desk.begin
        for attempt in attempts:
            begin(attempt)
            # An empty context: ours is that of the attempt that ended before, with whatever its code put there.
            task = attempt.handle = create_task(self._run(attempt), context=Context())
            tasks.add(task)

    def _cancel(self, attempt: Attempt) -> None:
        if attempt.entered and attempt.handle is not None and attempt.settled is None:
            attempt.handle.cancel()

    async def _run(self, attempt: Attempt) -> None:
        attempt.entered = True
        try:
            report = await self._report(attempt)
        except BaseException as error:  # noqa: BLE001 - whatever a routine raises is its outcome, SystemExit included
            attempt.error = error
            report = self._desk.bench.failed(attempt, error)
            await self._keeping.settle(attempt)
        if attempt.hooks is not None:
            await self._finish(attempt, report)
        attempt.error = None  # its frames hold the routine's values
        self._tasks.discard(attempt.handle)
        attempt.handle = None
        self._desk.end(attempt, report)
        self._ended += 1
        if self._ended == 1:
            self._loop.call_soon(self._turn)

    async def _finish(self, attempt: Attempt, report: Finished) -> None:
        due = None if attempt.reported else hooking.due_after(attempt, report, attempt.result)
        if due is not None:
            attempt.settle(report)
            await hooking.run_async(attempt, due, self._aside)
        attempt.result = None

    async def _report(self, attempt: Attempt) -> Finished:
        bench, start, routine = self._desk.bench, attempt.start, attempt.routine
        check_wanted(attempt)
        arguments = await self._aside(bench.prepare, attempt) if bench.is_heavy(start) else bench.prepare(attempt)
        token = self._desk.enter(attempt, LoopVoice(self._desk, attempt, self._keeping))
        try:
            with enter_task(attempt.context):
                if attempt.hooks is None:
                    value = await routine.function(*arguments.args, **arguments.kwargs)
                else:
                    await hooking.run_async(attempt, hooking.due_before(attempt), self._aside)
                    value = await hooking.wrapped(attempt, routine.function)(*arguments.args, **arguments.kwargs)
                    attempt.result = value
        finally:
            if token is not None:
                self._desk.telemetry.detach(token)
        result: Any = bench.result(value)
        if result is None:
            result = await self._aside(bench.stow, value, attempt.key_prefix)
        return bench.completed(attempt, result, arguments)

    async def _aside(self, function: Any, *args: Any) -> Any:
        return await self._loop.run_in_executor(self._payloads, function, *args)
