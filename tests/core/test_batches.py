"""Batches: opened by their first item, sealed with their count, aborted by silence; each item is in exactly one."""

from __future__ import annotations

from typing import Any

import pytest

from longshore.core.bulks import RunFilter
from longshore.core.errors import ProtocolError
from longshore.core.ids import Address, RunId
from longshore.core.message import (
    AbortBatch,
    Accepted,
    Answer,
    Bulk,
    Call,
    Commands,
    OpenBatch,
    Options,
    Rejected,
    SealBatch,
    Trigger,
)
from longshore.core.run import Status
from tests.core.stages import stage
from tests.simulation.world import CLIENT, World, task


def item(world: World, batch_id: str = "b", **more: Any) -> Trigger:
    options = Options(batch_id=batch_id, **more)
    return Trigger("t", world.run_id(), b"in", options, reply_to=CLIENT)


def told(world: World, kind: type = Answer) -> Any:
    """The last reply, which is of this kind."""
    reply = world.replies[-1][1]
    assert isinstance(reply, kind), reply
    return reply


def order(world: World, message: Any) -> Any:
    """What an order is answered with: its data, or the rule by which it is refused."""
    message.ask_id, message.reply_to = "ask", CLIENT
    world.command(message)
    answer = told(world)
    return answer.data if answer.error is None else answer.error["rule"]


def test_the_first_item_opens_a_batch_and_the_last_one_after_the_seal_closes_it() -> None:
    world = World()
    world.join(offers=[task()])
    items = [item(world) for _ in range(3)]
    world.command(items[0])
    assert world.book.batches["b"].status == "open" and world.book.batches["b"].runs == 1
    said = order(world, SealBatch("b", 3))
    assert (said["status"], said["items"], said["closed_at"]) == ("open", 3, None)
    world.command(*items[1:])
    batch = world.book.batches["b"]
    assert (batch.status, batch.runs, batch.reason) == ("sealed", 3, "sealed") and batch.closed_at == world.now
    assert [world.book.batch_of[one.run_id] for one in items] == ["b"] * 3


def test_an_item_that_comes_again_counts_once_even_when_the_batch_is_sealed() -> None:
    world = World()
    first = item(world)
    world.command(first, first)
    world.command(first)
    assert world.book.batches["b"].runs == 1
    assert order(world, SealBatch("b", 1))["status"] == "sealed"
    world.command(first)
    assert told(world, Accepted).existing
    world.command(item(world))
    refused = told(world, Rejected)
    assert refused.rule == "batch_sealed" and "give the rest a new batch" in refused.text
    assert world.book.batches["b"].runs == 1 and world.book.batches["b"].refused == 0


def test_what_is_refused_or_was_a_run_already_counts_as_an_item_that_came() -> None:
    world = World()
    world.command(item(world, idempotency_key="k"), item(world, idempotency_key="k"), item(world, max_attempts=0))
    assert told(world, Rejected).rule == "max_attempts"
    batch = world.book.batches["b"]
    assert (batch.runs, batch.existing, batch.refused) == (1, 1, 1)
    assert order(world, SealBatch("b", 3))["status"] == "sealed"


def test_a_batch_without_a_count_is_sealed_as_it_stands_and_twice_is_the_same() -> None:
    world = World()
    world.command(item(world))
    assert order(world, SealBatch("b"))["status"] == "sealed"
    again = order(world, SealBatch("b", 5))
    assert (again["status"], again["items"], again["runs"]) == ("sealed", None, 1)
    assert order(world, AbortBatch("b")) == "batch_sealed"
    assert order(world, OpenBatch("b"))["status"] == "sealed"


def test_an_empty_batch_is_sealed_at_once() -> None:
    assert order(World(), SealBatch("empty", 0))["status"] == "sealed"


def test_a_sender_that_falls_silent_leaves_its_batch_aborted_and_its_runs_go_on() -> None:
    world = World()
    sent = item(world)
    world.command(sent)
    world.marks(60)
    assert world.book.batches["b"].status == "open"
    world.marks(1)
    batch = world.book.batches["b"]
    assert batch.status == "aborted" and "nothing was heard of it for 60 s" in batch.reason and "1 came" in batch.reason
    assert world.status(sent.run_id) is Status.PENDING_VERSION and world.ledger.counts["batch_aborted"] == 1
    assert order(world, SealBatch("b", 1)) == "batch_aborted"
    assert order(world, AbortBatch("b"))["status"] == "aborted"
    world.command(item(world))
    assert told(world, Rejected).rule == "batch_aborted"


def test_a_seal_whose_items_do_not_come_ends_aborted_and_says_how_many_came() -> None:
    world = World()
    world.command(item(world))
    order(world, SealBatch("b", 3))
    world.marks(61)
    assert "1 of 3 came" in world.book.batches["b"].reason


def test_a_sender_that_says_it_lives_keeps_its_batch_open_and_may_set_its_patience() -> None:
    world = World()
    assert order(world, OpenBatch("b", 5_000))["status"] == "open"
    for _ in range(3):
        world.marks(5)
        assert not world.command(OpenBatch("b")).batches  # nothing new to keep
    world.marks(5)
    assert world.book.batches["b"].status == "open"
    world.marks(1)
    assert world.book.batches["b"].status == "aborted"


def test_silence_counts_anew_after_a_restart_and_the_counts_are_kept() -> None:
    world = World()
    world.command(item(world))
    world.marks(50)
    world.restart()
    world.marks(50)
    world.command(item(world))
    assert world.book.batches["b"].runs == 2 and world.book.batches["b"].status == "open"
    assert order(world, SealBatch("b", 2))["status"] == "sealed"
    world.restart()
    assert order(world, SealBatch("b", 2))["status"] == "sealed"


def test_a_sender_gives_its_batch_up_with_a_reason() -> None:
    world = World()
    world.command(item(world), AbortBatch("b", "the file ended in the middle"), item(world))
    assert told(world, Rejected).rule == "batch_aborted"
    assert world.book.batches["b"].reason == "the file ended in the middle"
    assert order(world, AbortBatch("never-seen"))["reason"] == "given up by its sender"


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        (OpenBatch("no spaces"), "batch_id"),
        (SealBatch(""), "batch_id"),
        (AbortBatch("x" * 129), "batch_id"),
        (OpenBatch("b", 999), "patience_ms"),
        (OpenBatch("b", 24 * 3600 * 1000 + 1), "patience_ms"),
        (SealBatch("b", -1), "items"),
        (SealBatch("b", (1 << 53) + 1), "items"),
    ],
)
def test_an_order_out_of_range_is_refused_by_its_rule_and_nothing_is_stored(message: Any, rule: str) -> None:
    world = World()
    assert order(world, message) == rule
    assert not world.book.batches


def test_an_item_that_names_no_batch_is_refused_and_nothing_is_stored() -> None:
    world = World()
    world.command(item(world, "no spaces"))
    assert told(world, Rejected).rule == "batch_id"
    assert not world.book.batches and not world.book.runs


def test_only_so_many_batches_are_open_at_a_time() -> None:
    world = World(open_batches=1)
    world.command(item(world, "one"), item(world, "two"))
    assert told(world, Rejected).rule == "open_batches"
    assert order(world, SealBatch("two", 1)) == "open_batches"
    assert order(world, SealBatch("one", 1))["status"] == "sealed"
    world.command(item(world, "two"))
    assert world.book.batches["two"].runs == 1


def test_batches_and_bulk_orders_that_are_over_are_forgotten_after_a_month() -> None:
    world = World()
    order(world, SealBatch("old", 0))
    order(world, Bulk("old", "cancel", RunFilter(all=True)))
    world.settle()
    world.tick(29 * 24 * 3600)
    assert world.book.batches and world.book.bulks
    order(world, OpenBatch("young"))
    world.tick(2 * 24 * 3600)
    assert list(world.book.batches) == ["young"] and not world.book.bulks


def test_an_order_without_a_reply_key_is_not_answered() -> None:
    world = World()
    world.command(OpenBatch("b"))
    assert not world.replies and world.book.batches["b"].status == "open"


def test_a_call_inside_a_workflow_is_no_item_of_a_batch() -> None:
    scene = stage(Status.EXECUTING, kind="workflow")
    call = Call(Address("0:0"), "t", "d", b"x", RunId(scene.world.run_id()), options=Options(batch_id="b"))
    report = Commands(scene.run_id, scene.directive.epoch, scene.world.now, upto_seq=0, calls=[call])
    with pytest.raises(ProtocolError, match="batch_id is for what is triggered"):
        scene.world.report(scene.worker, report)
