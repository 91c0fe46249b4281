"""The ledger's side of one workflow, in memory: rows, deliveries with their seq, and resuming from any point.

It keeps what the real ledger keeps and nothing else: a resumed execution knows only what a worker would be told.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from longshore.core.ids import Address, RunId
from longshore.core.message import CallRow, Delivery, Wait
from longshore.engine.steps import NewCall, NewTimer, Step
from longshore.engine.workflow import WorkflowExecution
from longshore.routines.context import RunContext, Voice

START = datetime(2026, 1, 1, tzinfo=UTC)
Function = Callable[[], Coroutine[Any, Any, Any]]


class Progress(Voice):
    """Writes down how far the run said it is."""

    def __init__(self, said: list[float]) -> None:
        self.said = said

    def progress(self, fraction: float, text: str) -> None:
        self.said.append(fraction)


class Book:
    """One workflow's journal. `execution` is the live one."""

    def __init__(self, function: Function, *, run_id: str = "run-1") -> None:
        self.function = function
        self.rows: dict[Address, CallRow] = {}
        self.log: list[tuple[Delivery, Any]] = []
        self.asked: dict[Address, NewCall | NewTimer | Wait] = {}
        self.processed_seq = -1
        self.now = START
        self.run = RunContext(RunId(run_id), routine="flow@1.0.0")
        self.execution = self.fresh()

    def fresh(self) -> WorkflowExecution:
        """An execution that knows nothing yet, as on another worker."""
        run = RunContext(self.run.run_id, routine=self.run.routine, voice=self.run.voice)
        self.run = run
        return WorkflowExecution(self.function, started_at=START, processed_seq=self.processed_seq, run_context=run)

    # ------------------------------------------------------------------------------------------------------------ live

    def begin(self) -> Step:
        """The first step, committed."""
        return self.commit(self.execution.begin())

    def commit(self, step: Step, *, rows: int | None = None) -> Step:
        """Write a step down; with `rows`, only that many rows, as when the rest of its commands was lost."""
        new: list[NewCall | NewTimer | Wait] = [*step.waits, *step.calls, *step.timers]
        for entry in new if rows is None else new[:rows]:
            self.asked[entry.address] = entry
            self.rows.setdefault(entry.address, _row(entry))
        if rows is None:
            for address in step.closed:
                self.rows[address].closed = True
            if step.outcome is None:  # the end is no commands: the ledger keeps what was answered before
                self.processed_seq = step.seq
        return step

    def append(
        self, kind: str, address: str = "", value: Any = None, *, after: float = 0.0, status: str = ""
    ) -> Delivery:
        """Write a fact down with the next seq."""
        self.now += timedelta(seconds=after)
        if not status and kind == "outcome":
            status = "FAILED" if isinstance(value, BaseException) else "COMPLETED"
        delivery = Delivery(len(self.log) + 1, kind, Address(address), self.now, status=status)
        self.log.append((delivery, value))
        return delivery

    def tell(self, kind: str, address: str = "", value: Any = None, *, after: float = 0.0, status: str = "") -> Step:
        """Write a fact down, deliver it, commit the step."""
        delivery = self.append(kind, address, value, after=after, status=status)
        return self.commit(self.execution.deliver(delivery, value))

    def answer(self, address: str, value: Any = None, *, after: float = 0.0) -> Step:
        """The outcome of a call."""
        return self.tell("outcome", address, value, after=after)

    def fire(self, address: str) -> Step:
        """A timer, at the instant it is due."""
        timer = self.asked[Address(address)]
        assert isinstance(timer, NewTimer)
        return self.tell("timer", address, after=max(0.0, (timer.due_at - self.now).total_seconds()))

    # ---------------------------------------------------------------------------------------------------------- replay

    def resume(self, *, page: int = 3) -> Step:
        """Put the live execution away and replay the journal in another one, learning `page` deliveries at a time."""
        self.execution.kill()
        self.execution = execution = self.fresh()
        rows = list(self.rows.values())
        execution.learn([row for row in rows if row.asked_seq <= 0])
        step = self.commit(execution.begin())
        for first in range(1, len(self.log) + 1, page):
            upto = first + page - 1
            execution.learn([row for row in rows if first <= row.asked_seq <= upto])
            for delivery, value in self.log[first - 1 : upto]:
                step = (
                    self.commit(execution.deliver(delivery, value))
                    if delivery.seq > self.processed_seq
                    else (execution.deliver(delivery, value))
                )
        return step


def _row(entry: NewCall | NewTimer | Wait) -> CallRow:
    if isinstance(entry, Wait):
        kind, name = entry.kind, entry.name
    elif isinstance(entry, NewCall):
        kind, name = "call", entry.call.routine.name
    else:
        kind, name = "timer", ""
    return CallRow(entry.address, kind, name, entry.digest, entry.asked_seq, place=entry.place)
