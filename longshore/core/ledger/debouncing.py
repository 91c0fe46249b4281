"""Rules of debouncing: of triggers that come close together with the same key, one run is made.

trailing: a DELAYED run takes the input and options of each further trigger, and its time moves on, but never beyond
`max_delay` after the first. leading: the first runs at once; further triggers within `delay` are answered with it. Keys
belong to a routine, and to a mode.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

from longshore.core.beginnings import Debounced, Renewed
from longshore.core.ids import RunId
from longshore.core.ledger import caching, limiting
from longshore.core.ledger.recording import Refusal, move, note
from longshore.core.ledger.state import Round, State
from longshore.core.message import Debounce, Options, Value
from longshore.core.metadata import distinct
from longshore.core.run import Run, Status, has_started

TRAILING: Final = "trailing"
LEADING: Final = "leading"
MAX_KEY: Final = 256
LONGEST: Final = timedelta(days=30)
ASKED_KEPT: Final = timedelta(days=1)
"""How long the id of a trigger that made no run of its own is remembered: sent again, it is not a trigger again."""


def check(options: Options, longest_ms: int) -> Refusal | None:
    """What is wrong with a debounce, or None."""
    asked = options.debounce
    if asked is None:
        return None
    if not 0 < len(asked.key) <= MAX_KEY:
        return "debounce", f"the key of a debounce has 1 to {MAX_KEY} characters, not {len(asked.key)}"
    if not 1 <= asked.delay_ms <= longest_ms:
        return "debounce", f"the delay_ms of a debounce is {asked.delay_ms}; it must be from 1 to {longest_ms}"
    if asked.mode not in (TRAILING, LEADING):
        return "debounce", f"the mode of a debounce is {asked.mode[:64]!r}; it must be {LEADING} or {TRAILING}"
    longest = asked.max_delay_ms
    if longest is not None and not asked.delay_ms <= longest <= longest_ms:
        text = f"the max_delay_ms of a debounce is {longest}; it must be from its delay_ms, {asked.delay_ms}, "
        return "debounce", f"{text}to {longest_ms}"
    if options.delay_ms:
        return "debounce", "a debounce has a delay of its own: leave the other one out"
    return None


def row_of(routine: str, asked: Debounce) -> str:
    """The key under which a debounce key is kept."""
    return hashlib.sha256(f"{asked.mode}\0{routine}\n{asked.key}".encode()).hexdigest()


def delay_of(options: Options) -> timedelta | None:
    """How long a new run waits at first; None: not at all."""
    asked = options.debounce
    if asked is not None and asked.mode == TRAILING:
        return timedelta(milliseconds=asked.delay_ms)
    return timedelta(milliseconds=options.delay_ms) if options.delay_ms else None


def held(state: State, round_: Round, routine: str, options: Options) -> RunId | None:
    """The run that a trigger with this debounce is to be answered with; None: it is to begin one."""
    asked = options.debounce
    found = round_.facts.debounced.get(row_of(routine, asked)) if asked is not None else None
    if asked is None or found is None:
        return None
    if asked.mode == LEADING:
        return found.run_id if round_.now < found.ends_at else None
    run = state.runs.get(found.run_id)
    return found.run_id if run is not None and _waits_for_its_time(run) else None


def _waits_for_its_time(run: Run) -> bool:
    paused = run.status is Status.BLOCKED and run.due_at is not None
    return (run.status is Status.DELAYED or paused) and not has_started(run)


def begun(round_: Round, run: Run, options: Options) -> None:
    """A debounce key has a new run from now on."""
    asked, now = options.debounce, round_.now
    assert asked is not None
    if asked.mode == LEADING:
        ends_at = kept = now + timedelta(milliseconds=asked.delay_ms)
    else:
        ends_at = now + (LONGEST if asked.max_delay_ms is None else timedelta(milliseconds=asked.max_delay_ms))
        kept = ends_at + LONGEST  # it may be rescheduled
    _keep(round_, Debounced(row_of(run.routine, asked), run.id, now, ends_at, kept))


def _keep(round_: Round, row: Debounced) -> None:
    round_.facts.debounced[row.row] = row
    round_.changes.beginnings.debounced[row.row] = row


def again(state: State, round_: Round, asked_run: Run, options: Options, value: Value, actor: str) -> None:
    """Another trigger with this key: `asked_run` is what it would have made. A trailing run becomes that, later; a
    leading one stays as it is."""
    debounce, now = options.debounce, round_.now
    assert debounce is not None
    found = round_.facts.debounced[row_of(asked_run.routine, debounce)]
    round_.facts.idempotency[asked_run.id] = found.run_id
    round_.changes.idempotency.append((asked_run.id, found.run_id, now + ASKED_KEPT))
    run = state.runs.get(found.run_id)
    if run is None:
        return
    if debounce.mode == LEADING:
        note(round_, run, "debounced: a trigger came that is answered with it", actor)
        return
    _renew(state, round_, run, asked_run, options)
    round_.changes.beginnings.renewed[run.id] = Renewed(run, value, distinct(options.tags), options.metadata)
    due_at = max(now, min(now + timedelta(milliseconds=debounce.delay_ms), found.ends_at))
    if run.status is Status.DELAYED:
        postpone(state, round_, run, due_at, "debounced", actor)
    else:  # paused: its time is waited for when it is resumed
        run.due_at = due_at
        note(round_, run, "debounced while it is paused", actor)


def _renew(state: State, round_: Round, run: Run, asked: Run, options: Options) -> None:
    if state.queues:
        limiting.ends(state, run)
    offer = state.offer_of(asked)
    run.asked_version = asked.asked_version
    run.queue = options.queue or (offer.queue if offer is not None else asked.queue)
    run.concurrency_key = asked.concurrency_key
    run.pool = asked.pool
    run.priority = asked.priority
    run.max_attempts = asked.max_attempts
    run.timeout_ms = asked.timeout_ms
    run.version_deadline_ms = asked.version_deadline_ms
    run.care = asked.care
    run.cache_key = asked.cache_key if offer is None or caching.is_cacheable(asked, offer) else ""
    if state.queues:
        limiting.arrives(state, run)
    limit_times(state, round_, run, options)


def limit_times(state: State, round_: Round, run: Run, options: Options) -> None:
    """Set the deadline and the ttl that the options ask for, with their alarms."""
    run.deadline_at = run.ttl_at = None
    if options.deadline_ms is not None:
        run.deadline_at = round_.now + timedelta(milliseconds=options.deadline_ms)
        state.wake_at(run.deadline_at, run.id, "deadline")
    if options.ttl_ms is not None:
        run.ttl_at = round_.now + timedelta(milliseconds=options.ttl_ms)
        state.wake_at(run.ttl_at, run.id, "ttl")


def postpone(state: State, round_: Round, run: Run, due_at: datetime, what: str, actor: str) -> None:
    """A DELAYED run is due at another time."""
    run.due_at = due_at
    until = due_at.astimezone(UTC).isoformat(timespec="seconds")
    move(round_, run, Status.DELAYED, f"{what}: delayed until {until}", actor=actor)
    state.wake_at(due_at, run.id, "due")
