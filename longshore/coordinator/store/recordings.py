"""A workflow's journal as people's tools ask for it: a page of facts, then of calls. It only reads, for no worker.

Beside `journals`, which serves a replay under way: there each page must hold the calls of its facts.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection

from longshore.coordinator.store.columns import call_of, moment, value_of
from longshore.coordinator.store.faults import translated
from longshore.coordinator.store.journals import deliveries_after
from longshore.coordinator.store.statements import marks_of
from longshore.core.ids import RunId
from longshore.core.message import ClaimCheck, Delivery, Recorded, Value

LIMIT: Final = 600 * 1024
_ROW: Final = 200
"""What a row weighs beside its texts and values (bytes)."""
_HEAD: Final = (
    "id, routine, version, status, attempt, generation, attempt_at, last_seq, processed_seq, forked_seq, seed, input, "
    "input_ref"
)


def recorded(connection: Connection, run_id: RunId, after: int, address: str, limit: int = LIMIT) -> Recorded | None:
    """The page of a run's journal behind this fact and this call, of about `limit` bytes: one row at least, if there is
    one. None: there is no such run. Raises StoreUnavailableError."""
    with translated("a journal cannot be read"):
        mark = marks_of(connection)
        head = connection.exec_driver_sql(f"SELECT {_HEAD} FROM run WHERE id = {mark}", (run_id,)).first()
        if head is None:
            return None
        page = _page_of(head)
        page.after, page.address = after, address
        if not after and not address:
            page.input = value_of(head[-2], head[-1])
            limit -= _weight(page.input)
        left = _take_deliveries(connection, page, limit)
        if not page.more:
            _take_calls(connection, page, left)
    return page


def _page_of(head: Any) -> Recorded:
    run_id, routine, version, status, attempt, generation, begun, last_seq, processed_seq, forked_seq, seed, _, _ = head
    return Recorded(
        run_id=run_id,
        routine=routine,
        version=version,
        status=status,
        attempt=attempt,
        generation=generation,
        started_at=moment(begun),
        last_seq=last_seq,
        processed_seq=processed_seq,
        forked_seq=forked_seq,
        seed=seed,
    )


def _take_deliveries(connection: Connection, page: Recorded, left: int) -> int:
    for delivery in deliveries_after(connection, (page.run_id, page.generation), page.after):
        left -= _weight_of(delivery)
        if left < 0 and page.deliveries:
            page.more = True
            break
        page.deliveries.append(delivery)
        page.after = delivery.seq
    return left


def _take_calls(connection: Connection, page: Recorded, left: int) -> None:
    mark = marks_of(connection)
    text = (
        "SELECT address, kind, name, digest, asked_seq, child_id, place, closed FROM call "
        f"WHERE run_id = {mark} AND generation = {mark} AND address > {mark} ORDER BY address LIMIT {LIMIT // _ROW}"
    )
    for row in connection.exec_driver_sql(text, (page.run_id, page.generation, page.address)):
        call = call_of(row)
        left -= _ROW + len(call.address) + len(call.name) + len(call.place)
        if left < 0 and (page.calls or page.deliveries):
            page.more = True
            return
        page.calls.append(call)
        page.address = call.address
    page.more = len(page.calls) == LIMIT // _ROW


def _weight_of(delivery: Delivery) -> int:
    weight = _ROW + _weight(delivery.result)
    if delivery.error is not None:
        weight += delivery.error.weight
    return weight


def _weight(value: Value | None) -> int:
    return 0 if value is None or isinstance(value, ClaimCheck) else len(value)
