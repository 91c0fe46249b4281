"""What every order about one run has in common: the run it is for, or the refusal, recorded and answered."""

from __future__ import annotations

from collections.abc import Callable

from longshore.core.ledger import delivering
from longshore.core.ledger.recording import Refusal, answer_order, ended, refuse
from longshore.core.ledger.state import Round, State
from longshore.core.message import RunOrder
from longshore.core.run import Run

MAX_SHOWN = 100
"""How many characters of what was given are shown again."""


def target(
    state: State, round_: Round, order: RunOrder, actor: str, fits: Callable[[Run], str], refusal: Refusal
) -> Run | None:
    """The live run an order is for, if the order `fits` it ("": it does; else what the run is). Any other refuses the
    order: that is recorded in the run's history, and answered with the rule, and what the run would have to be."""
    rule, needed = refusal
    name = type(order).__name__.lower()
    run = delivering.live(state, round_, order.run_id)
    final = ended(round_, order.run_id) if run is None else None
    if run is None and final is None:
        answer_order(round_, order, "", error=("unknown_run", f"there is no run {order.run_id[:MAX_SHOWN]}"))
        return None
    status = run.status.value if run is not None else final.status if final is not None else ""
    problem = fits(run) if run is not None else status
    if run is not None and not problem:
        return run
    refuse(state, round_, order.run_id, status, f"{name} refused: it is {problem}", actor, run)
    answer_order(round_, order, status, error=(rule, f"run {order.run_id} is {problem}; {needed}"))
    return None


def said_by(what: str, by: str, reason: str = "") -> str:
    """What was ordered, by whom and why, in one line for the history."""
    return what + (f" by {by}" if by else "") + (f": {reason}" if reason else "")
