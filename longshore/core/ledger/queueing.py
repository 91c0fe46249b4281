"""Rules of orders on queues: their limits are set, they are paused and go on. Nothing here touches a run."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from longshore.core.errors import nearest
from longshore.core.ledger import limiting
from longshore.core.ledger.recording import Refusal, answer
from longshore.core.ledger.state import Round, State
from longshore.core.message import LimitQueue, PauseQueue, ResumeQueue
from longshore.core.queues import DEFAULT, NAMESPACE, QueueRow, problem_of, rate_of

_NAME: Final = 256


def limit(state: State, round_: Round, order: LimitQueue, actor: str) -> None:
    """Set or lift limits of a queue; what the order does not name stays."""
    row = _row(state, order.queue)
    problem = _unknown(state, order.queue, order.create) or problem_of(order)
    if problem is not None:
        answer(round_, order, problem)
        return
    rate = rate_of(order.rate) if isinstance(order.rate, str) else order.rate
    given = {"limit": order.limit, "key_limit": order.key_limit, "rate": rate, "max_size": order.max_size}
    asked = {name: value for name, value in given.items() if value is not msgspec.UNSET}
    _change(state, round_, msgspec.structs.replace(row, **asked))
    answer(round_, order, None, **shown(state, order.queue))


def pause(state: State, round_: Round, order: PauseQueue, actor: str) -> None:
    """Nothing more starts from the queue; what executes goes on, and so do workflows that have waited."""
    row = _row(state, order.queue)
    problem = _unknown(state, order.queue, order.create)
    if problem is None and row.paused_at is not None:
        problem = "already_paused", f"queue {order.queue!r} is paused already, since {row.paused_at:%Y-%m-%d %H:%M:%S}"
    if problem is not None:
        answer(round_, order, problem)
        return
    _change(state, round_, msgspec.structs.replace(row, paused_at=round_.now))
    answer(round_, order, None, **shown(state, order.queue))


def resume(state: State, round_: Round, order: ResumeQueue, actor: str) -> None:
    """A paused queue goes on."""
    row = _row(state, order.queue)
    problem = _unknown(state, order.queue, create=False)
    if problem is None and row.paused_at is None:
        problem = "not_paused", f"queue {order.queue!r} is not paused"
    if problem is not None:
        answer(round_, order, problem)
        return
    _change(state, round_, msgspec.structs.replace(row, paused_at=None))
    answer(round_, order, None, **shown(state, order.queue))


def shown(state: State, name: str) -> dict[str, Any]:
    """A queue's rule, as people see it."""
    queue = state.queues.get(name)
    return _fields(QueueRow(name=name) if queue is None else queue.row)


def _fields(row: QueueRow) -> dict[str, Any]:
    since = row.paused_at
    return {
        "name": row.name,
        "limit": row.limit,
        "key_limit": row.key_limit,
        "rate": None if row.rate is None else str(row.rate),
        "max_size": row.max_size,
        "paused": since is not None,
        "paused_at": None if since is None else since.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def names(state: State) -> set[str]:
    """The queues that are known beside those of the runs: the ordinary one, the ones with a rule, the ones routines are
    offered with."""
    return {DEFAULT, *state.queues, *(offer.queue for offers in state.offered.values() for offer in offers.values())}


def _row(state: State, name: str) -> QueueRow:
    queue = state.queues.get(name)
    return QueueRow(name=name) if queue is None else queue.kept()


def _change(state: State, round_: Round, row: QueueRow) -> None:
    """The queue has this rule from now on. What it holds is found again among the runs."""
    name = row.name
    before = state.queues.get(name)
    if row.is_empty:
        state.queues.pop(name, None)
    else:
        if before is not None and before.window is not None and row.rate is not None:
            row.starts = before.window.starts(row.rate)
        state.queues[name] = limiting.counted_anew(state, row)
    round_.changes.queues[name] = None if row.is_empty else state.queues[name].kept()
    state.lanes.unpark_queue(name)


def _unknown(state: State, name: str, create: bool) -> Refusal | None:
    if not 0 < len(name) <= _NAME:
        return "queue", f"a queue's name has 1 to {_NAME} characters"
    if name == NAMESPACE or create or name in names(state) or any(run.queue == name for run in state.runs.values()):
        return None
    near = nearest(name, sorted(names(state)))
    meant = f"; did you mean {', '.join(near)}?" if near else "."
    text = f"there is no queue {name!r}: no run and no routine names it{meant}"
    return "unknown_queue", f"{text} To limit or pause it before its first use, say create"
