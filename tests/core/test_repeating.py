"""Orders that come again because their answer was lost: taken once, answered again, over a restart."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest

from longshore.core.bulks import RunFilter
from longshore.core.ledger.repeating import KEPT, kinds
from longshore.core.message import (
    AbortBulk,
    Annotate,
    Answer,
    Bulk,
    Cancel,
    CreateSchedule,
    DeleteSchedule,
    Edit,
    LimitQueue,
    OpenBatch,
    Options,
    Pause,
    PauseQueue,
    PauseSchedule,
    ResetKey,
    Resume,
    ResumeSchedule,
    SealBatch,
    Signal,
    Trigger,
)
from longshore.core.metadata import INCREMENT
from longshore.core.run import Status
from tests.simulation.world import CLIENT, World

RUN: Any = "00000000-0000-7000-8000-00000000000a"


def told(world: World, order: Any) -> Answer:
    """What the order is answered with."""
    order.reply_to, order.ask_id = CLIENT, order.ask_id or "1"
    before = len(world.replies)
    world.again(deepcopy(order))
    (answer,) = [reply for _, reply in world.replies[before:] if isinstance(reply, Answer)]
    return answer


def scene(*, paused: bool = False) -> World:
    world = World()
    options = Options(delay_ms=60_000, idempotency_key="k")
    world.command(Trigger(routine="t", run_id=RUN, input=b"in", options=options, reply_to=CLIENT))
    if paused:
        world.command(Pause(RUN))
    world.command(CreateSchedule("t", "s", every_ms=60_000), LimitQueue("q", limit=1, create=True))
    return world


@pytest.mark.parametrize("restarts", [False, True], ids=["", "over a restart"])
@pytest.mark.parametrize(
    ("order", "paused"),
    [
        (Pause(RUN), False),
        (Resume(RUN), True),
        (Cancel(RUN), False),
        (Annotate(RUN, [Edit(INCREMENT, "n", 2)]), False),
        (ResetKey("t", "k"), False),
        (PauseSchedule("s"), False),
        (DeleteSchedule("s"), False),
        (PauseQueue("q"), False),
        (Bulk("b", "cancel", RunFilter(all=True)), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_order_that_comes_again_gets_the_answer_it_got_and_changes_nothing(
    order: Any, paused: bool, restarts: bool
) -> None:
    world = scene(paused=paused)
    first = told(world, order)
    assert first.error is None
    written = len(world.history(RUN)), world.status(RUN), deepcopy(world.book.metadata)
    if restarts:
        world.restart()
    assert told(world, order) == first
    assert (len(world.history(RUN)), world.status(RUN), world.book.metadata) == written
    assert world.ledger.counts["repeated_order"] == 1


def test_one_that_was_refused_is_judged_anew_and_an_order_of_another_id_is_another() -> None:
    world = scene()
    assert told(world, Resume(RUN)).error is not None and not world.book.answered
    assert told(world, Pause(RUN)).error is None
    again = Resume(RUN)
    again.ask_id = "2"
    assert told(world, again).error is None
    assert told(world, Pause(RUN)).error is None and world.status(RUN) is Status.DELAYED


def test_two_of_one_batch_are_one() -> None:
    world = scene()
    one = Annotate(RUN, [Edit(INCREMENT, "n", 1)])
    one.reply_to, one.ask_id = CLIENT, "1"
    before = len(world.replies)
    world.again(deepcopy(one), deepcopy(one))
    answers = [reply for _, reply in world.replies[before:] if isinstance(reply, Answer)]
    assert [one.data["values"] for one in answers] == [{"n": 1}, {"n": 1}]


def test_of_a_foreign_program_and_of_who_wants_no_answer_nothing_is_kept() -> None:
    world = scene()
    foreign = Pause(RUN)
    foreign.reply_to, foreign.ask_id, foreign.plain = CLIENT, "1", True
    world.command(foreign, OpenBatch("b"), SealBatch("b"), AbortBulk("x"), ResumeSchedule("s"), Signal(RUN, "s"))
    assert not world.book.answered


def test_answers_are_let_go_of_after_their_time() -> None:
    world = scene()
    told(world, Pause(RUN))
    (kept,) = world.book.answered
    assert kept.startswith(CLIENT) and timedelta(minutes=10) <= KEPT <= timedelta(days=1)


def test_every_kind_of_order_is_taken_once() -> None:
    assert {Pause, Annotate, LimitQueue, Bulk, Signal} < set(kinds())
