"""Rules of annotating: metadata and tags of a run are changed by its own code, its children, and from outside.

Every edit is applied once, in order, to what the row has; a batch writes each run once and gives it one history row.
What cannot be done is refused and recorded, and the run goes on. It holds no metadata from one batch to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from longshore.core.changes import HistoryRow, Needs
from longshore.core.ids import RunId
from longshore.core.ledger import delivering
from longshore.core.ledger.recording import direct, ended, owned, refuse, reply, touch
from longshore.core.ledger.state import Annotating, Round, Session, State
from longshore.core.message import Annotate, Annotated, Answer, Commands, Edits, Finished, RunChanged, Warn
from longshore.core.metadata import INCREMENT, Annotations, encode, problem, problem_of_all
from longshore.core.records import Annotation
from longshore.core.run import FINAL, Run

SELF: Final = "self"
PARENT: Final = "parent"
ROOT: Final = "root"
MAX_ID: Final = 64
SEVERAL: Final = "several"
_REASON: Final = 400

Refusal = tuple[str, str]
"""(rule, text)."""


# ---------------------------------------------------------------------------------------------------------------- needs


def need_order(state: State, needs: Needs, message: Annotate) -> None:
    """What an order from outside needs."""
    _need(state, needs, message.run_id)
    if message.annotate_id:
        needs.annotation_ids.setdefault(message.run_id, set()).add(message.annotate_id)


def need_report(state: State, needs: Needs, message: Annotated | Commands | Finished) -> None:
    """What the edits in a report need."""
    run = state.runs.get(message.run_id)
    if run is not None:
        for group in message.edits:
            if target := _target(run, group):
                _need(state, needs, target)


def _need(state: State, needs: Needs, run_id: RunId) -> None:
    needs.annotations.add(run_id)
    if run_id not in state.runs:
        needs.runs.add(run_id)


def _target(run: Run, group: Edits) -> RunId:
    """Whose metadata it is; "" for nobody's."""
    if group.target == PARENT:
        return run.parent_id
    return (run.root_id or run.id) if group.target == ROOT else run.id


# ------------------------------------------------------------------------------------------------------ from a worker


def annotated(state: State, round_: Round, session: Session, report: Annotated) -> None:
    """A run's code has changed metadata or tags."""
    run = owned(state, session.id, report.run_id, report.epoch)
    if run is not None:
        take(state, round_, session, run, report.edits)


def take(state: State, round_: Round, session: Session, run: Run, groups: Sequence[Edits]) -> None:
    """Apply what the code of this run asked for, each edit on its own; its worker is told what is refused."""
    for group in groups:
        refused = _take_group(state, round_, run, group)
        if refused:
            direct(round_, session, Warn(run.id, run.epoch, refused))


def _take_group(state: State, round_: Round, run: Run, group: Edits) -> str:
    target_id = _target(run, group)
    if not target_id:
        return f"the metadata of its parent cannot be changed: run {run.id} has none"
    target = run if target_id == run.id else delivering.live(state, round_, target_id)
    by = "" if target is run else f"run {run.id}"
    if target is None:
        return _refuse_ended(state, round_, target_id, by)
    book = _open(round_, target)
    if book is None:
        return f"the metadata of run {target_id} is not at hand"
    refusals = [text for edit in group.edits if (text := problem(edit) or book.annotations.apply(edit))]
    _record(round_, target, book, by, by)
    if not refusals:
        return ""
    more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
    text = f"{refusals[0]}{more}"
    if not book.refused:  # one row of a batch is enough: a loop of refused edits must not flood the history
        book.refused = True
        refuse(state, round_, target.id, target.status.value, f"annotate refused: {text}", by, target)
    return text


def _refuse_ended(state: State, round_: Round, run_id: RunId, actor: str) -> str:
    final = ended(round_, run_id)
    if final is None:
        return f"there is no run {run_id}"
    text = f"annotate refused: already {final.status}"
    if run_id not in round_.annotating:
        round_.annotating[run_id] = None
        refuse(state, round_, run_id, final.status, text, actor)
    return f"run {run_id} is {final.status} already: its metadata stays as it is"


# --------------------------------------------------------------------------------------------------------- from outside


def annotate(state: State, round_: Round, message: Annotate, actor: str) -> None:
    """A person or a program changes metadata and tags of a run: all of the edits, or none."""
    refusal = _shape(message)
    run = delivering.live(state, round_, message.run_id) if refusal is None else None
    if refusal is not None:
        _answer(round_, message, refusal)
    elif _is_again(round_, message):
        final = ended(round_, message.run_id)
        status = run.status.value if run is not None else final.status if final is not None else ""
        book = _open(round_, run) if run is not None else None
        values = {} if book is None else _values(book, message)
        _answer(round_, message, None, run_id=message.run_id, status=status, values=values)
    elif run is None:
        final = ended(round_, message.run_id)
        if final is None:
            _answer(round_, message, ("unknown_run", f"there is no run {message.run_id}"))
            return
        refuse(state, round_, message.run_id, final.status, f"annotate refused: already {final.status}", actor)
        text = f"run {message.run_id} is {final.status} already: its metadata stays as it is"
        _answer(round_, message, ("already_final", text))
    else:
        _annotate(state, round_, run, message, actor)


def _annotate(state: State, round_: Round, run: Run, message: Annotate, actor: str) -> None:
    book = _open(round_, run)
    if book is None:
        text = f"run {run.id} is just being made: send it again"
        _answer(round_, message, ("unavailable", text))
        return
    refused = book.annotations.apply_all(message.edits)
    if refused:
        refuse(state, round_, run.id, run.status.value, f"annotate refused: {refused}", actor, run)
        _answer(round_, message, ("metadata", f"run {run.id}: {refused}; nothing was changed"))
        return
    if message.annotate_id:
        round_.facts.annotation_ids.setdefault(run.id, set()).add(message.annotate_id)
        round_.changes.annotation_ids.append((run.id, message.annotate_id, round_.now))
    _record(round_, run, book, message.by, actor)
    _answer(round_, message, None, run_id=run.id, status=run.status.value, values=_values(book, message))


def _values(book: Annotating, message: Annotate) -> dict[str, Any]:
    """What the keys that it increments are now."""
    return {edit.key: book.annotations.metadata.get(edit.key) for edit in message.edits if edit.op == INCREMENT}


def _shape(message: Annotate) -> Refusal | None:
    if len(message.annotate_id) > MAX_ID:
        return "annotate_id", f"the id has at most {MAX_ID} characters, not {len(message.annotate_id)}"
    text = problem_of_all(message.edits)
    return ("edits", text) if text else None


def _is_again(round_: Round, message: Annotate) -> bool:
    return bool(message.annotate_id) and message.annotate_id in round_.facts.annotation_ids.get(message.run_id, ())


def _answer(round_: Round, message: Annotate, refusal: Refusal | None, **data: Any) -> None:
    if not message.reply_to:
        return
    if refusal is not None:
        answer = Answer(message.ask_id, error={"rule": refusal[0], "text": refusal[1]})
    else:
        answer = Answer(message.ask_id, data)
    reply(round_, message.reply_to, answer, plain=message.plain)


# ------------------------------------------------------------------------------------------------------------ one batch


def _open(round_: Round, run: Run) -> Annotating | None:
    """The run's metadata in this round; None if nobody knows it: a fork of this very round."""
    book = round_.annotating.get(run.id)
    if book is not None:
        return book
    kept = round_.facts.annotations.get(run.id)
    if kept is None and run.id in round_.fresh:
        copied = any(fork.run_id == run.id for fork in round_.changes.forks)
        new = next((one for one in round_.changes.inserted if one.run.id == run.id and not copied), None)
        kept = None if new is None else Annotation(dict(new.metadata), list(new.tags))
    if kept is None:
        return None
    given = encode(kept.metadata).decode() if kept.given is None and _is_replayed(run) else None
    book = Annotating(run, Annotations(kept.metadata, kept.tags), given)
    round_.annotating[run.id] = book
    return book


def _is_replayed(run: Run) -> bool:
    """Whether its code may have seen the metadata already and may be run again over its journal: it must see the same
    then."""
    flow = run.flow
    return run.kind == "workflow" and (run.epoch > 0 or (flow is not None and flow.forked_seq >= 0))


def _record(round_: Round, run: Run, book: Annotating, by: str, actor: str) -> None:
    """The batch's one row in the run's history; what it says is known when the batch is over."""
    if not book.annotations.changed:
        return
    if by:
        book.who[by] = None
    if book.row >= 0:
        book.actor = book.actor if book.actor == actor else SEVERAL
        return
    book.actor = actor
    book.row = len(round_.changes.history)
    run.history_seq = seq = run.history_seq + 1
    status = run.status.value
    row = HistoryRow(run.id, seq, status, status, "", actor, run.attempt, run.epoch, run.worker_id, round_.now, True)
    round_.changes.history.append(row)
    touch(round_, run)


def close(state: State, round_: Round) -> None:
    """The batch is over: each run's row, its words for people, and the news for those who watch."""
    changes = round_.changes
    for run_id, book in round_.annotating.items():
        if book is None or book.row < 0:
            continue
        annotations = book.annotations
        row = changes.history[book.row]
        reason = annotations.summary() + _by(list(book.who))
        changes.history[book.row] = row._replace(reason=reason[:_REASON], actor=book.actor)
        changes.annotated[run_id] = Annotation(annotations.metadata, annotations.tags, book.given)
        keys = state.watchers.get(run_id)
        if not keys or book.run.status in FINAL:
            continue
        told = RunChanged(run_id, book.run.status.value, book.run.attempt, reason[:_REASON], round_.now)
        told.metadata, told.tags, told.seq = annotations.metadata, annotations.tags, row.seq
        for key in keys:
            reply(round_, key, told)


def _by(who: list[str]) -> str:
    if not who:
        return ""
    return f" (by {who[0]})" if len(who) == 1 else f" (by {who[0]} and {len(who) - 1} more)"
