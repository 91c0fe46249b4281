"""One workflow being executed: its journal, its loop, and the steps it takes. Live and replayed by the same procedure.

`begin` and `deliver` apply one fact, run the code until it is still, and say what it newly asked for. Nothing in here
talks to anybody: the worker's host learns rows, delivers facts and sends what the steps say (DESIGN 8).
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import zlib
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

from longshore.core.errors import ProtocolError, UsageError
from longshore.core.ids import Address, RunId
from longshore.core.message import CallRow, Delivery, Wait
from longshore.engine import stacks
from longshore.engine.force import WorkflowEngine
from longshore.engine.generations import Bind, Continued, Freeze, unbound, unfrozen
from longshore.engine.inside import Inside
from longshore.engine.journal import CALL, PATCH, SIGNAL, TIMER, TOKEN, Difference, Journal, fingerprint
from longshore.engine.loop import DurableTimer, PutAway, WorkflowLoop, WorkflowTask
from longshore.engine.steps import Completed, NewCall, NewTimer, Nondeterministic, Outcome, Raised, Step
from longshore.engine.waits import ClosingFuture, Opened, Token, WaitFuture, Waits
from longshore.routines.context import CURRENT_RUN, RunContext
from longshore.routines.routine import CURRENT_ENGINE, Call

_LOG: Final = logging.getLogger("longshore.workflow")


class CallFuture(ClosingFuture):
    """What a call waits for."""


class WorkflowExecution:
    """A workflow from its first step to its outcome, or until it is put away. All methods are called on one thread.

    `processed_seq` is the last delivery whose commands the ledger has (-1: none): up to there everything asked for must
    have a row. Its chance comes from `generation` and its id, or the one in `seed`. `forked_seq` is, of a fork, the
    fact in whose pump its call is made anew (-1: it is none). `freeze` encodes what is to travel when the code names
    it. `run_context` is what `longshore.context` shows inside; it is silent while the workflow replays.
    """

    def __init__(
        self,
        call_function: Callable[[], Coroutine[Any, Any, Any]],
        *,
        started_at: datetime,
        run_context: RunContext,
        processed_seq: int = -1,
        generation: int = 0,
        bind: Bind = unbound,
        freeze: Freeze = unfrozen,
        seed: RunId = RunId(""),
        forked_seq: int = -1,
    ) -> None:
        self._call_function = call_function
        self._started_at = started_at
        self._run = run_context
        self._journal = Journal(processed_seq, forked_seq)
        seed = seed or run_context.run_id
        self._loop = WorkflowLoop(self, salt=zlib.crc32(seed.encode()))
        self._open: dict[Address, CallFuture | DurableTimer | Opened] = {}
        self._step = Step(seq=-1)
        self._outcome: Outcome | None = None
        self._main: WorkflowTask | None = None
        self._bind = bind
        self._freeze = freeze
        self._waits: Waits | None = None  # made when first used: most workflows wait for nothing from outside
        run_context.durable = Inside(
            self._loop, started_at, seed, generation, self._patch, self._ask_outside, self._continue
        )

    # ------------------------------------------------------------------------------------------------- what a host does

    @property
    def seq(self) -> int:
        """The last delivery applied: 0 after `begin`, -1 before."""
        return self._journal.seq

    @property
    def waiting(self) -> Collection[Address]:
        """Open calls and timers, in the order they were asked for. None and no outcome: nothing will ever wake it."""
        return self._open.keys()

    @property
    def awaits_calls(self) -> bool:
        """Whether a routine is among what it waits for."""
        return any(isinstance(one, CallFuture) for one in self._open.values())

    @property
    def unread(self) -> list[int]:
        """The seqs of the signals it was told and has not taken."""
        return [] if self._waits is None else self._waits.unread

    def left_over(self) -> list[str]:
        """What the journal has recorded up to here and the code did not ask for, each as a difference."""
        return [str(self._journal.unasked(row.address, row.kind)) for row in self._journal.left_over()]

    def stacks(self) -> str:
        """Where each of its coroutines waits, a paragraph per coroutine."""
        return stacks.describe(self._loop.live(), self._open)

    def learn(self, rows: Iterable[CallRow]) -> None:
        """Recorded calls and timers; given before the pump in which they were asked."""
        self._journal.learn(rows)

    def begin(self) -> Step:
        """Start the code: seq 0. Raises ProtocolError when it was begun before."""
        self._expect(0)
        context = contextvars.copy_context()
        context.run(CURRENT_ENGINE.set, WorkflowEngine(self._execute))
        context.run(CURRENT_RUN.set, self._run)
        self._main = self._loop.start(self._body(), context)
        return self._pump()

    def deliver(self, delivery: Delivery, value: Any = None) -> Step:
        """Apply the fact with the next seq. `value` is the call's result, or the exception to raise where it waits.

        A fact for a closed or finished call has no effect. Raises ProtocolError for any other seq than the next.
        """
        self._expect(delivery.seq)
        if self._outcome is None:
            self._pass_time((delivery.at - self._started_at).total_seconds())
            self._apply(delivery, value)
        return self._pump()

    def stop(self, error: BaseException) -> None:
        """From another thread: have this raised out of `begin` or `deliver` before the code's next step."""
        self._loop.stopped = error

    def kill(self) -> None:
        """Put the workflow away. Its coroutines are unwound; whatever their `finally` asks for has no effect."""
        self._run.silent = True
        self._open.clear()
        self._main = None
        self._loop.put_away()

    # --------------------------------------------------------------------------------------------------------- one step

    def _expect(self, seq: int) -> None:
        if seq != self._journal.seq + 1:
            raise ProtocolError(
                f"run {self._run.run_id}: delivery {seq} was given after delivery {self._journal.seq}; "
                f"the next is {self._journal.seq + 1}"
            )
        self._journal.seq = seq
        self._step = Step(seq=seq)
        self._run.silent = self._journal.recorded

    async def _body(self) -> Any:
        try:
            return await self._call_function()
        finally:
            self._loop.halt()  # other coroutines of the workflow end with it

    def _pump(self) -> Step:
        step = self._step
        if self._outcome is None:
            self._loop.pump()
            if self._outcome is None:
                self._outcome = self._ended()
            if self._outcome is not None:
                self._check_end(self._outcome)
                self._loop.report_lost()
                self.kill()
        step.outcome = self._outcome
        return step

    def _check_end(self, outcome: Outcome) -> None:
        """Code that ends where it went on before has been changed."""
        if self._journal.recorded and not isinstance(outcome, Nondeterministic):
            self._stop(self._journal.ended_early())

    def _continue(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> NoReturn:
        if self._loop.halted:
            raise PutAway
        if not isinstance(asyncio.current_task(self._loop), WorkflowTask):
            raise UsageError(f"{stacks.caller()}: a workflow continues in its own coroutines only")
        arguments = self._bind(args, kwargs)
        frozen = self._freeze([list(arguments.args), arguments.kwargs])
        self._outcome = Continued(arguments, self.unread, frozen)
        self._loop.halt()
        raise PutAway

    def _ended(self) -> Outcome | None:
        main = self._main
        if main is None or not main.done():
            return None if self._loop.escaped is None else Raised(self._loop.escaped)
        try:
            value = main.result()
            return Completed(value, self._freeze(value))
        except BaseException as error:  # noqa: BLE001 - the routine's own failure becomes its outcome, SystemExit too
            return Raised(error)

    def _apply(self, delivery: Delivery, value: Any) -> None:
        if delivery.kind == "cancel":
            self._run.canceled = True
            if self._main is not None:
                self._main.cancel()
            return
        if delivery.kind == SIGNAL:
            self._outside().signaled(delivery, value)
            return
        waiting = self._open.pop(delivery.address, None)
        if isinstance(waiting, CallFuture) and delivery.kind == "outcome":
            _settle(waiting, value)
        elif isinstance(waiting, DurableTimer) and delivery.kind == "timer":
            self._pass_time(waiting.when())
            self._loop.fire(waiting)
        elif isinstance(waiting, WaitFuture) and delivery.kind == TIMER:
            waiting.set_result(None)
        elif isinstance(waiting, Token) and delivery.kind in (TOKEN, TIMER):
            waiting.settle(delivery, value)
        elif waiting is not None or not self._journal.was_asked(delivery.address):
            self._stop(self._journal.unasked(delivery.address, delivery.kind))

    def _pass_time(self, seconds: float) -> None:
        self._loop.clock = max(self._loop.clock, seconds)

    def _stop(self, difference: Difference) -> None:
        self._outcome = Nondeterministic(str(difference), difference.differs)
        self._loop.halt()
        self._step.calls, self._step.timers, self._step.closed, self._step.waits = [], [], [], []

    # ---------------------------------------------------------------------------------------------- what the code asks

    def _execute(self, call: Call[Any]) -> CallFuture:
        future = CallFuture(loop=self._loop)
        future.closing, future.address = self._close, Address("")
        if self._loop.halted:
            return future  # never comes: nothing more is executed
        if not isinstance(asyncio.current_task(self._loop), WorkflowTask):
            raise UsageError(f"{call.place}: a routine was awaited outside of the workflow's own coroutines")
        routine = call.routine
        digest = fingerprint(CALL, routine.name, routine.signature.digest(call.arguments))
        address = future.address = self._loop.scope().next_address()
        place = call.place
        try:
            new = self._journal.ask(address, CALL, routine.name, digest, place, call.arguments)
        except Difference as difference:
            self._stop(difference)
            return future
        self._open[address] = future
        if new:
            frozen = self._freeze([list(call.arguments.args), call.arguments.kwargs])
            self._step.calls.append(NewCall(address, call, digest, place, self._journal.seq, frozen))
        return future

    def _patch(self, name: str) -> bool:
        address, place = Address(f"{PATCH}:{name}"), stacks.caller()
        applies, new = self._journal.patched(address)
        if new and not self._loop.halted:
            digest = fingerprint(PATCH, name, "")
            self._step.waits.append(Wait(address, PATCH, name, digest, self._journal.seq, place))
        return applies

    def _ask_outside(self) -> Waits:
        if not self._loop.halted and not isinstance(asyncio.current_task(self._loop), WorkflowTask):
            raise UsageError(f"{stacks.caller()}: the outside is waited for in the workflow's own coroutines only")
        return self._outside()

    def _outside(self) -> Waits:
        if self._waits is None:
            self._waits = Waits(self, self._loop, self._started_at)
        return self._waits

    def open_wait(self, kind: str, name: str, digest: str, due_at: datetime | None, opened: Opened) -> str | None:
        """The waits' word: the code waits for something from outside. Gives its name, as recorded if it was; None when
        nothing more is executed."""
        if self._loop.halted:
            return None
        address, place = self._loop.scope().next_address(), stacks.caller()
        recorded = self._journal.recorded_name(address)
        try:
            new = self._journal.ask(address, kind, name, digest, place)
        except Difference as difference:
            self._stop(difference)
            return None
        opened.address = address
        self._open[address] = opened
        if new and kind == TIMER and due_at is not None:
            duration = due_at - self._started_at - timedelta(seconds=self._loop.clock)
            asked_seq = self._journal.seq
            self._step.timers.append(NewTimer(address, duration, digest, due_at, place, asked_seq, instant=True))
        elif new:
            self._step.waits.append(Wait(address, kind, name, digest, self._journal.seq, place, due_at))
        return name if recorded is None else recorded

    def timer_asked(self, timer: DurableTimer) -> None:
        """The loop's word: the code waits for an instant."""
        digest = fingerprint(TIMER, "", str(timer.microseconds))
        address, place = self._loop.scope().next_address(), stacks.caller()
        try:
            new = self._journal.ask(address, TIMER, "", digest, place)
        except Difference as difference:
            self._stop(difference)
            return
        timer.address = address
        self._open[address] = timer
        if new:
            duration = timedelta(microseconds=timer.microseconds)
            due_at = self._started_at + timedelta(seconds=self._loop.clock) + duration
            self._step.timers.append(NewTimer(address, duration, digest, due_at, place, self._journal.seq))

    def timer_canceled(self, timer: DurableTimer) -> None:
        """The loop's word: the code no longer waits for it (also said of timers that fired)."""
        self._close(Address(timer.address))

    def close_wait(self, address: Address) -> None:
        """The waits' word: the code no longer waits for it, or has what it waited for."""
        self._close(address)

    def signal_taken(self, seq: int) -> None:
        """The waits' word: the code has this signal."""
        self._step.taken.append(seq)

    def _close(self, address: Address) -> None:
        if self._open.pop(address, None) is not None and not self._journal.replaying:
            self._step.closed.append(address)

    def failure_lost(self, context: dict[str, Any]) -> None:
        """The loop's word: a failure nobody awaited. Logged once, not again in a replay."""
        if not self._run.silent:
            own = {"run_id": self._run.run_id, "routine": self._run.routine}
            message = context.get("message", "a coroutine failed")
            _LOG.error("%s: %s", self._run.routine, message, exc_info=context.get("exception"), extra=own)


def _settle(future: CallFuture, value: Any) -> None:
    if not isinstance(value, BaseException):
        future.set_result(value)
    elif isinstance(value, StopIteration):  # a future refuses it, as a coroutine would
        error = RuntimeError("the routine raised StopIteration")
        error.__cause__ = value
        future.set_exception(error)
    else:
        future.set_exception(value)
