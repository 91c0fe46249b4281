"""Rules of progress: who watches is told, and the latest word is there for who asks later, while the run executes.

It is in memory only: nothing of it is durable, and nothing waits for it.
"""

from __future__ import annotations

from typing import Any, Final

from longshore.core.ids import RunId
from longshore.core.ledger.recording import owned, reply
from longshore.core.ledger.state import Round, Said, Session, State
from longshore.core.message import Progress, RunChanged
from longshore.core.run import Run, Status

ROOM: Final = 1000
"""With so many words kept those of runs that execute no more are forgotten."""
_SHOWN: Final = frozenset({Status.EXECUTING, Status.HANGING, Status.CANCELING})


def progress(state: State, round_: Round, session: Session, report: Progress) -> None:
    """How far a run says it is. It changes nothing."""
    run = owned(state, session.id, report.run_id, report.epoch)
    if run is None:
        return
    state.progress[run.id] = Said(run.epoch, report.fraction, report.text, round_.now)
    if len(state.progress) > state.progress_room:
        _forget(state)
    keys = state.watchers.get(run.id)
    if not keys:
        return
    changed = _told(run, state.progress[run.id])
    for key in keys:
        reply(round_, key, changed)


def watch(state: State, round_: Round, run_id: RunId, key: str) -> None:
    """Tell this key of all that becomes of the run. Whoever comes late hears the latest word at once; who watches it
    already and asks again does not hear it again."""
    keys = state.watchers.setdefault(run_id, set())
    if key in keys:
        return
    keys.add(key)
    run, said = state.runs.get(run_id), state.progress.get(run_id)
    if run is not None and said is not None and _is_current(run, said):
        reply(round_, key, _told(run, said))


def latest(state: State, run_id: RunId) -> dict[str, Any] | None:
    """fraction, text, at of what a run that a worker holds last said; None for none."""
    run, said = state.runs.get(run_id), state.progress.get(run_id)
    if run is None or said is None or not _is_current(run, said):
        return None
    return {"fraction": said.fraction, "text": said.text, "at": said.at}


def _told(run: Run, said: Said) -> RunChanged:
    reason = f"{said.fraction:.0%} {said.text}".strip()
    return RunChanged(run_id=run.id, status=run.status.value, attempt=run.attempt, reason=reason, at=said.at)


def _is_current(run: Run, said: Said) -> bool:
    return run.epoch == said.epoch and bool(run.session) and run.status in _SHOWN


def _forget(state: State) -> None:
    runs = state.runs
    state.progress = {
        run_id: said
        for run_id, said in state.progress.items()
        if (run := runs.get(run_id)) is not None and _is_current(run, said)
    }
    state.progress_room = max(ROOM, 2 * len(state.progress))
