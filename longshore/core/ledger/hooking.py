"""Rules of hooks: a run that ends while no worker has it is made known to one that offers its routine. Once, without a
claim: what becomes of it there changes nothing, and a worker that is lost with it is not replaced."""

from __future__ import annotations

from longshore.core.ledger.recording import direct
from longshore.core.ledger.state import Round, State
from longshore.core.message import RunHooks
from longshore.core.run import Run


def tell(state: State, round_: Round, run: Run) -> None:
    """Have its hooks run, if its author has any and its body had begun."""
    offer = state.offer_of(run)
    if offer is None or not offer.hooks or run.started_at is None:
        return
    for session_id in state.offered.get((run.routine, run.version), ()):
        session = state.sessions[session_id]
        if session.open and not session.draining:
            order = RunHooks(run.id, run.routine, run.version, run.attempt, run.status._value_, run.reason)
            direct(round_, session, order)
            return
    state.count("hooks_unheard")
