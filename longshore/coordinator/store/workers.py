"""Sessions of workers as rows and back. It decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from longshore.coordinator.store.columns import encode_pack, moment, names, offers_of
from longshore.core.ids import SessionId, WorkerId
from longshore.core.message import Drain
from longshore.core.records import WorkerRow

WORKER: Final = names("session worker_id pool slots status taken offers host pid python since drain")
DRAIN_NONE: Final = -2
"""In place of a grace: the session was not ordered to leave."""
DRAIN_OWN: Final = -1
"""In place of a grace: it was, with its own."""


def worker_values(row: WorkerRow, at: Mapping[Any, int]) -> tuple[Any, ...]:
    """The values of WORKER."""
    return (
        row.session,
        row.worker_id,
        row.pool,
        row.slots,
        row.status,
        row.taken,
        encode_pack(row.offers),
        row.host,
        row.pid,
        row.python,
        at[row.since],
        DRAIN_NONE if row.drain is None else DRAIN_OWN if row.drain.grace_ms is None else row.drain.grace_ms,
    )


def worker_of(row: Any) -> WorkerRow:
    """The session that has these values of WORKER."""
    session, worker_id, pool, slots, status, taken, offers, host, pid, python, since, drain = row
    return WorkerRow(
        session=SessionId(session),
        worker_id=WorkerId(worker_id),
        pool=pool,
        slots=slots,
        status=status,
        taken=taken,
        offers=offers_of(offers),
        host=host,
        pid=pid,
        python=python,
        since=moment(since),
        drain=None if drain == DRAIN_NONE else Drain(None if drain == DRAIN_OWN else drain),
    )
