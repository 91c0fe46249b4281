"""What this worker holds, and how what executors tell becomes reports. Bookkeeping of the bus's thread; it sends
nothing.

An attempt is held from its Start until the ledger has its end. Notes of one flush are merged: what began and ended
within it is one Finished with `started_at`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from longshore.core.ids import RunId, WorkerId
from longshore.core.message import (
    Annotated,
    Checkpoint,
    Finished,
    Held,
    Progress,
    Released,
    Report,
    Start,
    Started,
    Suspended,
)
from longshore.core.outbox import held_digest
from longshore.routines.routine import Routine
from longshore.worker.attempt import WORKFLOW, Attempt
from longshore.worker.bench import COMPLETED
from longshore.worker.desk import Note
from longshore.worker.wary import Wary

PROGRESS_EVERY: Final = 0.2
"""Seconds between two reports of progress or checkpoints of one run at least; the latest word is never lost."""

YOUNG: Final = 0.01
"""Seconds a body may run before Started is worth a message of its own: most have ended by then, and are one report."""

_ENDS: Final = (Finished, Suspended, Released)


class Roster:
    """See the module. `on_begun` and `on_ended` are told of each attempt once, `on_said` of what it reports between,
    and `on_freed` of one whose slot was stuck."""

    def __init__(
        self,
        on_begun: Callable[[Attempt], None],
        on_said: Callable[[Attempt, Report], None],
        on_ended: Callable[[Attempt, Report], None],
        on_freed: Callable[[Attempt], None],
    ) -> None:
        self.attempts: dict[RunId, Attempt] = {}
        self.untold = 0  # attempts handed to executors of which neither Started nor an end was reported
        self._on_begun = on_begun
        self._on_said = on_said
        self._on_ended = on_ended
        self._on_freed = on_freed
        self._reports: list[Report] = []
        self._ending: list[Attempt] = []  # their ends are in `_reports`
        self._begun: list[Attempt] = []
        self._talking: dict[RunId, Attempt] = {}
        self._editing: dict[RunId, Attempt] = {}  # their code has changed metadata
        self._untaken: deque[tuple[int, list[Attempt]]] = deque()
        self._wary = Wary()

    def admit(self, start: Start, routine: Routine[..., object]) -> Attempt:
        """Hold a run from here on, in place of whatever was held of it before."""
        attempt = self.attempts[start.run_id] = Attempt(start, routine)
        self.untold += 1
        return attempt

    def tell(self, attempt: Attempt) -> None:
        """Report that it begins, before it does: its body must not until `arrived` names it."""
        self._reports.append(Started(attempt.run_id, attempt.epoch, datetime.now(UTC)))
        attempt.told = True
        self.untold -= 1
        self._wary.hold(attempt)

    def withdraw(self, attempt: Attempt) -> bool:
        """Let this one never begin; False: it does not wait for that, or it is a workflow, which its host holds."""
        return attempt.kind != WORKFLOW and self._wary.withdraw(attempt)

    def wary(self) -> list[Attempt]:
        """Those that wait for their Started to arrive: they do so no longer, and never begin."""
        return self._wary.close()

    def refuse(self, start: Start, worker_id: WorkerId, near: Sequence[str]) -> None:
        """Hand back a run of a routine that is not here; `near` is what it may have meant."""
        hint = f"; it has {', '.join(near)}" if near else ""
        reason = f"worker {worker_id} has no routine {start.routine}@{start.version}{hint}"
        self._reports.append(Released(start.run_id, start.epoch, reason))

    def find(self, run_id: RunId, epoch: int) -> Attempt | None:
        """The attempt of that epoch, unless its end is already reported."""
        attempt = self.attempts.get(run_id)
        return attempt if attempt is not None and attempt.epoch == epoch and not attempt.reported else None

    def forget(self, attempt: Attempt) -> None:
        """Hold it no longer and report nothing of it."""
        if self.attempts.get(attempt.run_id) is attempt:
            del self.attempts[attempt.run_id]
        self._silence(attempt)

    def held(self) -> list[Held]:
        """For Hello: everything held."""
        return [Held(a.run_id, a.epoch, a.began_at is not None) for a in self.attempts.values()]

    def digest(self) -> int:
        """For Beat: a number over what is held, less what the ledger lets go when it takes the reports sent before."""
        return held_digest((a.run_id, a.epoch) for a in self.attempts.values() if not a.sent)

    def unended(self) -> list[Attempt]:
        """Everything whose end is not reported."""
        return [a for a in self.attempts.values() if not a.reported]

    # ----------------------------------------------------------------------------------------------- from executors

    def take_notes(self, notes: Iterable[Note]) -> None:
        """Take in what executors told, in order."""
        for attempt, report, progress, edited in notes:
            if attempt.reported:
                if report is not None and attempt.stuck:
                    attempt.stuck = False
                    self._on_freed(attempt)
            elif edited:
                self._editing[attempt.run_id] = attempt
            elif progress:
                self._talking[attempt.run_id] = attempt
            elif report is None:
                self._begun.append(attempt)
                self._on_begun(attempt)
            elif isinstance(report, _ENDS):
                self.report_end(attempt, report)
            else:
                self._on_said(attempt, report)
                self._reports.append(report)

    def report_end(self, attempt: Attempt, report: Finished | Suspended | Released) -> None:
        """Report the end of an attempt; whatever is told of it later is dropped."""
        if isinstance(report, Finished) and not attempt.told:
            report.started_at = attempt.began_at
        self._on_ended(attempt, report)
        if attempt.edits is not None and not attempt.reported:
            self._reports += attempt.edits.reports(attempt.run_id, attempt.epoch)
        self._silence(attempt)
        if not (isinstance(report, Finished) and report.how == COMPLETED):
            self._reports += self._kept(attempt)
        self._reports.append(report)
        self._ending.append(attempt)

    def _silence(self, attempt: Attempt) -> None:
        if not attempt.reported:
            attempt.reported = True
            self.untold -= not attempt.told
            self._talking.pop(attempt.run_id, None)
            self._editing.pop(attempt.run_id, None)

    # ---------------------------------------------------------------------------------------------- to the session

    def gather(self, now: float) -> list[Report]:
        """All there is to report at this moment: beginnings, then the rest in order."""
        if self._begun:
            self._reports[:0] = self._started(time.perf_counter() - YOUNG)
        if self._talking:
            self._reports += self._words(now)
        if self._editing:
            self._reports += self._edits(now)
        reports, self._reports = self._reports, []
        return reports

    def _started(self, before: float) -> list[Started]:
        """Of bodies that began before this instant and go on; of a workflow at once, because Commands may follow."""
        running = [a for a in self._begun if not (a.reported or a.told)]
        fresh = [a for a in running if a.began <= before or a.kind == WORKFLOW]
        self._begun = [a for a in running if a.began > before and a.kind != WORKFLOW]
        for attempt in fresh:
            attempt.told = True
        self.untold -= len(fresh)
        return [Started(a.run_id, a.epoch, a.began_at) for a in fresh if a.began_at is not None]

    def _words(self, now: float) -> list[Report]:
        said: list[Report] = []
        for attempt in [a for a in self._talking.values() if a.told and now - a.said_at >= PROGRESS_EVERY]:
            del self._talking[attempt.run_id]
            attempt.said_at = now
            attempt.talking = False  # before the word is read: what is said from here on rings again
            word = attempt.said
            if word is not attempt.said_sent:
                attempt.said_sent = word
                said.append(Progress(attempt.run_id, attempt.epoch, *word))
            said += self._kept(attempt)
        return said

    def _edits(self, now: float) -> list[Annotated]:
        found: list[Annotated] = []
        for attempt in [a for a in self._editing.values() if a.told and now - a.edited_at >= PROGRESS_EVERY]:
            del self._editing[attempt.run_id]
            attempt.edited_at = now
            if attempt.edits is not None:
                found += attempt.edits.reports(attempt.run_id, attempt.epoch)
        return found

    def _kept(self, attempt: Attempt) -> list[Report]:
        """The checkpoint that is not reported yet."""
        value = attempt.saved
        if value is None or value is attempt.saved_sent:
            return []
        attempt.saved_sent = value
        return [Checkpoint(attempt.run_id, attempt.epoch, value)]

    @property
    def waits(self) -> bool:
        """Whether something becomes due for a report by time alone."""
        return bool(self.untold or self._talking or self._editing)

    def numbered(self, number: int) -> None:
        """What was gathered last ends with this report body."""
        if self._ending:
            for attempt in self._ending:
                attempt.sent = True
            self._untaken.append((number, self._ending))
            self._ending = []
        self._wary.numbered(number)

    def arrived(self, numbers: range) -> list[Attempt]:
        """The broker has the report bodies of these numbers: who may begin now, in order."""
        return self._wary.arrived(numbers)

    def taken(self, number: int) -> None:
        """The ledger has every report body up to this one: ends in them are no longer held."""
        while self._untaken and self._untaken[0][0] <= number:
            for attempt in self._untaken.popleft()[1]:
                if self.attempts.get(attempt.run_id) is attempt:
                    del self.attempts[attempt.run_id]


def clock() -> float:
    """The clock that `gather` is given."""
    return time.monotonic()
