"""Rules of checkpoints: what the code of a task keeps for its next attempt, and what that says about its crashes."""

from __future__ import annotations

from longshore.core.ledger.recording import owned, touch
from longshore.core.ledger.starting import check_value
from longshore.core.ledger.state import Round, Session, State
from longshore.core.message import Checkpoint


def checkpoint(state: State, round_: Round, session: Session, report: Checkpoint) -> None:
    """Keep the value, in place of the one before. Whoever makes progress is no poison: its row of crashes ends."""
    run = owned(state, session.id, report.run_id, report.epoch)
    if run is None or run.flow is not None:
        return
    if check_value(report.value) is not None:
        state.count("refused_checkpoint")
        return
    round_.changes.checkpoints[run.id] = report.value
    if run.crashes:
        run.crashes = 0
        run.alone = False
        touch(round_, run)
