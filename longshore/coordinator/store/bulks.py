"""Bulk orders as rows and back, and the pages of runs that they are about: few rows are looked at per page, whatever
the filter. It decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from longshore.coordinator.store.columns import Micros, encode_json, micros, moment, moment_of, names
from longshore.core.bulks import RUNNING, BulkPage, BulkRow, RunFilter, statuses_of
from longshore.core.ids import RunId
from longshore.core.run import Status

KEPT: Final = names('id what filter reason "by" status created_at finished_at matched done refused "after"')
_BULK: Final = ", ".join((*KEPT, "upto"))
_CHANGED: Final = ("status", "finished_at", "matched", "done", "refused", '"after"')
OPEN_AT_ONCE: Final = 10
WINDOW: Final = 10_000
"""So many rows of runs are looked at for one page at most."""
MOST_COUNTED: Final = 100_000
_filter: Final = msgspec.json.Decoder(RunFilter)
_tags: Final = msgspec.json.Decoder(list[str])

Condition = tuple[str, tuple[Any, ...]]


class BulkRows:
    """Writes bulk orders. What the last run is at a new one's moment, the database says: in that very transaction."""

    def __init__(self, mark: str) -> None:
        sets = ", ".join(f"{name} = excluded.{name}" for name in _CHANGED)
        self._text = (
            f"INSERT INTO bulk ({_BULK}) SELECT {', '.join([mark] * len(KEPT))}, COALESCE(MAX(no), 0) FROM run "
            f"WHERE 1 = 1 ON CONFLICT (id) DO UPDATE SET {sets}"
        )

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]], /) -> None:
        """Write them."""
        for row in rows:
            connection.exec_driver_sql(self._text, row)


def bulk_values(row: BulkRow, at: Micros) -> tuple[Any, ...]:
    """The values of KEPT."""
    return (
        row.id,
        row.what,
        encode_json(row.filter).decode(),
        row.reason,
        row.by,
        row.status,
        at[row.created_at],
        at[row.finished_at],
        row.matched,
        row.done,
        row.refused,
        row.after,
    )


def bulk_of(connection: Connection, bulk_id: str, mark: str) -> BulkRow | None:
    """This order, or None."""
    found = connection.exec_driver_sql(f"SELECT {_BULK} FROM bulk WHERE id = {mark}", (bulk_id,)).first()
    return None if found is None else _row(found)


def newest(connection: Connection, limit: int, mark: str) -> list[BulkRow]:
    """The newest orders first."""
    text = f"SELECT {_BULK} FROM bulk ORDER BY created_at DESC, id DESC LIMIT {mark}"
    return [_row(found) for found in connection.exec_driver_sql(text, (limit,))]


def pages(connection: Connection, room: int, mark: str) -> list[BulkPage]:
    """The next page of each of the first orders under way, together at most `room` runs."""
    text = f"SELECT {_BULK} FROM bulk WHERE status = '{RUNNING}' ORDER BY created_at, id LIMIT {OPEN_AT_ONCE}"
    rows = [_row(found) for found in connection.exec_driver_sql(text)]
    return [_page(connection, row, room // len(rows), mark) for row in rows]


def left(connection: Connection, row: BulkRow, mark: str) -> int | None:
    """How many runs that fit the order has still before it; None where that is over 100,000."""
    begin = _next(connection, row, mark)
    if begin is None or begin > row.upto:
        return 0
    conditions = _conditions(row, mark)
    where = " AND ".join(text for text, _ in conditions)
    values = (value for _, given in conditions for value in given)
    text = (
        f"SELECT COUNT(*) FROM (SELECT 1 FROM run WHERE no >= {mark} AND no <= {mark} AND {where} "
        f"LIMIT {MOST_COUNTED + 1}) AS these"
    )
    found = int(connection.exec_driver_sql(text, (begin, row.upto, *values)).scalar_one())
    return found if found <= MOST_COUNTED else None


def _page(connection: Connection, row: BulkRow, room: int, mark: str) -> BulkPage:
    wanted = row.filter
    begin = _next(connection, row, mark)
    if begin is None or begin > row.upto:
        return BulkPage(row, [], row.upto, True)
    end = min(begin + WINDOW - 1, row.upto)
    conditions = _conditions(row, mark)
    where = " AND ".join(text for text, _ in conditions)
    values = tuple(value for _, given in conditions for value in given)
    text = f"SELECT no, id, tags FROM run WHERE no >= {mark} AND no <= {mark} AND {where} ORDER BY no"
    if not wanted.tag:
        text += f" LIMIT {room + 1}"
    found = [
        (no, RunId(run_id))
        for no, run_id, tags in connection.exec_driver_sql(text, (begin, end, *values))
        if not wanted.tag or wanted.tag in _tags.decode(tags)  # LIKE knows no upper and lower case
    ]
    if len(found) > room:
        return BulkPage(row, found[:room], found[room - 1][0], False)
    return BulkPage(row, found, end, end >= row.upto)


def _next(connection: Connection, row: BulkRow, mark: str) -> int | None:
    """A number before which no run can fit, found by the indexes there are; None: none can any more."""
    name, _ = _routine(row.filter)
    ahead = [row.after + 1]
    statuses = statuses_of(row.what, row.filter)
    if Status.COMPLETED not in statuses:
        least = f"SELECT MIN(no) FROM run WHERE status <> 'COMPLETED' AND status = {mark} AND no > {mark}"
        found = [connection.exec_driver_sql(least, (status, row.after)).scalar() for status in statuses]
        ahead.append(min((no for no in found if no is not None), default=-1))
    for column, value, partial in (("routine", name, ""), ("batch_id", row.filter.batch_id, "batch_id <> '' AND ")):
        if value:
            least = f"SELECT MIN(no) FROM run WHERE {partial}{column} = {mark} AND no > {mark}"
            no = connection.exec_driver_sql(least, (value, row.after)).scalar()
            ahead.append(-1 if no is None else no)
    return None if min(ahead) < 0 else max(ahead)


def _routine(wanted: RunFilter) -> tuple[str, str]:
    name, _, version = wanted.routine.partition("@")
    return name, wanted.version or version


def _conditions(row: BulkRow, mark: str) -> list[Condition]:
    wanted = row.filter
    name, version = _routine(wanted)
    statuses = statuses_of(row.what, wanted)
    found: list[Condition] = [(f"status IN ({', '.join([mark] * len(statuses))})", tuple(statuses))]
    if Status.COMPLETED not in statuses:
        found.append(("status <> 'COMPLETED'", ()))  # lets the partial index be used
    if wanted.batch_id:
        found.append(("batch_id <> ''", ()))
    texts = {"routine": name, "version": version, "queue": wanted.queue, "concurrency_key": wanted.concurrency_key}
    texts |= {"batch_id": wanted.batch_id, "parent_id": wanted.parent_id}
    found += [(f"{column} = {mark}", (value,)) for column, value in texts.items() if value]
    if wanted.tag:
        like = encode_json(wanted.tag).decode().replace("!", "!!").replace("%", "!%").replace("_", "!_")
        found.append((f"tags LIKE {mark} ESCAPE '!'", (f"%{like}%",)))
    if wanted.created_after is not None:
        found.append((f"created_at >= {mark}", (micros(wanted.created_after),)))
    if wanted.created_before is not None:
        found.append((f"created_at < {mark}", (micros(wanted.created_before),)))
    return found


def _row(found: Any) -> BulkRow:
    name, what, wanted, reason, by, status, created, finished, matched, done, refused, after, upto = found
    return BulkRow(
        id=name,
        what=what,
        filter=_filter.decode(wanted),
        reason=reason,
        by=by,
        status=status,
        created_at=moment_of(created),
        finished_at=moment(finished),
        matched=matched,
        done=done,
        refused=refused,
        after=after,
        upto=upto,
    )
