"""Whether code does what a recorded journal says: the journal is replayed with dispatch off, and both are compared.

Nothing is sent, stored or executed beside the workflow's own code; what it newly asks for is dropped.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import msgspec

from longshore.core.errors import ArgumentError, DecodeError, PayloadCorrupt, PayloadUnavailable
from longshore.core.message import CallRow, ClaimCheck, Delivery, JournalPage, Recorded, Start
from longshore.core.run import Status
from longshore.engine.steps import Completed, Nondeterministic, Raised
from longshore.routines.catalog import AnyRoutine, Catalog
from longshore.routines.reach import modules_of
from longshore.worker.attempt import WORKFLOW, Attempt
from longshore.worker.bench import Bench
from longshore.worker.flow import Flow

OK: Final = "ok"
DIFFERS: Final = "differs"
SKIPPED: Final = "skipped"


class Checked(msgspec.Struct, frozen=True):
    """What came of one check: `verdict` is ok, differs (`text` shows both sides and their places) or skipped (`text`
    says why). `code` is the routine it was held against, `deliveries` how many facts were replayed."""

    run_id: str
    routine: str
    version: str
    status: str
    code: str
    verdict: str
    deliveries: int = 0
    text: str = ""


def check(journal: Recorded, catalog: Catalog, bench: Bench) -> Checked:
    """Replay one journal against the code in the catalog: of its own version, else of the newest one there."""
    routine = catalog.find(journal.routine, journal.version) or catalog.find(journal.routine)
    if routine is None or routine.kind != WORKFLOW:
        near = catalog.near(journal.routine)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        return _checked(journal, "", SKIPPED, f"no workflow {journal.routine} in {', '.join(catalog.modules)}{hint}")
    if journal.started_at is None:
        return _checked(journal, routine.id, SKIPPED, "it has not begun: nothing is recorded")
    return _Replay(journal, routine, bench).run()


class _Replay:
    """One journal on its way through the code."""

    def __init__(self, journal: Recorded, routine: AnyRoutine, bench: Bench) -> None:
        self._journal = journal
        self._bench = bench
        self._attempt = Attempt(
            Start(
                run_id=journal.run_id,
                epoch=0,
                attempt=journal.attempt,
                routine=journal.routine,
                version=journal.version,
                input=journal.input,
                started_at=journal.started_at,
                last_seq=journal.last_seq,
                processed_seq=journal.processed_seq,
                forked_seq=journal.forked_seq,
                seed=journal.seed,
                generation=journal.generation,
            ),
            routine,
        )
        self._flow = Flow(self._attempt, modules_of(routine.function))

    def run(self) -> Checked:
        """The whole of it."""
        try:
            verdict, text = self._compare()
        except PayloadUnavailable as error:
            verdict, text = SKIPPED, f"its values cannot be fetched: {error}"
        finally:
            self._flow.kill()
        routine = self._attempt.routine
        return _checked(self._journal, routine.id, verdict, text, max(self._flow.applied, 0))

    def _compare(self) -> tuple[str, str]:
        journal, routine = self._journal, self._attempt.routine
        try:
            arguments = self._bench.arguments(self._attempt.start, routine)
        except (ArgumentError, DecodeError, PayloadCorrupt) as error:
            same = journal.status == Status.FAILED and not journal.calls
            return (OK, "") if same else (DIFFERS, f"its input does not fit the code at {routine.place}: {error}")
        self._flow.prepare(lambda: routine.function(*arguments.args, **arguments.kwargs))
        rows: dict[int, list[CallRow]] = defaultdict(list)
        for row in journal.calls:
            rows[row.asked_seq].append(row)
        self._feed(-1, rows[0], None)
        for delivery in journal.deliveries:
            if self._flow.outcome is not None or self._flow.left_over():
                break
            self._feed(delivery.seq - 1, rows[delivery.seq], delivery)
        return self._difference()

    def _feed(self, after: int, rows: list[CallRow], delivery: Delivery | None) -> None:
        flow, told = self._flow, [] if delivery is None else [delivery]
        flow.turn_page(JournalPage(self._journal.run_id, 0, after, after + 1, rows, told))
        if delivery is not None and isinstance(delivery.result, ClaimCheck):
            flow.arrived(delivery.seq, self._load(delivery.result))
        while flow.step():
            pass

    def _load(self, value: ClaimCheck) -> Any:
        try:
            return self._bench.load(value)
        except PayloadUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - unreadable for good: as on a worker it is the outcome of the call
            return error

    def _difference(self) -> tuple[str, str]:
        flow, status = self._flow, self._journal.status
        if isinstance(flow.outcome, Nondeterministic):
            return DIFFERS, flow.outcome.failure
        if left := flow.left_over():
            more = f"\nand so at {len(left) - 1} other address(es)" if len(left) > 1 else ""
            return DIFFERS, left[0] + more
        ended = flow.outcome
        if status == Status.COMPLETED and not isinstance(ended, Completed):
            return DIFFERS, f"  recorded: the run COMPLETED\n  the code: {_told(flow)}"
        if status == Status.FAILED and ended is None and not flow.dead:
            return DIFFERS, f"  recorded: the run FAILED\n  the code: {_told(flow)}"
        return OK, ""


def _told(flow: Flow) -> str:
    ended = flow.outcome
    if isinstance(ended, Raised):
        return f"raises {type(ended.exception).__name__}: {ended.exception}"
    if ended is not None:
        return "continues as its next generation"
    return f"still waits after the last recorded fact\n{flow.stacks()}"


def _checked(journal: Recorded, code: str, verdict: str, text: str, deliveries: int = 0) -> Checked:
    return Checked(
        run_id=journal.run_id,
        routine=journal.routine,
        version=journal.version,
        status=journal.status,
        code=code,
        verdict=verdict,
        deliveries=deliveries,
        text=text,
    )
