"""Rules of placement: which queued run goes to which worker, and how much a worker is given.

Free slots anywhere come first, emptiest worker first. Only when none is left is a worker given more: up to 50 ms of
the mean slot time of that routine version per slot, at most 2,000 runs (never measured = long), so that short tasks
stream and long ones never wait behind one another. Workflows use no slot.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final, NamedTuple

from longshore.core.errors import nearest
from longshore.core.ids import RunId
from longshore.core.ledger import caching, limiting
from longshore.core.ledger.lanes import Lane
from longshore.core.ledger.recording import direct, move, touch
from longshore.core.ledger.state import Round, Session, State
from longshore.core.message import Offer, Start
from longshore.core.outbox import held_term
from longshore.core.run import Flow, Run, Status, has_started

INFINITE: Final = float("inf")
AHEAD: Final = 0.0
"""The rank of what goes ahead of new runs: resumed workflows, runs whose worker was lost, cleanups."""


class Taker(NamedTuple):
    """A session that may take a lane's runs, and what they would be there. Worked out once per lane and round."""

    session: Session
    version: str
    offer: Offer
    mean_ms: float  # of the slot time, -1 if never measured
    is_short: bool


class Head(NamedTuple):
    """A lane whose next run may be placed, and who may take it. Of equal ones the smaller number goes first."""

    turn: int  # of a run with a concurrency key; 0 of one without
    rank: float
    number: int
    lane: Lane
    takers: list[Taker]


def place(state: State, round_: Round) -> None:
    """Give out what may go now: a group, and as many as the batch itself brought. The rest goes in the next tick. Over
    all lanes the oldest head goes first; among runs with a concurrency key the one whose turn it is."""
    state.more_to_place = False
    state.place_at = None
    room = state.config.group + len(round_.fresh)
    plain, keyed = _heads(state, round_)
    while room > 0 and (plain or keyed):
        by_key = bool(keyed) and (not plain or keyed[0].rank < plain[0].rank)
        heads = keyed if by_key else plain
        head = heapq.heappop(heads)
        lane = head.lane
        most = min(room, limiting.room(state, lane.queue, round_.now))
        if most <= 0:
            _wait_for_rate(state, round_, lane.queue)
            continue
        if by_key:
            following = _keyed_head(state, head.number, lane, head.takers)
            if following is None or following[:2] != head[:2]:  # its key was served, or is full, in another lane
                placed = 0
            else:
                placed, again = _place_keyed(state, round_, lane, head.takers)
                following = _keyed_head(state, head.number, lane, head.takers) if again else None
        else:
            limit = min(plain[0].rank if plain else INFINITE, keyed[0].rank if keyed else INFINITE)
            placed, again = _drain_lane(state, round_, lane, head.takers, limit, most)
            following = Head(0, lane.heap[0][0], head.number, lane, head.takers) if again else None
        room -= placed
        if following is not None:
            heapq.heappush(heads, following)
    state.more_to_place = bool(plain or keyed)


def _heads(state: State, round_: Round) -> tuple[list[Head], list[Head]]:
    """The lanes that somebody may take from, as heaps: by runs without a concurrency key, and by those with one."""
    plain: list[Head] = []
    keyed: list[Head] = []
    empty: list[Lane] = []
    found: dict[tuple[str, str, str], list[Taker]] = {}
    lanes = state.lanes
    for number, lane in enumerate(lanes.all.values()):
        head = lanes.head(lane)
        if head is None and not lane.rows:
            empty.append(lane)
            continue
        candidates = found.get(lane.key[:3])
        if candidates is None:
            candidates = found[lane.key[:3]] = takers(state, lane)
        if not candidates:
            continue
        if head is not None:
            plain.append(Head(0, lane.heap[0][0], number, lane, candidates))
        if lane.rows and (by_key := _keyed_head(state, number, lane, candidates)) is not None:
            keyed.append(by_key)
    for lane in empty:
        del lanes.all[lane.key]
    heapq.heapify(plain)
    heapq.heapify(keyed)
    return plain, keyed


def _keyed_head(state: State, number: int, lane: Lane, candidates: list[Taker]) -> Head | None:
    """The run of the lane whose concurrency key has the next turn and is not full."""
    lanes, queue = state.lanes, state.queues.get(lane.queue)
    while (row := lanes.next_row(lane)) is not None:
        if queue is None or not queue.is_full(row.key.name[1]):
            return Head(row.key.turn, row.heap[0][0], number, lane, candidates)
        lanes.park(lane, row)
    return None


def _wait_for_rate(state: State, round_: Round, queue: str) -> None:
    """Nothing more may start from this queue now; if that is for its rate, it may at a time that is known."""
    at = limiting.opens_at(state, queue, round_.now)
    if at is not None and (state.place_at is None or at < state.place_at):
        state.place_at = at


def _place_keyed(state: State, round_: Round, lane: Lane, candidates: list[Taker]) -> tuple[int, bool]:
    """Place the run whose turn it is. Returns how many were placed, and whether the lane is to have another turn: when
    none has room for its run, it waits."""
    row = state.lanes.first_row(lane)
    run = state.runs[row.heap[0][2]]
    if run.cache_key and run.status is Status.QUEUED and not caching.may_lead(state, round_, run):
        state.lanes.skipped(row)
        return 0, True
    taker = choose(state, run, candidates)
    if taker is None:
        return 0, False
    state.lanes.served(lane, row)
    dispatch(state, round_, run, taker)
    return 1, True


def _drain_lane(
    state: State, round_: Round, lane: Lane, candidates: list[Taker], limit: float, room: int
) -> tuple[int, bool]:
    """Place runs without a concurrency key from one lane until another's head is older, at most `room`. Returns how
    many, and whether it is to have another turn."""
    placed = 0
    heap, runs = lane.heap, state.runs
    while heap:
        rank, ticket, run_id = heap[0]
        run = runs.get(run_id)
        if run is None or run.ticket != ticket:  # stale; see Lanes.head
            heapq.heappop(heap)
            continue
        if placed == room or rank > limit:
            return placed, True
        if run.cache_key and run.status is Status.QUEUED and not caching.may_lead(state, round_, run):
            heapq.heappop(heap)
            continue
        taker = choose(state, run, candidates)
        if taker is None:
            return placed, False
        heapq.heappop(heap)
        dispatch(state, round_, run, taker)
        placed += 1
    return placed, False


def takers(state: State, lane: Lane) -> list[Taker]:
    """The sessions that may take runs of this lane now, whatever room they have."""
    pool, routine, version = lane.key[:3]
    if version:
        return _open_takers(state, pool, routine, version)
    for version in state.newest.get(routine, ()):
        if found := _open_takers(state, pool, routine, version):
            return found
    return []


def _open_takers(state: State, pool: str, routine: str, version: str) -> list[Taker]:
    offering = state.offered.get((routine, version))
    if not offering:
        return []
    speed = state.speeds.get((routine, version))
    mean = speed.mean_ms if speed is not None else -1.0
    is_short = 0 <= mean <= state.config.stream_ms
    sessions = (state.sessions[session_id] for session_id in offering)
    return [
        Taker(session, version, session.offers[routine, version], mean, is_short)
        for session in sessions
        if session.open and not (session.unresponsive or session.draining) and (not pool or session.pool == pool)
    ]


def choose(state: State, run: Run, candidates: list[Taker]) -> Taker | None:
    """Who is to have this run, or None if none has room."""
    if run.alone:
        return _choose_empty(run, candidates)
    if (run.kind or candidates[0].offer.kind) == "workflow":
        return _choose_for_workflow(state, candidates)
    best: Taker | None = None
    most = 0
    for taker in candidates:
        session = taker.session
        free = session.slots - session.stuck - len(session.busy)
        if free > most and not session.reserved:
            best, most = taker, free
    if best is not None or is_wary(run, candidates[0].offer):
        return best
    return _choose_stream(state, candidates)


def _choose_stream(state: State, candidates: list[Taker]) -> Taker | None:
    config = state.config
    best: Taker | None = None
    most = 0
    for taker in candidates:
        session = taker.session
        if not taker.is_short or session.only_free or session.reserved:
            continue
        slots = session.slots - session.stuck
        streaming = slots - len(session.long)
        per_slot = config.stream_ms / max(taker.mean_ms, 0.001)
        room = int(min(config.stream_runs, streaming * per_slot)) - (len(session.busy) - slots)
        if streaming > 0 and room > most:
            best, most = taker, room
    return best


def _choose_for_workflow(state: State, candidates: list[Taker]) -> Taker | None:
    best: Taker | None = None
    least = INFINITE
    for taker in candidates:
        session = taker.session
        starting = len(session.starting)
        load = starting * 1000 + len(session.held)
        if starting < state.config.flows_starting and load < least and not session.reserved:
            best, least = taker, load
    return best


def _choose_empty(run: Run, candidates: list[Taker]) -> Taker | None:
    """A worker process that executes nothing else; if none is empty, the least busy one is kept for it."""
    for taker in candidates:
        session = taker.session
        idle = not session.busy and not session.starting
        if idle and session.reserved in (RunId(""), run.id):
            session.reserved = run.id
            return taker
    sessions = [taker.session for taker in candidates]
    if not any(session.reserved == run.id for session in sessions):
        free = [session for session in sessions if not session.reserved]
        if free:
            min(free, key=lambda session: len(session.busy) + len(session.starting)).reserved = run.id
    return None


def dispatch(state: State, round_: Round, run: Run, taker: Taker) -> None:
    """Give the run to the session: epoch + 1, lease, Start."""
    session, offer = taker.session, taker.offer
    run.version = taker.version
    run.kind = offer.kind
    if offer.kind == "workflow" and run.flow is None:
        run.flow = Flow()
    elif offer.kind != "workflow":
        run.flow = None  # what was signaled before anybody knew that it is no workflow
    run.epoch += 1
    if run.attempt == 0:
        run.attempt = 1
    run.session = session.id
    run.worker_id = session.worker_id
    run.ticket = 0
    canceling = run.status is Status.CANCELING
    if run.cache_key and not canceling:
        caching.lead(state, run)
    if run.flow is not None and run.attempt_at is None:
        run.attempt_at = round_.now
    hold(state, session, run, is_short=taker.is_short)
    if state.queues and not (canceling or limiting.has_hung(run)):
        limiting.started(state, round_, run)
    if canceling:
        touch(round_, run)
    else:
        move(round_, run, Status.DISPATCHED, "placed", worker=session.worker_id)
    previous = run.span
    if run.traceparent or state.config.trace_all:
        run.span = child_span(run.traceparent, round_.random)
        run.traceparent = run.traceparent or run.span
    start = start_of(round_, run, offer)
    start.previous_span = previous
    direct(round_, session, start)
    if run.flow is not None:
        state.unanswered.append((round_.now, run.id))
    round_.touched.add(session.id)


def hold(state: State, session: Session, run: Run, *, is_short: bool) -> None:
    """The session holds the run: note whether it uses a slot and whether it is known to be short."""
    limiting.occupy(state, run)
    session.held[run.id] = None
    session.digest += held_term(run.id, run.epoch)
    if run.kind == "workflow":
        session.starting.add(run.id)
        return
    session.busy.add(run.id)
    if not is_short:
        session.long.add(run.id)


def start_of(round_: Round, run: Run, offer: Offer | None) -> Start:
    """The Start directive for the run as it stands. Its input is added by the shell."""
    start = Start(
        run_id=run.id,
        epoch=run.epoch,
        attempt=run.attempt,
        routine=run.routine,
        version=run.version,
        timeout_ms=run.timeout_ms if run.timeout_ms is not None else (offer.timeout_ms if offer else None),
        max_attempts=run.max_attempts or 0,
        cache=bool(offer and offer.cache),
        wary=is_wary(run, offer),
        queue=run.queue,
        parent_id=run.parent_id,
        root_id=run.root_id,
        traceparent=run.span,
    )
    flow = run.flow
    if flow is not None:
        start.started_at = run.attempt_at
        start.generation = flow.generation
        start.last_seq = flow.last_seq
        start.processed_seq = flow.processed_seq
        start.forked_seq = flow.forked_seq
        start.seed = flow.seed
        flow.sent_seq = flow.last_seq
        flow.sent_at = round_.now
        if run.status is Status.CANCELING:
            start.canceling = run.reason
    return start


def is_wary(run: Run, offer: Offer | None) -> bool:
    """Whether the body may begin only when we have been told: it has lost a worker before, or must not be executed
    again. It gets a free slot only: what has told us so executes, by our book."""
    # Else a body that kills its worker at once counts as never begun: it is executed ten times, never alone.
    return run.losses > 0 or run.crashes > 0 or (offer is not None and offer.on_crash == "fail")


def child_span(parent: str, random: Callable[[int], bytes]) -> str:
    """The traceparent of a new span under `parent` (same trace, same flags), or of a new trace."""
    span = random(8).hex()
    return f"{parent[:36]}{span}{parent[52:]}" if parent else f"00-{random(16).hex()}-{span}-01"


def unpin(run: Run) -> None:
    """A run that comes back before its first start takes whatever version is the newest when it is placed again."""
    if not has_started(run):
        run.version = ""


def missing_version(state: State, run: Run) -> str:
    """Why nobody can take this run, with the nearest names that are offered."""
    version = run.version or run.asked_version
    wanted = f"{run.routine}@{version}" if version else run.routine
    known = sorted(state.newest)
    if run.routine in state.newest:
        return f"no worker offers {wanted}; offered versions: {', '.join(state.newest[run.routine])}"
    near = nearest(run.routine, known)
    if near:
        return f"no worker offers {wanted}; did you mean {', '.join(near)}?"
    if known:
        return f"no worker offers {wanted}; offered are {', '.join(known[:5])}{', ...' if len(known) > 5 else ''}"
    return f"no worker offers {wanted}; no worker is here"
