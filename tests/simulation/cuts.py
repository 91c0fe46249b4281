"""Where a fork cuts a journal, in plain Python: what the store's SQL must come to, and what the book of the
simulation does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from longshore.core.changes import NewCall, NewDelivery
from longshore.core.ids import Address

MARKS = ("signal", "token", "patch")
ANSWERS = ("outcome", "timer", "token")


class Cut(NamedTuple):
    """The pump of the call; the rows that are kept; the first pump of one that is not; the later facts that are told
    again, by their old seqs; the kept tokens that nobody has answered."""

    seq: int
    kept: set[Address]
    dropped_seq: int
    behind: list[int]
    open: list[Address]


def cut(calls: Sequence[NewCall], deliveries: Sequence[NewDelivery], address: Address) -> Cut:
    """Cut a journal at the call of this address."""
    rows = {row.address: row for row in calls}
    seq = rows[address].asked_seq
    asked = [row for row in calls if row.asked_seq <= seq]
    answered = {row.address: row for row in deliveries if row.kind in ANSWERS}
    kept = {row.address for row in asked if row.address != address and _is_kept(row, answered.get(row.address), seq)}
    behind = [
        row.seq
        for row in deliveries
        if row.seq > seq and (row.kind == "signal" or (row.kind in ANSWERS and row.address in kept))
    ]
    unanswered = [row.address for row in asked if row.kind == "token" and row.address not in answered]
    return Cut(seq, kept, min(row.asked_seq for row in asked if row.address not in kept), behind, unanswered)


def _is_kept(row: NewCall, answer: NewDelivery | None, seq: int) -> bool:
    if row.kind in MARKS:
        return True
    if answer is None:
        return False
    return answer.seq <= seq or (answer.kind == "outcome" and answer.status != "CANCELED")
