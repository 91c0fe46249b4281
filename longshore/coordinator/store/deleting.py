"""Letting go in SQL of runs that have ended, with everything that belongs to them. It decides nothing: which, and how
many at once, the ledger says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection

from longshore.coordinator.store.statements import Each, ManyKeys, upsert
from longshore.core.keeping import LettingGo

_OF: Final = "WHERE run_id IN ({keys})"
_CACHED: Final = (
    "DELETE FROM cache WHERE key IN (SELECT cache.key FROM run JOIN cache ON cache.key = run.cache_key "
    "AND cache.run_id = run.id WHERE run.cache_key <> '' AND run.id IN ({keys}))"
)
_SMALL: Final = (
    _CACHED,
    *(f"DELETE FROM {name} {_OF}" for name in ("idempotency", "returned_reply", "told_signal", "unheard")),
)
_TOKENS: Final = (
    "DELETE FROM token WHERE token IN (SELECT token.token FROM call JOIN token ON token.token = call.name "
    "AND token.run_id = call.run_id WHERE call.kind = 'token' AND call.run_id IN ({keys}))"
)
_ROWS: Final = {
    "history": "seq",
    "call": "generation, address",
    "delivery": "generation, seq",
    "told_signal": "signal_id",
}
"""Rows of a run by table, and what each is known by beside the run."""


class _Doom:
    """What these runs name may go, some time after they ended, once nobody else names it."""

    def __init__(self, mark: str, kept: timedelta) -> None:
        self._kept = kept // timedelta(microseconds=1)
        self._named = ManyKeys(
            f"INSERT INTO doomed (key, at) SELECT payload.key, MAX(run.finished_at) + {mark} FROM payload "
            "JOIN run ON run.id = payload.run_id WHERE payload.run_id IN ({keys}) GROUP BY payload.key "
            "ON CONFLICT (key) DO UPDATE SET at = excluded.at WHERE doomed.at < excluded.at",
            mark,
        )
        self._names = ManyKeys(f"DELETE FROM payload {_OF}", mark)

    def run(self, connection: Connection, rows: Sequence[Any], /) -> None:
        """Execute it for the runs with these ids."""
        self._named.run(connection, rows, (self._kept,))
        self._names.run(connection, rows)


class Deleting:
    """The statements of the writer."""

    def __init__(self, mark: str, objects_kept: timedelta) -> None:
        self._small = [_Doom(mark, objects_kept), *(ManyKeys(text, mark) for text in _SMALL)]
        self._tokens = ManyKeys(_TOKENS, mark)
        self._runs = ManyKeys("DELETE FROM run WHERE id IN ({keys})", mark)
        self._history = ManyKeys(f"DELETE FROM history {_OF}", mark)
        self._journals = [ManyKeys(f"DELETE FROM {name} {_OF}", mark) for name in ("call", "delivery")]
        self._some = [
            Each(
                f"DELETE FROM {name} WHERE run_id = {mark} AND ({columns}) IN "
                f"(SELECT {columns} FROM {name} WHERE run_id = {mark} LIMIT {mark})"
            )
            for name, columns in _ROWS.items()
        ]
        keys = {"answered": "key", "batch": "id", "bulk": "id", "cache": "key", "idempotency": "key"}
        self._expired = {
            name: ManyKeys(f"DELETE FROM {name} WHERE {key} IN ({{keys}})", mark) for name, key in keys.items()
        }
        self._old_letters = Each(
            "DELETE FROM dead_letter WHERE no IN (SELECT no FROM "
            f"(SELECT no, at FROM dead_letter ORDER BY no LIMIT {mark}) AS oldest WHERE at < {mark})"
        )
        self._many_letters = Each(
            "DELETE FROM dead_letter WHERE no IN (SELECT no FROM dead_letter WHERE "
            f"no <= (SELECT MAX(no) - {mark} FROM dead_letter) ORDER BY no LIMIT {mark})"
        )
        self._removed = ManyKeys("DELETE FROM doomed WHERE key IN ({keys})", mark)
        self._policies = upsert("keep", ("routine", "version", "keep_ms", "keep_count"), mark)

    def steps(self, gone: LettingGo) -> Iterator[tuple[Any, Sequence[Any]]]:
        """What is to be executed, in order."""
        if runs := [*gone.runs, *gone.flows, *gone.bare]:
            yield from self._delete(gone, runs)
        for run_id, limit in gone.rows:
            yield from ((statement, [(run_id, run_id, limit)]) for statement in self._some)
        for table, keys in gone.expired.items():
            yield self._expired[table], keys
        if gone.letters:
            before, most, limit = gone.letters
            yield self._old_letters, [(limit, before)]
            yield self._many_letters, [(most, limit)]
        if gone.removed:
            yield self._removed, gone.removed
        if gone.policies:
            newest = {row.routine: (row.routine, row.version, row.keep_ms, row.keep_count) for row in gone.policies}
            yield self._policies, list(newest.values())

    def _delete(self, gone: LettingGo, runs: list[Any]) -> Iterator[tuple[Any, Sequence[Any]]]:
        for statement in self._small:
            yield statement, runs
        if gone.flows or gone.bare:
            yield self._tokens, [*gone.flows, *gone.bare]
        if gone.flows:
            yield from ((statement, gone.flows) for statement in self._journals)
        yield self._history, [*gone.runs, *gone.flows]
        yield self._runs, runs
