"""Edges: what the table refuses outright, what a restart must find again, facts for those who are elsewhere."""

from __future__ import annotations

import pytest

from longshore.core.changes import Facts
from longshore.core.errors import ProtocolError
from longshore.core.ids import Address
from longshore.core.ledger.recording import begin, move
from longshore.core.ledger.state import Round
from longshore.core.message import Call, Commands, Deliver, Suspended
from tests.core.stages import S, ask, hang, stage
from tests.simulation.world import World, task, workflow


def test_a_change_that_is_not_in_the_table_is_never_written() -> None:
    scene = stage(S.DELAYED)
    state = scene.world.ledger._state
    round_ = Round(scene.world.now, Facts(), scene.world.random.randbytes, 1)
    run = state.runs[scene.run_id]
    with pytest.raises(ProtocolError, match="not in the table"):
        move(round_, run, S.COMPLETED, "no")
    run.status = S.HANGING
    with pytest.raises(ProtocolError, match="no run begins as HANGING"):
        begin(state, round_, run, "no", "")
    assert not round_.changes.is_durable()


def test_a_deadline_of_the_trigger_ends_the_run_also_when_it_is_put_away_and_woken() -> None:
    world = World()
    worker = world.join(offers=[workflow()])
    run_id = world.trigger("wf", deadline_ms=7_200_000)
    (start,) = world.starts(worker)
    hang(world, worker, start)
    world.tick(3600)
    world.ledger._state.sessions[worker].draining = True
    world.report(worker, Suspended(run_id, 1, 0))
    assert world.status(run_id) is S.QUEUED
    world.tick(3600)
    assert world.status(run_id) is S.TIMED_OUT


def test_a_call_with_a_cached_result_is_answered_in_the_same_batch() -> None:
    world = World()
    worker = world.join(offers=[workflow(), task(cache=True)])
    world.trigger("t", cache_key="k")
    world.finish(worker, world.starts(worker)[0])
    run_id = world.trigger("wf")
    world.starts(worker)
    call = Call(Address("0:0"), "t", "d", b"", world.run_id(), cache_key="k")
    world.report(worker, Commands(run_id, 1, world.now, 0, [call]))
    (told,) = [one for one in world.directives(worker) if isinstance(one, Deliver)]
    assert (told.deliveries[0].cached, world.path(call.child_id)) == (True, ["COMPLETED"])


def test_a_restart_finds_leaders_and_what_is_offered_meanwhile() -> None:
    world = World()
    worker = world.join(offers=[task(cache=True)])
    first, second = world.trigger("t", cache_key="k"), world.trigger("t", cache_key="k")
    (start,) = world.starts(worker)
    waiting = world.trigger("late")
    world.book.workers[worker].offers.append(task("late"))
    world.restart()
    world.tick()
    assert world.status(waiting) is S.QUEUED
    world.join(offers=[task(cache=True), task("late")])
    world.finish(worker, start)
    assert [world.status(run) for run in (first, second, waiting)] == [S.COMPLETED, S.COMPLETED, S.DISPATCHED]


def test_the_reconciler_alone_delivers_what_the_event_path_would_have() -> None:
    world = World(event_path=False)
    worker = world.join(offers=[workflow(), task()])
    run_id = world.trigger("wf")
    world.tick()
    (start,) = world.starts(worker)
    ask(world, worker, start, "t")
    world.tick()
    world.finish(worker, world.starts(worker)[0])
    changes = world.tick()
    assert [page[1:] for page in changes.pages] == [(run_id, 1, 0)]
