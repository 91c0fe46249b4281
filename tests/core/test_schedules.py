"""Schedules: orders on them, one run per tick whatever clock and coordinator do, what is missed, what overlaps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.core.ids import RunId
from longshore.core.message import (
    Accepted,
    Answer,
    ClaimCheck,
    CreateSchedule,
    Debounce,
    DeleteSchedule,
    LimitQueue,
    Options,
    PauseSchedule,
    ResumeSchedule,
)
from longshore.core.run import Status
from longshore.core.schedules import ScheduledTick, spread_of
from tests.simulation.world import EPOCH, World, task, workflow

MINUTE = timedelta(minutes=1)
DAY = 86_400.0


def say(world: World, order: Any) -> Answer:
    """Give an order; its answer."""
    order.ask_id, order.reply_to = "ask", "client"
    world.command(order)
    _, answer = world.replies[-1]
    assert isinstance(answer, Answer)
    return answer


def create(world: World, **more: Any) -> dict[str, Any]:
    """Create a schedule `s` of the task `t`; the data of the answer."""
    if not more.keys() & {"cron", "every_ms"}:
        more["every_ms"] = 60_000
    answer = say(world, CreateSchedule("t", **{"schedule_id": "s", **more}))
    assert answer.error is None, answer
    data: dict[str, Any] = answer.data
    return data


def refused(world: World, order: Any) -> tuple[str, str]:
    """The rule and text by which an order is refused; nothing is stored."""
    before = dict(world.book.schedules)
    answer = say(world, order)
    assert answer.error is not None, answer
    assert world.book.schedules == before
    return answer.error["rule"], answer.error["text"]


def ticks(world: World, schedule: str = "s") -> list[datetime]:
    """The ticks that made runs, in the order of the runs."""
    return [tick.timestamp for tick in world.book.ticks.values() if tick.schedule_id == schedule]


def run_of(world: World, tick: datetime) -> RunId:
    return next(run_id for run_id, told in world.book.ticks.items() if told.timestamp == tick)


def at(minutes: float) -> datetime:
    return EPOCH + minutes * MINUTE


# -------------------------------------------------------------------------------------------------------------- orders


def test_an_interval_makes_a_run_each_time_and_tells_it_which() -> None:
    world = World()
    worker = world.join(offers=[task()])
    told = create(world, input=b"args", options=Options(tags=["x"], queue="gpu", priority=3, max_attempts=7))
    assert (told["created"], told["changed"], told["next_at"]) == (True, True, "2026-01-01T00:01:00Z")
    world.tick(59.9)
    assert ticks(world) == []
    assert world.ledger.next_tick_at(world.now) == at(1)
    world.tick(0.1)
    world.tick(60)
    first, second = (run_of(world, at(minutes)) for minutes in (1, 2))
    assert world.book.ticks[first] == ScheduledTick("s", at(1), None, "UTC", [at(n) for n in (2, 3, 4, 5, 6)])
    assert world.book.ticks[second] == ScheduledTick("s", at(2), at(1), "UTC", [at(n) for n in (3, 4, 5, 6, 7)])
    run = world.row(first)
    assert (run.queue, run.priority, run.max_attempts, run.created_at) == ("gpu", 3, 7, at(1))
    assert (world.book.tags[first], world.book.inputs[first]) == (["x"], b"args")
    assert world.history(first)[0].actor == "schedule s"
    assert [start.run_id for start in world.starts(worker)] == [first, second]
    kept = world.book.schedules["s"]
    assert (kept.last_at, kept.last_run_id, kept.next_at) == (at(2), second, at(3))


def test_the_id_is_the_routines_name_unless_it_is_given_one() -> None:
    world = World()
    assert say(world, CreateSchedule("t@1.0.0", cron="0 0 * * *")).data["schedule_id"] == "t"
    assert say(world, CreateSchedule("project:t", "a/b", cron="0 0 * * *")).data["schedule_id"] == "a/b"


def test_the_same_order_again_changes_nothing_and_another_one_needs_to_say_replace() -> None:
    world = World()
    create(world)
    world.tick(30)
    again = create(world)
    assert (again["created"], again["changed"], again["next_at"]) == (False, False, "2026-01-01T00:01:00Z")
    rule, text = refused(world, CreateSchedule("t", "s", every_ms=90_000))
    assert rule == "schedule_exists" and "replace" in text
    assert refused(world, CreateSchedule("t", "s", every_ms=60_000, input=b"other"))[0] == "schedule_exists"
    told = create(world, every_ms=90_000, replace=True)
    assert (told["created"], told["changed"], told["next_at"]) == (False, True, "2026-01-01T00:02:00Z")


def test_a_plan_that_is_replaced_every_thirty_seconds_still_runs_every_minute() -> None:
    world = World()
    for step in range(10):
        create(world, replace=True, options=Options(tags=[str(step)]))
        world.tick(30)
    assert ticks(world) == [at(n) for n in (1, 2, 3, 4, 5)]
    assert world.book.schedules["s"].plan.options.tags == ["9"]


def test_a_paused_schedule_has_no_ticks_and_those_of_the_pause_are_gone() -> None:
    world = World()
    create(world, missed="catch_up")
    world.tick(60)
    told = say(world, PauseSchedule("s", "mk")).data
    assert (told["paused"], told["next_at"], told["note"]) == (True, None, "paused by mk")
    assert say(world, PauseSchedule("s")).data["note"] == "paused by mk", "again: nothing"
    world.tick(600)
    assert ticks(world) == [at(1)]
    told = say(world, ResumeSchedule("s")).data
    assert (told["paused"], told["next_at"], told["note"]) == (False, "2026-01-01T00:12:00Z", "resumed")
    assert say(world, ResumeSchedule("s", "me")).data["note"] == "resumed", "again: nothing"
    world.tick(60)
    assert ticks(world) == [at(1), at(12)]


def test_a_deployment_does_not_resume_what_a_person_paused() -> None:
    world = World()
    assert create(world, paused=True)["next_at"] is None
    for plan in ({"every_ms": 60_000, "options": Options(tags=["x"])}, {"cron": "0 0 * * *"}):
        assert create(world, replace=True, **plan)["paused"]
    assert refused(world, CreateSchedule("t", "s", cron="0 0 1 * *", paused=True))[0] == "schedule_exists"
    say(world, ResumeSchedule("s"))
    told = create(world, replace=True, cron="0 0 * * *", paused=True)
    assert (told["paused"], told["changed"]) == (True, True)
    world.tick(2 * DAY)
    assert ticks(world) == []


def test_a_deleted_schedule_is_gone_and_its_runs_stay() -> None:
    world = World()
    world.join(offers=[task()])
    create(world)
    world.tick(60)
    assert say(world, DeleteSchedule("s")).data["deleted"]
    world.tick(600)
    assert ticks(world) == [at(1)] and world.status(run_of(world, at(1))) is Status.DISPATCHED
    for order in (PauseSchedule("s"), ResumeSchedule("s"), DeleteSchedule("s")):
        assert refused(world, order) == ("unknown_schedule", "there is no schedule 's'")


def test_orders_of_one_batch_see_one_another() -> None:
    world = World()
    orders: list[Any] = [
        CreateSchedule("t", "s", every_ms=60_000),
        PauseSchedule("s"),
        ResumeSchedule("s"),
        DeleteSchedule("s"),
        CreateSchedule("t", "s", every_ms=120_000),
        CreateSchedule("t", "gone", cron="0 0 * * *"),
        DeleteSchedule("gone"),
    ]
    for order in orders:
        order.ask_id, order.reply_to = "ask", "client"
    world.command(*orders)
    assert all(answer.error is None for _, answer in world.replies if isinstance(answer, Answer))
    assert list(world.book.schedules) == ["s"]
    world.tick(120)
    assert ticks(world) == [at(2)]


def test_an_order_that_nobody_wants_to_hear_of_is_carried_out_all_the_same() -> None:
    world = World()
    orders = CreateSchedule("t", "s", every_ms=60_000), CreateSchedule("t", "s", every_ms=1)
    assert world.command(*orders).is_durable()
    assert list(world.book.schedules) == ["s"] and world.replies == []


CHECK = ClaimCheck(key="inputs/x", size=70_000, sha256="a" * 64)


@pytest.mark.parametrize(
    ("rule", "text", "more"),
    [
        ("timetable", "either cron or every", {}),
        ("timetable", "either cron or every", {"cron": "0 0 * * *", "every_ms": 60_000}),
        ("cron", "'61' is no minute", {"cron": "61 * * * *"}),
        ("cron", "at most 200", {"cron": "1," * 200 + " * * * *"}),
        ("timezone", "did you mean Europe/Berlin", {"cron": "0 0 * * *", "timezone": "Europe/Berln"}),
        ("timezone", "goes with cron", {"every_ms": 60_000, "timezone": "Europe/Berlin"}),
        ("every_ms", "from 1000 to 31622400000", {"every_ms": 999}),
        ("every_ms", "from 1000 to 31622400000", {"every_ms": -5}),
        ("every_ms", "from 1000", {"every_ms": 31_622_400_001}),
        ("spread_ms", "from 0 to 86400000", {"every_ms": 60_000, "spread_ms": -1}),
        ("spread_ms", "from 0 to 86400000", {"every_ms": 60_000, "spread_ms": 86_400_001}),
        ("grace_ms", "from 0 to", {"every_ms": 60_000, "grace_ms": -1}),
        ("catch_up_limit", "from 1 to 1000", {"every_ms": 60_000, "catch_up_limit": 0}),
        ("catch_up_limit", "from 1 to 1000", {"every_ms": 60_000, "catch_up_limit": 1001}),
        ("missed", "'all'; it must be skip or catch_up", {"every_ms": 60_000, "missed": "all"}),
        ("overlap", "'no'; it must be allow or skip", {"every_ms": 60_000, "overlap": "no"}),
        ("input", "at most 65536 bytes", {"every_ms": 60_000, "input": b"x" * 65_537}),
        ("input", "at most 65536 bytes", {"every_ms": 60_000, "input": CHECK}),
        ("idempotency_key", "a run of its own", {"every_ms": 60_000, "options": Options(idempotency_key="k")}),
        ("debounce", "a run of its own", {"every_ms": 60_000, "options": Options(debounce=Debounce("k", 5))}),
        ("batch_id", "one client", {"every_ms": 60_000, "options": Options(batch_id="b")}),
        ("on_parent_end", "no parent", {"every_ms": 60_000, "options": Options(on_parent_end="cancel")}),
        ("delay_ms", "spread", {"every_ms": 60_000, "options": Options(delay_ms=5)}),
        ("max_attempts", "from 1 to 250", {"every_ms": 60_000, "options": Options(max_attempts=0)}),
        ("schedule_id", "is no schedule id", {"every_ms": 60_000, "schedule_id": "a b"}),
        ("schedule_id", "is no schedule id", {"every_ms": 60_000, "schedule_id": "x" * 201}),
        ("routine", "is no routine name", {"every_ms": 60_000, "routine": "1 + 1"}),
    ],
)
def test_what_is_out_of_range_is_refused_with_the_rule_and_nothing_is_stored(
    rule: str, text: str, more: dict[str, Any]
) -> None:
    found, said = refused(World(), CreateSchedule(**{"routine": "t", "schedule_id": "s", **more}))
    assert (found, text in said) == (rule, True), said


# ------------------------------------------------------------------------------------------------- one run per tick


def test_a_restart_around_every_tick_changes_nothing() -> None:
    world = World()
    create(world)
    for _ in range(30):
        world.restart()
        world.tick(10)
        world.restart()
        world.tick()
    assert ticks(world) == [at(n) for n in (1, 2, 3, 4, 5)]


def test_a_clock_that_jumps_makes_no_tick_twice() -> None:
    world = World()
    create(world, cron="* * * * *")
    for seconds in (60, 61, -150, 30, 200, -400, 500, 60):
        world.tick(seconds)
        world.tick()
    made = ticks(world)
    assert len(made) == len(set(made)) and made == sorted(made)
    assert made[-1] == at(6), "the clock stands at 00:05:53 + 60 s - 2 s"


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(st.floats(-300, 900), st.booleans()), min_size=1, max_size=25),
    cron=st.booleans(),
    group=st.integers(1, 40),
)
def test_whatever_the_clock_and_the_coordinator_do_each_tick_that_is_caught_up_is_one_run(
    steps: list[tuple[float, bool]], cron: bool, group: int
) -> None:
    world = World(group=group)
    create(world, missed="catch_up", catch_up_limit=1000, **({"cron": "* * * * *"} if cron else {"every_ms": 60_000}))
    latest = world.now
    for seconds, restart in steps:
        world.tick(seconds)
        latest = max(latest, world.now)
        if restart:
            world.restart()
    world.now = latest
    world.restart()
    world.settle(1000)
    assert ticks(world) == [at(n) for n in range(1, int((latest - EPOCH) / MINUTE) + 1)]


def test_a_schedule_that_is_resumed_while_the_clock_stands_before_its_latest_tick_makes_no_tick_twice() -> None:
    world = World()
    create(world, cron="* * * * *")
    world.tick(60)
    world.tick(60)
    world.now -= 5 * MINUTE
    say(world, PauseSchedule("s"))
    assert say(world, ResumeSchedule("s")).data["next_at"] == "2026-01-01T00:03:00Z"


def test_a_tick_that_is_decided_again_is_the_same_run() -> None:
    world = World()
    create(world)
    world.now = at(1)
    facts = world.book.read(world.ledger.tick_needs(world.now), world.now)
    lost = world.ledger.tick(facts, world.now, world.random.randbytes)  # the coordinator dies before it commits
    world.restart()
    world.tick()
    assert [new.run.id for new in lost.inserted] == [run_of(world, at(1))]


def test_a_tick_whose_run_is_there_already_makes_no_second_one() -> None:
    world = World()
    create(world)
    world.tick(60)
    world.book.schedules["s"].next_at = at(1)  # as if the schedule alone had been put back
    world.restart()
    world.tick()
    assert ticks(world) == [at(1)] and world.book.schedules["s"].next_at == at(2)


def test_two_schedules_of_one_instant_and_one_that_was_made_anew_have_runs_of_their_own() -> None:
    world = World()
    for name in ("a", "b"):
        say(world, CreateSchedule("t", name, cron="0 * * * *"))
    world.tick(3600)
    world.now -= MINUTE
    say(world, DeleteSchedule("a"))
    say(world, CreateSchedule("t", "a", cron="0 * * * *"))
    world.tick(60)
    assert len(world.book.ticks) == 3, "a was made anew while the clock stood before its tick"


def test_a_round_makes_a_thousand_runs_and_the_next_one_the_others() -> None:
    world = World(group=10)
    for number in range(105):
        say(world, CreateSchedule("t", f"s{number}", every_ms=60_000))
    world.tick(60)
    assert len(world.book.ticks) == 10
    assert world.ledger.next_tick_at(world.now) == world.now
    world.settle()
    assert len(world.book.ticks) == 105
    assert world.ledger.next_tick_at(world.now) > world.now


def test_ten_thousand_schedules_cost_nothing_while_none_is_due() -> None:
    world = World()
    create(world, every_ms=86_400_000)
    world.tick(1)
    assert not world.ledger.tick_needs(world.now).schedules.any
    world.tick(61)
    assert world.ledger.tick_needs(world.now + timedelta(seconds=60)).schedules.due, "the store is asked once a minute"


def test_a_routine_that_nobody_offers_waits_as_any_run_does() -> None:
    world = World()
    create(world)
    world.tick(60)
    run_id = run_of(world, at(1))
    assert world.status(run_id) is Status.PENDING_VERSION
    world.join(offers=[task()])
    assert world.status(run_id) is Status.DISPATCHED


def test_a_run_that_would_be_refused_moves_the_schedule_on_and_says_so() -> None:
    world = World()
    create(world)
    world.book.schedules["s"].plan.options.max_attempts = 0  # as of a newer rule than the schedule
    world.tick(60)
    kept = world.book.schedules["s"]
    assert (ticks(world), kept.next_at, kept.last_at) == ([], at(2), None)
    assert "the run of 2026-01-01T00:01:00Z was refused: max_attempts is 0" in kept.note
    assert world.ledger.counts["schedule_refused"] == 1


def test_a_schedule_whose_zone_is_no_more_is_paused_and_says_why() -> None:
    world = World()
    create(world, cron="0 * * * *")
    plan = world.book.schedules["s"].plan
    table = type(plan.timetable)(plan.timetable.cron, 0, "Europe/Atlantis")
    world.book.schedules["s"].plan = type(plan)("t", table)
    assert world.tick(3600).is_durable()
    kept = world.book.schedules["s"]
    assert (kept.paused, kept.next_at, ticks(world)) == (True, None, [])
    assert "'Europe/Atlantis' is no time zone" in kept.note
    assert refused(world, ResumeSchedule("s"))[0] == "timezone"


# ------------------------------------------------------------------------------------------------------ what is missed


def test_of_missed_ticks_the_latest_runs_if_it_is_not_too_late_and_the_schedule_says_what_was_passed_over() -> None:
    world = World()
    create(world)
    world.tick(60 * 10 + 5)
    kept = world.book.schedules["s"]
    assert (ticks(world), kept.next_at) == ([at(10)], at(11))
    assert "ticks from 2026-01-01T00:01:00Z before 2026-01-01T00:10:00Z were passed over" in kept.note
    assert world.ledger.counts["schedule_missed"] == 1
    world.tick(60)
    assert ticks(world) == [at(10), at(11)]


def test_a_tick_that_is_too_late_is_passed_over() -> None:
    world = World()
    create(world, cron="0 3 * * *", timezone="Europe/Berlin")
    three = datetime(2026, 1, 1, 2, tzinfo=UTC)
    world.tick((three - EPOCH).total_seconds() + 300)
    assert ticks(world) == [three], "five minutes late is in time"
    world.tick(DAY + 1)
    kept = world.book.schedules["s"]
    assert (ticks(world), kept.next_at) == ([three], three + timedelta(days=2))
    assert "ticks from 2026-01-02T02:00:00Z up to 2026-01-02T02:00:00Z were passed over" in kept.note
    create(world, cron="0 3 * * *", timezone="Europe/Berlin", grace_ms=3_600_000, replace=True)
    world.tick(DAY + 3000)
    assert ticks(world) == [three, three + timedelta(days=2)]


def test_missed_ticks_are_caught_up_oldest_first_up_to_the_limit() -> None:
    world = World()
    create(world, missed="catch_up", catch_up_limit=4)
    world.tick(60 * 3)
    assert ticks(world) == [at(n) for n in (1, 2, 3)]
    world.restart()
    world.tick(60 * 100)
    assert ticks(world)[3:] == [at(n) for n in (100, 101, 102, 103)]
    assert "before 2026-01-01T01:40:00Z were passed over" in world.book.schedules["s"].note
    told = world.book.ticks[run_of(world, at(102))]
    assert (told.last_timestamp, told.upcoming) == (at(101), [at(n) for n in (103, 104, 105, 106, 107)])


def test_what_one_round_has_no_room_for_is_caught_up_in_the_next() -> None:
    world = World(group=7)
    create(world, missed="catch_up")
    world.tick(60 * 30)
    assert ticks(world) == [at(n) for n in range(1, 8)]
    world.restart()
    world.settle()
    assert ticks(world) == [at(n) for n in range(1, 31)]


def test_very_many_missed_ticks_of_several_schedules_are_told_of_in_parts() -> None:
    world = World()
    for name in ("a", "b", "c"):
        say(world, CreateSchedule("t", name, every_ms=1000, missed="catch_up", catch_up_limit=600))
    world.tick(3600)
    world.settle()
    last = EPOCH + timedelta(hours=1)
    for name in ("a", "b", "c"):
        assert ticks(world, name) == [last - timedelta(seconds=599 - n) for n in range(600)]


# ---------------------------------------------------------------------------------------------------- overlap, spread


def test_runs_of_a_schedule_may_overlap_unless_it_says_skip() -> None:
    world = World()
    worker = world.join(offers=[task()])
    create(world)
    say(world, CreateSchedule("t", "alone", every_ms=60_000, overlap="skip"))
    for _ in range(3):
        world.tick(60)
    assert (len(ticks(world)), ticks(world, "alone")) == (3, [at(1)])
    assert "the tick of 2026-01-01T00:03:00Z was passed over: run" in world.book.schedules["alone"].note
    assert world.ledger.counts["schedule_overlap"] == 2
    for start in world.starts(worker):
        world.finish(worker, start)
    world.tick(60)
    assert ticks(world, "alone") == [at(1), at(4)]


def test_a_run_that_is_put_away_has_not_ended() -> None:
    world = World()
    worker = world.join(offers=[workflow("t")])
    create(world, overlap="skip")
    world.tick(60)
    (start,) = world.starts(worker)
    world.begin(worker, start)
    world.row(start.run_id).status = Status.SUSPENDED
    world.restart()
    world.tick(60)
    assert ticks(world) == [at(1)]
    world.row(start.run_id).status = Status.COMPLETED
    world.restart()
    world.tick(60)
    assert ticks(world) == [at(1), at(3)]


def test_a_spread_puts_each_schedule_somewhere_else_and_always_there() -> None:
    world = World()
    names = [f"s{number}" for number in range(50)]
    for name in names:
        say(world, CreateSchedule("t", name, cron="0 * * * *", spread_ms=300_000))
    offsets = [spread_of(name, 300_000) for name in names]
    assert len(set(offsets)) > 45 and max(offsets) < timedelta(minutes=5)
    for _ in range(65 * 60):
        world.tick(1)
    for name, offset in zip(names, offsets, strict=True):
        assert ticks(world, name) == [at(60)], "it is told of the hour itself"
        begun = world.row(next(run for run, one in world.book.ticks.items() if one.schedule_id == name)).created_at
        assert timedelta(0) <= begun - at(60) - offset <= timedelta(seconds=1)


def test_a_spread_of_an_overdue_tick_counts_from_its_own_instant() -> None:
    world = World()
    create(world, cron="0 * * * *", spread_ms=300_000, grace_ms=0)
    offset = spread_of("s", 300_000)
    assert world.ledger.next_tick_at(world.now) <= at(60) + offset
    world.tick(3600 + offset.total_seconds() - 0.001)
    assert ticks(world) == []
    world.tick(0.001)
    assert ticks(world) == [at(60)]


def test_a_schedules_run_is_answered_to_nobody() -> None:
    world = World()
    worker = world.join(offers=[task()])
    create(world)
    before = len(world.replies)
    world.tick(60)
    (start,) = world.starts(worker)
    world.finish(worker, start)
    assert world.status(start.run_id) is Status.COMPLETED
    assert not [reply for _, reply in world.replies[before:] if isinstance(reply, Accepted)]


def test_a_tick_for_a_full_queue_makes_no_run_and_the_schedule_says_why() -> None:
    world = World()
    say(world, LimitQueue("gpu", max_size=1, create=True))
    create(world, options=Options(queue="gpu"))
    world.tick(60)
    world.tick(60)
    assert ticks(world) == [at(1)]
    kept = world.book.schedules["s"]
    assert kept.next_at == at(3) and "was refused: " in kept.note and "gpu" in kept.note
