"""How runs begin, in SQL: what a rerun takes over, idempotency and debounce keys, calls that share a run. It decides
nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, Index, Table, Text

from longshore.coordinator.store import rows
from longshore.coordinator.store.columns import Micros, micros, moment_of, names, text_of
from longshore.coordinator.store.keeping import MOVED_ON
from longshore.coordinator.store.statements import ManyKeys, ManyRows, marks_of, update, upsert
from longshore.coordinator.store.tables import idempotency
from longshore.coordinator.store.tables_beside import metadata
from longshore.core.beginnings import Debounced, Joint, Renewed
from longshore.core.changes import Changes, Facts, Needs
from longshore.core.ids import Address, RunId

_RUN: Final = ", ".join(f"run.{name}" for name in rows.SELECTED)


debounce: Final = Table(
    "debounce",
    metadata,
    Column("key", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    *[Column(name, BigInteger, nullable=False) for name in ("first_at", "ends_at", "kept_until")],
    sqlite_with_rowid=False,
)
Index("debounce_kept", debounce.c.kept_until)

joint: Final = Table(
    "joint",
    metadata,
    Column("parent_id", Text, primary_key=True),
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("address", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("told", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Calls that are answered by a run which is not the caller's child. A row stays for as long as its caller lives and
has not begun another journal: the outcome in the journal is that run's."""
Index("joint_run", joint.c.run_id)
Index("idempotency_expires", idempotency.c.expires_at)

_OVER: Final = f"run.id IS NULL OR run.finished_at > 0 OR ({MOVED_ON})"


def read_beginnings(connection: Connection, facts: Facts, needs: Needs, now: datetime) -> set[RunId]:
    """The runs that are to be run again, whatever their status, and who holds idempotency and debounce keys; gives the
    runs that those name."""
    originals, held, debounced = _wanted(marks_of(connection))
    if needs.originals:
        texts: dict[str, str] = {}
        found = (rows.run_of(row, texts) for row in originals.rows(connection, list(needs.originals)))
        facts.originals = {run.id: run for run in found}
    for key, run_id in held.rows(connection, list(needs.idempotency_keys), (micros(now),)):
        facts.idempotency[key] = RunId(run_id)
    for key, run_id, *times in debounced.rows(connection, list(needs.debounce_keys)):
        facts.debounced[key] = Debounced(key, RunId(run_id), *map(moment_of, times))
    return {*facts.idempotency.values(), *(one.run_id for one in facts.debounced.values())}


@cache
def _wanted(mark: str) -> tuple[ManyKeys, ManyKeys, ManyKeys]:
    return (
        ManyKeys(f"SELECT {_RUN} FROM run WHERE id IN ({{keys}})", mark),
        ManyKeys(f"SELECT key, run_id FROM idempotency WHERE expires_at > {mark} AND key IN ({{keys}})", mark),
        ManyKeys("SELECT key, run_id, first_at, ends_at, kept_until FROM debounce WHERE key IN ({keys})", mark),
    )


def read_joints(connection: Connection) -> list[Joint]:
    """The calls whose outcome is not told yet."""
    found = connection.exec_driver_sql("SELECT parent_id, generation, address, run_id FROM joint WHERE told = 0")
    return [Joint(RunId(parent), number, Address(address), RunId(run)) for parent, number, address, run in found]


def shared_runs(connection: Connection, run_id: str, generation: int, limit: int) -> list[str]:
    """The runs, not its own children, that a workflow waits for, in words."""
    mark = marks_of(connection)
    text = (
        "SELECT run.routine, run.id, run.status FROM joint JOIN run ON run.id = joint.run_id "
        f"WHERE joint.parent_id = {mark} AND joint.generation = {mark} AND joint.told = 0 LIMIT {limit}"
    )
    found = connection.exec_driver_sql(text, (run_id, generation))
    return [f"{routine} {shared} ({status})" for routine, shared, status in found]


def old_keys(connection: Connection, before: int, limit: int) -> int:
    """How many keys and joints mean nothing any more, each counted up to the limit: the most of them."""
    mark = marks_of(connection)
    counted = (
        (f"SELECT 1 FROM idempotency WHERE expires_at < {mark} LIMIT {limit}", (before,)),
        (f"SELECT 1 FROM debounce WHERE kept_until < {mark} LIMIT {limit}", (before,)),
        (f"SELECT 1 FROM joint LEFT JOIN run ON run.id = joint.parent_id WHERE {_OVER} LIMIT {limit}", ()),
    )
    counts = (f"SELECT COUNT(*) FROM ({text}) AS old" for text, _ in counted)
    return max(
        int(connection.exec_driver_sql(text, values).scalar_one())
        for text, (_, values) in zip(counts, counted, strict=True)
    )


class _Once:
    """A statement that is executed for each row."""

    def __init__(self, text: str) -> None:
        self._text = text

    def run(self, connection: Connection, rows: Sequence[Any], /) -> None:
        """Execute it."""
        for row in rows:
            connection.exec_driver_sql(self._text, row)


class Beginning:
    """The statements of the writer."""

    def __init__(self, mark: str) -> None:
        taken = "input = source.input, input_ref = source.input_ref, tags = source.tags, metadata = source.metadata"
        taken += ", schedule = source.schedule"  # it is told the same tick, and is no run of that schedule
        head = f"UPDATE run SET {taken}, rerun_of = source.id FROM (VALUES "
        tail = ") AS v JOIN run AS source ON source.id = v.column2 WHERE run.id = v.column1"
        self._reruns = ManyRows(lambda size: head + ", ".join([f"({mark}, {mark})"] * size) + tail)
        self._keyed = update("run", ("id", "idempotency_key", "producer"), mark)
        self._reset = ManyKeys("DELETE FROM idempotency WHERE key IN ({keys})", mark)
        self._debounced = upsert("debounce", ("key", "run_id", "first_at", "ends_at", "kept_until"), mark)
        self._renewed = update("run", _RENEWED, mark)
        self._joints = upsert("joint", ("parent_id", "generation", "address", "run_id", "told"), mark, keys=3)
        self._told = update("joint", ("parent_id", "generation", "address"), mark, constants={"told": "1"}, keys=3)
        in_old = "IN (SELECT key FROM {0} WHERE {1} < {2} LIMIT {2})"
        self._old_keys = _Once(f"DELETE FROM idempotency WHERE key {in_old.format('idempotency', 'expires_at', mark)}")
        self._old_debounces = _Once(f"DELETE FROM debounce WHERE key {in_old.format('debounce', 'kept_until', mark)}")
        self._old_joints = _Once(
            "DELETE FROM joint WHERE (parent_id, generation, address) IN (SELECT joint.parent_id, joint.generation, "
            f"joint.address FROM joint LEFT JOIN run ON run.id = joint.parent_id WHERE {_OVER} LIMIT {mark})"
        )

    def steps(self, changes: Changes, at: Micros) -> Iterator[tuple[Any, Sequence[Any]]]:
        """What is to be executed for these changes, in order."""
        made = changes.beginnings
        if not made.is_durable():
            return
        yield self._reruns, list(made.reruns)
        yield self._keyed, list(made.keyed)
        yield self._renewed, [_renewed(one) for one in made.renewed.values()]
        yield (
            self._debounced,
            [(one.row, one.run_id, *(at[time] for time in one[2:])) for one in made.debounced.values()],
        )
        yield self._joints, [(*one, 0) for one in made.joints.values()]
        yield self._told, list(made.joints_told)
        if made.keys_reset:
            yield self._reset, list(made.keys_reset)
        if made.keys_forgotten is not None:
            before, limit = made.keys_forgotten
            yield self._old_keys, [(at[before], limit)]
            yield self._old_debounces, [(at[before], limit)]
            yield self._old_joints, [(limit,)]


_RENEWED: Final = names(
    "id asked_version queue concurrency_key pool priority max_attempts timeout_ms version_deadline_ms tags metadata"
    " input input_ref"
)


def _renewed(one: Renewed) -> tuple[Any, ...]:
    run = one.run
    return (
        run.id,
        run.asked_version,
        run.queue,
        run.concurrency_key,
        run.pool,
        run.priority,
        run.max_attempts or 0,
        run.timeout_ms or 0,
        run.version_deadline_ms or 0,
        text_of(one.tags) if one.tags else "",
        text_of(one.metadata) if one.metadata else "",
        *rows.input_values(run.id, one.input)[1:],
    )
