"""What must hold of canceled workflows in any world: a cleanup is over when its code says so, and no sooner, but for
its grace and for three workers lost in a row."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from longshore.core.ids import RunId
from longshore.core.ledger import LedgerConfig
from longshore.core.policy import CRASHES_TO_BLOCK
from longshore.core.run import Run, Status, is_started_workflow
from tests.simulation.book import Book

GRACE: Final = LedgerConfig().cancel_grace


def check_cleanups(book: Book, finished: Collection[tuple[RunId, int]]) -> None:
    """`finished` are the runs, with their epochs, whose workers have reported an end."""
    for run in book.runs.values():
        last = [row for row in book.history[run.id] if row.valid][-1]
        if run.status is Status.CANCELED and last.from_status == Status.CANCELING and is_started_workflow(run):
            assert (run.id, run.epoch) in finished or _may_end(run), f"{run.id}: its cleanup was lost: {run.reason}"


def _may_end(run: Run) -> bool:
    assert run.finished_at is not None and run.cancel_at is not None
    return run.crashes >= CRASHES_TO_BLOCK or run.finished_at - run.cancel_at >= GRACE
