"""Bulk orders: taken down once, done page by page, over restarts, for the runs that were there at their moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from longshore.core.bulks import BulkRow, RunFilter, fields_of
from longshore.core.message import AbortBulk, Answer, Bulk, Cancel, LimitQueue
from longshore.core.run import Status
from tests.core.stages import stage
from tests.simulation.world import CLIENT, World

ALL = RunFilter(all=True)


def order(world: World, message: Any) -> Any:
    """What an order is answered with: its data, or its error."""
    message.ask_id, message.reply_to = "ask", CLIENT
    world.command(message)
    answer = world.replies[-1][1]
    assert isinstance(answer, Answer)
    return answer.data if answer.error is None else answer.error


def test_all_runs_that_fit_are_canceled_and_later_ones_are_spared() -> None:
    world = World()
    fitting = [world.trigger("t") for _ in range(3)]
    other = world.trigger("u")
    said = order(world, Bulk("b", "cancel", RunFilter(routine="t"), "too many", "ann"))
    assert (said["status"], said["matched"], said["progress"], said["by"]) == ("running", 0, 0.0, "ann")
    later = world.trigger("t")
    world.settle()
    assert [world.status(one) for one in fitting] == [Status.CANCELED] * 3
    assert world.status(other) is world.status(later) is Status.PENDING_VERSION
    row = world.history(fitting[0])[-1]
    assert (row.reason, row.actor) == ("too many", "bulk order b")
    done = order(world, Bulk("b", "cancel", RunFilter(routine="t")))
    assert (done["status"], done["matched"], done["done"], done["refused"], done["progress"]) == ("done", 3, 3, 0, 1.0)
    assert done["filter"] == {"routine": "t"} and done["finished_at"] is not None


def test_more_than_a_group_takes_several_steps_each_no_more_than_a_group() -> None:
    world = World(group=10)
    runs = [world.trigger("t") for _ in range(35)]
    order(world, Bulk("b", "cancel", ALL))
    ended = [len(world.tick().ended) for _ in range(4)]
    assert ended == [10, 10, 10, 5]
    assert {world.status(one) for one in runs} == {Status.CANCELED}
    assert order(world, Bulk("b", "cancel", ALL))["matched"] == 35


def test_a_bulk_order_goes_on_where_it_was_when_the_coordinator_dies() -> None:
    world = World(group=10)
    runs = [world.trigger("t") for _ in range(25)]
    order(world, Bulk("b", "cancel", ALL))
    world.tick()
    halfway = order(world, Bulk("b", "cancel", ALL))
    assert (halfway["done"], halfway["progress"]) == (10, 0.4)
    world.restart()
    world.settle()
    assert {world.status(one) for one in runs} == {Status.CANCELED}
    assert order(world, Bulk("b", "cancel", ALL))["done"] == 25
    assert all(len(world.history(one)) == 2 for one in runs)


def test_with_what_is_left_counted_the_progress_is_that_of_the_runs_that_fit() -> None:
    row = BulkRow(
        id="b", what="cancel", filter=ALL, created_at=datetime(2026, 1, 1, tzinfo=UTC), matched=30, after=900, upto=1000
    )
    assert (fields_of(row)["progress"], fields_of(row)["left"]) == (0.9, None)
    assert (fields_of(row, 90)["progress"], fields_of(row, 90)["left"]) == (0.25, 90)
    assert fields_of(row, 0)["progress"] == 1.0


def test_an_aborted_order_goes_no_further() -> None:
    world = World(group=10)
    runs = [world.trigger("t") for _ in range(25)]
    order(world, Bulk("b", "cancel", ALL))
    world.tick()
    said = order(world, AbortBulk("b"))
    assert (said["status"], said["done"], said["progress"]) == ("aborted", 10, 0.4)
    world.settle()
    assert sum(world.status(one) is Status.CANCELED for one in runs) == 10
    assert order(world, AbortBulk("b"))["status"] == "aborted"


def test_two_orders_share_a_step() -> None:
    world = World(group=10)
    runs = [world.trigger("t") for _ in range(15)] + [world.trigger("u") for _ in range(15)]
    order(world, Bulk("one", "cancel", RunFilter(routine="t")))
    order(world, Bulk("two", "cancel", RunFilter(routine="u")))
    assert all(len(world.tick().ended) <= 10 for _ in range(4))
    assert {world.status(one) for one in runs} == {Status.CANCELED}


def test_what_ended_or_was_canceled_meanwhile_is_counted_as_refused() -> None:
    scene = stage(Status.EXECUTING)
    world = scene.world
    waiting = [world.trigger("nobody") for _ in range(2)]
    order(world, Bulk("b", "cancel", ALL))
    needs = world.ledger.tick_needs(world.now)
    facts = world.book.read(needs, world.now)
    world.command(Cancel(scene.run_id, "no"), Cancel(waiting[0], "no"))
    changes = world.ledger.tick(facts, world.now, world.random.randbytes)
    (row,) = changes.bulks.values()
    assert (row.matched, row.done, row.refused) == (3, 1, 2)


def test_an_executing_run_is_told_and_a_suspended_one_is_placed_for_its_cleanup() -> None:
    executing, suspended = stage(Status.EXECUTING), stage(Status.SUSPENDED, kind="workflow")
    for scene in (executing, suspended):
        order(scene.world, Bulk("b", "cancel", ALL))
        scene.world.settle()
        assert scene.status is Status.CANCELING


def test_what_has_ended_is_run_again_and_each_new_run_says_by_which_order() -> None:
    world = World(group=10)
    ended = [world.trigger("t") for _ in range(15)]
    world.command(*(Cancel(one, "no") for one in ended))
    waits = world.trigger("t")
    canceled = RunFilter(status=["CANCELED"])
    order(world, Bulk("b", "rerun", canceled))
    first = world.tick()
    assert len(first.inserted) == 10
    world.settle()
    said = order(world, Bulk("b", "rerun", canceled))
    assert (said["status"], said["done"], said["refused"]) == ("done", 15, 0)
    again = [new.run.id for new in first.inserted]
    assert [world.book.begun.rerun_of[one] for one in again] == ended[:10]
    row = world.history(again[0])[0]
    assert row.reason.startswith(f"rerun of {ended[0]}") and row.actor == "bulk order b"
    assert len(world.book.runs) == 15 + 1 + 15 and world.status(waits) is Status.PENDING_VERSION


def test_a_full_queue_takes_no_more_reruns() -> None:
    world = World()
    ended = world.trigger("t")
    world.command(Cancel(ended, "no"), LimitQueue("default", max_size=0, create=True))
    order(world, Bulk("b", "rerun", ALL))
    world.settle()
    said = order(world, Bulk("b", "rerun", ALL))
    assert (said["done"], said["refused"]) == (0, 1) and len(world.book.runs) == 1


def test_what_began_anew_meanwhile_is_not_run_again() -> None:
    world = World()
    ended = world.trigger("t")
    world.command(Cancel(ended, "no"))
    order(world, Bulk("b", "rerun", ALL))
    facts = world.book.read(world.ledger.tick_needs(world.now), world.now)
    facts.originals.clear()
    (row,) = world.ledger.tick(facts, world.now, world.random.randbytes).bulks.values()
    assert (row.done, row.refused) == (0, 1)


def test_done_and_unknown_orders_cannot_be_aborted() -> None:
    world = World()
    order(world, Bulk("b", "cancel", ALL))
    world.settle()
    assert order(world, AbortBulk("b"))["rule"] == "bulk_done"
    assert order(world, AbortBulk("c")) == {"rule": "unknown_bulk", "text": "there is no bulk order 'c'"}


def test_another_order_under_a_known_id_is_refused_and_the_known_one_goes_on() -> None:
    world = World()
    run_id = world.trigger("t")
    order(world, Bulk("b", "cancel", RunFilter(routine="t")))
    for other in (Bulk("b", "rerun", RunFilter(routine="t")), Bulk("b", "cancel", ALL)):
        said = order(world, other)
        assert said["rule"] == "bulk_exists" and "bulk order b is another one: cancel, running" in said["text"]
    world.settle()
    assert world.status(run_id) is Status.CANCELED


def test_an_order_without_a_reply_key_is_not_answered() -> None:
    world = World()
    world.command(Bulk("b", "cancel", ALL))
    assert not world.replies and world.book.bulks["b"].status == "running"


@pytest.mark.parametrize(
    ("message", "rule", "said"),
    [
        (Bulk("no spaces", "cancel", ALL), "bulk_id", "names no bulk order"),
        (Bulk("b", "explode", ALL), "what", "'explode' is no bulk order; there are cancel, rerun"),
        (Bulk("b", "cancel"), "filter", "no condition is given: a bulk cancel of every run needs all=True"),
        (Bulk("b", "cancel", RunFilter(all=True, tag="x")), "filter", "all=True means every run"),
        (
            Bulk("b", "cancel", RunFilter(status=["COMPLETED"])),
            "status",
            "a bulk cancel is about runs that are BLOCKED",
        ),
        (Bulk("b", "cancel", RunFilter(status=["queued"])), "status", "'queued'"),
        (Bulk("b", "cancel", RunFilter(tag="x" * 257)), "tag", "tag has over 256 characters"),
        (Bulk("b", "cancel", RunFilter(routine="bad name")), "routine", "is no routine name"),
        (Bulk("b", "cancel", RunFilter(parent_id="foo")), "parent_id", "'foo' is no run id"),
        (Bulk("b", "cancel", ALL, "x" * 1001), "reason", "over 1000 characters"),
        (Bulk("b", "cancel", RunFilter(created_after=datetime(2026, 1, 1))), "created_after", "without its zone"),  # noqa: DTZ001
    ],
)
def test_an_order_that_cannot_be_is_refused_by_its_rule_and_nothing_is_stored(
    message: Bulk, rule: str, said: str
) -> None:
    world = World()
    error = order(world, message)
    assert error["rule"] == rule and said in error["text"]
    assert not world.book.bulks


def test_the_filter_is_shown_as_it_was_given() -> None:
    wanted = RunFilter(status=["QUEUED"], tag="x", created_before=datetime(2026, 1, 1, tzinfo=UTC))
    said = order(World(), Bulk("b", "cancel", wanted))
    assert said["filter"] == {"status": ["QUEUED"], "tag": "x", "created_before": "2026-01-01T00:00:00Z"}
