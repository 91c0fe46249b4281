"""How what executors tell becomes reports."""

from __future__ import annotations

from datetime import UTC, datetime

from longshore.core.ids import RunId
from longshore.core.message import Finished, Progress, Report, Start, Started
from longshore.worker.attempt import Attempt
from longshore.worker.desk import Note
from longshore.worker.roster import PROGRESS_EVERY, Roster
from tests.worker.routines import double


def make() -> Roster:
    return Roster(lambda _: None, lambda _attempt, _report: None, lambda _attempt, _report: None, lambda _: None)


def hold(roster: Roster, run: str = "r1", *, age: float = 1.0) -> Attempt:
    attempt = roster.admit(Start(RunId(run), 1, 1, double.name, double.version), double)
    attempt.begin()
    attempt.began -= age
    return attempt


def end(attempt: Attempt) -> Note:
    return Note(attempt, Finished(attempt.run_id, attempt.epoch, "completed", datetime.now(UTC)))


def kinds(reports: list[Report]) -> list[type[Report]]:
    return [type(report) for report in reports]


def test_what_began_and_ended_in_one_flush_is_one_report() -> None:
    roster = make()
    attempt = hold(roster)
    roster.take_notes([Note(attempt), end(attempt)])
    (report,) = roster.gather(0.0)
    assert isinstance(report, Finished) and report.started_at == attempt.began_at
    assert not roster.waits


def test_what_is_still_running_at_a_flush_is_reported_as_started_before_everything_else() -> None:
    roster = make()
    first, second = hold(roster, "a"), hold(roster, "b")
    roster.take_notes([Note(first), end(first), Note(second)])
    assert kinds(roster.gather(0.0)) == [Started, Finished]
    roster.take_notes([end(second)])
    (report,) = roster.gather(0.0)
    assert isinstance(report, Finished) and report.started_at is None


def test_a_body_that_has_only_just_begun_may_end_before_it_is_spoken_of() -> None:
    roster = make()
    attempt = hold(roster, age=0.0)
    roster.take_notes([Note(attempt)])
    assert roster.gather(0.0) == []
    assert roster.waits
    attempt.began -= 1.0
    assert kinds(roster.gather(0.0)) == [Started]
    assert not roster.waits


def test_an_end_is_held_until_the_ledger_has_it() -> None:
    roster = make()
    attempt = hold(roster)
    roster.take_notes([Note(attempt), end(attempt)])
    roster.gather(0.0)
    roster.numbered(3)
    roster.taken(2)
    assert [held.run_id for held in roster.held()] == ["r1"]
    roster.taken(3)
    assert roster.held() == []


def test_a_run_that_came_back_under_a_new_epoch_is_not_dropped_with_the_old_end() -> None:
    roster = make()
    attempt = hold(roster)
    roster.take_notes([Note(attempt), end(attempt)])
    roster.gather(0.0)
    roster.numbered(1)
    roster.admit(Start(RunId("r1"), 2, 2, double.name, double.version), double)
    roster.taken(1)
    assert [held.epoch for held in roster.held()] == [2]


def test_nothing_is_said_of_a_forgotten_run() -> None:
    roster = make()
    attempt = hold(roster)
    roster.take_notes([Note(attempt)])
    roster.forget(attempt)
    roster.take_notes([end(attempt)])
    assert roster.gather(0.0) == [] and roster.held() == []
    assert not roster.waits


def test_progress_is_thinned_and_its_last_word_comes() -> None:
    roster = make()
    attempt = hold(roster)
    attempt.said, attempt.talking = (0.1, "one"), True
    roster.take_notes([Note(attempt), Note(attempt, progress=True)])
    assert kinds(roster.gather(10.0)) == [Started, Progress]
    attempt.said = (0.2, "two")
    roster.take_notes([Note(attempt, progress=True)])
    assert roster.gather(10.0 + PROGRESS_EVERY / 2) == []
    assert roster.waits
    attempt.said = (0.3, "three")
    (said,) = roster.gather(10.0 + 2 * PROGRESS_EVERY)
    assert isinstance(said, Progress) and said.text == "three"
    assert not roster.waits
