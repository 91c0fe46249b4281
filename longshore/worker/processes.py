"""Runs `isolation="process"` routines in warm child processes that can be killed. One thread keeps one child.

A child is a clean interpreter (no fork of a threaded process), imports the modules once, encodes and stores its
results itself, and dies with the worker. A child that dies takes only its own attempt with it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextvars import Context
from queue import SimpleQueue
from typing import Final, NamedTuple

from longshore.core.message import Failure, Finished, Released
from longshore.core.sizes import spell
from longshore.serialization.failures import encode_failure
from longshore.worker import hooking, memory
from longshore.worker.attempt import Attempt
from longshore.worker.bench import CANCELED, CRASHED, FAILED, OUT_OF_MEMORY, Verdict, ended, judge
from longshore.worker.desk import Desk, log
from longshore.worker.frames import Alive, Cancel, Edited, Ended, Execute, Kept, Pipe, Prepare, Prepared, Said
from longshore.worker.stderr import Tail

KIND: Final = "process"
PREPARE_TIMEOUT: Final = 60.0
CANCEL_GRACE: Final = 1.0
"""Seconds in which the code of a canceled run may notice, before its process is killed."""
GROW_AFTER: Final = 0.5
"""Seconds an attempt waits for a child before one more is started beyond the number of cores: an interpreter costs 0.3
s of CPU and tens of MB, so short work rather waits for the children that are there."""
WAIT_TIMEOUT: Final = 5.0


class CannotPrepare(Exception):
    """A child process could not be started or could not import the routines."""


class Death(NamedTuple):
    """How a child process ended, whether for lack of memory, and the end of what it wrote to stderr."""

    how: str
    starved: bool
    tail: str


class Child:
    """A child process and our end of the pipe. The keeper's thread talks; any thread may kill."""

    def __init__(self, prepare: Prepare) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "longshore.worker.process_child", str(theirs.fileno()), str(os.getpid())]
        hears, says = os.pipe()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(prepare.path)}
        try:
            # Its own session: a Ctrl-C at the terminal is the worker's matter, and a kill reaches what its code
            # started.
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stderr=says,
                env=environment,
            )
        except OSError as error:
            ours.close()
            os.close(hears)
            raise CannotPrepare(f"a child process cannot be started: {error}") from error
        finally:
            theirs.close()
            os.close(says)
        self._tail = Tail(hears)
        self._kernel_kills = memory.kernel_kills()
        self._overfull = ""
        self._pipe = Pipe(ours)
        self._guard = threading.Lock()
        self._attempt: Attempt | None = None
        self._prepare(prepare)

    def _prepare(self, prepare: Prepare) -> None:
        self._pipe.wait_at_most(PREPARE_TIMEOUT)
        with contextlib.suppress(OSError):
            self._pipe.send(prepare)
        answer = self._pipe.receive()
        self._pipe.wait_at_most(None)
        if not isinstance(answer, Prepared) or answer.problem:
            told = answer.problem if isinstance(answer, Prepared) else "it ended, or did not answer in time"
            raise CannotPrepare(f"a child process cannot run routines: {told}; {self.bury().how}")

    def look(self) -> None:
        """Kill the process if it uses more memory than its attempt may."""
        attempt = self._attempt
        limit = None if attempt is None else attempt.routine.policy.memory_limit
        if attempt is None or limit is None or self._overfull:
            return
        used = memory.used(self._process.pid, limit)
        if used > limit:
            self._overfull = f"its process used {spell(used)}, and its memory_limit is {spell(limit)}"
            self.kill(attempt)

    def execute(self, desk: Desk, attempt: Attempt) -> Finished | None:
        """The report of the attempt; None if the child died over it."""
        with self._guard:
            self._attempt = attempt
        self._tail.forget()
        try:
            self._pipe.send(Execute(attempt.start, attempt.span))
            while (frame := self._pipe.receive()) is not None:
                if isinstance(frame, Said):
                    desk.progress(attempt, frame.fraction, frame.text)
                elif isinstance(frame, Alive):
                    attempt.show_life()
                elif isinstance(frame, Edited):
                    desk.edit_all(attempt, frame.edits)
                elif isinstance(frame, Kept):
                    desk.saved(attempt, frame.value)
                elif isinstance(frame, Ended):
                    return frame.report
        except OSError:
            return None
        finally:
            with self._guard:
                self._attempt = None
        return None

    def cancel(self, attempt: Attempt) -> None:
        """Let the code of this attempt know, if it is still under way."""
        with self._guard, contextlib.suppress(OSError):
            if self._attempt is attempt:
                self._pipe.send(Cancel())

    def kill(self, attempt: Attempt | None) -> None:
        """Kill the process and what it started, if it still executes this attempt (None: whatever it does)."""
        with self._guard:
            if (attempt is None or self._attempt is attempt) and self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def bury(self) -> Death:
        """Kill what is left and say how it ended."""
        how = self._end()
        starved = bool(self._overfull)
        if not starved and self._process.returncode == -signal.SIGKILL and memory.kernel_kills() > self._kernel_kills:
            starved, how = True, "the kernel killed its process for lack of memory"
        return Death(self._overfull or how, starved, self._tail.text(CANCEL_GRACE))

    def _end(self) -> str:
        self._pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CANCEL_GRACE)  # it is ending by itself: learn how
        died = self._process.returncode
        self.kill(None)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(WAIT_TIMEOUT)
        if died is None:
            return "its process was killed"
        if died < 0:
            hint = ", perhaps for lack of memory" if -died == signal.SIGKILL else ""
            return f"its process was ended by {signal.Signals(-died).name}{hint}"
        return f"its process ended with status {died}"


class ProcessExecutor:
    """See the module. `store` are the arguments of `payloads.open_store`: a child opens the store itself."""

    def __init__(
        self, desk: Desk, modules: Sequence[str], *, store: Mapping[str, str | None], inline_limit: int, project: str
    ) -> None:
        root = logging.getLogger()
        self._desk = desk
        self._prepare = Prepare(
            path=list(sys.path),
            modules=list(modules),
            store=dict(store),
            inline_limit=inline_limit,
            project=project,
            log_level=root.level,
            log_json=any(type(handler.formatter).__name__ == "JsonFormatter" for handler in root.handlers),
        )
        self._given: SimpleQueue[Attempt | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._keepers: list[threading.Thread] = []
        self._children: set[Child] = set()
        self._idle = 0
        self._growing: threading.Timer | None = None
        self._closing = False

    def wake(self) -> None:
        """See Executor."""
        if not self._closing:
            self._give(self._desk.slots.take(KIND, self._desk.slots.total))

    def interrupt(self, attempt: Attempt) -> None:
        """See Executor: a canceled one may notice, then its process is killed; one whose time is over is killed at
        once."""
        child = attempt.handle
        if not isinstance(child, Child):
            return
        if attempt.overdue is not None or attempt.reported:
            child.kill(attempt)
            return
        threading.Thread(target=child.cancel, args=(attempt,), daemon=True).start()
        killing = threading.Timer(CANCEL_GRACE, child.kill, (attempt,))
        killing.daemon = True
        killing.start()

    def look(self) -> None:
        """See that no child uses more memory than it may. From the bus's thread, now and then."""
        with self._lock:
            children = list(self._children)
        for child in children:
            child.look()

    def close(self) -> None:
        """See Executor: every child is killed."""
        if self._closing:
            return
        with self._lock:
            self._closing = True
            children = list(self._children)
            if self._growing is not None:
                self._growing.cancel()
        for _ in self._keepers:
            self._given.put(None)
        for child in children:
            child.kill(None)
        for keeper in self._keepers:
            keeper.join(WAIT_TIMEOUT)

    # ------------------------------------------------------------------------------------------------- how many
    # children

    def _give(self, attempts: list[Attempt]) -> None:
        if not attempts:
            return
        for attempt in attempts:
            self._given.put(attempt)
        with self._lock:
            self._idle -= len(attempts)
            while self._idle < 0 and len(self._keepers) < min(os.cpu_count() or 1, self._desk.slots.total):
                self._keep_one_more()
            self._plan_growth()

    def _plan_growth(self) -> None:
        if (
            self._idle < 0
            and self._growing is None
            and len(self._keepers) < self._desk.slots.total
            and not self._closing
        ):
            self._growing = threading.Timer(GROW_AFTER, self._grow)
            self._growing.daemon = True
            self._growing.start()

    def _grow(self) -> None:
        with self._lock:
            self._growing = None
            if self._idle < 0 and not self._given.empty() and not self._closing:
                self._keep_one_more()
            self._plan_growth()

    def _keep_one_more(self) -> None:
        self._idle += 1
        keeper = threading.Thread(target=self._keep, name=f"longshore-child-{len(self._keepers) + 1}", daemon=True)
        self._keepers.append(keeper)
        keeper.start()

    # ------------------------------------------------------------------------------------------- in each keeper's
    # thread

    def _keep(self) -> None:
        child: Child | None = None
        while (attempt := self._given.get()) is not None:
            following: Attempt | None = attempt
            while following is not None and not self._closing:
                child = self._work(child, following)
                started = self._desk.next(KIND)
                following = started[0] if started else None
                self._give(started[1:])
            with self._lock:
                self._idle += 1
        if child is not None:
            child.kill(None)
            child.bury()

    def _work(self, child: Child | None, attempt: Attempt) -> Child | None:
        """Execute one attempt; the child that is there for the next one."""
        if attempt.canceled is not None or attempt.reported:
            self._desk.end(attempt, ended(attempt, Verdict(CANCELED), None))
            return child
        try:
            child = child or self._new_child()
        except CannotPrepare as problem:
            log.error("%s", problem)
            self._desk.hand_back(attempt, Released(attempt.run_id, attempt.epoch, reason=str(problem)))
            return None
        attempt.handle = child
        self._desk.begin(attempt)
        report = child.execute(self._desk, attempt)
        if report is not None:
            self._end(attempt, _corrected(attempt, report), interrupted=attempt.canceled is not None)
            if report.how != OUT_OF_MEMORY:
                return child
            child.kill(None)  # what it still holds is in the way of the next one
        death = child.bury()
        with self._lock:
            self._children.discard(child)
        if report is None:
            interrupted = attempt.canceled is not None or attempt.overdue is not None
            self._end(attempt, _died(attempt, death), interrupted=interrupted)
        return None

    def _end(self, attempt: Attempt, report: Finished, *, interrupted: bool) -> None:
        """The hooks of what was canceled or killed run here, not in its process."""
        if attempt.hooks is not None and interrupted and not attempt.reported:
            attempt.settle(report)
            Context().run(hooking.run, attempt, hooking.due_after(attempt, report))
        self._desk.end(attempt, report)

    def _new_child(self) -> Child:
        child = Child(self._prepare)
        with self._lock:
            self._children.add(child)
        return child


def _corrected(attempt: Attempt, report: Finished) -> Finished:
    """The child does not know why it was told to stop."""
    if attempt.canceled is not None and report.how == FAILED:
        report.how = CANCELED
    report.slot_us = attempt.slot_us
    return report


def _died(attempt: Attempt, death: Death) -> Finished:
    if attempt.overdue is not None:
        failure = encode_failure(attempt.overdue)
        failure.message += "; its process was killed"
        return ended(attempt, judge(attempt, attempt.overdue), failure)
    if attempt.canceled is not None:
        return ended(attempt, Verdict(CANCELED), None)
    if death.starved:
        return ended(attempt, Verdict(OUT_OF_MEMORY), Failure("builtins.MemoryError", death.how, death.tail))
    return ended(attempt, Verdict(CRASHED), Failure("longshore.core.errors.RunCrashed", death.how, death.tail))
