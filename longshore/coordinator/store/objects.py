"""Which run names which object of the payload store, and which objects may go. It touches no object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine

from longshore.coordinator.store.columns import micros
from longshore.coordinator.store.engines import reading
from longshore.coordinator.store.faults import translated
from longshore.coordinator.store.statements import Texts, insert, marks_of
from longshore.core.changes import Changes
from longshore.core.message import ClaimCheck

OWN: Final = ("inputs/", "runs/")
"""Objects that one run wrote, or one who triggered it. Others are shared under keys of their own and never go here."""
INPUT: Final = "input"
RESULT: Final = "result"
TOLD: Final = "told"
CHECKPOINT: Final = "checkpoint"

Name = tuple[str, str, str]
"""(key, run, what)."""


def names_in(changes: Changes) -> list[Name]:
    """The objects that runs name from now on. Few name any: the rest costs a comparison each (30 ns)."""
    check = ClaimCheck
    found = [(one.input, one.run.id, INPUT) for one in changes.inserted if type(one.input) is check]
    found += [(value, run_id, INPUT) for run_id, value in changes.inputs.items() if type(value) is check]
    found += [(value, run_id, CHECKPOINT) for run_id, value in changes.checkpoints.items() if type(value) is check]
    found += [(one.result, one.run.id, RESULT) for one in changes.ended.values() if type(one.result) is check]
    found += [(row.value, row.run_id, TOLD) for row in changes.deliveries if type(row.value) is check]
    return [(value.key, run_id, what) for value, run_id, what in found if value.key.startswith(OWN)]


class Naming:
    """The statements of the writer."""

    def __init__(self, mark: str, kept: timedelta) -> None:
        self._kept = kept
        self._names = insert("payload", ("key", "run_id", "what"), mark, "DO NOTHING")
        of = f"WHERE run_id = {mark} AND what = {mark}"
        self._replaced = Texts(
            f"INSERT INTO doomed (key, at) SELECT key, {mark} FROM payload {of} "
            "ON CONFLICT (key) DO UPDATE SET at = excluded.at",
            f"DELETE FROM payload {of}",
        )
        self._copied = Texts(
            f"INSERT INTO payload (key, run_id, what) SELECT key, {mark}, what FROM payload WHERE run_id = {mark} "
            "ON CONFLICT DO NOTHING"
        )
        self._given = Texts(
            f"INSERT INTO payload (key, run_id, what) SELECT key, {mark}, what FROM payload WHERE run_id = {mark} "
            f"AND what = '{INPUT}' ON CONFLICT DO NOTHING"
        )

    def steps(self, changes: Changes, now: datetime) -> Iterator[tuple[Any, Sequence[Any]]]:
        """What is to be executed, in order: a run with another input or checkpoint names the one before no more; a fork
        names what the run before it names, a rerun the input."""
        for what, changed in ((INPUT, changes.inputs), (CHECKPOINT, changes.checkpoints)):
            if changed:
                at = micros(now + self._kept)
                yield self._replaced, [((at, run_id, what), (run_id, what)) for run_id in changed]
        if changes.beginnings.reruns:
            yield self._given, [(pair,) for pair in changes.beginnings.reruns]
        if changes.forks:
            yield self._copied, [((fork.run_id, fork.source),) for fork in changes.forks]
        if names := names_in(changes):
            yield self._names, names


class Doomed(NamedTuple):
    """An object that may go, unless it is `named` again."""

    key: str
    at: int
    named: bool


class Objects:
    """Objects that may go, on a connection of its own. One thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    def doomed(self, until: datetime, after: tuple[int, str], limit: int) -> list[Doomed]:
        """The next that may go by then, by time and key. Raises StoreUnavailableError."""
        with translated("the objects that may go cannot be read"):
            if self._connection is None or self._connection.closed or self._connection.invalidated:
                self._connection = reading(self._engine)
            mark = marks_of(self._connection)
            text = (
                "SELECT key, at, EXISTS (SELECT 1 FROM payload WHERE payload.key = doomed.key) FROM doomed "
                f"WHERE (at, key) > ({mark}, {mark}) AND at <= {mark} ORDER BY at, key LIMIT {mark}"
            )
            found = self._connection.exec_driver_sql(text, (*after, micros(until), limit))
            return [Doomed(key, at, bool(named)) for key, at, named in found]

    def close(self) -> None:
        """Close the connection. Twice is harmless."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
