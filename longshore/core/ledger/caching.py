"""Rules of equal results: what is in the cache is not computed, and what is being computed is computed once."""

from __future__ import annotations

from datetime import timedelta

from longshore.core.ids import Address
from longshore.core.joints import Search
from longshore.core.ledger.recording import touch
from longshore.core.ledger.state import Round, State
from longshore.core.message import Offer, Value
from longshore.core.records import CacheHit
from longshore.core.run import Run, Status


def lookup(round_: Round, run: Run) -> CacheHit | None:
    """The stored result for the run's cache key, if there is one that is still good."""
    hit = round_.facts.cache.get(run.cache_key)
    if hit is None or (hit.expires_at is not None and hit.expires_at <= round_.now):
        return None
    return hit


def is_cacheable(run: Run, offer: Offer) -> bool:
    """Whether results of what the run executes are shared at all: its author says so, and its code is released."""
    return offer.cache and not offer.version.endswith("-dev")


def may_lead(state: State, round_: Round, run: Run) -> bool:
    """Whether the run may be placed. If an equal one is being computed it is parked beside it, and keeps its place."""
    offer = state.offer_of(run)
    if offer is not None and not is_cacheable(run, offer):
        forget(state, run)
        run.cache_key = ""
        touch(round_, run)
        return True
    if run.cache_key not in state.filling and state.same_key.get(run.cache_key, run.id) == run.id:
        return True
    run.ticket = 0
    leader = state.same_key.get(run.cache_key)
    if leader is not None and ((first := state.runs.get(leader)) is None or first.flow is not None):
        own = Address("")  # none: it is no call. A workflow may wait for the run itself
        state.circles[run.id, own] = Search(run.id, leader, own, {run.id: (leader, False)}, [(run.id, -1)])
    return False


def lead(state: State, run: Run) -> None:
    """The run has been placed: equal ones wait for it from now on."""
    state.same_key[run.cache_key] = run.id
    forget(state, run)


def forget(state: State, run: Run) -> None:
    """The run is no longer among those that wait for an equal result."""
    waiting = state.equals.get(run.cache_key)
    if waiting is not None and waiting.pop(run.id, run.id) is None and not waiting:
        del state.equals[run.cache_key]


def store(round_: Round, run: Run, result: Value | None, offer: Offer | None) -> None:
    """Put a computed result into the cache, if its routine is cached at all; triggers of this very round find it."""
    if offer is None or not is_cacheable(run, offer):
        return
    expires = round_.now + timedelta(milliseconds=offer.cache_ttl_ms) if offer.cache_ttl_ms is not None else None
    round_.changes.cache.append((run.cache_key, run.id, expires))
    round_.facts.cache[run.cache_key] = CacheHit(run.id, result, run.version, expires)


def abdicate(state: State, run: Run) -> None:
    """The run no longer leads its equals (it ended without a result, is to be canceled, is BLOCKED, was lost): the next
    one goes."""
    if run.cache_key and state.same_key.get(run.cache_key) == run.id:
        del state.same_key[run.cache_key]
        unpark(state, run.cache_key)


def unpark(state: State, key: str) -> None:
    """Those that were parked go back to their places."""
    for run_id in state.equals.get(key, ()):
        other = state.runs.get(run_id)
        if other is not None and other.ticket == 0 and other.status is Status.QUEUED:
            state.enqueue(other, rank_of(other))


def share(state: State, run: Run, limit: int) -> list[Run]:
    """The run has a result: up to `limit` queued equals that complete with it now. More follow group by group."""
    key = run.cache_key
    if state.same_key.get(key) == run.id:
        del state.same_key[key]
    equals = followers(state, key, limit + 1)
    if len(equals) > limit:
        state.filling[key] = None
    return equals[:limit]


def followers(state: State, key: str, limit: int) -> list[Run]:
    """Up to `limit` queued runs with this key."""
    found: list[Run] = []
    for run_id in state.equals.get(key, ()):
        other = state.runs.get(run_id)
        if len(found) < limit and other is not None and other.status is Status.QUEUED:
            found.append(other)
    return found


def rank_of(run: Run) -> float:
    """Where a queued run stands in its lane."""
    return (run.queued_at or run.created_at).timestamp() - run.priority
