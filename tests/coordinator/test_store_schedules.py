"""What the store keeps of schedules, and of the runs they make."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from longshore.core.changes import Changes, Needs
from longshore.core.ids import RunId
from longshore.core.message import Options
from longshore.core.run import Flow, Status
from longshore.core.schedules import (
    Plan,
    Schedule,
    ScheduleChanges,
    ScheduledTick,
    ScheduleFacts,
    ScheduleNeeds,
    Timetable,
    spread_of,
)
from tests.coordinator.conftest import Book
from tests.coordinator.rows import NOW, a_run, inserting

HOUR = timedelta(hours=1)
TICK = ScheduledTick("s", NOW, NOW - HOUR, "Europe/Berlin", [NOW + HOUR, NOW + 2 * HOUR])


def a_schedule(name: str, **more: Any) -> Schedule:
    plan = Plan(
        "t@1.0.0",
        Timetable("0 * * * *", 0, "Europe/Berlin"),
        Options(tags=["x"], metadata={"n": 1}),
        missed="catch_up",
        catch_up_limit=7,
        grace_ms=1,
        overlap="skip",
        spread_ms=60_000,
    )
    more = {"plan": plan, "seed": "5eed", "input": b"\x01args", "next_at": NOW, **more}
    return Schedule(id=name, created_at=NOW, updated_at=NOW + HOUR, **more)


def keeping(*schedules: Schedule) -> Changes:
    return Changes(schedules=ScheduleChanges(kept={one.id: one for one in schedules}))


def read(book: Book, *ids: str) -> dict[str, Schedule]:
    return book.store.reader.read(Needs(schedules=ScheduleNeeds(ids=set(ids))), NOW).schedules.found


def due(book: Book, later: timedelta) -> ScheduleFacts:
    return book.store.reader.read(Needs(schedules=ScheduleNeeds(due=True)), NOW + later).schedules


def test_a_schedule_comes_back_as_it_was_and_a_tick_moves_it_on(book: Book) -> None:
    one = a_schedule("a", last_at=NOW - HOUR, last_run_id=RunId("r"), note="Öl", paused=False)
    other = a_schedule("b", paused=True, next_at=None, input=b"", plan=Plan("u", Timetable("", 5000, anchor=NOW)))
    book.commit(keeping(one, other))
    assert read(book, "a", "b", "c") == {"a": one, "b": other}
    one.next_at, one.last_at, one.last_run_id, one.note = NOW + HOUR, NOW, RunId("r2"), ""
    book.commit(Changes(schedules=ScheduleChanges(ticked={"a": one})))
    assert read(book, "a") == {"a": one}
    book.commit(Changes(schedules=ScheduleChanges(deleted={"a": None, "zzz": None})))
    assert read(book, "a", "b") == {"b": other}
    book.commit(keeping(a_schedule("b", note="replaced")))
    assert read(book, "b")["b"].note == "replaced"


def test_what_is_due_is_found_by_its_tick_and_its_part_of_the_spread(book: Book) -> None:
    plain = Plan("t", Timetable("", 1000, anchor=NOW))
    book.commit(
        keeping(
            a_schedule("now", plan=plain),
            a_schedule("later", plan=plain, next_at=NOW + 2 * HOUR),
            a_schedule("paused", plan=plain, paused=True, next_at=None),
            a_schedule("spread", next_at=NOW + HOUR),
        )
    )
    spread = HOUR + spread_of("spread", 60_000)
    found = due(book, timedelta(0))
    assert [one.schedule.id for one in found.due] == ["now"]
    assert found.next_due_at == NOW + spread
    assert [one.schedule.id for one in due(book, spread - timedelta(microseconds=1)).due] == ["now"]
    found = due(book, 3 * HOUR)
    assert [one.schedule.id for one in found.due] == ["now", "spread", "later"]
    assert found.next_due_at is None


def test_very_many_that_are_due_come_in_parts(book: Book) -> None:
    book.commit(keeping(*[a_schedule(f"s{number}", plan=Plan("t", Timetable("", 1000))) for number in range(101)]))
    found = due(book, HOUR)
    assert (len(found.due), found.next_due_at) == (100, NOW + HOUR)


def test_the_run_before_is_read_where_it_decides(book: Book) -> None:
    run = a_run(Status.SUSPENDED, flow=Flow())
    book.commit(inserting(run), keeping(a_schedule("s", last_run_id=run.id, next_at=NOW - HOUR)))
    facts = book.store.reader.read(Needs(schedules=ScheduleNeeds(due=True)), NOW)
    assert facts.runs.keys() == {run.id}


def test_a_run_remembers_its_tick_wherever_it_is_started_from(book: Book) -> None:
    run, other = a_run(), a_run()
    changes = inserting(run)
    changes.inserted[0].schedule = TICK
    book.commit(changes, inserting(other))
    inputs, _ = book.store.reader.bodies({run.id, other.id}, ())
    assert (inputs[run.id].schedule, inputs[other.id].schedule) == (TICK, None)
    rows, _ = book.store.queries.runs(schedule="s")
    assert [(row["run_id"], row["schedule_id"]) for row in rows] == [(run.id, "s")]
    again = a_run()
    changes = inserting(again)
    changes.beginnings.reruns.append((again.id, run.id))
    book.commit(changes)
    inputs, _ = book.store.reader.bodies({again.id}, ())
    assert inputs[again.id].schedule == TICK, "what is run again is told the same"
    assert [row["run_id"] for row in book.store.queries.runs(schedule="s")[0]] == [run.id]


def test_lists_are_by_id_and_of_one_routine_if_it_is_named(book: Book) -> None:
    plans = {"a": "t@1.0.0", "b": "u", "c": "t"}
    book.commit(keeping(*[a_schedule(name, plan=Plan(of, Timetable("", 1000))) for name, of in plans.items()]))
    queries = book.store.queries
    assert [one.id for one in queries.schedules()] == ["a", "b", "c"]
    assert [one.id for one in queries.schedules(after="a", limit=1)] == ["b"]
    assert [one.id for one in queries.schedules(routine="t")] == ["a", "c"]
    assert queries.schedule("nope") is None
