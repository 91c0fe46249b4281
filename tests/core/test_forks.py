"""Forks: which runs can be run again from which calls, and what the new run begins with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from longshore.core.changes import Inbound
from longshore.core.ids import Address, RunId, SessionId
from longshore.core.message import (
    Accepted,
    Answer,
    Beat,
    Call,
    Cancel,
    ChildDied,
    Commands,
    CompleteToken,
    Deliver,
    Fork,
    Signal,
    Start,
    Suspended,
    Timer,
    Trigger,
    Wait,
)
from longshore.core.run import Status
from tests.core.stages import BOOM, S, stage
from tests.simulation.world import EPOCH, World, task, workflow

A, B, C, D = (Address(f"0:{n}") for n in range(4))
HOUR = timedelta(hours=1)


class Story:
    """A workflow in a world, and what it asks for."""

    def __init__(self, **options: Any) -> None:
        self.world = World()
        self.worker = self.world.join(offers=[workflow(), workflow(version="2.0.0"), task()], slots=50)
        self.run_id = self.world.trigger("wf@1.0.0", **options)
        self.start = self.next_start()
        self.children: dict[Address, RunId] = {}
        self.starts: dict[RunId, Start] = {}

    def next_start(self) -> Start:
        return next(one for one in self.world.starts(self.worker) if one.routine == "wf")

    def ask(self, seq: int, *addresses: Address, upto: int | None = -1, **more: Any) -> None:
        """The code calls these in this pump."""
        fresh = {address: self.world.run_id() for address in addresses}
        self.children |= fresh
        calls = [Call(address, "t", "d", b"x", child, asked_seq=seq) for address, child in fresh.items()]
        self.tell(
            Commands(
                self.start.run_id, self.start.epoch, self.world.now, seq if upto == -1 else upto, calls=calls, **more
            )
        )

    def tell(self, *reports: Any) -> None:
        self.world.report(self.worker, *reports)
        self.world.settle()

    def answer(self, address: Address, how: str = "completed") -> None:
        """The child at this address ends."""
        self.starts |= {one.run_id: one for one in self.world.starts(self.worker)}
        error = None if how == "completed" else BOOM
        self.world.finish(self.worker, self.starts[self.children[address]], how, error=error)

    def fail(self, upto: int) -> None:
        """The workflow raises."""
        self.world.finish(self.worker, self.start, "failed", error=BOOM, upto_seq=upto)
        self.world.settle()

    def fork(self, at: Address, **more: Any) -> Answer:
        """A client's order, and what it is answered."""
        run_id = more.pop("run_id", self.run_id)
        self.world.command(Fork(run_id, at, ask_id="ask", reply_to="client", **more))
        answer = next(one for _, one in reversed(self.world.replies) if isinstance(one, Answer))
        return answer

    def forked(self, at: Address, **more: Any) -> RunId:
        answer = self.fork(at, **more)
        assert answer.error is None, answer.error
        return RunId(answer.data["run_id"])

    def told(self, run_id: RunId) -> list[tuple[int, str, str, str]]:
        """The facts in a journal: seq, kind, address, status."""
        return [(row.seq, row.kind, row.address, row.status) for row in self.world.book.delivery_log(run_id)]

    def asked(self, run_id: RunId) -> set[Address]:
        return {row.address for row in self.world.book.call_rows(run_id)}


def three_stages() -> Story:
    """One call, then two at once of which one fails, and the workflow with it."""
    story = Story(tags=["x"], queue="special", priority=7.0, deadline_ms=3_600_000)
    story.ask(0, A)
    story.world.tick(1)
    story.answer(A)
    story.ask(1, B, C)
    story.world.tick(1)
    story.answer(B, "failed")
    story.ask(2)
    story.world.tick(1)
    story.answer(C)
    story.fail(3)
    return story


# -------------------------------------------------------------------------------------------------- what it begins with


def test_a_fork_is_a_new_run_that_keeps_what_came_before_the_call_and_what_others_brought_after_it() -> None:
    story = three_stages()
    world = story.world
    world.tick(600)
    answer = story.fork(B, by="ann@ship")
    run_id = RunId(answer.data["run_id"])
    assert answer.data == {"run_id": run_id, "status": "QUEUED", "forked_from": story.run_id}
    first = world.history(run_id)[0]
    assert (first.from_status, first.to_status) == ("", "QUEUED")
    assert first.reason == f"forked from {story.run_id} at {B} by ann@ship"
    assert story.told(run_id) == [(1, "outcome", A, "COMPLETED"), (2, "outcome", C, "COMPLETED")]
    assert [row.at for row in world.book.delivery_log(run_id)] == [EPOCH + timedelta(seconds=1), world.now]
    assert story.asked(run_id) == {A, C}
    source, row = world.row(story.run_id), world.row(run_id)
    assert (row.queue, row.priority, row.asked_version, row.root_id) == ("special", 7.0, "1.0.0", run_id)
    assert row.attempt_at == source.attempt_at and row.deadline_at == world.now + HOUR
    assert (world.book.inputs[run_id], world.book.tags[run_id]) == (b"in", ["x"])
    start = story.next_start()
    assert (start.run_id, start.attempt, start.version, start.parent_id) == (run_id, 1, "1.0.0", "")
    assert (start.last_seq, start.processed_seq, start.forked_seq, start.seed) == (2, 0, 1, story.run_id)
    assert start.started_at == EPOCH


def test_a_fork_goes_on_by_itself_and_the_run_it_came_from_is_as_it_was() -> None:
    story = three_stages()
    world = story.world
    before = world.history(story.run_id)[:]
    run_id = story.forked(B)
    story.start = story.next_start()
    story.ask(1, B, upto=2)
    assert world.status(run_id) is S.HANGING
    story.answer(B)
    assert story.told(run_id)[2:] == [(3, "outcome", B, "COMPLETED")]
    world.finish(story.worker, story.start, result=b"well")
    assert world.status(run_id) is S.COMPLETED and world.book.results[run_id] == b"well"
    assert world.history(story.run_id) == before and world.status(story.run_id) is S.FAILED


def test_what_was_open_at_the_cut_is_asked_anew_and_so_is_the_first_pump_of_it() -> None:
    story = Story()
    timer = Timer(D, "d", story.world.now + HOUR)
    story.ask(0, A, B, timers=[timer])
    story.answer(A)
    story.ask(1, C)
    run_id = story.forked(C)
    assert story.asked(run_id) == {A} and story.told(run_id) == [(1, "outcome", A, "COMPLETED")]
    start = story.next_start()
    assert (start.processed_seq, start.forked_seq) == (-1, 1)
    assert world_timers(story, run_id) == {}


def world_timers(story: Story, run_id: RunId) -> dict[Address, timedelta]:
    """From now until each timer of a run."""
    flow = story.world.row(run_id).flow
    assert flow is not None
    return {address: at - story.world.now for address, at in flow.timers.items()}


def test_a_time_asked_for_up_to_the_cut_counts_on_from_the_fork_and_an_instant_stays_what_it_is() -> None:
    story = Story()
    world = story.world
    story.ask(0, A, timers=[Timer(D, "d", world.now + HOUR)])
    world.tick(600)
    story.answer(A)
    story.ask(1, B)
    world.tick(7200)
    run_id = story.forked(B)
    story.start = story.next_start()
    world.tick(60)
    begun = EPOCH
    timers = [
        Timer(D, "d", begun + HOUR),
        Timer(Address("0:8"), "d", begun + 3 * HOUR, instant=True),
        Timer(Address("0:9"), "d", world.now + HOUR, asked_seq=2),
    ]
    waits = [Wait(Address("0:7"), "token", "secret", "d", 1, due_at=begun + HOUR)]
    story.ask(1, B, timers=timers, waits=waits)
    left = timedelta(minutes=50)
    assert world_timers(story, run_id) == {
        D: left,
        Address("0:7"): left,
        Address("0:8"): begun + 3 * HOUR - world.now,
        Address("0:9"): HOUR,
    }
    assert world.book.tokens["secret"].expires_at == world.now + left


def test_the_days_between_a_run_and_its_forks_are_no_time_to_a_timer_that_was_asked_for_before_them() -> None:
    """An hour was asked for at the beginning; each of three runs has lived ten minutes of it when it is forked."""
    story, begun = Story(), EPOCH
    world = story.world
    timer = Timer(D, "d", begun + HOUR)
    story.ask(0, A, timers=[timer])
    run_id = story.run_id
    for seq, (address, following) in enumerate([(A, B), (B, C), (C, Address("0:4"))], 1):
        world.tick(600)
        story.answer(address)
        story.ask(seq, following)
        world.tick(86_400)
        run_id = story.forked(following, run_id=run_id)
        story.start = story.next_start()
        story.ask(seq, following, timers=[timer])
        assert world_timers(story, run_id) == {D: HOUR - seq * timedelta(minutes=10)}
    flow = world.row(run_id).flow
    assert flow is not None and [cut for cut, _ in flow.cuts] == [1, 2]
    again = story.forked(C, run_id=run_id)
    story.start = story.next_start()
    story.ask(2, C, timers=[timer])
    assert world_timers(story, again) == {D: HOUR - timedelta(minutes=20)}


def test_a_call_of_the_first_pump_is_forked_from_the_beginning() -> None:
    story = Story()
    story.ask(0, A)
    story.answer(A, "failed")
    story.fail(1)
    story.world.tick(60)
    run_id = story.forked(A)
    start = story.next_start()
    assert (start.last_seq, start.processed_seq, start.forked_seq) == (0, -1, 0)
    story.start = start
    story.ask(0, A, timers=[Timer(D, "d", EPOCH + HOUR)])
    assert world_timers(story, run_id) == {D: HOUR}


def test_what_was_canceled_after_the_cut_is_asked_anew() -> None:
    story = Story()
    story.ask(0, A, B)
    story.answer(A, "failed")
    story.ask(1, closed=[B])
    story.answer(B, "canceled")
    story.fail(2)
    run_id = story.forked(A)
    assert story.asked(run_id) == set() and story.told(run_id) == []


def test_signals_and_patches_are_kept_and_a_timer_that_fired_after_the_cut_is_not() -> None:
    story = Story()
    world = story.world
    waits = [Wait(C, "signal", "go", "d"), Wait(Address("patch:p"), "patch", "p", "d")]
    story.ask(0, A, timers=[Timer(D, "d", world.now + HOUR)], waits=waits)
    world.command(Signal(story.run_id, "early", b"1", "id-1"))
    story.answer(A)
    story.ask(2, B)
    world.command(Signal(story.run_id, "go", b"2", "id-2"))
    world.tick(3601)
    assert [kind for _, kind, _, _ in story.told(story.run_id)] == ["signal", "outcome", "signal", "timer"]
    run_id = story.forked(B)
    assert story.told(run_id) == [
        (1, "signal", "id-1", "early"),
        (2, "outcome", A, "COMPLETED"),
        (3, "signal", "id-2", "go"),
    ]
    assert story.asked(run_id) == {A, C, "patch:p"}
    flow = world.row(run_id).flow
    assert flow is not None and (flow.unread, flow.unread_bytes) == (2, 2)


def test_a_fork_of_a_fork_draws_from_the_chance_of_the_first_run() -> None:
    story = three_stages()
    story.start = (story.forked(B), story.next_start())[1]
    story.ask(1, B, upto=2)
    again = story.forked(B, run_id=story.start.run_id)
    assert story.next_start().seed == story.run_id
    assert story.world.history(again)[0].reason == f"forked from {story.start.run_id} at {B}"


def test_a_fork_has_its_own_next_generation() -> None:
    story = three_stages()
    story.forked(B)
    story.start = story.next_start()
    story.ask(1, B, upto=2)
    story.world.finish(story.worker, story.start, "continued", result=b"next")
    story.world.settle()
    start = story.next_start()
    assert (start.generation, start.forked_seq, start.seed, start.last_seq) == (1, -1, "", 0)


def test_a_fork_of_a_later_generation_keeps_its_number() -> None:
    story = Story()
    story.world.finish(story.worker, story.start, "continued", result=b"next")
    story.start = story.next_start()
    story.ask(0, A)
    story.answer(A, "failed")
    story.fail(1)
    run_id = story.forked(A)
    assert (story.next_start().generation, story.world.book.inputs[run_id]) == (1, b"next")


def test_a_fork_onto_a_version_nobody_offers_waits_for_it() -> None:
    story = three_stages()
    answer = story.fork(B, version="3.0.0")
    assert answer.data["status"] == "PENDING_VERSION"
    run_id = RunId(answer.data["run_id"])
    reason = story.world.row(run_id).reason
    assert reason.startswith(
        f"forked from {story.run_id} at {B}; no worker offers wf@3.0.0; offered versions: 2.0.0, 1.0"
    )
    story.world.join("w2", offers=[workflow(version="3.0.0")])
    (start,) = story.world.starts(SessionId("session-w2"))
    assert (start.run_id, start.version) == (run_id, "3.0.0")


def test_a_fork_that_has_not_begun_is_canceled_at_once_and_keeps_its_version_when_handed_back() -> None:
    story = three_stages()
    story.world.say(story.worker, Beat(draining=True))
    run_id = story.forked(B)
    assert story.world.status(run_id) is S.QUEUED
    story.world.command(Cancel(run_id, "no"))
    assert story.world.status(run_id) is S.CANCELED


def test_a_fork_whose_worker_dies_goes_on_elsewhere_with_what_it_had() -> None:
    story = three_stages()
    run_id = story.forked(B)
    story.start = story.next_start()
    story.tell(Commands(run_id, story.start.epoch, story.world.now))
    story.world.say(story.worker, ChildDied(story.worker, "signal 9"))
    story.world.restart()
    worker = story.world.join("w2", offers=[workflow(), task()])
    (start,) = story.world.starts(worker)
    assert (start.run_id, start.epoch) == (run_id, 2)
    assert (start.last_seq, start.processed_seq, start.forked_seq, start.seed) == (2, 0, 1, story.run_id)


def test_the_same_order_again_is_the_same_fork() -> None:
    story = three_stages()
    own = story.world.run_id()
    assert story.forked(B, fork_id=own) == own
    assert story.forked(B, fork_id=own) == own
    story.start = story.next_start()
    story.world.finish(story.worker, story.start)
    assert story.fork(B, fork_id=own).data["status"] == "COMPLETED"
    assert len(story.world.book.runs) == 5  # the workflow, its three children, the fork


def test_the_same_order_in_the_very_batch_that_puts_the_run_away_is_the_same_run() -> None:
    story = three_stages()
    own = story.forked(B, fork_id=story.world.run_id())
    story.start = story.next_start()
    story.ask(1, B, upto=2)
    world = story.world
    fork = Fork(story.run_id, B, fork_id=own, ask_id="ask", reply_to="client")
    number = world.numbers[story.worker] + 1
    away = Inbound([Suspended(own, story.start.epoch, 2)], story.worker, number)
    world.take(away, Inbound(messages=[fork, Trigger("wf", own, reply_to="client")]))
    (_, answer), (_, accepted) = world.replies[-2:]
    assert isinstance(answer, Answer) and answer.data["status"] == "SUSPENDED"
    assert isinstance(accepted, Accepted) and (accepted.status, accepted.existing) == ("SUSPENDED", True)


def test_an_order_without_an_address_for_the_answer_is_an_order() -> None:
    story = three_stages()
    story.world.command(Fork(story.run_id, B), Fork(story.run_id, D))
    (run,) = [run for run in story.world.book.runs.values() if run.routine == "wf" and run.id != story.run_id]
    assert run.wants_outcome is False


def test_who_wants_the_outcome_of_a_fork_is_told() -> None:
    story = three_stages()
    run_id = story.forked(B, wants="outcome", plain=True)
    story.world.finish(story.worker, story.next_start(), result=b"well")
    (outcome,) = story.world.outcomes(run_id)
    assert (outcome.status, outcome.correlation_id) == ("COMPLETED", "ask")  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------------------------- tokens


def with_token(*, until: timedelta | None = None) -> Story:
    """A workflow that has made a token before its call, which fails; it still waits."""
    story = Story()
    due_at = None if until is None else story.world.now + until
    story.ask(0, A, waits=[Wait(D, "token", "secret", "d", due_at=due_at)])
    story.world.tick(60)
    story.answer(A)
    story.ask(1, B)
    story.answer(B, "failed")
    return story


def pay(story: Story) -> Answer:
    story.world.command(CompleteToken("secret", b"paid", ask_id="pay", reply_to="client"))
    answer = next(one for _, one in reversed(story.world.replies) if isinstance(one, Answer))
    return answer


def test_an_open_token_belongs_to_the_run_that_waits_for_it() -> None:
    story = with_token()
    answer = story.fork(B)
    assert answer.error is not None and answer.error["rule"] == "open_token"
    assert answer.error["text"] == (
        f"the token secret, made before that call, is open, and run {story.run_id} waits for it: "
        "complete it first, or cancel the run"
    )


def test_an_open_token_goes_over_to_the_fork_of_a_run_that_has_ended_and_no_further() -> None:
    story = with_token(until=HOUR)
    story.fail(2)
    story.world.tick(7200)
    run_id = story.forked(B)
    assert story.asked(run_id) == {A, D}
    assert world_timers(story, run_id) == {D: timedelta(minutes=59)}
    assert story.world.book.tokens["secret"].expires_at == story.world.now + timedelta(minutes=59)
    second = story.fork(B)
    assert second.error == {
        "rule": "open_token",
        "text": f"the token secret, made before that call, has gone over to run {run_id}: fork that one",
    }
    assert pay(story).data == {"run_id": run_id, "completed": True, "text": f"run {run_id} is told"}
    assert story.told(run_id)[-1] == (2, "token", D, "COMPLETED")


def test_a_token_that_is_forgotten_can_be_completed_for_nobody() -> None:
    story = with_token()
    story.fail(2)
    story.world.book.tokens["secret"].run_id = RunId("")  # as if it were gone: no journal is kept for less long
    text = "the token secret, made before that call, is forgotten: choose a call before it was made"
    refused(story, B, "open_token", text)


def test_in_one_batch_the_first_fork_gets_the_open_token_and_is_told() -> None:
    story = Story()
    story.ask(0, A, waits=[Wait(D, "token", "secret", "d")])
    story.answer(A)
    story.ask(1, B, waits=[Wait(C, "token", "another", "d", 1)])
    story.fail(1)
    forks = [Fork(story.run_id, at, ask_id=at, reply_to="client") for at in (A, B)]
    story.world.take(Inbound(messages=[*forks, CompleteToken("secret", b"paid", ask_id="pay", reply_to="client")]))
    first, second, paid = [one for _, one in story.world.replies if isinstance(one, Answer)]
    assert second.error is not None and "the token secret, made before that call, has gone over" in second.error["text"]
    assert paid.data["run_id"] == first.data["run_id"] and paid.data["completed"] is True
    assert story.world.book.tokens["another"].run_id == story.run_id


def test_a_token_that_was_completed_or_has_expired_is_kept_with_what_came_of_it() -> None:
    paid, late = with_token(), with_token(until=HOUR)
    pay(paid)
    late.world.tick(3600)
    for story, kind in ((paid, "token"), (late, "timer")):
        run_id = story.forked(B)
        assert story.asked(run_id) == {A, D}
        assert [(seq, what, at) for seq, what, at, _ in story.told(run_id)] == [(1, "outcome", A), (2, kind, D)]
        assert world_timers(story, run_id) == {}


# ---------------------------------------------------------------------------------------------------------- refusals


def refused(story: Story, at: Address, rule: str, text: str, **more: Any) -> None:
    """It is refused by this rule and in these words, and nothing changes but a row of its history."""
    runs = set(story.world.book.runs)
    answer = story.fork(at, **more)
    assert answer.error == {"rule": rule, "text": text}
    assert set(story.world.book.runs) == runs
    last = story.world.history(more.get("run_id", story.run_id))[-1]
    assert (last.valid, last.reason, last.from_status) == (False, f"fork refused: {text}", last.to_status)


def test_a_fork_of_what_is_no_run_is_refused() -> None:
    story = three_stages()
    answer = story.fork(A, run_id=RunId("nobody"))
    assert answer.error == {"rule": "unknown_run", "text": "there is no run nobody"}


def test_a_fork_at_what_is_no_call_is_refused_with_those_that_are_near() -> None:
    story = three_stages()
    text = f"no call is recorded at '0:9' of run {story.run_id}; near it are 0:0 (t), 0:1 (t), 0:2 (t)"
    refused(story, Address("0:9"), "unknown_address", text)
    other = Story()
    other.ask(0, timers=[Timer(D, "d", other.world.now + HOUR)])
    text = f"what is recorded at 0:3 of run {other.run_id} is a timer, no call; it has recorded no call"
    refused(other, D, "not_a_call", text)


def test_a_fork_of_what_is_no_workflow_or_has_not_begun_is_refused() -> None:
    story = three_stages()
    child = story.children[A]
    text = f"run {child} of t is a task: only workflows are forked; trigger it anew"
    refused(story, A, "not_a_workflow", text, run_id=child)
    waits = story.world.trigger("nobody")
    text = f"run {waits} has not begun: there is nothing to keep; trigger it anew"
    refused(story, A, "not_begun", text, run_id=waits)


def test_a_fork_at_a_call_of_the_cleanup_is_refused() -> None:
    story = Story()
    story.ask(0, A)
    story.world.command(Cancel(story.run_id, "no"))
    story.ask(1, B)
    text = f"the call at {B} was made when run {story.run_id} had been told of its cancel: choose one before it"
    refused(story, B, "behind_cancel", text)
    assert story.told(story.forked(A)) == []


@pytest.mark.parametrize(
    ("more", "rule", "words"),
    [
        ({"version": "newest"}, "version", "'newest' is no version: major.minor.patch, optionally with -dev"),
        ({"version": "5.0.0"}, "not_a_workflow", "wf@5.0.0 is a task: it cannot go on with a workflow's journal"),
        ({"fork_id": "mine"}, "fork_id", "'mine' is no id for a new run: give another UUID in canonical form, or none"),
    ],
)
def test_a_fork_onto_no_version_or_under_no_id_is_refused(more: dict[str, Any], rule: str, words: str) -> None:
    story = three_stages()
    story.world.join("w5", offers=[task("wf", "5.0.0")])
    refused(story, B, rule, words, **more)


def test_a_run_is_not_forked_onto_itself() -> None:
    story = three_stages()
    words = f"{story.run_id!r} is no id for a new run: give another UUID in canonical form, or none"
    refused(story, B, "fork_id", words, fork_id=story.run_id)


@pytest.mark.parametrize("status", [S.HANGING, S.SUSPENDED])
def test_a_refused_fork_stands_in_the_history_of_a_run_that_goes_on(status: Status) -> None:
    scene = stage(status, kind="workflow")
    scene.world.command(Fork(scene.run_id, A, ask_id="ask", reply_to="client"))
    last = scene.world.history(scene.run_id)[-1]
    assert (last.valid, last.to_status) == (False, status.value) and last.reason.startswith("fork refused: ")
    assert scene.world.status(scene.run_id) is status


def test_a_fork_is_told_what_comes_while_it_waits_for_a_worker() -> None:
    story = three_stages()
    story.world.say(story.worker, Beat(draining=True))
    run_id = story.forked(B)
    story.world.directives(story.worker)
    story.world.command(Signal(run_id, "go", b"1", "id-1"))
    assert story.told(run_id)[-1] == (3, "signal", "id-1", "go")
    assert not [one for one in story.world.directives(story.worker) if isinstance(one, Deliver)]
