"""Rules of leaving: workers are ordered to drain. What they hold they hand back or finish themselves."""

from __future__ import annotations

from typing import Any, Final

from longshore.core.errors import nearest
from longshore.core.ledger.recording import direct, reply
from longshore.core.ledger.sessions import status_of
from longshore.core.ledger.state import Round, Session, State
from longshore.core.message import Answer, Drain, DrainWorker
from longshore.core.versions import is_version

MAX_GRACE_MS: Final = 30 * 24 * 3600 * 1000
Refusal = tuple[str, str]


def drain_order(state: State, round_: Round, order: DrainWorker, actor: str) -> None:
    """Order the workers it names to leave. Who is told again may be told another grace; who has left is refused."""
    refusal = _problem(order)
    chosen = [] if refusal else [one for one in state.sessions.values() if not one.closed and _fits(one, order)]
    if not chosen:
        _answer(round_, order, error=refusal or _unknown(state, order))
        return
    for session in chosen:
        said = session.drain.grace_ms if order.grace_ms is None and session.drain is not None else order.grace_ms
        session.drain = Drain(said)
        session.draining = True
        direct(round_, session, session.drain)
        round_.changes.workers[session.id] = session.row()
        round_.touched.add(session.id)
    _answer(round_, order, data={"workers": [_said(session) for session in chosen]})


def _problem(order: DrainWorker) -> Refusal | None:
    if not (order.worker_id or order.pool or order.host or order.version):
        return "worker_id", "name a worker, or a pool, a host or a version whose workers are to leave"
    if order.version and not is_version(order.version.rpartition("@")[2]):
        return "version", f"{order.version[:64]!r} is no version: 1.0.0 or name@1.0.0"
    if order.grace_ms is not None and not 0 <= order.grace_ms <= MAX_GRACE_MS:
        return "grace_ms", f"grace_ms is {order.grace_ms}; it must be from 0 to {MAX_GRACE_MS}"
    return None


def _fits(session: Session, order: DrainWorker) -> bool:
    """Whether it is all that the order names."""
    if order.worker_id and session.worker_id != order.worker_id:
        return False
    if (order.pool and session.pool != order.pool) or (order.host and session.host != order.host):
        return False
    name, _, version = order.version.rpartition("@")
    return not version or any(key[1] == version and name in ("", key[0]) for key in session.offers)


def _unknown(state: State, order: DrainWorker) -> Refusal:
    there = sorted(one.worker_id for one in state.sessions.values() if not one.closed)
    named = {"pool": order.pool, "host": order.host, "version": order.version}
    said = " and ".join(f"{name} {value[:64]}" for name, value in named.items() if value)
    who = f"worker {order.worker_id[:64]}" if order.worker_id else "worker"
    text = f"there is no {who} with {said}" if said else f"there is no {who}"
    gone = any(one.closed and _fits(one, order) for one in state.sessions.values())
    meant = nearest(order.worker_id, there) if order.worker_id else []
    hint = "; it has left" if gone and order.worker_id else f"; did you mean {meant[0]}?" if meant else ""
    return "unknown_worker", text + hint


def _said(session: Session) -> dict[str, Any]:
    return {"worker_id": session.worker_id, "status": status_of(session), "held": len(session.held)}


def _answer(
    round_: Round, order: DrainWorker, *, data: dict[str, Any] | None = None, error: Refusal | None = None
) -> None:
    if order.reply_to and (order.ask_id or order.plain):
        wrong = None if error is None else {"rule": error[0], "text": error[1]}
        reply(round_, order.reply_to, Answer(ask_id=order.ask_id, data=data, error=wrong), plain=order.plain)
