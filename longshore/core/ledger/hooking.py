"""Rules of hooks: a run that ends while no worker has it is named to one that offers its routine, and named again until
some worker has said that its hooks have run. At least once, like bodies; what becomes of them changes nothing.

What is to be heard is a row from the end of the run on, in the same transaction; nobody holds it in memory.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from longshore.core.ledger.recording import direct, ended
from longshore.core.ledger.state import Round, Session, State
from longshore.core.message import HooksRun, RunHooks
from longshore.core.records import Unheard
from longshore.core.run import Run

AGAIN: Final = timedelta(minutes=1)
"""Longer than hooks may take: who was told and lives has answered by then."""
NOBODY: Final = timedelta(seconds=10)
"""Until it is looked again whether somebody is there."""
KEPT: Final = timedelta(days=30)
AT_ONCE: Final = 100
"""So many runs are named in one round; a bulk order must not flood the workers."""
SECOND: Final = timedelta(seconds=1)


def tell(state: State, round_: Round, run: Run) -> None:
    """Have its hooks run, if its body had begun and its author has any, or may have: nobody is here to say so."""
    if run.started_at is None:
        return
    offer = state.offer_of(run)
    if offer is not None and not offer.hooks:
        return
    order = RunHooks(run.id, run.routine, run.version, run.attempt, run.status._value_, run.reason)
    pause = SECOND if len(round_.changes.unheard) >= AT_ONCE else _say(state, round_, order)
    _keep(state, round_, Unheard(run.id, round_.now + pause, round_.now + KEPT))


def heard(state: State, round_: Round, session: Session, report: HooksRun) -> None:
    """A worker has run them."""
    round_.changes.unheard.pop(report.run_id, None)
    round_.changes.unheard_done.append(report.run_id)


def is_time(state: State, now: datetime) -> bool:
    """Whether some may be due."""
    return state.hooks_at is not None and state.hooks_at <= now


def say_again(state: State, round_: Round) -> None:
    """Name those that are due to a worker: none was there, or the one that was told has gone, or the word was lost."""
    page = round_.facts.unheard
    if page is None:
        return
    state.hooks_at = page.next_at if len(page.due) < AT_ONCE else round_.now + SECOND
    for one in page.due:
        final = ended(round_, one.run_id)
        if final is None or one.until <= round_.now:
            state.count("hooks_unheard")
            round_.changes.unheard_done.append(one.run_id)
            continue
        offer = state.known.get((final.routine, final.version))
        if offer is not None and not offer.hooks:
            round_.changes.unheard_done.append(one.run_id)
            continue
        order = RunHooks(final.id, final.routine, final.version, final.attempt, final.status, final.reason)
        pause = _say(state, round_, order)
        _keep(state, round_, one._replace(next_at=round_.now + pause))


def _keep(state: State, round_: Round, row: Unheard) -> None:
    round_.changes.unheard[row.run_id] = row
    state.hooks_at = row.next_at if state.hooks_at is None else min(state.hooks_at, row.next_at)


def _say(state: State, round_: Round, order: RunHooks) -> timedelta:
    """To the workers that offer the routine, in turn. Gives when to say it again."""
    offering = (state.sessions[one] for one in state.offered.get((order.routine, order.version), ()))
    found = [session for session in offering if session.open and not session.draining]
    if not found:
        return NOBODY
    direct(round_, found[len(round_.changes.unheard) % len(found)], order)
    return AGAIN
