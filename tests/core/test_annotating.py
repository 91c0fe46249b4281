"""Metadata and tags of runs, changed by their own code, their children and people: exact, once, recorded."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from longshore.core.changes import Facts, Inbound
from longshore.core.ids import Address, RunId, SessionId
from longshore.core.message import (
    Annotate,
    Annotated,
    Answer,
    Ask,
    Commands,
    Edit,
    Edits,
    Fork,
    Message,
    RunChanged,
    Trigger,
    Warn,
)
from longshore.core.run import FINAL, WAITING, WITH_WORKER, Status
from tests.core.stages import S, Stage, ask, hang, stage
from tests.simulation.world import CLIENT, World, task, workflow

ONE = [Edit("increment", "n", 1)]


def order(run_id: RunId, *edits: Edit, **more: Any) -> Annotate:
    return Annotate(run_id, list(edits), ask_id="a", reply_to=CLIENT, **more)


def answer(world: World) -> Answer:
    return next(message for _, message in reversed(world.replies) if isinstance(message, Answer))


def told(world: World) -> list[RunChanged]:
    return [one for _, one in world.replies if isinstance(one, RunChanged) and one.metadata is not None]


def warnings(world: World, session: SessionId) -> list[str]:
    return [one.text for one in world.directives(session) if isinstance(one, Warn)]


def report(scene: Stage, target: str, *edits: Edit) -> None:
    start = scene.directive
    scene.world.report(scene.worker, Annotated(start.run_id, start.epoch, [Edits(target, list(edits))]))


LIVE = sorted((WAITING | WITH_WORKER) - {S.SUSPENDED, S.HANGING})


@pytest.mark.parametrize("status", [*LIVE, S.SUSPENDED, S.HANGING])
def test_a_run_in_whatever_status_that_is_not_final_is_annotated_from_outside(status: Status) -> None:
    scene = stage(status, kind="workflow" if status in (S.HANGING, S.SUSPENDED) else "task")
    world = scene.world
    rows = len(world.history(scene.run_id))
    world.command(order(scene.run_id, Edit("set", "who", "ann"), Edit("add_tag", "red"), *ONE, by="ann"))
    assert world.book.metadata[scene.run_id] == {"who": "ann", "n": 1} and world.book.tags[scene.run_id] == ["red"]
    (row,) = world.history(scene.run_id)[rows:]
    assert (row.valid, row.from_status, row.to_status) == (True, status, status)
    assert row.reason == "metadata: who='ann', n=1; tag red added (by ann)"
    assert answer(world).data == {"run_id": scene.run_id, "status": status, "values": {"n": 1}}
    assert world.status(scene.run_id) is status
    world.restart()
    world.command(order(scene.run_id, *ONE))
    assert answer(world).data["values"] == {"n": 2}


@pytest.mark.parametrize("status", sorted(FINAL - {S.CRASHED}))
def test_a_run_that_has_ended_is_not_annotated_and_that_is_recorded(status: Status) -> None:
    scene = stage(status)
    rows = len(scene.world.history(scene.run_id))
    scene.world.command(order(scene.run_id, *ONE))
    (row,) = scene.world.history(scene.run_id)[rows:]
    assert (row.valid, row.reason) == (False, f"annotate refused: already {status}")
    error = answer(scene.world).error
    assert error is not None and error["rule"] == "already_final"
    assert scene.world.book.metadata[scene.run_id] == {}


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        (order(RunId("0"), *ONE), "unknown_run"),
        (order(RunId("0")), "edits"),
        (order(RunId("0"), Edit("double", "n")), "edits"),
        (order(RunId("0"), *ONE, annotate_id="x" * 65), "annotate_id"),
    ],
)
def test_an_order_that_cannot_be_is_refused_and_nothing_is_stored(message: Annotate, rule: str) -> None:
    world = World()
    changes = world.command(message, msgspec.structs.replace(message, reply_to=""))
    error = answer(world).error
    assert error is not None and error["rule"] == rule
    assert not changes.is_durable() and len(world.replies) == 1


def test_of_an_order_that_cannot_be_done_as_a_whole_nothing_is_and_it_is_recorded() -> None:
    scene = stage(S.QUEUED)
    scene.world.command(order(scene.run_id, Edit("set", "text", "abc")))
    scene.world.command(order(scene.run_id, Edit("set", "more", 1), Edit("increment", "text", 1)))
    assert scene.world.book.metadata[scene.run_id] == {"text": "abc"}
    assert not scene.world.history(scene.run_id)[-1].valid
    error = answer(scene.world).error
    assert error is not None and error["rule"] == "metadata" and "nothing was changed" in error["text"]


def test_the_same_order_again_is_not_done_again() -> None:
    scene = stage(S.QUEUED)
    world = scene.world
    twice = order(scene.run_id, *ONE, annotate_id="once")
    world.command(twice, twice)
    world.restart()
    world.command(twice)
    assert world.book.metadata[scene.run_id] == {"n": 1}
    assert [one.error for _, one in world.replies if isinstance(one, Answer)] == [None] * 3
    world.command(order(scene.run_id, *ONE))
    world.command(order(scene.run_id, Edit("delete", "never"), annotate_id="nothing"))
    assert world.book.metadata[scene.run_id] == {"n": 2}
    Stage(world, scene.run_id, scene.worker).cancel()
    world.command(twice)
    assert answer(world).error is None
    assert answer(world).data["status"] == S.CANCELED


def test_a_thousand_increments_of_a_batch_are_one_row_and_one_write() -> None:
    scene = stage(S.EXECUTING)
    world = scene.world
    rows = len(world.history(scene.run_id))
    changes = world.command(*[order(scene.run_id, *ONE, by=f"p{number % 3}") for number in range(1000)])
    assert changes.annotated[scene.run_id].metadata == {"n": 1000}
    (row,) = world.history(scene.run_id)[rows:]
    assert row.reason == "metadata: n=1000 (by p0 and 2 more)"


def test_code_annotates_its_own_run_and_the_row_stands_before_its_end_in_the_same_batch() -> None:
    scene = stage(S.EXECUTING)
    world, start = scene.world, scene.directive
    report(scene, "self", Edit("append", "log", "a"), Edit("append", "log", "b"))
    world.finish(scene.worker, start)
    paths = [(row.from_status, row.to_status) for row in world.history(scene.run_id)[-2:]]
    assert paths == [("EXECUTING", "EXECUTING"), ("EXECUTING", "COMPLETED")]
    report(scene, "self", *ONE)
    assert world.book.metadata[scene.run_id] == {"log": ["a", "b"]}, "a late report changes nothing"


def family(status: Status = S.HANGING, children: int = 3) -> tuple[Stage, list[Stage]]:
    """A workflow that waits for children, which execute on another worker."""
    scene = stage(S.EXECUTING, kind="workflow")
    world = scene.world
    ask(world, scene.worker, scene.directive, *["t"] * children)
    starts = world.starts(scene.worker)
    for start in starts:
        world.begin(scene.worker, start)
    return scene, [Stage(world, start.run_id, scene.worker, start) for start in starts]


def test_children_increment_one_counter_of_their_parent_and_root_and_none_is_lost() -> None:
    scene, children = family()
    for child in children:
        report(child, "parent", *ONE, *ONE)
        report(child, "root", Edit("append", "seen", child.run_id))
        report(child, "self", *ONE)
    world = scene.world
    assert world.book.metadata[scene.run_id] == {"n": 6, "seen": [child.run_id for child in children]}
    assert [world.book.metadata[child.run_id] for child in children] == [{"n": 1}] * 3
    assert f"(by run {children[0].run_id})" in world.history(scene.run_id)[-5].reason


def test_many_actors_of_one_batch_are_several() -> None:
    scene = stage(S.QUEUED)
    world = scene.world
    world.take(*[Inbound(messages=[order(scene.run_id, *ONE)], actor=actor) for actor in ("ann", "bob")])
    assert world.history(scene.run_id)[-1].actor == "several"


def test_a_parent_that_is_put_away_is_annotated_where_it_lies() -> None:
    world = World()
    one, two = world.join("w1", offers=[workflow()]), world.join("w2", offers=[task()])
    parent = world.trigger("wf")
    (start,) = world.starts(one)
    world.begin(one, start)
    ask(world, one, start, "t")
    Stage(world, parent, one).lose()
    assert world.status(parent) is S.SUSPENDED and parent not in world.ledger._state.runs
    (child,) = world.starts(two)
    for _ in range(2):
        world.report(two, Annotated(child.run_id, child.epoch, [Edits("parent", ONE)]))
    assert world.book.metadata[parent] == {"n": 2} and world.status(parent) is S.SUSPENDED
    assert [row.seq for row in world.history(parent)] == list(range(1, len(world.history(parent)) + 1))


def test_what_is_refused_is_recorded_once_a_batch_and_told_to_the_worker() -> None:
    scene, (child, *_) = family()
    world = scene.world
    report(scene, "self", Edit("set", "text", "x"))
    world.directives(scene.worker)
    rows = len(world.history(scene.run_id))
    report(child, "parent", *[Edit("increment", "text", 1)] * 5, Edit("double", "x"), Edit("increment", "n", 1))
    (text,) = warnings(world, scene.worker)
    assert "'text' cannot be incremented" in text and "(and 5 more)" in text
    added = world.history(scene.run_id)[rows:]
    assert [row.valid for row in added] == [True, False] and world.book.metadata[scene.run_id]["n"] == 1
    start = child.directive
    world.report(child.worker, *[Annotated(start.run_id, start.epoch, [Edits("parent", [Edit("double", "x")])])] * 3)
    assert len(world.history(scene.run_id)) == rows + 3


def test_the_metadata_of_a_parent_that_is_not_or_has_ended_stays_as_it_is() -> None:
    scene = stage(S.EXECUTING)
    report(scene, "parent", *ONE)
    report(scene, "root", *ONE)
    (text,) = warnings(scene.world, scene.worker)
    assert "has none" in text and scene.world.book.metadata[scene.run_id] == {"n": 1}
    world = World()
    worker = world.join(offers=[task(), workflow(children="abandon")])
    parent = world.trigger("wf")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    ask(world, worker, start, "t")
    (child,) = world.starts(worker)
    world.finish(worker, start)
    world.report(worker, *[Annotated(child.run_id, child.epoch, [Edits("parent", ONE)])] * 3)
    assert not world.history(parent)[-1].valid and world.history(parent)[-2].valid
    assert "COMPLETED already" in warnings(world, worker)[0]
    del world.book.runs[parent]
    world.report(worker, Annotated(child.run_id, child.epoch, [Edits("parent", ONE)]))
    assert "there is no run" in warnings(world, worker)[-1]


def test_a_run_is_annotated_in_the_batch_that_makes_it() -> None:
    world = World()
    run_id = world.run_id()
    trigger = Trigger("t", run_id, b"x")
    trigger.options.metadata, trigger.options.tags = {"n": 1}, ["red"]
    world.command(trigger, order(run_id, *ONE, Edit("add_tag", "blue")), order(run_id, *ONE))
    assert world.book.metadata[run_id] == {"n": 3} and world.book.tags[run_id] == ["red", "blue"]
    assert [row.seq for row in world.history(run_id)] == [1, 2]


def test_a_fork_that_is_just_being_made_is_annotated_when_it_is_there() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world = scene.world
    ask(world, scene.worker, scene.directive, "nobody")
    world.command(order(scene.run_id, Edit("set", "kept", 1)))
    fork_id = world.run_id()
    fork = Fork(scene.run_id, Address("0/0:0"), fork_id=fork_id, reply_to=CLIENT, ask_id="f")
    world.command(fork, order(fork_id, *ONE))
    error = answer(world).error
    assert error is not None and error["rule"] == "unavailable"
    world.command(order(fork_id, *ONE))
    assert world.book.metadata[fork_id] == {"kept": 1, "n": 1}
    assert world.book.given[fork_id] == "{}", "its code sees what the code before it saw"


def test_a_workflow_that_is_replayed_sees_what_it_began_with_until_it_begins_anew() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world, start = scene.world, scene.directive
    hang(world, scene.worker, start)
    world.command(order(scene.run_id, Edit("set", "a", 1)), order(scene.run_id, Edit("set", "a", 2)))
    world.command(order(scene.run_id, Edit("set", "a", 3)))
    assert world.book.given[scene.run_id] == "{}"
    world.finish(scene.worker, start, "continued", result=b"on")
    assert scene.run_id not in world.book.given
    world.command(order(scene.run_id, Edit("set", "a", 4)))
    assert world.book.given[scene.run_id] == '{"a":3}'


def test_what_a_workflow_changes_comes_with_its_commands_or_its_end() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world, start = scene.world, scene.directive
    edits = [Edits("self", [Edit("increment", "n", 1)])]
    world.report(scene.worker, Commands(start.run_id, start.epoch, world.now, upto_seq=0, edits=edits))
    world.finish(scene.worker, start, edits=edits)
    assert world.book.metadata[scene.run_id] == {"n": 2}
    late: Message = Commands(start.run_id, start.epoch, world.now, upto_seq=0, edits=edits)
    world.report(scene.worker, late)  # type: ignore[arg-type]
    world.finish(scene.worker, start, edits=edits)
    assert world.book.metadata[scene.run_id] == {"n": 2}


def test_who_watches_a_run_is_told_what_its_metadata_is_now_and_in_which_row_it_says_so() -> None:
    scene = stage(S.EXECUTING)
    world = scene.world
    world.command(Ask("outcome", "a", "watcher", [scene.run_id]))
    report(scene, "self", *ONE, Edit("add_tag", "red"))
    (change,) = told(world)
    assert (change.metadata, change.tags, change.status) == ({"n": 1}, ["red"], "EXECUTING")
    assert change.seq == world.history(scene.run_id)[-1].seq and "n=1" in change.reason
    start = scene.directive
    world.report(
        scene.worker,
        Annotated(start.run_id, start.epoch, [Edits("self", ONE)]),
        Annotated(start.run_id, start.epoch, [Edits("self", ONE)]),
    )
    assert len(told(world)) == 2


def test_without_the_row_at_hand_nothing_is_changed_and_the_worker_is_told() -> None:
    scene = stage(S.EXECUTING)
    world, start = scene.world, scene.directive
    body = Inbound([Annotated(start.run_id, start.epoch, [Edits("self", ONE)])], scene.worker, 2)
    changes = world.ledger.receive([body], Facts(), world.now, world.random.randbytes)
    assert not changes.annotated and not changes.history
    assert [type(one) for one in changes.directives[scene.worker]] == [Warn]
