"""Rules of batches: the first item (or order) opens one, its sender seals it, and silence aborts it.

A batch changes nothing about its runs: those of an aborted one go on. Silence is counted in Marks, as it is for
workers: a coordinator that does not listen aborts nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from longshore.core.batches import ABORTED, BATCH_ID, BATCH_ID_RULE, OPEN, SEALED, UNKNOWN, Batch, fields_of
from longshore.core.ledger.recording import reply
from longshore.core.ledger.state import Round, State
from longshore.core.message import AbortBatch, Answer, OpenBatch, SealBatch

MIN_PATIENCE_MS: Final = 1_000
MAX_PATIENCE_MS: Final = 24 * 3600 * 1000
MAX_ITEMS: Final = 1 << 53
"""What every language can count to."""
MAX_REASON: Final = 1000

Order = OpenBatch | SealBatch | AbortBatch
Refusal = tuple[str, str]


# ------------------------------------------------------------------------------------------------------ its items


def refusal(state: State, round_: Round, batch_id: str) -> Refusal | None:
    """Why no item can come into this batch; None if it can."""
    if not BATCH_ID.fullmatch(batch_id):
        return "batch_id", f"{batch_id[:80]!r} names no batch: {BATCH_ID_RULE}"
    if batch_id in state.batches:
        return None
    batch = _closed(round_, batch_id)
    if batch is not None:
        return f"batch_{batch.status}", f"batch {batch_id} is {batch.status}: {batch.reason}; give the rest a new batch"
    return _too_many(state)


def joined(state: State, round_: Round, batch_id: str) -> None:
    """An item of the batch has begun a run."""
    batch = _of(state, round_, batch_id)
    batch.runs += 1
    _heard(state, round_, batch)


def existed(state: State, round_: Round, batch_id: str) -> None:
    """An item of the batch was a run already, by its idempotency key."""
    batch = _of(state, round_, batch_id)
    batch.existing += 1
    _heard(state, round_, batch)


def refused(state: State, round_: Round, batch_id: str) -> None:
    """An item of the batch was refused by a rule."""
    if refusal(state, round_, batch_id) is None:
        batch = _of(state, round_, batch_id)
        batch.refused += 1
        _heard(state, round_, batch)


# ------------------------------------------------------------------------------------------------------ its sender


def open_batch(state: State, round_: Round, message: OpenBatch, actor: str) -> None:
    """A sender opens a batch, or says that it still lives."""
    patience = message.patience_ms
    if patience is not None and not MIN_PATIENCE_MS <= patience <= MAX_PATIENCE_MS:
        text = f"patience_ms is {patience}; it must be from {MIN_PATIENCE_MS} to {MAX_PATIENCE_MS}"
        _answer(round_, message, ("patience_ms", text))
        return
    batch = _for_order(state, round_, message)
    if batch is None:
        return
    if batch.status == OPEN:
        new = message.batch_id not in state.batches
        batch = _of(state, round_, message.batch_id)
        batch.heard = state.marks
        if patience is not None and patience != batch.patience_ms:
            batch.patience_ms = patience
            new = True
        if new:  # else nothing that is kept has changed
            round_.changes.batches[batch.id] = batch
    _answer(round_, message, batch)


def seal(state: State, round_: Round, message: SealBatch, actor: str) -> None:
    """A sender says how many items there are. With all of them there the batch is sealed, else when they have come."""
    if message.items is not None and not 0 <= message.items <= MAX_ITEMS:
        _answer(round_, message, ("items", f"items is {message.items}; it must be from 0 to {MAX_ITEMS}"))
        return
    batch = _for_order(state, round_, message)
    if batch is None:
        return
    if batch.status == ABORTED:
        _answer(round_, message, ("batch_aborted", f"batch {batch.id} is aborted: {batch.reason}"))
        return
    if batch.status == OPEN:
        batch = _of(state, round_, message.batch_id)
        if message.items is None:
            _close(state, round_, batch, SEALED, "sealed")
        else:
            batch.items = message.items
            _heard(state, round_, batch)
    _answer(round_, message, batch)


def abort(state: State, round_: Round, message: AbortBatch, actor: str) -> None:
    """A sender says that no more will come. The runs that have begun go on."""
    batch = _for_order(state, round_, message)
    if batch is None:
        return
    if batch.status == SEALED:
        _answer(round_, message, ("batch_sealed", f"batch {batch.id} is sealed: all of it is there"))
        return
    if batch.status == OPEN:
        batch = _of(state, round_, message.batch_id)
        _close(state, round_, batch, ABORTED, message.reason[:MAX_REASON] or "given up by its sender")
    _answer(round_, message, batch)


# ------------------------------------------------------------------------------------------------------ time


def give_up_silent(state: State, round_: Round) -> None:
    """A batch whose sender has not been heard for too many Marks is aborted."""
    for batch in list(state.batches.values()):
        if (state.marks - batch.heard) * 1000 <= batch.patience_ms:
            continue
        said = f" of {batch.items}" if batch.items != UNKNOWN else ""
        came = batch.runs + batch.existing + batch.refused
        text = f"nothing was heard of it for {batch.patience_ms / 1000:g} s, and it was not sealed: {came}{said} came"
        _close(state, round_, batch, ABORTED, text)
        state.count("batch_aborted")


def restore(state: State, batches: list[Batch]) -> None:
    """The open batches, as a starting coordinator finds them: from here on their silence counts."""
    state.batches = {batch.id: batch for batch in batches}


# ------------------------------------------------------------------------------------------------------ inside


def _closed(round_: Round, batch_id: str) -> Batch | None:
    return round_.changes.batches.get(batch_id) or round_.facts.batches.get(batch_id)


def _of(state: State, round_: Round, batch_id: str) -> Batch:
    """The open batch of this name; it is opened if it is not there yet."""
    batch = state.batches.get(batch_id)
    if batch is None:
        patience = state.config.batch_patience // timedelta(milliseconds=1)
        batch = Batch(id=batch_id, created_at=round_.now, patience_ms=patience, heard=state.marks)
        state.batches[batch_id] = batch
    return batch


def _for_order(state: State, round_: Round, message: Order) -> Batch | None:
    """The batch an order is about, closed, open or still to be opened; None: it is refused, and answered so."""
    batch = state.batches.get(message.batch_id) or _closed(round_, message.batch_id)
    if batch is not None:
        return batch
    problem = refusal(state, round_, message.batch_id)
    if problem is not None:
        _answer(round_, message, problem)
        return None
    return Batch(id=message.batch_id, created_at=round_.now, patience_ms=0)


def _too_many(state: State) -> Refusal | None:
    limit = state.config.open_batches
    if len(state.batches) < limit:
        return None
    return "open_batches", f"{limit} batches are open already: seal some of them first"


def _heard(state: State, round_: Round, batch: Batch) -> None:
    batch.heard = state.marks
    round_.changes.batches[batch.id] = batch
    if batch.complete:
        _close(state, round_, batch, SEALED, "sealed")


def _close(state: State, round_: Round, batch: Batch, status: str, reason: str) -> None:
    batch.status, batch.reason, batch.closed_at = status, reason, round_.now
    round_.changes.batches[batch.id] = batch
    del state.batches[batch.id]


def _answer(round_: Round, message: Order, said: Batch | Refusal) -> None:
    if not message.reply_to:
        return
    answer: dict[str, Any] = (
        {"data": fields_of(said)} if isinstance(said, Batch) else {"error": {"rule": said[0], "text": said[1]}}
    )
    reply(round_, message.reply_to, Answer(ask_id=message.ask_id, **answer), plain=message.plain)
