"""Rules of idempotency keys: which run holds a key, for how long, and how it is freed.

A key belongs to a routine, and in the scope "run" to the workflow that calls it as well. It is held for 30 days or as
long as its trigger says; a run that ends FAILED, CRASHED, TIMED_OUT or SYSTEM_FAILURE frees it (`ending`).
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
RUN: Final = "run"
SHORTEST_MS: Final = 1000
MAX_KEY: Final = 256


def row_of(routine: str, key: str, parent_id: RunId = RunId("")) -> str:
    """The key under which an idempotency key is kept: by routine, so that two routines never collide; with a parent the
    key is that run's own."""
    text = f"run\0{parent_id}\0{routine}\n{key}" if parent_id else f"{routine}\n{key}"
    return hashlib.sha256(text.encode()).hexdigest()


def row_asked(options: Options, routine: str, parent_id: RunId = RunId("")) -> str:
    """The row of the key that these options name; "" for none."""
    if not options.idempotency_key:
        return ""
    return row_of(routine, options.idempotency_key, parent_id if options.idempotency_scope == RUN else RunId(""))


def check(options: Options, longest_ms: int) -> Refusal | None:
    """What is wrong with the options of the key, or None."""
    ttl, scope = options.idempotency_ttl_ms, options.idempotency_scope
    if scope not in ("", GLOBAL, RUN):
        return "idempotency_scope", f"idempotency_scope is {scope[:64]!r}; it must be {GLOBAL} or {RUN}"
    if ttl is not None and not SHORTEST_MS <= ttl <= longest_ms:
        return "idempotency_ttl_ms", f"idempotency_ttl_ms is {ttl}; it must be from {SHORTEST_MS} to {longest_ms}"
    if not options.idempotency_key and (scope or ttl is not None):
        name = "idempotency_scope" if scope else "idempotency_ttl_ms"
        return name, f"{name} is for an idempotency_key, and there is none"
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
    row = row_reset(order)
    run_id = holder(round_, row)
    if run_id is not None:
        del round_.facts.idempotency[row]
        changes = round_.changes
        changes.idempotency = [one for one in changes.idempotency if one[0] != row]
        changes.beginnings.keys_reset.append(row)
    routine = order.routine.partition("@")[0]
    answer(round_, order, None, routine=routine, key=order.key, reset=run_id is not None, run_id=run_id or "")


def row_reset(order: ResetKey) -> str:
    """The row of the key that is to be freed."""
    return row_of(order.routine.rpartition(":")[2].partition("@")[0], order.key, order.run_id)
