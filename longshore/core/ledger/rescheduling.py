"""Rules of rescheduling: a DELAYED run gets another time, sooner or later than the one before."""

from __future__ import annotations

from datetime import datetime, timedelta

from longshore.core.ledger.debouncing import postpone
from longshore.core.ledger.ordering import said_by, target
from longshore.core.ledger.recording import Refusal, announce, answer_order
from longshore.core.ledger.starting import MAX_DELAY_MS
from longshore.core.ledger.state import Round, State
from longshore.core.message import Reschedule
from longshore.core.run import Run, Status

_LONGEST = timedelta(milliseconds=MAX_DELAY_MS)
_NEEDED = "only what is DELAYED can be rescheduled"


def reschedule_order(state: State, round_: Round, order: Reschedule, actor: str) -> None:
    """A person gives a DELAYED run another time."""
    due_at = _due_at(order, round_.now)
    if isinstance(due_at, tuple):
        answer_order(round_, order, "", error=due_at)
        return
    run = target(state, round_, order, actor, _hindrance, ("not_delayed", _NEEDED))
    if run is None:
        return
    postpone(state, round_, run, due_at, said_by("rescheduled", order.by), actor)
    announce(state, round_, run, None, None)
    answer_order(round_, order, run.status.value)


def _hindrance(run: Run) -> str:
    return "" if run.status is Status.DELAYED else run.status.value


def _due_at(order: Reschedule, now: datetime) -> datetime | Refusal:
    """The new time, or why it cannot be. One that has gone is now."""
    if (order.delay_ms is None) == (order.at is None):
        return "delay_ms", "a run is rescheduled to so long from now, or to an instant: give either delay_ms or at"
    if order.delay_ms is not None:
        if not 0 <= order.delay_ms <= MAX_DELAY_MS:
            return "delay_ms", f"delay_ms is {order.delay_ms}; it must be from 0 to {MAX_DELAY_MS}"
        return now + timedelta(milliseconds=order.delay_ms)
    if order.at is None or order.at.tzinfo is None:
        return "at", f"at is {order.at}, which has no zone: write for example 2026-11-24T18:00:00Z"
    if order.at > now + _LONGEST:
        return "at", f"at is {order.at.isoformat()}; it must be within 30 days from now"
    return max(order.at, now)
