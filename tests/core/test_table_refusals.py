"""What the table of transitions does not hold: late, foreign and senseless reports."""

from __future__ import annotations

import pytest

from longshore.core.changes import Unreadable
from longshore.core.ids import RunId
from longshore.core.message import (
    Cancel,
    Rejected,
    Trigger,
)
from longshore.core.run import FINAL, Status
from tests.core.stages import S, stage
from tests.simulation.world import World


@pytest.mark.parametrize("status", [*sorted(FINAL - {S.CRASHED}), S.CANCELING])
def test_a_cancel_that_the_table_does_not_have_is_refused_and_recorded(status: Status) -> None:
    scene = stage(status)
    before = scene.world.row(scene.run_id)
    rows = len(scene.world.history(scene.run_id))
    scene.cancel()
    (row,) = scene.world.history(scene.run_id)[rows:]
    assert (row.valid, row.from_status, row.to_status, scene.status) == (False, status, status, status)
    assert "cancel refused" in row.reason
    assert (before.epoch, before.attempt) == (row.epoch, row.attempt)
    assert scene.world.ledger.counts["invalid_order"] == 1


def test_a_cancel_of_a_run_that_is_not_there_changes_nothing() -> None:
    world = World()
    changes = world.command(Cancel(world.run_id(), ask_id="a", reply_to="client"), Cancel(world.run_id()))
    assert not changes.is_durable()
    assert [getattr(message, "error", None) for _, message in world.replies] == [
        {"rule": "unknown_run", "text": world.replies[0][1].error["text"]}  # type: ignore[union-attr, index]
    ]


def test_a_started_after_a_cancel_is_dropped_and_counted() -> None:
    scene = stage(S.DISPATCHED)
    scene.cancel()
    scene.world.begin(scene.worker, scene.directive)
    assert (scene.status, scene.world.ledger.counts["started_after_cancel"]) == (S.CANCELING, 1)


def test_a_doubled_started_changes_nothing() -> None:
    scene = stage(S.EXECUTING)
    rows = len(scene.world.history(scene.run_id))
    scene.world.begin(scene.worker, scene.directive)
    assert len(scene.world.history(scene.run_id)) == rows


def test_who_sent_what_cannot_be_read_and_waits_is_told_why() -> None:
    world = World()
    changes = world.internal(Unreadable("commands", "no routine", b"{}", 2, reply_to="them", correlation_id="c"))
    assert changes.replies == {"them": [Rejected(RunId(""), "unreadable", "no routine", "c")]}
    assert changes.plain_keys == {"them"}


def test_a_report_that_could_not_be_read_ends_the_run_it_names_once() -> None:
    scene = stage(S.EXECUTING)
    world = scene.world
    number = world.numbers[scene.worker]
    for wrong in (number, number + 7):
        headers: dict[str, str | int] = {"session": scene.worker, "number": wrong}
        world.internal(Unreadable("reports", "torn", b"", 0, headers, run_ids=[scene.run_id]))
        assert scene.status is S.EXECUTING
    assert world.ledger.counts["report_gap"] == 1
    world.internal(Unreadable("commands", "torn", b"", 0))
    last: dict[str, str | int] = {"session": scene.worker, "number": number + 1}
    unknown = world.run_id()
    world.internal(Unreadable("reports", "torn", b"", 0, last, run_ids=[scene.run_id, unknown]))
    assert scene.status is S.SYSTEM_FAILURE
    assert world.book.workers[scene.worker].taken == number + 1
    assert len(world.book.dead) == 4


def test_the_same_trigger_again_is_the_same_run_in_every_status() -> None:
    for status in sorted(set(Status) - {S.CRASHED}):
        scene = stage(status, kind="workflow" if status in (S.HANGING, S.SUSPENDED) else "task")
        scene.world.replies.clear()
        rows = len(scene.world.history(scene.run_id))
        again = Trigger("t", scene.run_id, b"other", reply_to="client-2", wants="outcome")
        scene.world.command(again)
        accepted = scene.world.replies[0][1]
        assert (accepted.existing, accepted.status) == (True, status)  # type: ignore[union-attr]
        assert len(scene.world.replies) == (2 if status in FINAL else 1)
        assert len(scene.world.history(scene.run_id)) == rows
