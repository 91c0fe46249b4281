"""Letting go in SQL: rows of journals that are left behind, old history, ids of signals, dead tokens.

Every statement has a bound on its rows. It decides nothing: what is let go of, and how much at once, the ledger says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from longshore.coordinator.store import keeping, left
from longshore.coordinator.store.beginnings import old_keys
from longshore.coordinator.store.columns import Micros, micros
from longshore.coordinator.store.statements import ManyKeys, marks_of
from longshore.core.changes import Changes
from longshore.core.cursors import (
    FORGET_BELOW,
    FORGET_EXPIRED,
    FORGET_JOURNAL,
    FORGET_KEYS,
    FORGET_LEFT,
    FORGET_ROWS,
    FORGET_SIGNALS,
    FORGET_TREE,
    Cursor,
)
from longshore.core.ids import RunId

GROUP: Final = 1000
_MANY: Final = GROUP + 1
"""Rows are counted up to here: there are more than are let go of at once."""
_CALLS: Final = "SELECT generation, address FROM call WHERE run_id = {0} AND generation <= {0} "
_FACTS: Final = "SELECT generation, seq FROM delivery WHERE run_id = {0} AND generation <= {0} "
_DEAD: Final = "run.id IS NULL OR token.generation < run.generation OR (run.finished_at > 0 AND run.finished_at < {0})"


class _Each:
    """A statement for one (run, up to, at most) after the other."""

    def __init__(self, text: str, mark: str) -> None:
        self._text = text.format(mark)

    def run(self, connection: Connection, rows: Sequence[tuple[RunId, int, int]], /) -> None:
        """Execute it."""
        for run_id, upto, limit in rows:
            connection.exec_driver_sql(self._text, (run_id, run_id, upto, limit))


class _Once:
    def __init__(self, text: str, mark: str) -> None:
        self._text = text.format(mark)

    def run(self, connection: Connection, rows: Sequence[Any], /) -> None:
        for row in rows:
            connection.exec_driver_sql(self._text, row)


class Forgetting:
    """The statements of the writer."""

    def __init__(self, mark: str) -> None:
        facts = _FACTS + "ORDER BY generation, seq LIMIT {0}"
        calls = _CALLS + "ORDER BY generation, address LIMIT {0}"
        self._journals = (
            _Each(
                "INSERT INTO told_signal (run_id, signal_id, at) SELECT run_id, address, at FROM delivery "
                "WHERE kind = 'signal' AND address <> '' AND run_id = {0} "
                f"AND (generation, seq) IN ({facts}) ON CONFLICT DO NOTHING",
                mark,
            ),
            _Each(f"DELETE FROM delivery WHERE run_id = {{0}} AND (generation, seq) IN ({facts})", mark),
            _Each(f"DELETE FROM call WHERE run_id = {{0}} AND (generation, address) IN ({calls})", mark),
        )
        self._history = _Each(
            "DELETE FROM history WHERE run_id = {0} AND seq IN "
            "(SELECT seq FROM history WHERE run_id = {0} AND seq > 1 AND seq <= {0} ORDER BY seq LIMIT {0})",
            mark,
        )
        self._signals = _Once(
            "DELETE FROM told_signal WHERE (run_id, signal_id) IN "
            "(SELECT run_id, signal_id FROM told_signal WHERE at < {0} ORDER BY at LIMIT {0})",
            mark,
        )
        self._tokens = ManyKeys("DELETE FROM token WHERE token IN ({keys})", mark)

    def steps(self, changes: Changes, at: Micros) -> Iterator[tuple[Any, Sequence[Any]]]:
        """What is to be executed for these changes, in order."""
        if changes.forgotten:
            yield from ((statement, list(changes.forgotten)) for statement in self._journals)
        if changes.history_forgotten:
            yield self._history, list(changes.history_forgotten)
        if changes.signals_forgotten:
            before, limit = changes.signals_forgotten
            yield self._signals, [(at[before], limit)]
        if changes.tokens_forgotten:
            yield self._tokens, list(changes.tokens_forgotten)


# -------------------------------------------------------------------------------------------------------------- asking


def journal_rows(connection: Connection, run_id: RunId, upto: int | None = None) -> int:
    """How many calls and facts a run has, of all generations or up to one; each counted up to one more than are let go
    of at once."""
    mark = marks_of(connection)
    of = f"run_id = {mark}" + ("" if upto is None else f" AND generation <= {mark}")
    counts = [f"(SELECT COUNT(*) FROM (SELECT 1 FROM {name} WHERE {of} LIMIT {_MANY}) AS {name}s)" for name in _TABLES]
    values: tuple[Any, ...] = (run_id,) if upto is None else (run_id, upto)
    return int(connection.exec_driver_sql(f"SELECT {' + '.join(counts)}", values * len(_TABLES)).scalar_one())


_TABLES: Final = ("call", "delivery")


def stand_before(connection: Connection, cursor: Cursor) -> Cursor:
    """The cursor with what it stands before."""
    if cursor.kind in (FORGET_LEFT, FORGET_BELOW):
        return left.stand_before(connection, cursor)
    if cursor.kind in (FORGET_EXPIRED, FORGET_ROWS, FORGET_TREE):
        return keeping.stand_before(connection, cursor)
    mark = marks_of(connection)
    before = micros(cursor.before) if cursor.before is not None else 0
    if cursor.kind == FORGET_JOURNAL:
        text = f"SELECT generation FROM run WHERE id = {mark}"
        cursor.upto = int(connection.exec_driver_sql(text, (cursor.run_id,)).scalar() or 0) - 1
        cursor.rows = journal_rows(connection, cursor.run_id, cursor.upto)
    elif cursor.kind == FORGET_KEYS:
        cursor.rows = old_keys(connection, before, _MANY)
    elif cursor.kind == FORGET_SIGNALS:
        text = f"SELECT COUNT(*) FROM (SELECT 1 FROM told_signal WHERE at < {mark} LIMIT {_MANY}) AS old"
        cursor.rows = int(connection.exec_driver_sql(text, (before,)).scalar_one())
    else:
        text = (
            f"SELECT token.token, {_DEAD.format(mark)} FROM token LEFT JOIN run ON run.id = token.run_id "
            f"WHERE token.token > {mark} ORDER BY token.token LIMIT {_MANY}"
        )
        found = connection.exec_driver_sql(text, (before, cursor.after)).fetchall()
        cursor.children = [RunId(token) for token, _ in found[:GROUP]]
        cursor.keys = [token for token, dead in found[:GROUP] if dead]
        cursor.last = len(found) <= GROUP
    return cursor
