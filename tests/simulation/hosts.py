"""A worker of the simulation whose workflows are real code: each lives in the product's own Flow, as on a worker.

What the product's host does with threads is done here in one: pages are fetched, facts applied, Commands sent, and what
waits for long is put away.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from longshore.core.ids import RunId, uuid7
from longshore.core.message import (
    Abandon,
    CancelRun,
    Commands,
    Deliver,
    Directive,
    Fetch,
    Finished,
    JournalPage,
    Released,
    Report,
    Start,
    Suspended,
)
from longshore.engine.generations import Continued
from longshore.engine.steps import Completed, Nondeterministic, Raised
from longshore.payloads.cargo import Cargo
from longshore.serialization.failures import encode_failure
from longshore.serialization.values import encode
from longshore.worker.asking import Asked, commands
from longshore.worker.attempt import Attempt
from longshore.worker.bench import Bench
from longshore.worker.flow import FETCH_PATIENCE, Flow
from tests.simulation.models import Execution, Script, SimWorker
from tests.simulation.stories import BUILD, ROUTINES

SUSPEND_AFTER: Final = 3.0
BY_NAME: Final = {routine.name: routine for routine in ROUTINES}
BENCH: Final = Bench(Cargo(None, inline_limit=1 << 20), "simulation")  # type: ignore[arg-type]
BY_CHANCE: Final = encode_failure(RuntimeError("by chance"))


@dataclass
class Hosted(Execution):
    """A held run; of a workflow with its Flow."""

    flow: Flow | None = None


def attempt_of(start: Start) -> Attempt:
    """The attempt that a Start begins."""
    return Attempt(start, BY_NAME[start.routine])


def prepare(flow: Flow, build: int) -> None:
    """Give a Flow its code, as it stands in this build."""
    routine = flow.attempt.routine
    args, kwargs = BENCH.arguments(flow.attempt.start, routine)

    def code() -> Any:
        BUILD.set(build)
        return routine.function(*args, **kwargs)

    flow.prepare(code)


class CodeWorker(SimWorker):
    """One worker process of one build."""

    offers = [routine.offer() for routine in ROUTINES]  # noqa: RUF012 - as in SimWorker

    def __init__(self, name: str, seed: int, build: int) -> None:
        super().__init__(name, seed)
        self.build = build
        self.clock = 0.0
        self.replays = self.applied = self.suspended = 0
        self.peril = 0.0  # how likely it dies between two bodies
        self.doomed = False  # it dies now, in the middle of what it has to say

    def in_one_body(self) -> int:
        """Now and then a body ends between the parts of one workflow's Commands."""
        many = len(self.reports)
        return self.random.randrange(1, many) if many > 1 and self.random.random() < 0.3 else many

    def outgoing(self, now: float) -> list[tuple[int | None, list[Report]]]:
        """The bodies that leave now. Of several, now and then only the first one leaves before its end comes."""
        leaving = [] if self.doomed else super().outgoing(now)
        if len(leaving) > 1 and self.outbox.phase == "open" and self.random.random() < self.peril:
            self.doomed = True
            return leaving[:1]
        return leaving

    def die(self) -> None:
        """Its process is gone: code that is put away has no effect any more."""
        for execution in self.held.values():
            _kill(execution)
        super().die()

    def work(self, now: datetime, passed: float) -> None:
        """Let some time pass."""
        self.clock += passed
        if not self.doomed:
            super().work(now, passed)

    # -------------------------------------------------------------------------------------------------- what comes in

    def _carry_out(self, directive: Directive) -> None:
        if isinstance(directive, Start):
            self._start(directive)
            return
        execution = self.held.get(getattr(directive, "run_id", RunId("")))
        if not isinstance(execution, Hosted) or execution.start.epoch != getattr(directive, "epoch", 0):
            return
        if isinstance(directive, Abandon):
            _kill(execution)
        if execution.flow is None or isinstance(directive, Abandon):
            super()._carry_out(directive)
        elif execution.start.run_id in self.ended or isinstance(directive, CancelRun):
            return  # a workflow is canceled by a delivery
        elif isinstance(directive, Deliver):
            execution.flow.deliver(directive)
        elif isinstance(directive, JournalPage) and execution.flow.turn_page(directive):
            self._fetch(execution.flow, directive.upto)

    def _start(self, start: Start) -> None:
        held = self.held.get(start.run_id)
        if held is not None and held.start.epoch >= start.epoch:
            return
        if held is not None:
            _kill(held)
        self.ended.pop(start.run_id, None)
        lasts = self.random.uniform(0.0, 2.0) if self.random.random() < 0.9 else self.random.uniform(5.0, 15.0)
        execution = self.held[start.run_id] = Hosted(start, 0, lasts)
        if BY_NAME[start.routine].kind != "workflow":
            return
        execution.script = Script([])
        execution.flow = flow = Flow(attempt_of(start), ("tests.simulation.stories",), BENCH.freeze)
        flow.moved_at = self.clock
        prepare(flow, self.build)
        if flow.replays:
            self.replays += 1
            self._fetch(flow, -1)

    def _fetch(self, flow: Flow, after: int) -> None:
        flow.fetch_at = self.clock + FETCH_PATIENCE
        flow.fetched_after = after
        self.reports.append(Fetch(flow.attempt.run_id, flow.attempt.epoch, after))

    # -------------------------------------------------------------------------------------------------- what it does

    def _finish_task(self, execution: Execution, now: datetime) -> None:
        start = execution.start
        bad = self.random.random() < (0.4 if start.routine == "may_fail" else 0.03)
        how = "canceled" if execution.canceled else "failed" if bad else "completed"
        report = Finished(start.run_id, start.epoch, how, now, now)
        if how == "completed":
            report.result, report.slot_us = encode(self.random.randrange(100)).inline(), 1000
            self.effects.append(start.run_id)
        else:
            report.error = BY_CHANCE
        self._end(execution, report)

    def _end(self, execution: Execution, report: Any) -> None:
        super()._end(execution, report)
        _kill(execution)

    def _pump(self, execution: Execution, now: datetime) -> None:
        flow = execution.flow if isinstance(execution, Hosted) else None
        assert flow is not None
        while flow.step():
            self.applied += 1
            flow.moved_at = self.clock
        if flow.outcome is not None:
            self._report_end(execution, flow, now)
            return
        assert not flow.dead, flow.stacks()
        if flow.due:
            self._command(flow, now)
        if (flow.missing() and flow.fetch_at is None) or (flow.fetch_at is not None and self.clock >= flow.fetch_at):
            self._fetch(flow, flow.applied)

    def _put_away(self, execution: Execution) -> None:
        flow = execution.flow if isinstance(execution, Hosted) else None
        assert flow is not None
        long = flow.stands_still and self.clock - flow.moved_at >= SUSPEND_AFTER
        if not long and self.random.random() >= (0.3 if self.draining else 0.01):
            return
        start = execution.start
        known = flow.reported if flow.reported is not None else start.processed_seq
        self.suspended += known >= 0
        report = Suspended(start.run_id, start.epoch, known) if known >= 0 else Released(start.run_id, start.epoch)
        self._end(execution, report)

    def _command(self, flow: Flow, now: datetime, *, ending: bool = False) -> None:
        replayed = [new.address for new in flow.calls if new.asked_seq <= flow.attempt.start.processed_seq]
        assert not replayed, f"asked for again in a replay: {replayed}"
        upto = None if ending else flow.applied
        asked = Asked(flow.attempt, upto, flow.calls, flow.timers, flow.closed, flow.waits, flow.taken)
        flow.calls, flow.timers, flow.closed, flow.waits, flow.taken = [], [], [], [], (0, 0)
        for part in commands(BENCH, asked):
            part.at = now
            for call in part.calls:
                call.child_id = RunId(uuid7(now, self.random.randbytes(10)))
            self.reports += self._parts(part)
        if upto is not None:
            flow.reported = upto

    def _parts(self, whole: Commands) -> list[Commands]:
        """As many calls would be sent: now and then in several messages, of which the last says that it is."""
        if self.random.random() < 0.5:
            return [whole]
        own = {call.address for call in whole.calls} | {wait.address for wait in whole.waits}
        first = Commands(whole.run_id, whole.epoch, whole.at, calls=whole.calls, waits=whole.waits)
        first.closed = [address for address in whole.closed if address in own]
        rest = [address for address in whole.closed if address not in own]
        last = Commands(whole.run_id, whole.epoch, whole.at, whole.upto_seq, timers=whole.timers, closed=rest)
        last.taken, last.taken_bytes = whole.taken, whole.taken_bytes
        return [first, last]

    def _report_end(self, execution: Execution, flow: Flow, now: datetime) -> None:
        assert not isinstance(flow.outcome, Nondeterministic), flow.outcome.failure
        if flow.calls:
            flow.timers, flow.closed = [], []
            self._command(flow, now, ending=True)
        report = end_of(flow)
        report.at = now
        report.upto_seq, report.slot_us = (flow.applied if flow.applied >= 0 else None), 0
        self._end(execution, report)


def end_of(flow: Flow) -> Finished:
    """How the code ended, as a worker reports it."""
    match flow.outcome:
        case Completed(frozen=bytes(frozen)):
            return BENCH.completed(flow.attempt, frozen, None)
        case Continued(frozen=bytes(frozen), unread=unread):
            return BENCH.continued(flow.attempt, frozen, unread)
        case Raised(exception=error):
            return BENCH.failed(flow.attempt, error)
    raise AssertionError(flow.outcome)


def _kill(execution: Execution) -> None:
    if isinstance(execution, Hosted) and execution.flow is not None:
        execution.flow.kill()
