"""Sessions: the handshake, beats and gaps, silence counted in Marks, returns, loss, and what a Hello takes back."""

from __future__ import annotations

from longshore.core.changes import Inbound, ReportsBound, SessionReturned
from longshore.core.ids import SessionId
from longshore.core.message import (
    Abandon,
    Beat,
    Bye,
    CancelRun,
    ChildDied,
    Commands,
    Fetch,
    Held,
    Hello,
    Mark,
    Ping,
    Released,
    Report,
    Start,
    Started,
    Suspended,
    Welcome,
)
from tests.core.stages import S, Stage, hang, stage
from tests.simulation.world import World, task, workflow


def status_of(world: World, worker: SessionId) -> str:
    return next(str(row["status"]) for row in world.ledger.workers() if f"session-{row['worker_id']}" == worker)


def hellos_asked(world: World, worker: SessionId) -> int:
    return sum(isinstance(one, Ping) and one.hello for one in world.directives(worker))


def test_worker_statuses_follow_what_is_held() -> None:
    world = World()
    worker = world.join(offers=[task(), workflow()])
    seen = [status_of(world, worker)]
    world.trigger("wf")
    (start,) = world.starts(worker)
    seen.append(status_of(world, worker))
    hang(world, worker, start)
    seen.append(status_of(world, worker))
    run_id = world.trigger("t")
    seen.append(status_of(world, worker))
    world.finish(worker, world.starts(worker)[0])
    seen.append(status_of(world, worker))
    world.finish(worker, start)
    seen.append(status_of(world, worker))
    world.marks(11)
    seen.append(status_of(world, worker))
    world.say(worker, Beat())
    seen.append(status_of(world, worker))
    world.say(worker, Beat(draining=True))
    seen.append(status_of(world, worker))
    world.report(worker, Bye())
    seen.append(status_of(world, worker))
    asleep = ["HANGING", "WORKING", "HANGING"]
    assert seen == ["IDLE", "WORKING", *asleep, "IDLE", "UNRESPONSIVE", "IDLE", "TERMINATING", "CLOSED"]
    assert world.status(run_id) is S.COMPLETED


def test_a_workflow_whose_commands_come_in_parts_is_at_work_until_the_last() -> None:
    world = World()
    worker = world.join(offers=[workflow()])
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    hang(world, worker, start)
    world.report(worker, Commands(run_id, 1, world.now, None))
    assert status_of(world, worker) == "WORKING"
    world.report(worker, Commands(run_id, 1, world.now, 0))
    assert status_of(world, worker) == "HANGING"


def test_an_unresponsive_worker_gets_no_new_work_and_is_lost_after_thirty_marks_of_silence() -> None:
    scene = stage(S.EXECUTING)
    world = scene.world
    world.marks(12)
    other = world.trigger("t")
    assert (status_of(world, scene.worker), world.status(other)) == ("UNRESPONSIVE", S.QUEUED)
    world.marks(18)
    assert scene.status is S.EXECUTING
    world.marks(1)
    assert (scene.status, world.row(scene.run_id).crashes) == (S.QUEUED, 1)


def test_marks_of_another_term_count_nothing() -> None:
    world = World()
    worker = world.join(offers=[task()])
    for number in range(40):
        world.command(Mark(term=99, number=number))  # type: ignore[arg-type]
    assert status_of(world, worker) == "IDLE"


def test_our_own_new_connection_sets_every_silence_to_zero_and_asks_every_open_session_for_hello() -> None:
    scene = stage(S.EXECUTING)
    world = scene.world
    gone = world.join("gone")
    world.report(gone, Bye())
    world.marks(29)
    world.sent.clear()
    world.internal(ReportsBound(2))
    assert (hellos_asked(world, scene.worker), hellos_asked(world, gone)) == (1, 0)
    world.marks(29)
    assert scene.status is S.EXECUTING


def test_after_our_own_connect_a_return_makes_unresponsive_only() -> None:
    scene = stage(S.EXECUTING)
    world = scene.world
    world.internal(SessionReturned(scene.worker), SessionReturned(scene.worker), SessionReturned(SessionId("no")))
    world.marks(8)
    assert (scene.status, status_of(world, scene.worker)) == (S.EXECUTING, "UNRESPONSIVE")


def test_a_beat_after_a_return_asks_for_hello_but_only_hello_ends_the_doubt() -> None:
    scene = stage(S.EXECUTING)
    world = scene.world
    world.marks(9)
    for _ in range(25):
        world.say(scene.worker, Beat())
        world.marks()
    world.internal(SessionReturned(scene.worker))
    world.sent.clear()
    for _ in range(4):
        world.say(scene.worker, Beat())
        world.marks()
    assert hellos_asked(world, scene.worker) >= 4
    assert scene.status is S.EXECUTING
    world.say(scene.worker, Beat())
    world.marks()
    assert scene.world.status(scene.run_id) is S.QUEUED


def test_a_session_that_was_lost_and_speaks_is_asked_for_hello_and_its_charge_is_taken_back() -> None:
    scene = stage(S.EXECUTING)
    world = scene.world
    world.marks(31)
    assert world.row(scene.run_id).crashes == 1
    world.sent.clear()
    world.say(scene.worker, Beat())
    assert hellos_asked(world, scene.worker) == 1
    world.join("w1", offers=[task()], held=[Held(scene.run_id, 1)])
    assert world.row(scene.run_id).crashes == 0
    kinds = [type(one) for one in world.directives(scene.worker)]
    assert kinds[:2] == [Welcome, Abandon] and Start in kinds
    world.restart()
    assert not world.ledger._state.sessions[scene.worker].closed


def test_a_charge_taken_back_lets_a_run_that_was_to_be_alone_go_among_others_again() -> None:
    world = World()
    run_id = world.trigger("t")
    first = world.join("w0", offers=[task()])
    world.begin(first, world.starts(first)[0])
    Stage(world, run_id, first).lose()
    second = world.join("w1", offers=[task()])
    world.begin(second, world.starts(second)[0])
    Stage(world, run_id, second).lose()
    assert (world.row(run_id).crashes, world.ledger._state.runs[run_id].alone) == (2, True)
    world.join("w0", slots=1)
    world.join("w1", slots=1)
    assert (world.row(run_id).crashes, world.ledger._state.runs[run_id].alone) == (0, False)
    why = world.ledger.why(run_id, world.now)
    assert why is not None
    assert why["kind"] == "version", why  # nobody offers it now; nothing is said of a worker of its own
    busy = world.join("w2", offers=[task(), task("u")], slots=2)
    assert [start.run_id for start in world.starts(busy)] == [run_id]


def test_the_death_of_a_child_process_stays_charged_though_the_session_speaks() -> None:
    scene = stage(S.EXECUTING)
    scene.world.finish(scene.worker, scene.directive, "crashed")
    scene.world.report(scene.worker, Bye())
    scene.world.settle()
    scene.world.join("w1")
    assert scene.world.row(scene.run_id).crashes == 1


def test_a_stranger_is_asked_for_hello_and_nothing_of_it_is_taken() -> None:
    world = World()
    run_id = world.trigger("t")
    changes = world.take(Inbound([Started(run_id, 1, world.now)], SessionId("who"), 1))
    assert not changes.is_durable()
    assert hellos_asked(world, SessionId("who")) == 1


def test_the_word_of_a_supervisor_is_taken_once() -> None:
    scene = stage(S.EXECUTING)
    for _ in range(2):
        died: list[Report] = [ChildDied(scene.worker), ChildDied(SessionId("no")), Beat()]
        scene.world.take(Inbound(died, SessionId("supervisor")))
    assert scene.world.ledger.counts["sessions_lost"] == 1
    scene.world.take(Inbound([], SessionId("supervisor")))


def test_a_protocol_nobody_speaks_is_refused_with_advice() -> None:
    world = World()
    world.say(SessionId("s"), Hello(worker_id="w", pool="", slots=1, offers=[], protocol=7))  # type: ignore[arg-type]
    (welcome,) = world.directives(SessionId("s"))
    assert isinstance(welcome, Welcome) and "protocol 7" in welcome.refused
    assert world.ledger.workers() == []


def test_reports_are_taken_once_and_in_order() -> None:
    scene = stage(S.EXECUTING)
    world = scene.world
    late = Released(scene.run_id, 1)
    world.report(scene.worker, late, number=1)
    assert world.ledger.counts["duplicate_report"] == 1
    world.sent.clear()
    bodies = [Inbound([late], scene.worker, number) for number in (5, 6, 7)]
    world.take(*bodies)
    assert (world.ledger.counts["report_gap"], hellos_asked(world, scene.worker)) == (3, 1)
    assert scene.status is S.EXECUTING


def test_a_directive_number_that_stands_still_behind_ours_for_two_beats_is_a_gap() -> None:
    scene = stage(S.DISPATCHED)
    world = scene.world
    world.sent.clear()
    for _ in range(2):
        world.say(scene.worker, Beat(directive=0))
    assert hellos_asked(world, scene.worker) == 0
    world.say(scene.worker, Beat(directive=0))
    assert (hellos_asked(world, scene.worker), world.ledger.counts["directive_gap"]) == (1, 1)


def test_a_worker_that_holds_something_else_than_we_say_is_asked_for_hello_once_its_number_is_current() -> None:
    scene = stage(S.DISPATCHED)
    world = scene.world
    world.sent.clear()
    digest = world.ledger._state.sessions[scene.worker].digest
    for beat in (Beat(1, held=digest), Beat(0, held=1), Beat(1, held=0)):
        world.say(scene.worker, beat)
    assert hellos_asked(world, scene.worker) == 0
    world.say(scene.worker, Beat(1, held=1))
    assert (hellos_asked(world, scene.worker), world.ledger.counts["held_differs"]) == (1, 1)
    world.join("w1", offers=[task()])
    assert [start.epoch for start in world.starts(scene.worker)] == [1]


def test_hello_brings_what_the_worker_should_hold_and_takes_what_it_should_not() -> None:
    world = World()
    worker = world.join(offers=[task(), workflow()])
    one, other, flow = world.trigger("t"), world.trigger("t"), world.trigger("wf")
    starts = {start.run_id: start for start in world.starts(worker)}
    hang(world, worker, starts[flow])
    world.tick(3600)
    stranger = world.run_id()
    Stage(world, other, worker).cancel()
    world.sent.clear()
    world.join(offers=[task(), workflow()], held=[Held(other, 1), Held(stranger, 1), Held(flow, 1)])
    sent = world.directives(worker)
    assert [type(directive) for directive in sent] == [Welcome, Abandon, Start, CancelRun]
    assert (sent[1].run_id, sent[2].run_id) == (stranger, one)  # type: ignore[union-attr]
    changes = world.tick(2)
    assert [page[1] for page in changes.pages] == [flow]


def test_hello_makes_void_what_the_same_batch_had_for_the_session_before() -> None:
    world = World()
    worker = world.join(offers=[workflow()])
    run_id = world.trigger("wf")
    world.starts(worker)
    hello = Hello(worker_id="w1", pool="default", slots=4, offers=[workflow()])  # type: ignore[arg-type]
    fetch = Inbound([Fetch(run_id, 1)], worker, 1)
    changes = world.take(fetch, Inbound([hello], worker), Inbound([hello], worker))
    assert (changes.pages, changes.opened) == ([], [worker])
    assert [type(one) for one in changes.directives[worker]] == [Welcome, Start]


def test_a_workflow_that_is_not_told_back_gets_its_start_again_and_its_facts_with_it() -> None:
    scene = stage(S.HANGING, kind="workflow")
    scene.world.join("w1", offers=[workflow()])
    (start,) = scene.world.starts(scene.worker)
    assert (start.epoch, start.processed_seq) == (1, 0)


def test_fetch_is_answered_with_a_page_only_on_an_open_session() -> None:
    scene = stage(S.HANGING, kind="workflow")
    changes = scene.world.report(scene.worker, Fetch(scene.run_id, 1))
    assert changes.pages == [(scene.worker, scene.run_id, 1, -1)]
    scene.world.internal(SessionReturned(scene.worker))
    assert scene.world.report(scene.worker, Fetch(scene.run_id, 1)).pages == []


def test_a_draining_worker_gets_nothing_new_and_its_hand_backs_go_elsewhere() -> None:
    scene = stage(S.DISPATCHED)
    world = scene.world
    world.say(scene.worker, Beat(directive=1, draining=True))
    other = world.trigger("t")
    assert world.status(other) is S.QUEUED
    world.report(scene.worker, Released(scene.run_id, 1))
    second = world.join("w2", offers=[task()])
    assert [start.run_id for start in world.starts(second)] == [scene.run_id, other]


def test_what_a_leaving_worker_still_holds_goes_back_without_a_crash() -> None:
    scene = stage(S.EXECUTING)
    scene.world.report(scene.worker, Bye())
    scene.world.settle()
    row = scene.world.row(scene.run_id)
    assert (row.status, row.crashes, row.reason) == (S.QUEUED, 0, "its worker left")


def test_suspended_before_anything_began_is_put_away_all_the_same() -> None:
    scene = stage(S.DISPATCHED, kind="workflow")
    scene.world.report(scene.worker, Suspended(scene.run_id, 1, 0))
    assert scene.world.path(scene.run_id)[-4:] == ["DISPATCHED", "EXECUTING", "HANGING", "SUSPENDED"]


def test_a_task_that_says_it_is_suspended_is_not_believed() -> None:
    scene = stage(S.EXECUTING)
    scene.world.report(scene.worker, Suspended(scene.run_id, 1, 0))
    assert scene.status is S.EXECUTING
