"""The ledger as it stands in the SQLite file, read by plain SQL beside the coordinator: what really happened.

It never writes, and uses none of the product's reading code, so that a fault there hides nothing.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from longshore.core.run import ALLOWED, FINAL, NEW, Status

_FINAL = frozenset(status.value for status in FINAL)
_SHOWN = 10


class Row(NamedTuple):
    """One row of a run's history; `at` is seconds since 1970."""

    run_id: str
    seq: int
    before: str
    after: str
    reason: str
    attempt: int
    epoch: int
    worker_id: str
    at: float
    valid: bool


class LedgerRows:
    """Looks at one ledger file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a SELECT gives; nothing while there is no ledger yet."""
        if not self.path.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)) as connection:
            try:
                return connection.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise

    def runs(self, *columns: str) -> list[tuple[Any, ...]]:
        """These columns of every run."""
        return self.ask(f"SELECT {', '.join(columns)} FROM run")

    def statuses(self) -> Counter[str]:
        """How many runs stand where."""
        return Counter(dict(self.ask("SELECT status, count(*) FROM run GROUP BY status")))

    def ended(self) -> int:
        """How many runs are final."""
        return sum(count for status, count in self.statuses().items() if status in _FINAL)

    def crashes(self) -> dict[str, int]:
        """The runs to which a crash is charged now."""
        return dict(self.ask("SELECT id, crashes FROM run WHERE crashes > 0"))

    def open_sessions(self) -> dict[int, str]:
        """The worker sessions that are not closed: session by process id."""
        return dict(self.ask("SELECT pid, session FROM worker WHERE status <> 'CLOSED'"))

    def histories(self) -> dict[str, list[Row]]:
        """Each run's history in order."""
        found: dict[str, list[Row]] = defaultdict(list)
        wanted = "run_id, seq, from_status, to_status, reason, attempt, epoch, worker_id, at / 1e6, valid"
        for row in self.ask(f"SELECT {wanted} FROM history ORDER BY run_id, seq"):
            found[row[0]].append(Row(*row))
        return found

    def rows(self, *, before: str | None = None, after: str | None = None, since: float = 0.0) -> list[Row]:
        """The history rows of such a change, oldest first."""
        return sorted(
            (
                row
                for history in self.histories().values()
                for row in history
                if before in (None, row.before) and after in (None, row.after) and row.at >= since
            ),
            key=lambda row: row.at,
        )

    def check(self, expected: Collection[str], *, status: str = Status.COMPLETED) -> None:
        """Each of the expected runs ended exactly once with this status, its history one line without a break; no other
        run that is not final. Fails with what is wrong."""
        histories = self.histories()
        stored = dict(self.ask("SELECT id, status FROM run"))
        wrong = list(_wrong(expected, status, stored, histories))
        assert not wrong, f"{len(wrong)} complaints about the ledger:\n" + "\n".join(wrong[:_SHOWN])


def _wrong(
    expected: Iterable[str], status: str, stored: dict[str, str], histories: dict[str, list[Row]]
) -> Iterator[str]:
    for run_id in expected:
        if run_id not in stored:
            yield f"{run_id} is lost"
        elif stored[run_id] != status:
            yield f"{run_id} is {stored[run_id]}, not {status}: {_told(histories.get(run_id, []))}"
    for run_id, now in stored.items():
        if now not in _FINAL:
            yield f"{run_id} has not ended: {_told(histories.get(run_id, []))}"
        problem = _broken(histories.get(run_id, []), now)
        if problem:
            yield f"{run_id} {problem}: {_told(histories.get(run_id, []))}"


def _broken(history: list[Row], now: str) -> str:
    """What is wrong with a history; empty if nothing is."""
    if [row.seq for row in history] != list(range(1, len(history) + 1)):
        return "has gaps in its history"
    if not all(row.valid for row in history):
        return "has rows that are not valid"
    status, epoch = NEW, 0
    for row in history:
        if row.before != status or row.epoch < epoch:
            return f"breaks off at row {row.seq}"
        if row.before != row.after and (row.before, Status(row.after)) not in ALLOWED:
            return f"breaks the law at row {row.seq}"
        status, epoch = row.after, row.epoch
    if status != now:
        return f"ends its history as {status} and stands as {now}"
    if sum(row.after in _FINAL for row in history) > 1:
        return "ended more than once"
    return ""


def _told(history: list[Row]) -> str:
    return " | ".join(f"{row.seq} {row.after} e{row.epoch} ({row.reason})" for row in history)
