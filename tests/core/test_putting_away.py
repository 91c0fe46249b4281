"""A workflow that is put away: not in memory, woken by what it waits for, and not for each of many children."""

from __future__ import annotations

from datetime import timedelta

from longshore.core.ids import Address, RunId, SessionId
from longshore.core.message import Cancel, ChildDied, Commands, Finished, Start, Suspended, Timer
from longshore.core.run import Status
from tests.core.stages import ask
from tests.simulation.world import World, task, workflow

S = Status


class Parent:
    """A workflow that has called `width` tasks and is put away; it was woken for the first of them, and put away
    again."""

    def __init__(self, width: int, *, wakened: bool = True) -> None:
        self.world = World()
        self.worker = self.world.join(offers=[task(), workflow()], slots=width)
        self.run_id = self.world.trigger("wf")
        (self.start,) = self.world.starts(self.worker)
        self.children = ask(self.world, self.worker, self.start, *["t"] * width)
        self.tasks = self.world.starts(self.worker)
        assert len(self.tasks) == width
        self.put_away()
        if wakened:
            self.end_one()
            self.go_on()
            self.put_away()

    def status(self) -> Status:
        """Where it stands."""
        return self.world.status(self.run_id)

    def end_one(self) -> None:
        """One more child completes."""
        self.world.finish(self.worker, self.tasks.pop())

    def go_on(self) -> None:
        """Its worker has it again, and says that the code waits."""
        assert self.status() is S.DISPATCHED
        (self.start,) = self.world.starts(self.worker)
        self.world.report(self.worker, Commands(self.run_id, self.start.epoch, self.world.now, self.start.last_seq))

    def put_away(self) -> None:
        """Its worker puts it away."""
        upto = self.world.row(self.run_id).flow.last_seq  # type: ignore[union-attr]
        self.world.report(self.worker, Suspended(self.run_id, self.start.epoch, upto))
        assert self.status() is S.SUSPENDED
        assert self.run_id not in self.world.ledger._state.runs


def test_the_first_of_many_children_wakes_their_parent_at_once() -> None:
    parent = Parent(5, wakened=False)
    parent.end_one()
    assert parent.status() is S.DISPATCHED
    assert parent.world.path(parent.run_id)[-3:] == ["SUSPENDED", "QUEUED", "DISPATCHED"]
    assert parent.world.history(parent.run_id)[-2].reason == "some of its calls have ended"


def test_a_parent_of_many_children_is_not_woken_for_each_but_every_five_seconds() -> None:
    parent = Parent(6)
    parent.end_one()
    parent.world.tick(2)
    parent.end_one()
    parent.world.tick(2.9)
    assert parent.status() is S.SUSPENDED
    assert len(parent.world.book.delivery_log(parent.run_id)) == 3, "each end is in the log at once"
    parent.world.tick(0.1)
    assert parent.status() is S.DISPATCHED
    (start,) = parent.world.starts(parent.worker)
    assert (start.last_seq, start.processed_seq) == (3, 1)


def test_a_resting_parent_that_nothing_came_for_is_woken_by_the_next_child_at_once() -> None:
    parent = Parent(3)
    parent.world.tick(5)
    assert parent.status() is S.SUSPENDED
    parent.end_one()
    assert parent.status() is S.DISPATCHED


def test_the_last_open_call_wakes_a_resting_parent_at_once() -> None:
    parent = Parent(4)
    parent.end_one()
    parent.end_one()
    assert parent.status() is S.SUSPENDED
    parent.end_one()
    assert parent.status() is S.DISPATCHED
    assert parent.world.history(parent.run_id)[-2].reason == "a delivery came"


def test_all_the_others_in_one_batch_wake_it_too() -> None:
    parent = Parent(4)
    batch = [parent.tasks.pop() for _ in range(3)]
    now = parent.world.now
    parent.world.report(parent.worker, *[Finished(t.run_id, t.epoch, "completed", now, now, b"out") for t in batch])
    assert parent.status() is S.DISPATCHED
    (start,) = parent.world.starts(parent.worker)
    assert start.last_seq == 4


def test_a_timer_wakes_a_resting_parent_at_its_time() -> None:
    parent = Parent(3, wakened=False)
    parent.end_one()
    (parent.start,) = parent.world.starts(parent.worker)
    timer = Timer(Address("0:9"), "d", parent.world.now + timedelta(seconds=2), asked_seq=1)
    parent.world.report(
        parent.worker, Commands(parent.run_id, parent.start.epoch, parent.world.now, upto_seq=1, timers=[timer])
    )
    parent.put_away()
    parent.end_one()
    parent.world.tick(1.9)
    assert parent.status() is S.SUSPENDED
    parent.world.tick(0.1)
    assert parent.status() is S.DISPATCHED


def test_a_cancel_finds_a_resting_parent_with_all_it_was_told() -> None:
    parent = Parent(3)
    parent.end_one()
    parent.world.command(Cancel(parent.run_id, "no"))
    assert parent.status() is S.CANCELING
    (start,) = parent.world.starts(parent.worker)
    assert start.last_seq == 3 and start.canceling == "no"
    assert [delivery.kind for delivery in parent.world.book.delivery_log(parent.run_id)] == [
        "outcome",
        "outcome",
        "cancel",
    ]


def test_what_should_be_woken_is_found_after_a_restart() -> None:
    parent = Parent(3)
    parent.end_one()
    parent.world.restart()
    parent.world.join(offers=[task(), workflow()], slots=3)
    parent.world.tick(4.9)
    assert parent.status() is S.SUSPENDED
    parent.world.tick(0.2)
    assert parent.status() is S.DISPATCHED


def test_facts_that_came_before_it_was_put_away_wake_it_at_once() -> None:
    parent = Parent(4, wakened=False)
    parent.end_one()
    parent.go_on()
    parent.end_one()
    parent.world.report(parent.worker, Suspended(parent.run_id, parent.start.epoch, 1))
    assert parent.status() is S.DISPATCHED, "what was sent to its worker is not kept waiting"


def test_a_parent_whose_worker_was_lost_does_not_rest() -> None:
    parent = Parent(4, wakened=False)
    parent.end_one()
    parent.go_on()
    parent.world.say(parent.worker, ChildDied(parent.worker))
    parent.worker = parent.world.join("w2", offers=[task(), workflow()], slots=4)
    assert parent.status() is S.SUSPENDED
    (child, *_) = parent.world.starts(parent.worker)
    parent.world.finish(parent.worker, child)
    assert parent.status() is S.DISPATCHED


def test_why_a_resting_parent_waits_is_said_with_its_time() -> None:
    parent = Parent(3)
    parent.end_one()
    why = parent.world.ledger.why(parent.run_id, parent.world.now, parent.world.row(parent.run_id))
    assert why is not None and why["kind"] == "calls"
    assert "1 fact(s) have come" in why["text"]
    assert why["next_at"] == parent.world.now + timedelta(seconds=5)


def hanging(world: World, worker: SessionId, starts: list[Start]) -> None:
    """These workflows wait for a month."""
    for start in starts:
        due = world.now + timedelta(days=30)
        commands = Commands(start.run_id, start.epoch, world.now, 0, timers=[Timer(Address("0:0"), "d", due)])
        world.report(worker, commands)


def test_nothing_is_kept_in_memory_of_thousands_that_are_put_away() -> None:
    world = World()
    worker = world.join(offers=[workflow()])
    ids: list[RunId] = []
    for _ in range(3):
        ids += [world.trigger("wf") for _ in range(1000)]
        starts = world.starts(worker)
        while starts:
            hanging(world, worker, starts)
            for start in starts:
                world.report(worker, Suspended(start.run_id, start.epoch, 0))
            starts = world.starts(worker)
        world.tick(3)
    assert {world.status(run_id) for run_id in ids} == {S.SUSPENDED}
    state = world.ledger._state
    assert world.ledger.size == 0 and not state.sessions[worker].held
    assert len(state.alarms) < 1100 and sum(len(lane.heap) for lane in state.lanes.all.values()) == 0
    assert not state.unanswered


def test_alarms_of_one_that_is_woken_and_put_away_again_and_again_do_not_pile_up() -> None:
    parent = Parent(3, wakened=False)
    state = parent.world.ledger._state
    parent.world.command()
    run = parent.world.row(parent.run_id)
    run.deadline_at = parent.world.now + timedelta(days=3)
    for _ in range(3):
        state.wake_at(run.deadline_at, run.id, "deadline")
    for number in range(3000):
        state.wake_at(parent.world.now + timedelta(hours=1 + number % 2), parent.children[0], "timer")
    parent.world.tick(1)
    assert len(state.alarms) == 2, "one of each for a run in memory, none for one that is not"
