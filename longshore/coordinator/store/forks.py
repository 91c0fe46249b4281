"""Forks in SQL: what a run's journal has at one call, and the copy of it that a new run begins with.

What is kept is the same condition for both (docs/decisions/0010): however many rows there are, none of them comes out
of the database. It decides nothing: which call, and under which id, the ledger says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection

from longshore.coordinator.store import left, rows
from longshore.coordinator.store.columns import call_of, micros, moment
from longshore.coordinator.store.keeping import is_going
from longshore.coordinator.store.statements import marks_of
from longshore.core.forks import ForkPoint, NewFork, OpenToken
from longshore.core.ids import Address, RunId
from longshore.core.message import CallRow

NEAR: Final = 20
"""So many calls before an address and behind it are looked at, if there is none."""

_CALL: Final = "address, kind, name, digest, asked_seq, child_id, place, closed"
_OF: Final = "run_id = {mark} AND generation = {mark}"
_TOLD: Final = f"SELECT address FROM delivery WHERE {_OF} AND "
_KEPT: Final = (
    f"asked_seq <= {{mark}} AND address <> {{mark}} AND (kind IN ('signal', 'token', 'patch') "
    f"OR address IN ({_TOLD} seq <= {{mark}} AND kind IN ('outcome', 'timer')) "
    f"OR address IN ({_TOLD} seq > {{mark}} AND kind = 'outcome' AND status <> 'CANCELED'))"
)
"""Which call rows a fork keeps: marks, patches, and what was answered. An answer from after the cut counts where it is
that of a call (what was canceled then is asked anew), never that of a timer."""
_LATER: Final = "seq > {mark} AND (kind = 'signal' OR (kind IN ('outcome', 'timer', 'token') AND address IN ({kept})))"
"""Which facts from after the cut are told again. A kept timer has fired before it: those here are of tokens."""


class _Cut:
    """Where a journal is cut: of which generation of which run, at which call."""

    def __init__(self, run_id: RunId, generation: int, address: Address, seq: int) -> None:
        self.of = (run_id, generation)
        self.address = address
        self.seq = seq


def _kept(cut: _Cut) -> tuple[Any, ...]:
    """The values of _KEPT."""
    return (cut.seq, cut.address, *cut.of, cut.seq, *cut.of, cut.seq)


# -------------------------------------------------------------------------------------------------------------- asking


def fork_point(connection: Connection, run_id: RunId, address: Address) -> ForkPoint | None:
    """What is recorded at this address of a run's present journal, and what a fork there would keep. None: there is no
    such run."""
    mark = marks_of(connection)
    columns = ", ".join(rows.SELECTED)
    row = connection.exec_driver_sql(f"SELECT {columns} FROM run WHERE id = {mark}", (run_id,)).first()
    if row is None:
        return None
    run = rows.run_of(row, {})
    point = ForkPoint(run)
    if run.flow is None:
        return point
    of = (run_id, run.flow.generation)
    text = f"SELECT {_CALL} FROM call WHERE {_OF} AND address = {{mark}}".format(mark=mark)
    found = connection.exec_driver_sql(text, (*of, address)).first()
    point.call = None if found is None else call_of(found)
    point.going = is_going(connection, run_id) or left.is_going(connection, run_id)
    if point.call is None or point.call.kind != "call":
        point.near = _near(connection, of, address)
        return point
    _look(connection, point, _Cut(run_id, run.flow.generation, address, point.call.asked_seq))
    return point


def _near(connection: Connection, of: tuple[RunId, int], address: Address) -> list[CallRow]:
    mark = marks_of(connection)
    found: list[CallRow] = []
    for way in ("> {mark} ORDER BY address", "< {mark} ORDER BY address DESC"):
        text = f"SELECT {_CALL} FROM call WHERE {_OF} AND kind = 'call' AND address {way} LIMIT {NEAR}"
        found += map(call_of, connection.exec_driver_sql(text.format(mark=mark), (*of, address)))
    return found


def _look(connection: Connection, point: ForkPoint, cut: _Cut) -> None:
    mark = marks_of(connection)

    def ask(text: str, *values: Any) -> Any:
        return connection.exec_driver_sql(text.format(mark=mark), values)

    point.at = moment(
        ask(f"SELECT MAX(at) FROM delivery WHERE {_OF} AND seq = {{mark}}", *cut.of, cut.seq).scalar() or 0
    )
    point.dropped_seq = ask(
        f"SELECT MIN(asked_seq) FROM call WHERE {_OF} AND asked_seq <= {{mark}} AND NOT ({_KEPT})",
        *cut.of, cut.seq, *_kept(cut),
    ).scalar()  # fmt: skip
    processed = min(point.dropped_seq - 1, point.run.flow.processed_seq if point.run.flow else -1)
    point.unread, point.unread_bytes = ask(
        f"SELECT COUNT(*), COALESCE(SUM(LENGTH(value)), 0) FROM delivery WHERE {_OF} AND kind = 'signal' "
        "AND seq > {mark}",
        *cut.of, processed,
    ).one()  # fmt: skip
    later = _LATER.replace("{kept}", f"SELECT address FROM call WHERE {_OF} AND {_KEPT}")
    point.appended = ask(
        f"SELECT COUNT(*) FROM delivery WHERE {_OF} AND {later}", *cut.of, cut.seq, *cut.of, *_kept(cut)
    ).scalar_one()
    found = ask(
        "SELECT call.name, call.address, token.run_id, call.due_at FROM call "
        "LEFT JOIN token ON token.token = call.name "
        f"WHERE call.run_id = {{mark}} AND call.generation = {{mark}} AND call.kind = 'token' "
        f"AND call.asked_seq <= {{mark}} AND call.address NOT IN ({_TOLD} kind IN ('token', 'timer'))",
        *cut.of, cut.seq, *cut.of,
    )  # fmt: skip
    point.tokens = [
        OpenToken(token, Address(address), RunId(owner or ""), moment(due_at))
        for token, address, owner, due_at in found
    ]


# ------------------------------------------------------------------------------------------------------------- copying


class ForkCopies:
    """What a new run takes over from another, row by row inside the database."""

    def __init__(self, mark: str) -> None:
        own = f"SELECT address FROM call WHERE {_OF}"
        texts = {
            "given": "UPDATE run SET input = source.input, input_ref = source.input_ref, tags = source.tags, "
            "metadata = source.metadata, given = source.given, schedule = source.schedule, rerun_of = source.id "
            "FROM run AS source "
            "WHERE run.id = {mark} AND source.id = {mark}",
            "calls": "INSERT INTO call (run_id, generation, address, kind, name, digest, asked_seq, child_id, due_at, "
            "place, closed) SELECT {mark}, generation, address, kind, name, digest, asked_seq, child_id, "
            "CASE WHEN kind = 'token' AND closed = 0 AND due_at > 0 THEN due_at + {mark} ELSE due_at END, "
            f"place, closed FROM call WHERE {_OF} AND {_KEPT}",
            "before": "INSERT INTO delivery (run_id, generation, seq, kind, address, at, status, child_id, value, "
            "value_ref) SELECT {mark}, generation, seq, kind, address, at, status, child_id, value, value_ref "
            f"FROM delivery WHERE {_OF} AND seq <= {{mark}}",
            "behind": "INSERT INTO delivery (run_id, generation, seq, kind, address, at, status, child_id, value, "
            "value_ref) SELECT {mark}, generation, {mark} + ROW_NUMBER() OVER (ORDER BY seq), kind, address, {mark}, "
            f"status, child_id, value, value_ref FROM delivery WHERE {_OF} AND {_LATER.replace('{kept}', own)}",
            "tokens": "UPDATE token SET run_id = {mark}, expires_at = CASE WHEN expires_at > 0 "
            "THEN expires_at + {mark} ELSE 0 END WHERE run_id = {mark} AND completed_at = 0 AND token IN "
            f"(SELECT name FROM call WHERE {_OF} AND kind = 'token' AND closed = 0)",
        }
        self._texts = {name: text.format(mark=mark) for name, text in texts.items()}

    def run(self, connection: Connection, forks: Sequence[NewFork], /) -> None:
        """Make the copies."""
        for fork in forks:
            self._copy(connection, fork)

    def _copy(self, connection: Connection, fork: NewFork) -> None:
        new, cut = fork.run_id, _Cut(fork.source, fork.generation, fork.address, fork.seq)
        own, later = (new, fork.generation), fork.later // timedelta(microseconds=1)
        values: dict[str, tuple[Any, ...]] = {
            "given": (new, fork.source),
            "calls": (new, later, *cut.of, *_kept(cut)),
            "before": (new, *cut.of, fork.seq),
            "behind": (new, fork.seq, micros(fork.at), *cut.of, fork.seq, *own),
            "tokens": (new, later, fork.source, *own),
        }
        for name, text in self._texts.items():
            connection.exec_driver_sql(text, values[name])
