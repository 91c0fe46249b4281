"""The workflow host: one thread in which every workflow of this worker lives, each on its own deterministic loop.

It takes Starts, deliveries and journal pages in batches, pumps what they concern, and says once per batch and workflow
what came of it. What blocks (payloads) goes through a few threads beside it. Waiting workflows cost memory only, and
are put away in time.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from longshore.core.errors import ForbiddenInWorkflow, Nondeterminism, PayloadUnavailable
from longshore.core.message import (
    Commands,
    Deliver,
    Delivery,
    Differs,
    Fetch,
    Finished,
    JournalPage,
    Released,
    Suspended,
    Value,
)
from longshore.engine.generations import Continued, Frozen
from longshore.engine.steps import Completed, Nondeterministic, Raised
from longshore.routines.reach import modules_of
from longshore.serialization.arguments import Arguments
from longshore.serialization.failures import encode_failure
from longshore.worker import hooking
from longshore.worker.asides import Asides
from longshore.worker.asking import Asked, commands
from longshore.worker.attempt import Attempt
from longshore.worker.bench import NONDETERMINISM, Verdict, check_wanted, ended
from longshore.worker.config import WorkerConfig
from longshore.worker.desk import Desk, Note, log
from longshore.worker.flow import FETCH_PATIENCE, Flow
from longshore.worker.inputs import begun_with
from longshore.worker.limits import timed_out
from longshore.worker.pumps import Endless, Pumps
from longshore.worker.voices import WorkflowVoice

LOOK_EVERY: Final = 1.0
CLOSE_TIMEOUT: Final = 2.0

Job = Callable[[], None]


class WorkflowHost:
    """See the module. An Executor, too: `interrupt` drops a workflow that is no longer wanted."""

    def __init__(self, desk: Desk, config: WorkerConfig) -> None:
        self._desk = desk
        self._bench = desk.bench
        self._config = config
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._flows: dict[Attempt, Flow] = {}  # the one that moved last is the last
        self._touched: dict[Flow, None] = {}
        self._pumps = Pumps(config.pump_limit)
        self._asides = Asides()
        self._closing = False
        self._look_at = 0.0  # when those that wait are to be looked at
        self._thread = threading.Thread(target=self._live, name="longshore-workflows", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------------------------------- from other threads

    def wake(self) -> None:
        """See Executor: workflows wait for no slot."""

    def take(self, attempts: Sequence[Attempt]) -> None:
        """Start these. A wary one is given twice: to be held, and to begin."""
        self._inbox.put(partial(self._take, attempts))

    def tell(self, attempt: Attempt, message: Deliver | JournalPage) -> None:
        """Facts for one that is held."""
        self._inbox.put(partial(self._tell, attempt, message))

    def interrupt(self, attempt: Attempt) -> None:
        """See Executor: dropped if its end is reported; a cancel comes as a delivery, in its turn."""
        if attempt.reported:
            self._inbox.put(partial(self._drop, attempt))

    def put_all_away(self) -> None:
        """Put every workflow away, whatever it does."""
        self._inbox.put(self._put_all_away)

    def look(self) -> None:
        """See Pumps. From the bus's thread, now and then."""
        self._pumps.look(time.monotonic())

    def close(self) -> None:
        """See Executor."""
        if self._closing:
            return
        self._closing = True
        self._inbox.put(None)
        until = time.monotonic() + CLOSE_TIMEOUT
        while self._thread.is_alive() and time.monotonic() < until:  # what is put away now may compute without an end
            self._thread.join(LOOK_EVERY / 5)
            self._pumps.look(time.monotonic())
        self._asides.close()

    # ------------------------------------------------------------------------------------------ on the host's thread

    def _live(self) -> None:
        while True:
            if time.monotonic() >= self._look_at:  # however busy it is
                self._look_at_waiting()
            try:
                job = self._inbox.get(timeout=LOOK_EVERY)
            except queue.Empty:
                continue
            while True:
                if job is None:
                    return
                job()
                try:
                    job = self._inbox.get_nowait()
                except queue.Empty:
                    break
            self._answer()

    def _take(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            flow = self._flows.get(attempt)
            if flow is None:
                flow = self._flows[attempt] = Flow(attempt, modules_of(attempt.routine.function), self._bench.freeze)
                attempt.context.voice = WorkflowVoice(self._desk, attempt, flow.edits)
                if flow.replays:
                    self._fetch(flow, -1)
                if attempt.start.wary:
                    flow.busy = True  # it stands still until it comes again, when its Started has arrived
                    continue
            arguments = partial(begun_with, self._bench, attempt)
            if self._bench.is_heavy(attempt.start):
                self._aside(flow, arguments, partial(self._prepare, flow))
            else:
                self._returned(flow, partial(self._prepare_now, flow, arguments))

    def _prepare_now(self, flow: Flow, arguments: Callable[[], Arguments | Nondeterminism]) -> None:
        self._prepare(flow, arguments())

    def _prepare(self, flow: Flow, arguments: Arguments | Nondeterminism) -> None:
        attempt = flow.attempt
        check_wanted(attempt)
        if isinstance(arguments, Nondeterminism):
            self._block(flow, arguments)
            return
        function = attempt.routine.function
        before = hooking.due_before(attempt) if flow.is_first else None
        if before is not None and not flow.hooked:
            flow.hooked = True
            self._aside(flow, partial(hooking.run, attempt, before), lambda _: self._prepare(flow, arguments))
            return
        function = hooking.wrapped(attempt, function)
        self._desk.begin(attempt)
        flow.prepare(lambda: function(*arguments.args, **arguments.kwargs))

    def _tell(self, attempt: Attempt, message: Deliver | JournalPage) -> None:
        flow = self._flows.get(attempt)
        if flow is None:
            return
        if isinstance(message, Deliver):
            flow.deliver(message)
        elif flow.turn_page(message):
            self._fetch(flow, message.upto)
        for delivery in flow.unfetched():
            self._asides.submit(self._load, flow, delivery)
        self._touched[flow] = None

    def _load(self, flow: Flow, delivery: Delivery) -> None:
        """In a payload thread: the value, or the exception to raise where the workflow waits for it."""
        try:
            value: Any = self._bench.load(delivery.result or b"")
        except PayloadUnavailable as error:
            load = partial(self._asides.submit, self._load, flow, delivery)
            self._inbox.put(partial(self._asides.try_again, flow, error, load))
            return
        except Exception as error:  # noqa: BLE001 - unreadable for good: it becomes the outcome of the call
            value = error
        self._inbox.put(partial(self._arrived, flow, delivery.seq, value))

    def _arrived(self, flow: Flow, seq: int, value: Any) -> None:
        flow.arrived(seq, value)
        self._touched[flow] = None

    def _fetch(self, flow: Flow, after: int) -> None:
        flow.fetch_at = time.monotonic() + FETCH_PATIENCE
        flow.fetched_after = after
        self._say(flow, Fetch(flow.attempt.run_id, flow.attempt.epoch, after))

    def _say(self, flow: Flow, report: Commands | Fetch | Finished | Suspended | Released) -> None:
        self._desk.tray.put(Note(flow.attempt, report))

    def _aside(self, flow: Flow, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Do `work` in a payload thread while the workflow stands still, then `then` here with what it gave."""
        flow.busy = True

        def outside() -> None:
            try:
                result = work()
            except PayloadUnavailable as error:
                again = partial(self._aside, flow, work, then)
                self._inbox.put(partial(self._asides.try_again, flow, error, again))
            except Exception as error:  # noqa: BLE001 - the failure of a routine's own values ends its attempt
                self._inbox.put(partial(self._returned, flow, partial(self._fail, flow, error)))
            else:
                self._inbox.put(partial(self._returned, flow, partial(then, result)))

        self._asides.submit(outside)

    def _returned(self, flow: Flow, then: Job) -> None:
        flow.busy = flow.misses_store = False
        if flow.attempt not in self._flows:
            return
        try:
            then()
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(flow, error)
        self._touched[flow] = None

    # ----------------------------------------------------------------------------------------------- pump and answer

    def _answer(self) -> None:
        touched, self._touched = self._touched, {}
        for flow in touched:
            if flow.attempt not in self._flows:
                continue
            try:
                self._pump(flow)
            except BaseException as error:  # noqa: BLE001 - a fault around one workflow must not end the others
                log.exception("run %s cannot go on", flow.attempt.run_id)
                self._fail(flow, error)
        self._put_some_away()

    def _pump(self, flow: Flow) -> None:
        attempt = flow.attempt
        if attempt.settled is not None:
            return
        attempt.user_code = True
        moved, began = False, time.monotonic()
        with self._pumps.watched(attempt, partial(flow.stop, Endless()), flow.stacks, flow.time_left) as pump:
            while flow.step():
                moved = True
                pump.since = time.monotonic()  # a long replay is many short pumps
            if isinstance(flow.outcome, Raised) and isinstance(flow.outcome.exception, Endless):
                flow.outcome = Raised(self._pumps.too_long(pump))
        flow.active += time.monotonic() - began
        if attempt.timeout is not None and flow.active > attempt.timeout and not isinstance(flow.outcome, Completed):
            attempt.overdue = timed_out(attempt)
            self._fail(flow, attempt.overdue)
            return
        if moved:
            flow.moved_at = time.monotonic()
            self._flows[attempt] = self._flows.pop(attempt)
        if flow.outcome is not None:
            self._end(flow)
            return
        if flow.dead:
            text = "the workflow waits for something that nothing can ever bring about:\n"
            self._fail(flow, RuntimeError(text + flow.stacks()))
            return
        if flow.due:
            self._command(flow)
        if flow.missing() and flow.fetch_at is None:
            self._fetch(flow, flow.applied)

    def _command(self, flow: Flow, *, ending: bool = False) -> None:
        upto = None if ending else flow.applied
        edits = [] if ending else self._desk.last_edits(flow.attempt, flow.edits)
        asked = Asked(flow.attempt, upto, flow.calls, flow.timers, flow.closed, flow.waits, flow.taken, edits)
        flow.calls, flow.timers, flow.closed, flow.waits, flow.taken = [], [], [], [], (0, 0)
        if asked.is_heavy:
            self._aside(flow, partial(commands, self._bench, asked), partial(self._send, flow, upto))
        else:
            self._send(flow, upto, commands(self._bench, asked))

    def _send(self, flow: Flow, upto: int | None, parts: list[Commands]) -> None:
        self._desk.tray.put_all([Note(flow.attempt, part) for part in parts])
        if upto is not None:
            flow.reported = upto

    def _end(self, flow: Flow) -> None:
        """The code has ended: what it asked for at the last is said first, then how it ended."""
        if flow.busy:
            return
        if flow.calls and not isinstance(flow.outcome, Nondeterministic):
            flow.timers, flow.closed = [], []
            self._command(flow, ending=True)
            if flow.busy:
                return
        match flow.outcome:
            case Completed(frozen=frozen):
                self._stowed(flow, frozen, flow.attempt.key_prefix, partial(self._complete, flow))
            case Continued(frozen=frozen, unread=unread):
                self._stowed(flow, frozen, f"inputs/{flow.attempt.run_id}", partial(self._continue, flow, unread))
            case Raised(exception=error):
                self._fail(flow, error)
            case Nondeterministic(failure=text, differs=differs):
                self._block(flow, Nondeterminism(text), differs)

    def _stowed(self, flow: Flow, frozen: Frozen, prefix: str, then: Callable[[Value], None]) -> None:
        """Go on with the value as it travels: at once, or when it is stored."""
        if isinstance(frozen, bytes):
            then(frozen)
        else:
            assert frozen is not None, "the bench freezes all values"
            self._aside(flow, partial(self._bench.stow_encoded, frozen, prefix), then)

    def _continue(self, flow: Flow, unread: list[int], value: Value) -> None:
        self._finish(flow, self._bench.continued(flow.attempt, value, unread))

    def _complete(self, flow: Flow, result: Any) -> None:
        arguments = (
            self._bench.arguments(flow.attempt.start, flow.attempt.routine) if flow.attempt.start.cache else None
        )
        self._finish(flow, self._bench.completed(flow.attempt, result, arguments))

    def _fail(self, flow: Flow, error: BaseException) -> None:
        flow.attempt.error = error if flow.attempt.hooks is not None else None
        self._finish(flow, self._bench.failed(flow.attempt, error))

    def _block(self, flow: Flow, difference: Nondeterminism, differs: Differs | None = None) -> None:
        report = ended(flow.attempt, Verdict(NONDETERMINISM, retry=False), encode_failure(difference))
        report.differs = differs
        self._finish(flow, report)

    def _finish(self, flow: Flow, report: Finished) -> None:
        report.upto_seq = flow.applied if flow.applied >= 0 else None
        report.slot_us = 0  # pumps need no slot
        report.edits = self._desk.last_edits(flow.attempt, flow.edits)
        if flow.attempt.hooks is None or flow.attempt.reported:
            self._told(flow, report)
            return
        flow.attempt.settle(report)  # whatever comes meanwhile, it is over
        work = partial(hooking.run_loaded, flow.attempt, report, self._bench.load)
        self._aside(flow, work, lambda _: self._told(flow, report))

    def _told(self, flow: Flow, report: Finished) -> None:
        self._say(flow, report)
        self._forget(flow)

    # --------------------------------------------------------------------------------------------------- putting away

    def _drop(self, attempt: Attempt) -> None:
        flow = self._flows.get(attempt)
        if flow is not None:
            self._forget(flow)

    def _forget(self, flow: Flow) -> None:
        del self._flows[flow.attempt]
        self._touched.pop(flow, None)
        with contextlib.suppress(ForbiddenInWorkflow), self._pumps.watched(flow.attempt):
            flow.kill()  # which unwinds its code

    def _put_all_away(self) -> None:
        for flow in list(self._flows.values()):
            self._put_away(flow)

    def _put_away(self, flow: Flow) -> None:
        attempt = flow.attempt
        known = flow.reported if flow.reported is not None else attempt.start.processed_seq
        if known >= 0:
            self._say(flow, Suspended(attempt.run_id, attempt.epoch, known))
        else:
            self._say(flow, Released(attempt.run_id, attempt.epoch))
        self._forget(flow)

    def _put_some_away(self) -> None:
        """Beyond the bound: first those that wait for timers and signals only, whose waits are long, then the longest
        waiting."""
        surplus = len(self._flows) - self._config.max_hanging
        if surplus > 0:
            still = [flow for flow in self._flows.values() if flow.stands_still]
            still.sort(key=lambda flow: flow.awaits_calls)
            for flow in still[:surplus]:
                self._put_away(flow)

    def _look_at_waiting(self) -> None:
        now = time.monotonic()
        self._look_at = now + LOOK_EVERY
        self._asides.look(now, self._flows)
        for_long = self._config.suspend_after.total_seconds()
        for flow in list(self._flows.values()):
            if flow.fetch_at is not None and now >= flow.fetch_at:
                self._fetch(flow, flow.applied)
            elif flow.stands_still and now - flow.moved_at >= for_long:
                self._put_away(flow)
