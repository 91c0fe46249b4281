"""What a workflow waits for from outside: signals, tokens, and the marks of patches."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from longshore.core.errors import ProtocolError
from longshore.core.ids import Address
from longshore.core.message import Commands, Wait
from longshore.core.run import Status
from tests.core.stages import S, Stage, stage
from tests.simulation.world import workflow

HOUR = timedelta(hours=1)


def report(scene: Stage, *waits: Wait, upto: int = 0) -> None:
    """The workflow waits for these."""
    start, world = scene.directive, scene.world
    world.report(scene.worker, Commands(start.run_id, start.epoch, world.now, upto, waits=list(waits)))


def test_waits_become_rows_of_the_call_table() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world = scene.world
    report(
        scene,
        Wait(Address("0:0"), "signal", "approved", "d", place="flow.py:3"),
        Wait(Address("0:1"), "token", "secret", "d", due_at=world.now + HOUR),
        Wait(Address("patch:new-sum"), "patch", "new-sum", "d"),
    )
    rows = world.book.call_rows(scene.run_id)
    assert [(row.kind, row.name, row.place) for row in rows] == [
        ("signal", "approved", "flow.py:3"),
        ("token", "secret", ""),
        ("patch", "new-sum", ""),
    ]
    assert scene.status is Status.HANGING
    flow = world.row(scene.run_id).flow
    assert flow is not None
    assert flow.timers == {"0:1": world.now + HOUR}


def test_a_wait_that_is_known_is_not_taken_again_from_the_next_worker() -> None:
    scene = stage(S.SUSPENDED, kind="workflow")
    world = scene.world
    world.tick(3600)
    world.settle()
    (scene.start,) = world.starts(scene.worker)
    first = Wait(Address("0:1"), "token", "first", "d", asked_seq=1, due_at=world.now + HOUR)
    world.report(scene.worker, Commands(scene.run_id, 2, world.now, waits=[first]))
    scene.lose()
    scene.worker = world.join("w3", offers=[workflow(max_attempts=2)])
    (scene.start,) = world.starts(scene.worker)
    report(scene, msgspec.structs.replace(first, name="second", due_at=world.now + 2 * HOUR), upto=1)
    assert [(row.kind, row.name) for row in world.book.call_rows(scene.run_id)] == [("timer", ""), ("token", "first")]
    flow = world.row(scene.run_id).flow
    assert flow is not None
    assert flow.timers == {"0:1": first.due_at}


def test_a_wait_of_an_unknown_kind_is_refused() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    with pytest.raises(ProtocolError, match="waits for a 'miracle' at 0:0: there is no such thing"):
        report(scene, Wait(Address("0:0"), "miracle", "", "d"))
