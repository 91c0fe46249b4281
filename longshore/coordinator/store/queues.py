"""Queues with a rule, as rows and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from longshore.coordinator.store.columns import Micros, moment, names, text_of
from longshore.coordinator.store.statements import ManyKeys, upsert
from longshore.core.queues import QueueRow, Rate

COLUMNS: Final = names("name concurrency key_concurrency rate_starts rate_ms max_size paused_at starts")
NONE: Final = -1
_starts: Final = msgspec.json.Decoder(list[tuple[int, int]])


class QueueRows:
    """Writes rules, and forgets those that say nothing any more."""

    def __init__(self, mark: str) -> None:
        self._kept = upsert("queue", COLUMNS, mark)
        self._gone = ManyKeys("DELETE FROM queue WHERE name IN ({keys})", mark)

    def run(self, connection: Connection, rows: Sequence[Any], /) -> None:
        """Write (name, values or None)."""
        self._kept.run(connection, [values for _, values in rows if values is not None])
        self._gone.run(connection, [name for name, values in rows if values is None])


def values(row: QueueRow, at: Micros) -> tuple[Any, ...]:
    """A rule, in the order of COLUMNS."""
    limits = (row.limit, row.key_limit, row.rate and row.rate.starts, row.rate and row.rate.per_ms, row.max_size)
    return (row.name, *(NONE if one is None else one for one in limits), at[row.paused_at], text_of(row.starts))


def all_rules(connection: Connection) -> list[QueueRow]:
    """Every queue with a rule."""
    return [_row(row) for row in connection.exec_driver_sql(f"SELECT {', '.join(COLUMNS)} FROM queue")]


def _row(row: Any) -> QueueRow:
    name, limit, key_limit, starts, per_ms, max_size, paused_at, latest = row
    return QueueRow(
        name=name,
        limit=None if limit == NONE else limit,
        key_limit=None if key_limit == NONE else key_limit,
        rate=None if starts == NONE else Rate(starts, per_ms),
        max_size=None if max_size == NONE else max_size,
        paused_at=moment(paused_at),
        starts=_starts.decode(latest),
    )
