"""Rules of shared runs: a workflow's call whose idempotency key or debounce key has a run already is answered by that
run. It is not the caller's child: it goes on when the caller is canceled or no longer waits for it.

The caller is told by a tick once the run has ended, from the store, where the outcome is then.
"""

from __future__ import annotations

from longshore.core.beginnings import Joint
from longshore.core.ids import Address, RunId
from longshore.core.ledger import circles, debouncing, delivering, keys
from longshore.core.ledger.recording import ended
from longshore.core.ledger.state import Round, State
from longshore.core.message import Call, Delivery, Options
from longshore.core.run import Flow, Run, Status

_UNUSABLE = (Status.CANCELING, Status.CANCELED)


def shared(state: State, round_: Round, parent: Run, asked: Run, call: Call) -> RunId | None:
    """The run that answers a call of `parent` (`asked` is the run it would be); a debounced one has taken it up. None:
    it is to begin that run."""
    options = call.options or Options()
    row = keys.row_asked(options, asked.routine, parent.id)
    found = keys.holder(round_, row)
    if found is not None and options.idempotency_scope == keys.RUN and _is_left_behind(state, round_, parent, found):
        found = None
    debounced = None
    if found is None:
        found = debounced = debouncing.held(state, round_, asked.routine, options)
    if debounced is not None:
        asked.cache_key = call.cache_key
        debouncing.again(state, round_, asked, options, call.input, parent.id)
        keys.take(state, round_, row, debounced, options)
    return found


def _is_left_behind(state: State, round_: Round, parent: Run, run_id: RunId) -> bool:
    """Whether the run is of no use to its own parent any more: it was canceled, with the journal that it was called
    from."""
    run = delivering.live(state, round_, run_id)
    if run is None:
        final = ended(round_, run_id)
        return final is not None and final.status in _UNUSABLE
    generation = parent.flow.generation if parent.flow else 0
    return run.status in _UNUSABLE or (run.parent_id == parent.id and run.parent_generation != generation)


def join(state: State, round_: Round, parent: Run, flow: Flow, call: Call, run_id: RunId) -> None:
    """The call waits for that run, or is told its outcome by the next tick; or that it would wait for itself."""
    joint = Joint(parent.id, flow.generation, Address(call.address), run_id)
    state.joints.add(joint)
    round_.changes.beginnings.joints[joint[:3]] = joint
    if ended(round_, run_id) is None:
        circles.begin(state, round_, parent.id, run_id, joint.address)
    if run_id not in state.runs:
        state.joints.ended(run_id)


def leave(state: State, round_: Round, run: Run, flow: Flow, address: Address) -> bool:
    """The workflow no longer waits at this address. Returns whether it waited for a shared run, which goes on."""
    joint = state.joints.drop(run.id, address)
    if joint is None:
        return False
    _told(round_, joint)
    flow.open_calls = max(0, flow.open_calls - 1)
    return True


def next_told(state: State) -> list[Joint]:
    """Those that the next tick tells, if the runs that they wait for have ended: a group of them."""
    found: list[Joint] = []
    for run_id in state.joints.telling:
        found += state.joints.of(run_id)[: state.config.group - len(found)]
    return found


def tell(state: State, round_: Round, joints: list[Joint]) -> None:
    """Tell those (of `next_told`, when this tick began: the facts know their runs) whose runs have ended."""
    for joint in joints:
        run_id = joint.run_id
        final = ended(round_, run_id)
        if final is None and delivering.live(state, round_, run_id) is not None:
            state.joints.telling.pop(run_id, None)  # it is put away: it has not ended
            continue
        if round_.room <= 0:
            return
        round_.room -= 1
        status = Status.SYSTEM_FAILURE.value if final is None else final.status
        _tell_one(state, round_, joint, status, cached=final is not None and final.cached)


def _tell_one(state: State, round_: Round, joint: Joint, status: str, *, cached: bool) -> None:
    state.joints.drop(joint.parent_id, joint.address)
    _told(round_, joint)
    parent = delivering.live(state, round_, joint.parent_id)
    flow = None if parent is None else parent.flow
    if parent is None or flow is None or flow.generation != joint.generation:
        return
    flow.open_calls = max(0, flow.open_calls - 1)
    told = Delivery(0, "outcome", joint.address, round_.now, status, cached=cached, child_id=joint.run_id)
    delivering.deliver(state, round_, parent, flow, told)
    session = state.sessions.get(parent.session) if parent.session else None
    if session is not None:  # the outcome is in the store, not here
        round_.deliveries.pop(parent.id, None)
        delivering.send_again(state, round_, parent, flow, session)


def _told(round_: Round, joint: Joint) -> None:
    made = round_.changes.beginnings
    made.joints_told.append(joint[:3])


def needed(state: State) -> set[RunId]:
    """The runs that the next `tell` must be told about."""
    wanted = {run_id for joint in next_told(state) for run_id in (joint.run_id, joint.parent_id)}
    return {one for one in wanted if one not in state.runs}
