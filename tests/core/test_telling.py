"""What is told of runs: outcomes, traces, times, and why they wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from longshore.core.changes import ReplyReturned
from longshore.core.ids import Address, SessionId
from longshore.core.ledger.delivering import split
from longshore.core.message import (
    Ask,
    Cancel,
    Delivery,
    Failure,
    Released,
    RunChanged,
    Started,
)
from tests.core.stages import BOOM, S, Stage, ask, stage
from tests.simulation.world import CLIENT, World, task, workflow


def test_an_outcome_nobody_took_is_tried_each_minute_for_a_day() -> None:
    scene = stage(S.COMPLETED)
    world = scene.world
    world.replies.clear()
    world.internal(ReplyReturned(CLIENT, [scene.run_id, world.run_id()]))
    world.tick(59)
    assert world.outcomes(scene.run_id) == []
    world.tick(1)
    assert len(world.outcomes(scene.run_id)) == 1
    world.now += timedelta(days=1)
    world.internal(ReplyReturned(CLIENT, [scene.run_id]))
    world.tick(61)
    assert len(world.outcomes(scene.run_id)) == 1


def test_outcomes_a_crash_may_have_kept_back_go_again() -> None:
    scene = stage(S.COMPLETED)
    scene.world.replies.clear()
    quiet = scene.world.trigger("nobody")
    scene.world.book.unsent = [scene.run_id, quiet]
    scene.world.restart()
    scene.world.settle()
    assert len(scene.world.outcomes(scene.run_id)) == 1


def test_who_asks_hears_of_retries_and_the_end_until_its_key_is_gone() -> None:
    world = World()
    worker = world.join(offers=[task(max_attempts=2)])
    run_id = world.trigger("t", wants="accepted")
    unknown = world.run_id()
    world.command(Ask("outcome", "a", "one", [run_id, unknown]), Ask("outcome", "a", "two", [run_id]))
    world.internal(ReplyReturned("two", [run_id]))
    world.replies.clear()
    world.finish(worker, world.starts(worker)[0], "failed", error=BOOM, retry_after_ms=10)
    world.tick(0.01)
    world.finish(worker, world.starts(worker)[0], "failed")
    told = [(key, message.status) for key, message in world.replies if isinstance(message, RunChanged)]
    assert told == [("one", "RETRYING"), ("one", "FAILED")]
    world.command(Ask("outcome", "a", "three", [run_id]), Ask("outcome", "a", "four", [unknown]))
    world.internal(ReplyReturned("four", [unknown]))
    assert world.replies[-2][0] == "three"
    world.command(Ask("outcome", "a", "five", [world.trigger("nobody")]))
    world.internal(ReplyReturned("five", [list(world.book.runs)[-1]]))
    assert world.ledger._state.watchers == {}


def test_traces_go_from_the_trigger_over_each_attempt_and_are_made_where_asked_for() -> None:
    world = World(trace_all=True)
    worker = world.join(offers=[task()])
    world.trigger("t")
    (first,) = world.starts(worker)
    world.report(worker, Released(first.run_id, 1))
    (second,) = world.starts(worker)
    assert second.traceparent[:36] == first.traceparent[:36] and second.traceparent != first.traceparent
    assert second.previous_span == first.traceparent
    world.join(offers=[task()])
    assert [start.traceparent for start in world.starts(worker)] == [second.traceparent]


def test_the_clock_of_a_worker_is_believed_only_between_creation_and_now() -> None:
    world = World()
    worker = world.join(offers=[task()])
    run_id = world.trigger("t")
    (start,) = world.starts(worker)
    world.report(worker, Started(run_id, start.epoch, world.now - timedelta(days=9)))
    assert world.row(run_id).started_at == world.row(run_id).created_at


def test_a_long_error_is_cut_in_the_reason_and_a_missing_one_has_a_word() -> None:
    for error, word in ((None, "failed"), (type(BOOM)("x.E", "y" * 500), "..."), (type(BOOM)("x.E", ""), "x.E")):
        scene = stage(S.EXECUTING)
        scene.world.finish(scene.worker, scene.directive, "aborted", error=error)
        reason = scene.world.row(scene.run_id).reason
        assert word in reason and len(reason) < 230
    for how in ("system_failure", "crashed", "nondeterminism"):
        scene = stage(S.EXECUTING)
        scene.world.finish(scene.worker, scene.directive, how, error=None)
        assert scene.world.row(scene.run_id).reason


def test_missing_versions_are_explained_with_what_there_is() -> None:
    world = World()
    first = world.trigger("alpha")
    world.join(offers=[task("alpha"), *[task(name) for name in ("q", "r", "u", "v", "x", "y")]])
    reasons = [world.row(world.trigger(name)).reason for name in ("alpha@9.0.0", "alpa", "zzzzzz")]
    assert "no worker is here" in world.history(first)[0].reason
    assert "offered versions: 1.0.0" in reasons[0] and "did you mean alpha?" in reasons[1] and ", ..." in reasons[2]


def test_a_queued_run_names_what_holds_it_back() -> None:
    world = World()
    worker = world.join(offers=[task()], slots=1)
    executing, second, third = (world.trigger("t") for _ in range(3))
    why = world.ledger.why(third, world.now)
    assert why is not None and (why["kind"], why["holders"], why["position"]) == ("capacity", [executing], 1)
    why = world.ledger.why(world.trigger("t", pool="far"), world.now)
    assert why is not None and (why["kind"], why["holders"]) == ("worker", ["w1 (WORKING, pool default)"])
    world.marks(12)
    why = world.ledger.why(executing, world.now)
    assert why is not None and "silent for" in why["text"]
    Stage(world, executing, worker).lose()
    why = world.ledger.why(second, world.now)
    assert why is not None and why["kind"] == "version"
    assert world.ledger.why(world.run_id(), world.now) is None


def test_a_workflow_says_which_calls_it_waits_for_and_what_it_has_not_answered() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    (child,) = ask(scene.world, scene.worker, scene.directive, "nobody")
    why = scene.world.ledger.why(scene.run_id, scene.world.now)
    assert why is not None and (why["kind"], why["holders"]) == ("calls", [child])
    scene.world.command(Cancel(child))
    why = scene.world.ledger.why(scene.run_id, scene.world.now)
    assert why is not None and (why["kind"], why["holders"]) == ("worker", ["w1"])
    scene.cancel()
    scene.lose()
    why = scene.world.ledger.why(scene.run_id, scene.world.now)
    assert why is not None and "about to be placed once more" in why["text"]


def test_a_canceled_workflow_that_waits_to_be_placed_says_so() -> None:
    scene = stage(S.SUSPENDED, kind="workflow")
    scene.world.ledger._state.sessions[scene.worker].draining = True
    scene.cancel()
    why = scene.world.ledger.why(scene.run_id, scene.world.now)
    assert why is not None and "about to be placed once more" in why["text"] and why["next_at"]
    scene.world.restart()
    scene.world.join("w3", offers=[workflow()])
    assert len(scene.world.starts(SessionId("session-w3"))) == 1


def test_facts_with_heavy_failures_go_in_messages_of_their_own_whatever_the_weight_is_in() -> None:
    long = "x" * 100_000
    caused = Failure(type="E", message="m", cause=Failure(type="E", message="m", traceback=long))
    grouped = Failure(type="G", message="m", parts=[Failure(type="E", message=long), Failure(type="E", message="m")])
    plain = Failure(type="E", message="m")
    deliveries = [
        Delivery(seq=seq, kind="outcome", address=Address("0:0"), at=datetime(2026, 1, 1, tzinfo=UTC), error=error)
        for seq, error in enumerate([caused, grouped, caused, plain, plain], 1)
    ]
    assert [len(part) for part in split(deliveries)] == [2, 3]
    assert [len(part) for part in split(deliveries[3:] * 150)] == [200, 100]
