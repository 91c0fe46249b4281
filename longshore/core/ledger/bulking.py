"""Rules of bulk orders: taken down at once, done a page per tick, over restarts, until they are done or aborted.

Each run is told as if somebody had ordered it for that run alone; what the table does not allow is counted, not forced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from longshore.core.batches import BATCH_ID
from longshore.core.bulks import ABORTED, CANCEL, DONE, RERUN, RUNNING, BulkPage, BulkRow, fields_of, problem_of
from longshore.core.ids import ENTROPY_BYTES, RunId, uuid7
from longshore.core.ledger import canceling, delivering, limiting, rerunning
from longshore.core.ledger.recording import reply
from longshore.core.ledger.state import Round, State
from longshore.core.message import AbortBulk, Answer, Bulk
from longshore.core.run import FINAL, Status

MAX_REASON: Final = 1000


def order(state: State, round_: Round, message: Bulk, actor: str) -> None:
    """Take a bulk order down. The same `bulk_id` again is the same order."""
    known = _known(round_, message.bulk_id)
    if known is not None:
        same = (known.what, known.filter) == (message.what, message.filter)
        text = f"bulk order {known.id} is another one: {known.what}, {known.status}; give this one an id of its own"
        _answer(round_, message, known if same else ("bulk_exists", text))
        return
    problem = _name_problem(message.bulk_id) or problem_of(message.what, message.filter)
    if problem is None and len(message.reason) > MAX_REASON:
        problem = "reason", f"reason has over {MAX_REASON} characters"
    if problem is not None:
        _answer(round_, message, problem)
        return
    row = BulkRow(
        id=message.bulk_id,
        what=message.what,
        filter=message.filter,
        reason=message.reason,
        by=message.by or actor,
        created_at=round_.now,
    )
    round_.changes.bulks[row.id] = row
    state.cursors_open = True
    _answer(round_, message, row)


def abort(state: State, round_: Round, message: AbortBulk, actor: str) -> None:
    """Go no further with a bulk order; what is done stays done."""
    row = _known(round_, message.bulk_id)
    if row is None:
        _answer(round_, message, ("unknown_bulk", f"there is no bulk order {message.bulk_id[:80]!r}"))
        return
    if row.status == DONE:
        _answer(round_, message, ("bulk_done", f"bulk order {row.id} is done: {row.done} of {row.matched} runs"))
        return
    if row.status == RUNNING:
        row.status, row.finished_at = ABORTED, round_.now
        round_.changes.bulks[row.id] = row
    _answer(round_, message, row)


def move_on(state: State, round_: Round) -> None:
    """Do the next page of every bulk order under way."""
    for page in round_.facts.bulk_pages:
        state.cursors_open = True
        if round_.room <= 0:
            return
        _do(state, round_, page)


def _do(state: State, round_: Round, page: BulkPage) -> None:
    bulk, act = page.bulk, ACTS[page.bulk.what]
    runs = page.runs[: round_.room]
    round_.room -= len(runs)
    for _, run_id in runs:
        bulk.matched += 1
        if act(state, round_, bulk, run_id):
            bulk.done += 1
        else:
            bulk.refused += 1
    whole = len(runs) == len(page.runs)
    bulk.after = page.after if whole else runs[-1][0]
    if whole and page.last:
        bulk.status, bulk.finished_at = DONE, round_.now
    round_.changes.bulks[bulk.id] = bulk


def _cancel(state: State, round_: Round, bulk: BulkRow, run_id: RunId) -> bool:
    run = delivering.live(state, round_, run_id)
    if run is None or run.status is Status.CANCELING:
        return False
    canceling.cancel(state, round_, run, bulk.reason or "canceled", f"bulk order {bulk.id}")
    return True


def _rerun(state: State, round_: Round, bulk: BulkRow, run_id: RunId) -> bool:
    source = rerunning.original(state, round_, run_id)
    if source is None or source.status not in FINAL:
        return False
    if state.queues and limiting.refusal(state, source.queue):
        return False
    run = rerunning.again(round_, source, RunId(uuid7(round_.now, round_.random(ENTROPY_BYTES))))
    rerunning.begin(state, round_, run, source.id, bulk.reason or f"rerun of {source.id}", f"bulk order {bulk.id}")
    return True


ACTS: Final[dict[str, Callable[[State, Round, BulkRow, RunId], bool]]] = {CANCEL: _cancel, RERUN: _rerun}
"""What is done with each run; whether it could be."""


def _known(round_: Round, bulk_id: str) -> BulkRow | None:
    return round_.changes.bulks.get(bulk_id) or round_.facts.bulks.get(bulk_id)


def _name_problem(bulk_id: str) -> tuple[str, str] | None:
    if BATCH_ID.fullmatch(bulk_id):
        return None
    return "bulk_id", f"{bulk_id[:80]!r} names no bulk order: 1 to 128 letters, digits and `._:@+=~-`"


def _answer(round_: Round, message: Bulk | AbortBulk, said: BulkRow | tuple[str, str]) -> None:
    if not message.reply_to:
        return
    answer: dict[str, Any] = (
        {"data": fields_of(said)} if isinstance(said, BulkRow) else {"error": {"rule": said[0], "text": said[1]}}
    )
    reply(round_, message.reply_to, Answer(ask_id=message.ask_id, **answer), plain=message.plain)
