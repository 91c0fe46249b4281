"""Rules of idempotency keys: which run holds a key, for how long, and how it is freed.

A key belongs to the producer that triggers and to a routine, or in the scope "run" to the workflow that calls. It is
held for 30 days or as long as its trigger says; a run that ends FAILED, CRASHED, TIMED_OUT or SYSTEM_FAILURE frees it
(`ending`).
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Final

from longshore.core.ids import RunId
from longshore.core.ledger.recording import Refusal, answer
from longshore.core.ledger.state import Round, State
from longshore.core.message import Options, ResetKey

GLOBAL: Final = "global"
DEFAULT: Final = "default"
"""The producer of who says nothing of one, and of every trigger of the default project."""
RUN: Final = "run"
SHORTEST_MS: Final = 1000
MAX_KEY: Final = 256


def row_of(routine: str, key: str, producer: str = "", parent_id: RunId = RunId("")) -> str:
    """The key under which an idempotency key is kept: by producer and routine, so that two of them never collide; with
    a parent the key is that run's own."""
    if parent_id:
        text = f"run\0{parent_id}\0{routine}\n{key}"
    elif producer in ("", DEFAULT):
        text = f"{routine}\n{key}"
    else:
        text = f"of\0{producer}\0{routine}\n{key}"
    return hashlib.sha256(text.encode()).hexdigest()


def row_asked(options: Options, routine: str, parent_id: RunId = RunId("")) -> str:
    """The row of the key that these options name; "" for none."""
    if not options.idempotency_key:
        return ""
    own = parent_id if options.idempotency_scope == RUN else RunId("")
    return row_of(routine, options.idempotency_key, options.producer, own)


def producer_of(options: Options) -> str:
    """Whose the key of these options is; "" where it is a workflow's own."""
    return "" if options.idempotency_scope == RUN else options.producer or DEFAULT


def check(options: Options, longest_ms: int) -> Refusal | None:
    """What is wrong with the options of the key, or None."""
    ttl, scope = options.idempotency_ttl_ms, options.idempotency_scope
    if scope not in ("", GLOBAL, RUN):
        return "idempotency_scope", f"idempotency_scope is {scope[:64]!r}; it must be {GLOBAL} or {RUN}"
    if ttl is not None and not SHORTEST_MS <= ttl <= longest_ms:
        return "idempotency_ttl_ms", f"idempotency_ttl_ms is {ttl}; it must be from {SHORTEST_MS} to {longest_ms}"
    if not options.idempotency_key and (scope or ttl is not None or options.producer):
        name = "idempotency_scope" if scope else "idempotency_ttl_ms" if ttl is not None else "producer"
        return name, f"{name} is for an idempotency_key, and there is none"
    return _check_producer(options.producer, is_own=scope == RUN)


def _check_producer(producer: str, *, is_own: bool) -> Refusal | None:
    if producer and is_own:
        return "producer", "a key in the scope 'run' is that workflow's own: it has no other producer"
    if len(producer) > MAX_KEY or not producer.isprintable():
        return "producer", f"a producer is a name of at most {MAX_KEY} characters that can be printed"
    return None


def holder(round_: Round, row: str) -> RunId | None:
    """The run that holds a key."""
    if not row:
        return None
    run_id = round_.facts.idempotency.get(row)
    return None if run_id is None or run_id in round_.changes.freed_keys else run_id


def take(state: State, round_: Round, row: str, run_id: RunId, options: Options) -> None:
    """The run holds the key from now on."""
    if not row:
        return
    ttl = options.idempotency_ttl_ms
    kept = state.config.idempotency_kept if ttl is None else timedelta(milliseconds=ttl)
    round_.facts.idempotency[row] = run_id
    round_.changes.idempotency.append((row, run_id, round_.now + kept))


def reset_order(state: State, round_: Round, order: ResetKey, actor: str) -> None:
    """A person frees a key: the next trigger with it is a new run. Freeing what nobody holds is no mistake."""
    if not 0 < len(order.key) <= MAX_KEY or not order.routine:
        text = f"an idempotency key has 1 to {MAX_KEY} characters and belongs to a routine: give both"
        answer(round_, order, ("idempotency_key", text))
        return
    problem = _check_producer(order.producer, is_own=bool(order.run_id))
    if problem is not None:
        answer(round_, order, problem)
        return
    row = row_reset(order)
    run_id = holder(round_, row)
    if run_id is not None:
        del round_.facts.idempotency[row]
        changes = round_.changes
        changes.idempotency = [one for one in changes.idempotency if one[0] != row]
        changes.beginnings.keys_reset.append(row)
    routine = order.routine.partition("@")[0]
    producer = "" if order.run_id else order.producer or DEFAULT
    told = {"routine": routine, "key": order.key, "producer": producer}
    answer(round_, order, None, **told, reset=run_id is not None, run_id=run_id or "")


def row_reset(order: ResetKey) -> str:
    """The row of the key that is to be freed."""
    return row_of(order.routine.rpartition(":")[2].partition("@")[0], order.key, order.producer, order.run_id)
