"""One workflow on this worker: its execution, the deliveries that wait for their turn, and what is to be said of it.

It lives on the host's thread. Deliveries are applied in the order of their seq, each once; a gap is asked for. It
never touches the bus or the payload store: large values are named in `unfetched`, and come back by `arrived`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final

from longshore.core.errors import (
    RunCanceled,
    RunCrashed,
    RunError,
    RunExpired,
    RunFailed,
    RunSystemFailure,
    RunTimedOut,
)
from longshore.core.ids import Address
from longshore.core.message import CallRow, ClaimCheck, Deliver, Delivery, JournalPage, Wait
from longshore.core.run import Status
from longshore.engine.generations import Freeze, unfrozen
from longshore.engine.journal import SIGNAL, TOKEN
from longshore.engine.steps import NewCall, NewTimer, Nondeterministic, Outcome, Step
from longshore.engine.workflow import WorkflowExecution
from longshore.serialization.failures import decode_failure
from longshore.serialization.values import decode
from longshore.worker.attempt import Attempt
from longshore.worker.edits import Pending

FETCH_PATIENCE: Final = 5.0
"""Seconds after which a journal page that did not come is asked for again."""

_ENDS: Final[dict[str, type[RunError]]] = {
    Status.FAILED: RunFailed,
    Status.CANCELED: RunCanceled,
    Status.CRASHED: RunCrashed,
    Status.TIMED_OUT: RunTimedOut,
    Status.EXPIRED: RunExpired,
    Status.SYSTEM_FAILURE: RunSystemFailure,
}


class Flow:
    """See the module. `modules` are where a child's exception class may come from."""

    def __init__(self, attempt: Attempt, modules: Collection[str], freeze: Freeze = unfrozen) -> None:
        start = attempt.start
        self.attempt = attempt
        self.replays = start.last_seq > 0 or start.processed_seq >= 0 or start.forked_seq >= 0
        self.reported: int | None = None  # the last seq answered by Commands since this Start
        self.busy = False  # something of it is in the payload threads: nothing is applied or said meanwhile
        self.misses_store = False  # whether it was said that the payload store does not answer it
        self.active = 0.0  # seconds its code has run here
        self.hooked = False  # its on_start has been run
        self.moved_at = 0.0  # when something was last applied
        self.calls: list[NewCall] = []  # asked for and not said yet
        self.timers: list[NewTimer] = []
        self.closed: list[Address] = []
        self.waits: list[Wait] = []
        self.edits = Pending()  # of metadata, made in pumps nobody has answered for
        self.taken = (0, 0)  # signals that the code has taken in pumps nobody has answered for, and their bytes
        self._sizes: dict[int, int] = {}  # of the signals it has not taken, by seq
        self.outcome: Outcome | None = None
        self.fetch_at: float | None = None  # when the page under way is asked for again
        self.fetched_after = -1  # what that page follows
        self._modules = modules
        self._freeze = freeze
        self._execution: WorkflowExecution | None = None
        self._waiting: dict[int, Delivery] = {}
        self._values: dict[int, Any] = {}  # large results that have arrived, by seq
        self._requested: set[int] = set()
        self._rows: list[CallRow] = []  # that came before the code was at hand

    # ------------------------------------------------------------------------------------------------ what comes in

    def prepare(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """The code with its arguments is at hand."""
        start = self.attempt.start
        assert start.started_at is not None, "the ledger stamps the start of every workflow"
        self._execution = WorkflowExecution(
            function,
            started_at=start.started_at,
            run_context=self.attempt.context,
            processed_seq=start.processed_seq,
            generation=start.generation,
            bind=self.attempt.routine.signature.bind,
            freeze=self._freeze,
            seed=start.seed,
            forked_seq=start.forked_seq,
        )
        self._execution.learn(self._rows)
        self._rows = []

    @property
    def is_first(self) -> bool:
        """Whether its code begins for the first time in this attempt."""
        start = self.attempt.start
        return not self.replays and start.processed_seq < 0 and start.generation == 0 and start.canceling is None

    @property
    def applied(self) -> int:
        """The last seq applied; -1 before the code began."""
        return -1 if self._execution is None else self._execution.seq

    def deliver(self, message: Deliver) -> None:
        """New facts, which may come twice."""
        for delivery in message.deliveries:
            if delivery.seq > self.applied:
                self._waiting[delivery.seq] = delivery

    def turn_page(self, page: JournalPage) -> bool:
        """A page of the journal, or a part of one: rows, then facts. Whether the next page is to be asked for."""
        if self._execution is None:
            self._rows += page.calls
        else:
            self._execution.learn(page.calls)
        for delivery in page.deliveries:
            if delivery.seq > self.applied:
                self._waiting[delivery.seq] = delivery
        overtook = self.replays and page.after > self.fetched_after  # what was sent again, before what was asked for
        if page.more or overtook:
            return False
        self.fetch_at = None
        self.replays = False
        return not page.last

    def unfetched(self) -> list[Delivery]:
        """Deliveries whose value lies in the payload store and is not under way yet; they count as asked for."""
        wanted = [
            delivery
            for seq, delivery in self._waiting.items()
            if isinstance(delivery.result, ClaimCheck) and seq not in self._requested
        ]
        self._requested.update(delivery.seq for delivery in wanted)
        return wanted

    def arrived(self, seq: int, value: Any) -> None:
        """A large result, or the exception to raise in its place."""
        self._values[seq] = value
        self.misses_store = False

    # ------------------------------------------------------------------------------------------------- one by one

    def step(self) -> bool:
        """Apply the next fact if it is there; whether it was."""
        execution = self._execution
        if execution is None or self.busy or self.replays or self.outcome is not None:
            return False
        if execution.seq < 0:
            self._note(execution.begin())
            return True
        delivery = self._waiting.get(execution.seq + 1)
        if delivery is None:
            return False
        seq = delivery.seq
        if isinstance(delivery.result, ClaimCheck) and seq not in self._values:
            return False
        del self._waiting[seq]
        self._requested.discard(seq)
        if delivery.kind == "cancel" and self.attempt.canceled is None:
            self.attempt.canceled = self.attempt.start.canceling or "canceled"
        if delivery.kind == SIGNAL:
            self._sizes[seq] = len(delivery.result) if isinstance(delivery.result, bytes) else 0
        value = self._values.pop(seq) if seq in self._values else told_by(delivery, self._modules)
        self._note(execution.deliver(delivery, value))
        return True

    @property
    def time_left(self) -> float:
        """Seconds of active time until its timeout is over."""
        timeout = self.attempt.timeout
        return math.inf if timeout is None else max(0.0, timeout - self.active)

    def _note(self, step: Step) -> None:
        self.calls += step.calls
        self.timers += step.timers
        self.closed += step.closed
        self.waits += step.waits
        sizes = [self._sizes.pop(seq, 0) for seq in step.taken]
        if sizes and step.seq > self.attempt.start.processed_seq:
            self.taken = self.taken[0] + len(sizes), self.taken[1] + sum(sizes)
        self.outcome = step.outcome
        if isinstance(step.outcome, Nondeterministic):
            self.edits.take()  # the pump that made them does not count

    def missing(self) -> bool:
        """Whether facts wait behind one that never came."""
        return bool(self._waiting) and not self.replays and self.applied >= 0 and self.applied + 1 not in self._waiting

    # ---------------------------------------------------------------------------------------------------- what goes out

    @property
    def due(self) -> bool:
        """Whether something is to be said: the code has answered more than the ledger knows, and all it was started
        with."""
        if self.busy or self.applied < self.attempt.start.last_seq:
            return self.outcome is not None and not self.busy
        return self.outcome is not None or self.reported is None or self.applied > self.reported

    @property
    def stands_still(self) -> bool:
        """Whether it waits, and everything it asked for has been said."""
        return not self.busy and not self._waiting and self.reported is not None and self.reported == self.applied

    @property
    def awaits_calls(self) -> bool:
        """Whether it waits for a routine, not only for timers and signals."""
        return self._execution is not None and self._execution.awaits_calls

    @property
    def dead(self) -> bool:
        """Whether nothing that is known can ever wake it."""
        execution = self._execution
        still = (
            execution is not None and self.outcome is None and not self.busy and not self._waiting and not self.replays
        )
        return still and execution is not None and not execution.waiting and self.applied >= self.attempt.start.last_seq

    @property
    def unread(self) -> list[int]:
        """The seqs of the signals that the code has not taken."""
        return [] if self._execution is None else self._execution.unread

    def left_over(self) -> list[str]:
        """What was recorded up to here and its code did not ask for."""
        return [] if self._execution is None else self._execution.left_over()

    def stacks(self) -> str:
        """Where its coroutines wait."""
        return "" if self._execution is None else self._execution.stacks()

    def stop(self, error: BaseException) -> None:
        """From another thread: have this raised out of `step` before the code goes on."""
        if self._execution is not None:
            self._execution.stop(error)

    def kill(self) -> None:
        """Put the execution away; its code has no effect any more."""
        if self._execution is not None:
            self._execution.kill()
        self._waiting.clear()
        self._values.clear()


def told_by(delivery: Delivery, modules: Collection[str]) -> Any:
    """What a fact brings to the code: a value, or the exception to raise. Classes from these modules come back as
    themselves."""
    if delivery.kind in (SIGNAL, TOKEN):
        return _told(delivery)
    if delivery.kind != "outcome":
        return None
    if delivery.status == Status.COMPLETED:
        return _decoded(delivery.result) if isinstance(delivery.result, bytes) and delivery.result else None
    error = decode_failure(delivery.error, modules=modules, strict=True) if delivery.error is not None else None
    if delivery.status == Status.FAILED and error is not None:
        return error
    ended = _ENDS.get(delivery.status, RunFailed)
    told = f": {delivery.error.message}" if delivery.error is not None and delivery.error.message else ""
    raised = ended(
        f"sub-routine run {delivery.child_id} ended as {delivery.status}{told}",
        run_id=delivery.child_id,
        status=delivery.status,
        error=delivery.error,
    )
    raised.__cause__ = error
    return raised


def _told(delivery: Delivery) -> Any:
    """What a signal or a token brings; what cannot be read becomes the exception to raise where it is waited for."""
    if not isinstance(delivery.result, bytes) or not delivery.result:
        return None
    if delivery.kind == TOKEN and delivery.status != Status.COMPLETED:
        return delivery.result.decode(errors="replace")
    return _decoded(delivery.result)


def _decoded(value: bytes) -> Any:
    """The value, or the exception to raise where the workflow waits for it: unreadable for good."""
    try:
        return decode(value)
    except Exception as error:  # noqa: BLE001 - classes of the user's own are made in there
        return error
