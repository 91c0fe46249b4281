"""Rules of letting go: rows of journals that a workflow has left behind, old history, ids of signals, dead tokens.

Each round lets go of a bounded number of rows; what is left over is a cursor that `tick` moves on. Nothing here touches
what a run still reads.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from longshore.core.cursors import (
    FORGET_EXPIRED,
    FORGET_JOURNAL,
    FORGET_KEYS,
    FORGET_LEFT,
    FORGET_SIGNALS,
    FORGET_TOKENS,
    Cursor,
)
from longshore.core.ids import RunId
from longshore.core.instants import micros
from longshore.core.ledger.keeping import going
from longshore.core.ledger.state import Round, State
from longshore.core.run import Run

FORGET_EVERY: Final = timedelta(hours=1)
EXPIRE: Final = ("answered", "batch", "bulk", "cache", "idempotency")
WALK_EVERY: Final = timedelta(days=1)
"""How often every token is looked at, and every row that may have expired."""


def journal(state: State, round_: Round, run: Run, last: int) -> None:
    """Nobody will read the journals of these generations again: up to `last`. The ids of their signals are remembered,
    so that none is told twice."""
    limit = state.config.rows_at_once
    changes = round_.changes
    changes.forgotten.append((run.id, last, limit))
    rows = round_.facts.journal_rows.get(run.id, 0) + len(changes.calls) + len(changes.deliveries)
    if rows > limit:
        _open(state, round_, Cursor(f"{run.id}/{FORGET_JOURNAL}", FORGET_JOURNAL, run.id, ""))


def history(state: State, round_: Round, run: Run) -> None:
    """Of a run that continues for ever the latest rows are kept, and the first."""
    upto = run.history_seq - state.config.history_kept
    if upto > 1:
        round_.changes.history_forgotten.append((run.id, upto, state.config.rows_at_once))


def now_and_then(state: State, round_: Round) -> None:
    """Once an hour: closed sessions, ids of signals, keys, dead letters; once a day: tokens, and what has expired."""
    config = state.config
    if state.forget_at <= round_.now:
        state.forget_at = round_.now + FORGET_EVERY
        round_.changes.workers_until = round_.now - config.closed_kept
        round_.changes.batches_until = round_.now - config.batches_kept
        before = round_.now - config.signals_kept
        _open(state, round_, Cursor(FORGET_SIGNALS, FORGET_SIGNALS, RunId(""), "", before))
        dead_letters(state, round_)
        _open(state, round_, Cursor(FORGET_KEYS, FORGET_KEYS, RunId(""), "", round_.now))
        _open(state, round_, Cursor(FORGET_LEFT, FORGET_LEFT, RunId(""), "", round_.now))
    if state.walk_at <= round_.now:
        state.walk_at = round_.now + WALK_EVERY
        _open(state, round_, Cursor(FORGET_TOKENS, FORGET_TOKENS, RunId(""), "", round_.now - config.tokens_kept))
        for table in EXPIRE:
            name = f"{FORGET_EXPIRED}/{table}"
            before = round_.now - config.tokens_kept if table in ("batch", "bulk") else round_.now
            _open(state, round_, Cursor(name, FORGET_EXPIRED, RunId(""), table, before))


def dead_letters(state: State, round_: Round) -> None:
    """Of dead letters only the latest are kept, for a while."""
    config = state.config
    going(round_).letters = micros(round_.now - config.letters_age), config.letters_kept, config.rows_at_once


def _open(state: State, round_: Round, cursor: Cursor) -> None:
    round_.changes.cursors.append(cursor)
    state.cursors_open = True


def move_on(state: State, round_: Round, cursor: Cursor) -> None:
    """Let go of the next rows that a cursor stands before."""
    limit, changes = state.config.rows_at_once, round_.changes
    if cursor.kind == FORGET_TOKENS:
        changes.tokens_forgotten += cursor.keys
        cursor.after = cursor.children[-1] if cursor.children else cursor.after
    elif cursor.kind == FORGET_EXPIRED:
        going(round_).expired[cursor.reason] = list(cursor.keys)
        cursor.after = cursor.children[-1] if cursor.children else cursor.after
    elif cursor.kind == FORGET_SIGNALS:
        assert cursor.before is not None
        changes.signals_forgotten = cursor.before, limit
        cursor.last = cursor.rows <= limit
    elif cursor.kind == FORGET_KEYS:
        assert cursor.before is not None
        changes.beginnings.keys_forgotten = cursor.before, limit
        cursor.last = cursor.rows <= limit
    else:
        changes.forgotten.append((cursor.run_id, cursor.upto, limit))
        cursor.last = cursor.rows <= limit
    if cursor.last:
        changes.cursors_done.append(cursor.id)
        return
    cursor.children, cursor.keys = [], []
    changes.cursors.append(cursor)
