"""Rules of keeping: what has ended goes when it is old enough, or when there is too much of it, tree by tree.

A tree goes as a whole, by the end of its root, once nothing in it lives, no fork tells what was told in it and its
batch is closed. Each step touches a bounded number of rows; what is too large for one is a cursor. Nothing here reads a
value or touches an object.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from longshore.core.changes import ObjectsRemoved, Outcome
from longshore.core.cursors import FORGET_BELOW, FORGET_LEFT, FORGET_ROWS, FORGET_TREE, PATIENT, Cursor
from longshore.core.ids import RunId
from longshore.core.instants import micros
from longshore.core.keeping import GO, LEFT_END, LOOK, KeepRow, LettingGo, Member, Tree, Wanted
from longshore.core.ledger.shelves import Shelf, Shelves
from longshore.core.ledger.state import Round, State
from longshore.core.message import Offer
from longshore.core.versions import parse

AFRESH_EVERY: Final = timedelta(hours=1)
PACE: Final = timedelta(milliseconds=50)
"""Between two steps: what runs goes first."""
WITHOUT_AGE: Final = timedelta(days=1)
"""How long what an earlier generation called is kept where runs are kept by number only: nobody counts it."""
SPAN: Final = 100
"""Of several routines the oldest goes first, as far as this part of the time that they reach back."""


def count(state: State, round_: Round, ended: Iterable[Outcome]) -> None:
    """Runs have ended in this round."""
    state.shelves.add([one.run.routine for one in ended if not one.run.parent_id], micros(round_.now))


def learn(state: State, round_: Round, offers: Iterable[Offer]) -> None:
    """What the newest version of a routine says of its runs that have ended holds for all of them, with or without a
    worker."""
    for offer in offers:
        row = KeepRow(offer.routine, offer.version, offer.keep_ms, offer.keep_count)
        known = state.shelves.policies.get(offer.routine)
        says = row.keep_ms >= 0 or row.keep_count >= 0
        if (known is None and not says) or known == row:
            continue
        if known is not None and parse(known.version) > parse(row.version):
            continue
        state.shelves.policies[offer.routine] = row
        going(round_).policies.append(row)


def going(round_: Round) -> LettingGo:
    """What this round lets go of."""
    if round_.changes.letting_go is None:
        round_.changes.letting_go = LettingGo()
    return round_.changes.letting_go


def removed(state: State, round_: Round, message: ObjectsRemoved, actor: str) -> None:
    """Objects of runs that are gone are gone, too."""
    going(round_).removed += message.keys


# ------------------------------------------------------------------------------------------------------------ what next


def need(state: State, now: datetime) -> Wanted | None:
    """The page that is to be looked at next."""
    shelves, settings = state.shelves, state.config.retention
    if now < shelves.begin_at:
        return None
    latest = now - state.config.retention_grace
    for routine, shelf in shelves.of.items():
        keep = shelves.keep(routine, settings)
        old = None if keep.age is None else micros(min(latest, now - keep.age))
        if old is not None and 0 < shelf.next_at <= old:
            return Wanted(routine, shelf.after, old, state.config.group)
        if keep.count is not None and shelves.has_own_count(routine):
            limit = _surplus(state, shelf.count, keep.count)
            if limit and 0 < shelf.next_at <= micros(latest):
                return Wanted(routine, shelf.after, micros(latest), limit)
    return _too_many(state, shelves, micros(latest))


def _surplus(state: State, count: int, kept: int) -> int:
    """How many go in one step, once it is worth one."""
    surplus, group = count - kept, state.config.group
    return min(surplus, group) if surplus > min(group, kept // SPAN) else 0


def _too_many(state: State, shelves: Shelves, latest: int) -> Wanted | None:
    """The number that holds for all routines together: of them the one whose runs are the oldest."""
    kept = state.config.retention.count
    if kept is None:
        return None
    others = [(name, shelf) for name, shelf in shelves.of.items() if not shelves.has_own_count(name)]
    limit = _surplus(state, sum(shelf.count for _, shelf in others), kept)
    fronts = sorted((shelf.next_at, name) for name, shelf in others if 0 < shelf.next_at <= latest)
    if not limit or not fronts:
        return None
    first, routine = fronts[0]
    until = latest if len(fronts) == 1 else min(latest, fronts[1][0] + (latest - first) // SPAN)
    return Wanted(routine, shelves.of[routine].after, until, limit)


# -------------------------------------------------------------------------------------------------------------- a step


def step(state: State, round_: Round) -> None:
    """Let a page of it go, and say whether more is to go at once."""
    shelves, page = state.shelves, round_.facts.kept
    if page is not None:
        shelf = shelves.of[page.wanted.routine]
        for tree in page.trees:
            shelf.after = tree.at
            _let_go(state, round_, shelf, tree)
        shelf.next_at = page.next_at
    if shelves.fresh_at <= round_.now:
        shelves.fresh_at = round_.now + AFRESH_EVERY
        shelves.afresh()
    shelves.due = need(state, round_.now) is not None


def _let_go(state: State, round_: Round, shelf: Shelf, tree: Tree) -> None:
    stays = tree.going or tree.forked or tree.batch_id in state.batches
    if stays or not all(member.ended for member in tree.members):
        shelf.passed += 1
    elif tree.large:
        shelf.passed += 1  # until the cursor has come to its end
        _open(state, round_, Cursor(f"{tree.root.id}/{FORGET_TREE}", FORGET_TREE, tree.root.id, LOOK))
    else:
        shelf.count -= 1
        for member in (tree.root, *tree.members):
            _delete(state, round_, member)


def _delete(state: State, round_: Round, member: Member) -> None:
    gone = going(round_)
    if member.rows > state.config.rows_at_once:
        gone.bare.append(member.id)
        _open(state, round_, Cursor(f"{member.id}/{FORGET_ROWS}", FORGET_ROWS, member.id, ""))
    else:
        (gone.flows if member.flow else gone.runs).append(member.id)


def _open(state: State, round_: Round, cursor: Cursor) -> None:
    round_.changes.cursors.append(cursor)
    state.cursors_open = True


def move_on(state: State, round_: Round, cursor: Cursor) -> None:
    """One more step through a large tree, or through the rows of a run that is gone."""
    changes = round_.changes
    if cursor.kind == FORGET_ROWS:
        going(round_).rows.append((cursor.run_id, state.config.rows_at_once))
        cursor.last = cursor.rows <= state.config.rows_at_once
    elif cursor.reason == LOOK:
        _look(state, cursor)
    elif cursor.kind == FORGET_LEFT:
        _leave(state, round_, cursor)
    else:
        for member in cursor.members:
            _delete(state, round_, member)
        if cursor.last and cursor.routine in state.shelves.of:
            state.shelves.of[cursor.routine].count -= 1
    if cursor.last:
        changes.cursors_done.append(cursor.id)
        return
    cursor.members, cursor.trees = [], []
    changes.cursors.append(cursor)


def _look(state: State, cursor: Cursor) -> None:
    """Everything below it must have ended before the first of it goes; then the youngest go first, the root last. While
    the cursor stands, none of it is forked."""
    if cursor.forked or not all(member.ended for member in cursor.members):
        cursor.last = True
    elif cursor.last:
        cursor.reason, cursor.after, cursor.last = GO, RunId(""), False


def _leave(state: State, round_: Round, cursor: Cursor) -> None:
    """What a living workflow called in generations that are over goes by the age of its own routine, each child with
    all below it. The children's ids rise with time: where none is old enough, none behind is."""
    is_any_old = False
    for tree in cursor.trees:
        if not _is_old(state, round_, tree):
            continue
        is_any_old = True
        if tree.going or tree.forked or not all(member.ended for member in tree.members):
            continue
        if tree.large:
            _open(state, round_, Cursor(f"{tree.root.id}/{FORGET_BELOW}", FORGET_BELOW, tree.root.id, LOOK))
            continue
        for member in (*tree.members, tree.root):
            _delete(state, round_, member)
    if cursor.trees and not is_any_old:
        cursor.after = LEFT_END


def _is_old(state: State, round_: Round, tree: Tree) -> bool:
    keep = state.shelves.keep(tree.routine, state.config.retention)
    age = keep.age or (WITHOUT_AGE if keep.count is not None else None)
    return age is not None and tree.at[0] <= micros(round_.now - max(age, state.config.retention_grace))


def is_hurried(cursors: Iterable[Cursor]) -> bool:
    """Whether any of these is more than a letting go of what has ended."""
    return any(cursor.kind not in PATIENT for cursor in cursors)
