"""Rules of what comes to a workflow from outside: signals by name, and the completion of tokens.

A signal stands in the delivery log whether anybody waits for it or not; the workflow's own code takes it when it asks.
It is never told to a run that has ended, nor twice.
"""

from __future__ import annotations

from typing import Final

import msgspec

from longshore.core.ids import Address, RunId
from longshore.core.ledger import delivering
from longshore.core.ledger.recording import Refusal, answer, ended, refuse
from longshore.core.ledger.starting import check_value
from longshore.core.ledger.state import Round, State
from longshore.core.message import CompleteToken, Delivery, Signal, Value, Wait
from longshore.core.records import KeptSignal, TokenRow
from longshore.core.run import Flow, Run, Status

MAX_NAME: Final = 200
MAX_ID: Final = 64
MAX_ERROR: Final = 10_000
MAX_INLINE: Final = 256 * 1024
"""Bytes of a value that is no claim check: it travels with others in one message."""
FAILED: Final = "FAILED"


def signal(state: State, round_: Round, message: Signal, actor: str) -> None:
    """Tell a workflow something by name, once."""
    refusal = _signal_problem(message)
    run = delivering.live(state, round_, message.run_id)
    if refusal is None and run is None:
        final = ended(round_, message.run_id)
        if final is not None and not _is_new(round_, message):  # its sender did not hear that it was told in time
            state.count("signal_again")
            answer(round_, message, None, run_id=final.id, status=final.status, name=message.name)
            return
        refusal = _gone(round_, message.run_id)
        if final is not None:
            refuse(state, round_, final.id, final.status, f"signal refused: already {final.status}", actor)
    if refusal is None and run is not None and run.flow is None and run.kind not in ("", "workflow"):
        refusal = "not_a_workflow", f"run {run.id} of {run.routine} is a {run.kind}: only workflows wait for signals"
        refuse(state, round_, run.id, run.status.value, f"signal refused: it is a {run.kind}", actor)
    if refusal is not None or run is None:
        answer(round_, message, refusal)
        return
    if not _is_new(round_, message):
        state.count("signal_again")
    else:
        if run.flow is None:
            run.flow = Flow()  # it is kept for what is yet to start
        refusal = _too_many(state, round_, run, run.flow, message)
        if refusal is not None:
            answer(round_, message, refusal)
            return
        _tell(state, round_, run, run.flow, message)
    answer(round_, message, None, run_id=run.id, status=run.status.value, name=message.name)


def _tell(state: State, round_: Round, run: Run, flow: Flow, message: Signal) -> None:
    told = Delivery(0, "signal", Address(message.signal_id), round_.now, message.name, message.value or None)
    size = _size(message.value)
    flow.unread += 1
    flow.unread_bytes += size
    delivering.deliver(state, round_, run, flow, told)
    round_.facts.told_signals.setdefault(run.id, []).append((told.seq, size))
    if message.signal_id:
        round_.facts.signals.setdefault(message.run_id, set()).add(message.signal_id)


def _is_new(round_: Round, message: Signal) -> bool:
    """Whether the signal was never told. Without an id nobody can tell."""
    return not message.signal_id or message.signal_id not in round_.facts.signals.get(message.run_id, ())


def is_full(state: State, flow: Flow, message: Signal, times: int = 1) -> bool:
    """Whether as many signals, or bytes of them, wait for a run as may."""
    config = state.config
    room = times * config.unread_bytes - flow.unread_bytes - _size(message.value)
    return flow.unread >= times * config.unread_signals or room < 0


def _too_many(state: State, round_: Round, run: Run, flow: Flow, message: Signal) -> Refusal | None:
    """Whether so many wait for the run already that this one must not. There is as much room again for signals that it
    waits for now: one of them may be what it needs to take the others."""
    if not is_full(state, flow, message):
        return None
    if (run.id, message.name) in round_.facts.waits and not is_full(state, flow, message, 2):
        return None
    text = (
        f"run {run.id} of {run.routine} has not taken {flow.unread} signals with {flow.unread_bytes} bytes: at most "
        f"{state.config.unread_signals} with {state.config.unread_bytes} bytes are kept for it. It takes them with "
        f"context.wait_for_signal; send {message.name!r} again when it has, or large values through the payload store"
    )
    return "too_many_signals", text


def taken(flow: Flow, many: int, size: int) -> None:
    """The code of a workflow has taken so many signals."""
    flow.unread = max(0, flow.unread - many)
    flow.unread_bytes = max(0, flow.unread_bytes - size)


def _size(value: Value) -> int:
    return len(value) if isinstance(value, bytes) else 0


def _signal_problem(message: Signal) -> Refusal | None:
    if not 0 < len(message.name) <= MAX_NAME:
        return "name", f"a signal's name has 1 to {MAX_NAME} characters, not {len(message.name)}"
    if len(message.signal_id) > MAX_ID:
        return "signal_id", f"a signal's id has at most {MAX_ID} characters, not {len(message.signal_id)}"
    return _value_problem(message.value)


def _value_problem(value: Value) -> Refusal | None:
    if isinstance(value, bytes) and len(value) > MAX_INLINE:
        return "value", f"the value has {len(value)} bytes: over {MAX_INLINE} it must lie in the payload store"
    return check_value(value)


def _gone(round_: Round, run_id: RunId) -> Refusal:
    final = ended(round_, run_id)
    if final is None:
        return "unknown_run", f"there is no run {run_id}"
    return "already_final", f"run {run_id} is {final.status} already: it waits for nothing any more"


def keep(round_: Round, run: Run, before: Flow, after: Flow, unread: set[int] | None) -> None:
    """A workflow begins anew: its next journal begins with the signals of the one before, all (None) or those it had
    not taken."""
    for seq, size in round_.facts.told_signals.pop(run.id, ()):
        if unread is None or seq in unread:
            after.last_seq += 1
            after.unread += 1
            after.unread_bytes += size
            round_.changes.kept_signals.append(
                KeptSignal(run.id, before.generation, seq, after.generation, after.last_seq)
            )


# -------------------------------------------------------------------------------------------------------------- tokens


def remember(round_: Round, run: Run, flow: Flow, wait: Wait) -> None:
    """A workflow has made a token."""
    row = TokenRow(wait.name, run.id, flow.generation, wait.address, wait.due_at)
    round_.changes.tokens.append(row)
    round_.facts.tokens[row.token] = msgspec.structs.replace(row)  # what becomes of it in this round is written apart


def complete_token(state: State, round_: Round, message: CompleteToken, actor: str) -> None:
    """Give a workflow what it waits for at a token, once; again is a no-op that says so."""
    row = round_.facts.tokens.get(message.token)
    refusal = _token_problem(state, round_, message, row)
    if refusal is not None or row is None:
        answer(round_, message, refusal)
        return
    reason = _deliver(state, round_, message, row)
    text = f"nothing was done: {reason}" if reason else f"run {row.run_id} is told"
    answer(round_, message, None, run_id=row.run_id, completed=not reason, text=text)


def _token_problem(state: State, round_: Round, message: CompleteToken, row: TokenRow | None) -> Refusal | None:
    if row is None:
        text = (
            f"there is no token {message.token[:MAX_NAME]!r}: nobody has made it, or the run that made it has begun "
            f"anew or ended over {state.config.tokens_kept.days} days ago"
        )
        return "unknown_token", text
    if row.completed_at is None and row.expires_at is not None and row.expires_at <= round_.now:
        at = row.expires_at.isoformat(timespec="seconds")
        return "expired_token", f"the token {row.token} of run {row.run_id} expired at {at}"
    if message.error is not None and len(message.error) > MAX_ERROR:
        return "error", f"the text of an error has at most {MAX_ERROR} characters, not {len(message.error)}"
    return _value_problem(message.value)


def _deliver(state: State, round_: Round, message: CompleteToken, row: TokenRow) -> str:
    """Deliver the completion, or say why there is nobody to tell."""
    by = f"{message.reply_to}/{message.ask_id}" if message.ask_id else ""
    if row.completed_at is not None and by and row.completed_by == by:
        return ""  # its answer was lost on the way
    if row.completed_at is not None:
        return f"the token was completed already, at {row.completed_at.isoformat(timespec='seconds')}"
    run = delivering.live(state, round_, row.run_id)
    if run is None or run.flow is None:
        final = ended(round_, row.run_id)
        return f"run {row.run_id} is {final.status if final else 'gone'} already"
    flow = run.flow
    if flow.generation != row.generation:
        return f"run {row.run_id} has begun anew since the token was made"
    row.completed_at, row.completed_by = round_.now, by
    round_.changes.tokens_completed.append((row.token, round_.now, by))
    flow.timers.pop(row.address, None)
    round_.changes.closed.append((run.id, flow.generation, row.address))
    failed = message.error is not None
    value = message.error.encode() if message.error is not None else message.value or None
    status = FAILED if failed else Status.COMPLETED.value
    delivering.deliver(state, round_, run, flow, Delivery(0, "token", row.address, round_.now, status, value))
    return ""
