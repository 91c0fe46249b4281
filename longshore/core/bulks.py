"""What a bulk order is: one order for all runs that fit a filter, as they were at its moment, done page by page.

It is plain data; the rules are in `ledger/bulking.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from longshore.core.batches import said_at
from longshore.core.ids import RunId, is_run_id
from longshore.core.names import split_routine
from longshore.core.run import FINAL, Status

RUNNING: Final = "running"
DONE: Final = "done"
ABORTED: Final = "aborted"
CANCEL: Final = "cancel"
RERUN: Final = "rerun"
TEXTS: Final = ("routine", "version", "tag", "queue", "concurrency_key", "batch_id", "parent_id")
LONGEST: Final = 256

CANCELABLE: Final = tuple(sorted(set(Status) - FINAL - {Status.CANCELING}))
"""What a bulk cancel is about; the others have ended, or are being canceled already."""
ABOUT: Final[dict[str, tuple[Status, ...]]] = {CANCEL: CANCELABLE, RERUN: tuple(sorted(FINAL))}
"""What can be ordered, and the statuses in which a run can be told it."""


class RunFilter(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Which runs: those that fit everything that is given. `all` says that it is meant when nothing is."""

    status: list[str] = []
    routine: str = ""  # its name, or name@version
    version: str = ""
    tag: str = ""
    queue: str = ""
    concurrency_key: str = ""
    batch_id: str = ""
    parent_id: str = ""
    created_after: datetime | None = None
    created_before: datetime | None = None
    all: bool = False


EVERYTHING: Final = RunFilter()


class BulkRow(msgspec.Struct, kw_only=True, gc=False):
    """A bulk order as it is kept. It has come to the run numbered `after` of those up to `upto`, the last that there
    was at its moment (the store knows it)."""

    id: str
    what: str
    filter: RunFilter
    reason: str = ""
    by: str = ""
    status: str = RUNNING
    created_at: datetime
    finished_at: datetime | None = None
    matched: int = 0
    done: int = 0
    refused: int = 0
    after: int = 0
    upto: int = 0


class BulkPage(msgspec.Struct, gc=False):
    """The next runs of a bulk order, each with its number. `after`: nothing up to there is left when these are done;
    `last`: nothing at all is."""

    bulk: BulkRow
    runs: list[tuple[int, RunId]]
    after: int
    last: bool


def problem_of(what: str, wanted: RunFilter) -> tuple[str, str] | None:
    """(rule, what is wrong) with such an order, or None."""
    about = ABOUT.get(what)
    if about is None:
        return "what", f"{what[:64]!r} is no bulk order; there are {', '.join(ABOUT)}"
    for status in wanted.status:
        if status not in about:
            text = f"status {status[:64]!r}: a bulk {what} is about runs that are {', '.join(about)}"
            return "status", text
    for name in TEXTS:
        if len(getattr(wanted, name)) > LONGEST:
            return name, f"{name} has over {LONGEST} characters"
    routine, reason = split_routine(wanted.routine) if wanted.routine else ("", "")
    if wanted.routine and not routine:
        return "routine", reason
    if wanted.parent_id and not is_run_id(wanted.parent_id):
        return "parent_id", f"{wanted.parent_id!r} is no run id: a UUID in canonical form (36 characters, lower case)"
    for name in ("created_after", "created_before"):
        at = getattr(wanted, name)
        if at is not None and at.utcoffset() is None:
            return name, f"{name} is {at.isoformat()}, without its zone: write for example 2026-01-31T08:00:00Z"
    if wanted.all is (msgspec.structs.replace(wanted, all=False) != EVERYTHING):
        if wanted.all:
            return "filter", "all=True means every run: leave the other conditions out, or `all`"
        return "filter", f"no condition is given: a bulk {what} of every run needs all=True"
    return None


def statuses_of(what: str, wanted: RunFilter) -> list[str]:
    """The statuses of runs that such an order is about."""
    return list(dict.fromkeys(wanted.status)) or [status.value for status in ABOUT[what]]


def fields_of(row: BulkRow, left: int | None = None) -> dict[str, Any]:
    """A bulk order as people and programs see it. `left` is how many runs that fit are still to come (None: nobody has
    counted); `progress` is from 0 to 1, of the runs that fit if they are counted, else of all runs there are."""
    at, of = (row.after, row.upto) if left is None else (row.matched, row.matched + left)
    return {
        "bulk_id": row.id,
        "what": row.what,
        "filter": said_filter(row.filter),
        "status": row.status,
        "matched": row.matched,
        "done": row.done,
        "refused": row.refused,
        "left": 0 if row.status == DONE else left,
        "progress": 1.0 if row.status == DONE else round(min(at / max(of, 1), 1.0), 4),
        "reason": row.reason,
        "by": row.by,
        "created_at": said_at(row.created_at),
        "finished_at": said_at(row.finished_at),
    }


def said_filter(wanted: RunFilter) -> dict[str, Any]:
    """The conditions that are given, as people and programs see them: times in RFC 3339."""
    return {name: _said(value) for name, value in msgspec.structs.asdict(wanted).items() if value}


def _said(value: Any) -> Any:
    return said_at(value) if isinstance(value, datetime) else value
