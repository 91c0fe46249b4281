"""Rules of circles: a call that is answered by a run which itself waits for the caller would wait for ever, and so
would a run that stands behind an equal one which waits for it. Both are refused, and told the circle.

A workflow waits for its children and for the shared runs that answer its calls, a parked run for the equal one that is
being computed. From the one that has just begun to wait the search goes back, over all who wait for it; if it comes to
what that waits for, there is a circle. Who is put away is not in memory: the next ticks are given their rows, level by
level. Whoever closes a circle begins the search that finds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from longshore.core.ids import Address, RunId
from longshore.core.joints import Search, refused
from longshore.core.ledger import caching, delivering
from longshore.core.ledger.ending import conclude
from longshore.core.ledger.state import Round, State
from longshore.core.message import Delivery
from longshore.core.run import Run, Status

SHOWN: Final = 10
"""How many of a circle are named."""
WAITER: Final = -1


def begin(state: State, round_: Round, waiter: RunId, awaited: RunId, address: Address) -> None:
    """A call begins to wait for a shared run."""
    target = state.runs.get(awaited)
    if target is not None and not _waits(target):
        return
    search = Search(waiter, awaited, address, {waiter: (awaited, True)}, [(waiter, WAITER)])
    state.circles[waiter, address] = search
    _go_on(state, round_, search, asked=0)


def _waits(run: Run) -> bool:
    """Whether the run waits for another one."""
    if run.flow is not None:
        return run.flow.open_calls > 0
    return run.status is Status.QUEUED and bool(run.cache_key) and run.ticket == 0


def under_way(state: State) -> list[tuple[Search, int]]:
    """The searches that the next tick moves on, and from how many runs."""
    room, found = state.config.group, []
    for search in state.circles.values():
        if room <= 0:
            break
        found.append((search, min(room, len(search.front))))
        room -= len(search.front)
    return found


def needed(state: State) -> set[RunId]:
    """The runs that the next tick must be told about."""
    searches = under_way(state)
    wanted = {search.waiter for search, _ in searches}
    wanted.update(one for search, many in searches for one, _ in search.front[:many])
    return {one for one in wanted if one not in state.runs}


def look(state: State, round_: Round, searches: list[tuple[Search, int]]) -> None:
    """Move these searches on (of `under_way`, when this tick began: the facts know their runs)."""
    for search, many in searches:
        _go_on(state, round_, search, asked=many)


def _go_on(state: State, round_: Round, search: Search, *, asked: int) -> None:
    """Look as far as memory and facts go. The first `asked` are known to have ended if they are in neither."""
    front, later = search.front, []
    for place, (run_id, generation) in enumerate(front):
        run = delivering.live(state, round_, run_id) if place < state.config.group else None
        if run is None:
            if place >= asked:
                later.append((run_id, generation))
            continue
        if run.status is Status.CANCELING or not _is_of(run, generation):
            continue  # it waits no longer, or only for a while
        if run_id == search.awaited:
            state.circles.pop((search.waiter, search.address), None)
            _refuse(state, round_, search)
            return
        for waiter, number, by_call in _waiting_for(state, run):
            if waiter not in search.seen:
                search.seen[waiter] = run_id, by_call
                front.append((waiter, number))
    search.front = later
    if not later:
        state.circles.pop((search.waiter, search.address), None)


def _is_of(run: Run, generation: int) -> bool:
    return generation == WAITER or (run.flow is not None and run.flow.generation == generation)


def _waiting_for(state: State, run: Run) -> Iterator[tuple[RunId, int, bool]]:
    """Who waits for a run, each with the generation that does, and whether by a call that it shares."""
    if run.parent_id:
        yield run.parent_id, run.parent_generation, False
    for joint in state.joints.of(run.id):
        yield joint.parent_id, joint.generation, True
    if run.cache_key and state.same_key.get(run.cache_key) == run.id:
        for other in caching.followers(state, run.cache_key, state.config.group):
            yield other.id, WAITER, False


def _refuse(state: State, round_: Round, search: Search) -> None:
    run = delivering.live(state, round_, search.waiter)
    chain = _chain(state, search)
    if run is None or not chain:
        return
    text = f"it would wait for itself: {_told(state, chain)}"
    if not search.address:
        if run.status is Status.QUEUED and run.ticket == 0:
            text = f"an equal run is being computed, and {text}"
            conclude(state, round_, run, Status.CANCELED, text, error=refused(text))
        return
    joint, flow = state.joints.find(run.id, search.address), run.flow
    if joint is None or joint.run_id != search.awaited or flow is None or flow.generation != joint.generation:
        return
    state.joints.drop(run.id, search.address)
    round_.changes.beginnings.joints_told.append(joint[:3])
    flow.open_calls = max(0, flow.open_calls - 1)
    failed = Delivery(0, "outcome", search.address, round_.now, Status.FAILED.value, error=refused(text))
    delivering.deliver(state, round_, run, flow, failed)


def _chain(state: State, search: Search) -> list[RunId]:
    """From what is awaited to who asks for it; [] if one of them has been refused meanwhile."""
    chain = [search.awaited]
    while (waiter := chain[-1]) != search.waiter:
        waited, by_call = search.seen[waiter]
        if by_call and not any(joint.parent_id == waiter for joint in state.joints.of(waited)):
            return []
        chain.append(waited)
    return chain


def _told(state: State, chain: list[RunId]) -> str:
    """The circle in words."""
    names = [_name(state, one) for one in chain]
    if len(names) > SHOWN:
        names[SHOWN - 1 : -1] = [f"{len(names) - SHOWN} more"]
    if len(names) == 1:
        return f"it is {names[0]} itself"
    return f"{', which waits for '.join(names).replace(', which waits', ' waits', 1)}, which asks for {chain[0]}"


def _name(state: State, run_id: RunId) -> str:
    run = state.runs.get(run_id)
    return f"run {run_id}" if run is None else f"{run.routine} {run_id}"
