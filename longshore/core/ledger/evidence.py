"""What is written down of a crash, for the person who will be asked, and where it sends the next attempt. No rule about
what becomes of the run."""

from __future__ import annotations

from typing import Any, Final

from longshore.core.care import LONGEST_TAIL, Care, Crash, Loss, fields
from longshore.core.ledger.state import Round, State
from longshore.core.message import Failure
from longshore.core.policy import CRASHES_TO_BLOCK
from longshore.core.run import Run

OUT_OF_MEMORY: Final = "out of memory"


def loss_of(error: Failure | None, *, starved: bool = False) -> Loss:
    """What a worker says of the death of a run's own process."""
    text = error.message if error is not None else "its process died"
    if starved and not text.startswith(OUT_OF_MEMORY):
        text = f"{OUT_OF_MEMORY}: {text}" if text else OUT_OF_MEMORY
    return Loss(text, starved=starved, tail=error.traceback if error is not None else "")


def note(round_: Round, run: Run, loss: Loss) -> None:
    """Keep the crash among the last ones."""
    if run.care is None:
        run.care = Care()
    kept = run.care.crashes[1 - CRASHES_TO_BLOCK :]
    crash = Crash(round_.now, run.worker_id, run.attempt, loss.reason, loss.tail[-LONGEST_TAIL:])
    run.care.crashes = [*kept, crash]


def take_back(run: Run) -> None:
    """The last crash was none."""
    if run.care is not None:
        run.care.crashes = run.care.crashes[:-1]


def move_on(state: State, run: Run, loss: Loss) -> None:
    """One that ran out of memory goes on in the pool that its author named for it."""
    offer = state.offer_of(run)
    if loss.starved and offer is not None and offer.pool_on_oom and run.care is not None:
        run.pool = run.care.pool = offer.pool_on_oom


def shown(run: Run) -> list[dict[str, Any]]:
    """The crashes as people see them, oldest first."""
    return [] if run.care is None else [fields(crash) for crash in run.care.crashes]
