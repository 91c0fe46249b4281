"""The tail of the history, for outsiders: while somebody listens, each batch leaves a row with the runs it changed, and
from those the changes are read again in order. It never touches what the ledger decides or commits beside it.

One thread at a time reads; the writer keeps and lets go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, Engine

from longshore.coordinator.store.annotations import tags_of
from longshore.coordinator.store.columns import encode_json, encode_pack, ids_of, moment_of
from longshore.coordinator.store.engines import reading
from longshore.coordinator.store.faults import translated
from longshore.coordinator.store.shown import rfc3339
from longshore.coordinator.store.statements import ManyKeys, insert, marks_of
from longshore.core.changes import Changes

MOST: Final = 1000
"""Changes in one body."""
BATCHES: Final = 50
"""Batches read at once."""
LARGEST: Final = 900_000
"""Bytes of one body, about."""
KEPT: Final = 100_000
"""Batches that may wait for a broker that takes none; the oldest are given up then."""
_NAMES: Final = "run_id seq from_status to_status reason actor attempt epoch worker_id at valid"
_RUN: Final = "routine version queue tags parent_id root_id"


class Bodies(NamedTuple):
    """What one batch changed, as JSON arrays, in order."""

    batch_no: int
    bodies: list[bytes]


class Leaving:
    """The writer's part: what a batch leaves for the tail, and what of it is gone."""

    def __init__(self, mark: str) -> None:
        self.wanted = False
        """Whether anybody listens: else nothing is kept."""
        self.passed = 0
        """The last batch that was passed on, or is not wanted any more."""
        self._gone = 0
        self._insert = insert("tail", ("batch_no", "run_ids"), mark)
        self._delete = f"DELETE FROM tail WHERE batch_no <= {mark}"

    def step(self, changes: Changes, batch_no: int) -> tuple[Any, Sequence[Any]]:
        """What keeps the runs that a batch changed."""
        return self._insert, [(batch_no, encode_pack(list({row.run_id: None for row in changes.history})))]

    def let_go(self, connection: Connection) -> None:
        """Forget what was passed on."""
        passed = self.passed
        if passed > self._gone:
            connection.exec_driver_sql(self._delete, (passed,))
            self._gone = passed


class Tail:
    """The reader's part, on a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    def newest(self) -> int:
        """The last batch that waits; 0 for none."""
        with translated("the tail of the history cannot be read"):
            text = "SELECT COALESCE(MAX(batch_no), 0) FROM tail"
            return int(self._reading().exec_driver_sql(text).scalar_one())

    def after(self, batch_no: int) -> list[Bodies]:
        """The next batches behind this one, about a body's worth of changes. Raises StoreUnavailableError."""
        with translated("the tail of the history cannot be read"):
            connection = self._reading()
            text = (
                f"SELECT batch_no, run_ids FROM tail WHERE batch_no > {marks_of(connection)} ORDER BY batch_no LIMIT 50"
            )
            found: list[Bodies] = []
            changes = 0
            for number, packed in connection.exec_driver_sql(text, (batch_no,)).fetchall():
                rows = list(_changes(connection, number, ids_of(packed)))
                found.append(Bodies(number, _bodies(rows)))
                changes += len(rows)
                if changes >= MOST:
                    break
            return found

    def behind(self, batch_no: int) -> int:
        """How many batches wait behind this one, counted up to one more than are kept."""
        with translated("the tail of the history cannot be read"):
            connection = self._reading()
            text = f"SELECT 1 FROM tail WHERE batch_no > {marks_of(connection)} LIMIT {KEPT + 1}"
            return len(connection.exec_driver_sql(text, (batch_no,)).fetchall())

    def _reading(self) -> Connection:
        if self._connection is None or self._connection.closed or self._connection.invalidated:
            self._connection = reading(self._engine)
        return self._connection

    def close(self) -> None:
        """Close the connection. Twice is harmless."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _changes(connection: Connection, batch_no: int, run_ids: list[str]) -> Iterator[dict[str, Any]]:
    history = ", ".join(f"history.{name}" for name in _NAMES.split())
    about = ", ".join(f"run.{name}" for name in _RUN.split())
    mark = marks_of(connection)
    wanted = ManyKeys(
        f"SELECT {history}, {about} FROM history LEFT JOIN run ON run.id = history.run_id "
        f"WHERE history.batch_no = {mark} AND history.run_id IN ({{keys}})",
        mark,
    )
    names = (*_NAMES.split(), *_RUN.split())
    place = {run_id: number for number, run_id in enumerate(run_ids)}
    rows = [dict(zip(names, row, strict=True)) for row in wanted.rows(connection, run_ids, (batch_no,))]
    rows.sort(key=lambda row: (place[row["run_id"]], row["seq"]))
    for row in rows:
        row["at"], row["valid"], row["tags"] = rfc3339(moment_of(row["at"])), bool(row["valid"]), tags_of(row["tags"])
        yield row


def _bodies(rows: list[dict[str, Any]]) -> list[bytes]:
    bodies: list[bytes] = []
    part: list[bytes] = []
    size = 0
    for row in rows:
        piece = encode_json(row)
        if part and (len(part) == MOST or size + len(piece) > LARGEST):
            bodies.append(b"[" + b",".join(part) + b"]")
            part, size = [], 0
        part.append(piece)
        size += len(piece) + 1
    if part:
        bodies.append(b"[" + b",".join(part) + b"]")
    return bodies


def decoded(body: bytes) -> list[dict[str, Any]]:
    """The changes in a body."""
    found: list[dict[str, Any]] = msgspec.json.decode(body)
    return found
