"""Rules of equal results: what is in the cache is not computed, and what is being computed is computed once."""

from __future__ import annotations

from datetime import timedelta

from longshore.core.changes import CacheHit
from longshore.core.ids import RunId
from longshore.core.ledger.recording import end
from longshore.core.ledger.state import Round, State
from longshore.core.message import Offer, Value
from longshore.core.run import Run, Status


def lookup(state: State, round_: Round, run: Run) -> CacheHit | None:
    """The stored result for the run's cache key, if there is one that is still good."""
    hit = round_.facts.cache.get(run.cache_key)
    if hit is None or (hit.expires_at is not None and hit.expires_at <= round_.now):
        return None
    return hit


def may_lead(state: State, run: Run) -> bool:
    """Whether the run may be placed. If an equal one is being computed it is parked beside it, and keeps its place."""
    leader = state.same_key.get(run.cache_key)
    if leader is None or leader == run.id or leader not in state.runs:
        return True
    state.parked.setdefault(run.cache_key, []).append(run.id)
    run.ticket = 0
    return False


def lead(state: State, run: Run) -> None:
    """The run has been placed: equal ones wait for it from now on."""
    state.same_key[run.cache_key] = run.id


def store(state: State, round_: Round, run: Run, key: str, offer: Offer | None) -> None:
    """Put a computed result into the cache, if its routine is cached at all."""
    if not key or offer is None or not offer.cache or run.version.endswith("-dev"):
        return
    expires = round_.now + timedelta(milliseconds=offer.cache_ttl_ms) if offer.cache_ttl_ms is not None else None
    round_.changes.cache.append((key, run.id, expires))


def release(state: State, round_: Round, run: Run, result: Value | None, completed: bool) -> list[Run]:
    """The leader's work is over: with a result its equals complete too and are returned, else the next one goes."""
    key = run.cache_key
    if state.same_key.get(key) == run.id:
        del state.same_key[key]
    waiting = state.parked.pop(key, None)
    if not waiting:
        return []
    equals = [other for run_id in waiting if (other := state.runs.get(run_id)) and other.status is Status.QUEUED]
    if not completed:
        for other in equals:
            state.enqueue(other, rank_of(other))
        return []
    for other in equals:
        other.cached = True
        other.version = other.version or run.version
        end(state, round_, other, Status.COMPLETED, f"equal result of run {run.id}", result=result)
    return equals


def rank_of(run: Run) -> float:
    """Where a queued run stands in its lane."""
    return (run.queued_at or run.created_at).timestamp() - run.priority


def followers(state: State, run: Run) -> list[RunId]:
    """Who waits for this run's result."""
    return list(state.parked.get(run.cache_key, ())) if run.cache_key else []
