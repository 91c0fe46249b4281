"""Rules of orders that come again, because their answer was lost: what was done is done once, and answered again. One
that was refused is judged anew."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from longshore.core.changes import Needs
from longshore.core.ledger.recording import reply
from longshore.core.ledger.state import Round, State
from longshore.core.orders import Request
from longshore.core.records import Answered
from longshore.core.replies import Answer

KEPT: Final = timedelta(hours=1)
"""How long an answer is kept. A client repeats an order for as long as it waits for the answer: seconds."""

Rule = Callable[[State, Round, Any, str], None]
Need = Callable[[State, Needs, Any], None]


def kinds() -> list[type]:
    """Every kind of order there is."""
    return Request.__subclasses__()


def once(rule: Rule) -> Rule:
    """The rule for orders of its kind that come for the first time."""

    def take(state: State, round_: Round, order: Request, actor: str) -> None:
        key = _key(order)
        known = round_.facts.answered.get(key) if key else None
        if known is not None:
            state.count("repeated_order")
            reply(round_, order.reply_to, known)
            return
        rule(state, round_, order, actor)
        if key:
            _remember(round_, order, key)

    return take


def knowing(need: Need | None) -> Need:
    """What an order needs, and whether it was answered already."""

    def ask(state: State, needs: Needs, order: Request) -> None:
        if key := _key(order):
            needs.answered.add(key)
        if need is not None:
            need(state, needs, order)

    return ask


def _key(order: Request) -> str:
    """What tells an order of one of our clients from all others; "" for one whose answer nobody can know by its id."""
    return f"{order.reply_to} {order.ask_id}" if order.reply_to and order.ask_id and not order.plain else ""


def _remember(round_: Round, order: Request, key: str) -> None:
    replies = round_.changes.replies.get(order.reply_to)
    said = replies[-1] if replies else None  # its answer is the last word of an order's rule
    if type(said) is Answer and said.ask_id == order.ask_id and said.error is None:  # an error: nothing was done
        round_.facts.answered[key] = said
        round_.changes.answered.append(Answered(key, said, round_.now + KEPT))
