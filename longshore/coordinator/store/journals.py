"""Pages of a workflow's journal: the calls it asked for and the facts it was told, as one worker reads them.

It only reads. A value is never copied into the journal: an outcome's value is read from the child's own row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection

from longshore.coordinator.store.columns import call_of, failure_of, moment_of, value_of
from longshore.coordinator.store.faults import translated
from longshore.coordinator.store.reader import Page, Reader
from longshore.coordinator.store.statements import marks_of
from longshore.core.ids import Address, RunId
from longshore.core.joints import refused
from longshore.core.message import CallRow, Delivery

LIMIT: Final = 900 * 1024
_AT_ONCE: Final = 500
_CALL_WEIGHT: Final = 110
"""What a call row costs in a message beside its texts: names of fields, numbers (bytes, measured)."""
_DELIVERY_WEIGHT: Final = 150


def journal_page(reader: Reader, run_id: RunId, after: int, limit: int = LIMIT) -> Page:
    """The page behind `after` (-1: from the beginning), of about `limit` bytes: at least one seq, if there is one.

    Calls asked in the pump of seq 0 come with the first page. Raises StoreUnavailableError.
    """
    with translated("a journal cannot be read"):
        connection = reader.connection
        mark = marks_of(connection)
        found = connection.exec_driver_sql(f"SELECT generation, last_seq FROM run WHERE id = {mark}", (run_id,)).first()
        if found is None or found[0] < 0:
            return Page([], [], max(after, 0), True)
        generation, last_seq = found
        weights = _weights(connection, run_id, generation, after, limit)
        upto, deliveries = _read_deliveries(connection, (run_id, generation), after, limit, weights)
        calls = list(_read_calls(connection, run_id, generation, after, upto))
    return Page(calls, deliveries, upto, upto >= last_seq)


def _weights(connection: Connection, run_id: RunId, generation: int, after: int, limit: int) -> dict[int, int]:
    """What the calls asked in each pump weigh, of as many pumps as a page may hold."""
    mark = marks_of(connection)
    text = (
        f"SELECT asked_seq, SUM({_CALL_WEIGHT} + LENGTH(address) + LENGTH(name) + LENGTH(digest) + LENGTH(child_id) + "
        f"LENGTH(place)) FROM call WHERE run_id = {mark} AND generation = {mark} AND asked_seq > {mark} "
        f"AND asked_seq <= {mark} GROUP BY asked_seq"
    )
    last = after + 1 + limit // _DELIVERY_WEIGHT  # no page holds more facts
    return {seq: int(weight) for seq, weight in connection.exec_driver_sql(text, (run_id, generation, after, last))}


def _read_deliveries(
    connection: Connection, of: tuple[RunId, int], after: int, limit: int, weights: dict[int, int]
) -> tuple[int, list[Delivery]]:
    """The deliveries that fit together with the calls asked in their pumps, and the seq of the last of them."""
    upto = max(after, 0)
    left = limit - (weights.get(0, 0) if after < 0 else 0)
    taken: list[Delivery] = []
    for row in _rows(connection, of, upto):
        seq, inline, error = row[0], row[6], row[8]
        left -= _DELIVERY_WEIGHT + len(inline or b"") + len(error or b"") + weights.get(seq, 0)
        if left < 0 and (taken or after < 0):
            break
        taken.append(_delivery(row))
        upto = seq
    return upto, taken


def deliveries_after(connection: Connection, of: tuple[RunId, int], after: int) -> Iterator[Delivery]:
    """All facts of a run's generation behind this seq."""
    return map(_delivery, _rows(connection, of, after))


def _rows(connection: Connection, of: tuple[RunId, int], after: int) -> Iterator[Any]:
    mark = marks_of(connection)
    text = (
        "SELECT delivery.seq, delivery.kind, delivery.address, delivery.at, delivery.status, delivery.child_id, "
        "COALESCE(child.result, delivery.value), COALESCE(child.result_ref, delivery.value_ref), "
        "child.error, child.cached FROM delivery LEFT JOIN run AS child "
        "ON child.id = delivery.child_id AND delivery.kind = 'outcome' "
        f"WHERE delivery.run_id = {mark} AND delivery.generation = {mark} AND delivery.seq > {mark} "
        f"ORDER BY delivery.seq LIMIT {_AT_ONCE}"
    )
    while True:
        found = connection.exec_driver_sql(text, (*of, after)).fetchall()
        yield from found
        if len(found) < _AT_ONCE:
            return
        after = found[-1][0]


def _delivery(row: Any) -> Delivery:
    seq, kind, address, at, status, child_id, inline, ref, error, cached = row
    if kind == "outcome" and inline and not child_id:  # of a call that would have waited for itself
        text = refused(bytes(inline).decode())
        return Delivery(seq, kind, Address(address), moment_of(at), status, error=text)
    return Delivery(
        seq=seq,
        kind=kind,
        address=Address(address),
        at=moment_of(at),
        status=status,
        result=value_of(inline, ref or ""),
        error=failure_of(error),
        cached=bool(cached),
        child_id=RunId(child_id),
    )


def _read_calls(connection: Connection, run_id: RunId, generation: int, after: int, upto: int) -> Iterator[CallRow]:
    mark = marks_of(connection)
    text = (
        "SELECT address, kind, name, digest, asked_seq, child_id, place, closed FROM call "
        f"WHERE run_id = {mark} AND generation = {mark} AND asked_seq > {mark} AND asked_seq <= {mark} "
        "ORDER BY asked_seq"
    )
    found = connection.exec_driver_sql(text, (run_id, generation, after, upto))
    yield from map(call_of, found)
