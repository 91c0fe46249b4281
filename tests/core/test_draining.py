"""Workers that are ordered to leave: who is told, what is told again, who is refused."""

from __future__ import annotations

from typing import Any

import pytest

from longshore.core.ids import SessionId, WorkerId
from longshore.core.message import Answer, Beat, Bye, Drain, DrainWorker, Hello, Offer, Released, Start, Welcome
from tests.core.stages import S
from tests.simulation.world import CLIENT, World, task, workflow


def order(world: World, worker_id: str = "", **more: Any) -> Answer:
    """The answer to an order to leave."""
    world.replies.clear()
    world.command(DrainWorker(WorkerId(worker_id), ask_id="a", reply_to=CLIENT, **more))
    ((_, answer),) = world.replies
    assert isinstance(answer, Answer)
    return answer


def told(world: World, session: SessionId) -> list[Drain]:
    return [one for one in world.directives(session) if isinstance(one, Drain)]


def hello(name: str, *offers: Offer, **more: Any) -> Hello:
    return Hello(worker_id=WorkerId(name), pool="default", slots=4, offers=list(offers), **more)


def test_a_worker_that_is_to_leave_is_told_and_given_nothing_more_and_takes_its_time_over_what_it_holds() -> None:
    world = World()
    worker = world.join("w1", offers=[task()])
    held = world.trigger("t")
    (start,) = world.starts(worker)
    answer = order(world, "w1")
    assert answer.data == {"workers": [{"worker_id": "w1", "status": "TERMINATING", "held": 1}]}
    assert told(world, worker) == [Drain()]
    assert [one["status"] for one in world.ledger.workers()] == ["TERMINATING"]
    later = world.trigger("t")
    world.settle()
    assert (world.status(later), world.starts(worker)) == (S.QUEUED, [])
    world.finish(worker, start)
    assert world.status(held) is S.COMPLETED
    world.report(worker, Bye())
    world.settle()
    assert [one["status"] for one in world.ledger.workers()] == ["CLOSED"]


def test_what_it_hands_back_goes_to_another_worker() -> None:
    world = World()
    old = world.join("old", offers=[task()])
    run_id = world.trigger("t")
    (start,) = world.starts(old)
    order(world, "old")
    new = world.join("new", offers=[task()])
    world.report(old, Released(run_id, start.epoch))
    (again,) = world.starts(new)
    assert (again.run_id, world.row(run_id).losses, world.row(run_id).crashes) == (run_id, 0, 0)


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({"pool": "gpu"}, ["b", "c"]),
        ({"host": "h1"}, ["a", "b"]),
        ({"version": "2.0.0"}, ["b", "c"]),
        ({"version": "t@1.0.0"}, ["a", "b"]),
        ({"version": "other@2.0.0"}, ["c"]),
        ({"pool": "gpu", "host": "h1"}, ["b"]),
        ({"worker_id": "c", "pool": "gpu"}, ["c"]),
    ],
)
def test_workers_are_chosen_by_all_that_the_order_names(chosen: dict[str, str], names: list[str]) -> None:
    world = World()
    offers = {
        "a": [task(version="1.0.0")],
        "b": [task(version="1.0.0"), task(version="2.0.0")],
        "c": [task("other", version="2.0.0")],
    }
    for name, pool, host in (("a", "default", "h1"), ("b", "gpu", "h1"), ("c", "gpu", "h2")):
        message = Hello(WorkerId(name), pool, 4, offers[name], host=host)
        world.say(SessionId(f"session-{name}"), message)
    answer = order(world, **chosen)
    assert [one["worker_id"] for one in answer.data["workers"]] == names
    assert [name for name in "abc" if told(world, SessionId(f"session-{name}"))] == names


@pytest.mark.parametrize(
    ("chosen", "rule", "text"),
    [
        ({}, "worker_id", "name a worker, or a pool"),
        ({"worker_id": "w2"}, "unknown_worker", "there is no worker w2; did you mean w1?"),
        ({"worker_id": "gone"}, "unknown_worker", "there is no worker gone; it has left"),
        ({"pool": "gpu"}, "unknown_worker", "there is no worker with pool gpu"),
        ({"host": "h", "version": "9.0.0"}, "unknown_worker", "there is no worker with host h and version 9.0.0"),
        ({"version": "newest"}, "version", "'newest' is no version: 1.0.0 or name@1.0.0"),
        ({"worker_id": "w1", "grace_ms": -1}, "grace_ms", "grace_ms is -1; it must be from 0 to"),
        ({"worker_id": "w1", "grace_ms": 31 * 24 * 3600 * 1000}, "grace_ms", "it must be from 0 to"),
    ],
)
def test_an_order_that_breaks_a_rule_or_names_nobody_is_refused_and_nobody_leaves(
    chosen: dict[str, Any], rule: str, text: str
) -> None:
    world = World()
    worker = world.join("w1", offers=[task()])
    world.report(world.join("gone", offers=[task()]), Bye())
    answer = order(world, **chosen)
    assert answer.error is not None and answer.error["rule"] == rule
    assert text in answer.error["text"]
    assert told(world, worker) == [] and world.ledger.workers()[0]["status"] == "IDLE"


def test_nobody_is_told_who_asked_for_no_answer() -> None:
    world = World()
    worker = world.join("w1", offers=[task()])
    world.command(DrainWorker(WorkerId("w1")), DrainWorker(WorkerId("w1"), reply_to=CLIENT))
    assert (world.replies, len(told(world, worker))) == ([], 2)
    changes = world.command(DrainWorker(WorkerId("w1"), reply_to="them", plain=True))
    assert changes.plain_keys == {"them"} and len(changes.replies["them"]) == 1


def test_a_second_order_may_change_the_grace_and_one_without_leaves_it() -> None:
    world = World()
    worker = world.join("w1", offers=[task()])
    for grace, now in ((60_000, 60_000), (None, 60_000), (0, 0)):
        order(world, "w1", grace_ms=grace)
        assert told(world, worker) == [Drain(now)]


def test_a_worker_that_missed_the_order_is_told_when_it_says_hello_also_to_the_next_coordinator() -> None:
    world = World()
    worker = world.join("w1", offers=[task(), workflow()])
    order(world, "w1", grace_ms=5)
    world.sent.clear()
    world.restart()
    later = world.trigger("t")
    world.say(worker, hello("w1", task(), workflow()))
    welcome, drain = world.directives(worker)
    assert isinstance(welcome, Welcome) and drain == Drain(5)
    world.say(worker, Beat(1, draining=True))
    assert world.ledger.workers()[0]["status"] == "TERMINATING"
    world.say(worker, hello("w1", task(), workflow(), draining=True))
    assert told(world, worker) == []
    world.settle()
    assert (world.status(later), world.starts(worker)) == (S.QUEUED, [])


def test_a_worker_that_was_lost_and_forgotten_and_comes_back_is_told_again() -> None:
    world = World()
    worker = world.join("w1", offers=[task()])
    order(world, "w1")
    world.marks(31)
    world.tick(601)
    assert world.ledger.workers() == []
    world.sent.clear()
    world.say(worker, hello("w1", task()))
    assert told(world, worker) == [Drain()]
    assert [one for one in world.directives(worker) if isinstance(one, Start)] == []
