"""The book of pending answers: pure, so each rule is told by calling it."""

from __future__ import annotations

from longshore.client.pending import LOOK_AFTER, REASK_AFTER, Book
from longshore.core.ids import RunId
from longshore.core.message import Accepted, Answer, Ask, Rejected, RunChanged, Trigger

A, B = RunId("a"), RunId("b")


def trigger(run_id: RunId = A, wants: str = "accepted") -> Trigger:
    return Trigger("add", run_id, wants=wants)


def ended(run_id: RunId = A, status: str = "COMPLETED") -> RunChanged:
    return RunChanged(run_id, status)


def test_who_waits_for_acceptance_gets_it_and_nothing_is_kept() -> None:
    book: Book[str] = Book()
    errand = book.trigger(trigger(), "waiter", 0, 10)
    accepted = Accepted(A, "QUEUED")
    assert book.take([accepted]) == [("waiter", accepted)]
    assert errand.over and book.runs == {}
    assert book.take([accepted, ended()]) == []


def test_who_wants_the_outcome_gets_only_that() -> None:
    book: Book[str] = Book()
    book.trigger(trigger(wants="outcome"), "waiter", 0, 10)
    assert book.take([Accepted(A, "QUEUED"), RunChanged(A, "EXECUTING")]) == []
    assert book.take([ended()]) == [("waiter", ended())]
    assert book.runs == {}


def test_an_outcome_that_overtakes_its_acceptance_answers_both() -> None:
    book: Book[str] = Book()
    errand = book.trigger(trigger(), "accepting", 0, 10)
    book.await_outcome(A, "ending", 0)
    assert book.take([ended()]) == [("ending", ended()), ("accepting", ended())]
    assert errand.over


def test_a_rejection_goes_to_everybody_who_waits() -> None:
    book: Book[str] = Book()
    book.trigger(trigger(), "accepting", 0, 10)
    book.await_outcome(A, "ending", 0)
    refused = Rejected(A, "rule", "text")
    assert book.take([refused]) == [("accepting", refused), ("ending", refused)]


def test_an_idempotency_key_leads_to_the_other_run_and_its_outcome() -> None:
    book: Book[str] = Book()
    book.trigger(trigger(A, wants="outcome"), "first", 0, 10)
    book.trigger(trigger(B, wants="outcome"), "second", 0, 10)
    book.take([Accepted(A, "QUEUED"), Accepted(A, "QUEUED", asked_id=B, existing=True)])
    assert list(book.runs) == [A]
    assert book.take([ended()]) == [("first", ended()), ("second", ended())]


def test_the_other_run_is_waited_for_also_where_nobody_did_before() -> None:
    book: Book[str] = Book()
    book.trigger(trigger(B, wants="outcome"), "waiter", 0, 10)
    book.take([Accepted(A, "QUEUED", asked_id=B, existing=True)])
    assert book.take([ended(B)]) == []
    assert book.take([ended(A)]) == [("waiter", ended(A))]


def test_a_wait_led_to_another_run_can_be_given_up_there() -> None:
    book: Book[str] = Book()
    errand = book.trigger(trigger(B, wants="outcome"), "waiter", 0, 10)
    book.take([Accepted(A, "QUEUED", asked_id=B, existing=True)])
    book.abandon(errand)
    assert book.runs == {}


def test_no_such_run_is_an_answer_unless_its_trigger_is_still_under_way() -> None:
    book: Book[str] = Book()
    book.await_outcome(A, "waiter", 0)
    assert book.take([ended(status="")]) == [("waiter", ended(status=""))]
    book.trigger(trigger(B, wants="outcome"), "waiter", 0, 10)
    assert book.take([ended(B, status="")]) == []


def test_a_deadline_passes_only_for_what_is_not_answered() -> None:
    book: Book[str] = Book()
    book.trigger(trigger(A), "a", 0, 10)
    late = book.trigger(trigger(B, wants="outcome"), "b", 1, 5)
    question = book.question(Ask("workers", "1", "me"), "q", 2, 4)
    book.take([Accepted(A, "QUEUED")])
    assert book.next_deadline() == 6
    assert book.overdue(5.9) == []
    assert book.overdue(6) == [late, question]
    assert late.over and question.over and book.runs == {}
    assert book.next_deadline() is None
    assert book.take([Answer("1")]) == []


def test_acceptance_ends_the_deadline_of_a_run_but_not_the_wait() -> None:
    book: Book[str] = Book()
    book.trigger(trigger(wants="outcome"), "waiter", 0, 10)
    book.take([Accepted(A, "QUEUED")])
    assert book.overdue(100) == [] and A in book.runs


def test_two_triggers_of_one_run_are_answered_by_one_acceptance() -> None:
    book: Book[str] = Book()
    first = book.trigger(trigger(wants="outcome"), "first", 0, 10)
    second = book.trigger(trigger(), "second", 1, 10)
    assert book.take([Accepted(A, "QUEUED")]) == [("second", Accepted(A, "QUEUED"))]
    assert first.over and second.over and book.overdue(100) == []
    assert book.stale(1) == [A]
    assert book.take([ended()]) == [("first", ended())]


def test_one_of_two_triggers_given_up_leaves_the_other() -> None:
    book: Book[str] = Book()
    late = book.trigger(trigger(), "first", 0, 5)
    other = book.trigger(trigger(), "second", 0, 10)
    assert book.overdue(5) == [late] and not other.over
    assert book.take([Accepted(A, "QUEUED")]) == [("second", Accepted(A, "QUEUED"))]


def test_after_a_reconnect_everything_unanswered_is_said_again_once() -> None:
    book: Book[str] = Book()
    sent = book.trigger(trigger(A, wants="outcome"), "a", 0, 10)
    sent.sent = True
    waits = book.trigger(trigger(B, wants="outcome"), "b", 0, 10)
    waits.queued = True
    question = book.question(Ask("workers", "1", "me"), "q", 0, 10)
    question.sent = True
    never = book.question(Ask("workers", "2", "me"), "q", 0, 10)
    book.await_outcome(RunId("c"), "c", 0)
    again = book.again(1)
    assert again.errands == [question, sent] and again.outcomes == ["c"]
    assert not never.over
    book.take([Accepted(A, "QUEUED"), Accepted(B, "QUEUED"), Answer("1")])
    assert book.again(2) == ([], [A, B, "c"])


def test_an_outcome_waited_for_long_is_asked_again_every_ten_seconds() -> None:
    book: Book[str] = Book()
    book.await_outcome(A, "waiter", 0)
    assert book.stale(REASK_AFTER - 0.1) == []
    assert book.stale(REASK_AFTER) == [A]
    assert book.stale(REASK_AFTER + 1) == []
    assert book.stale(2 * REASK_AFTER) == [A]


def test_the_longest_wait_is_looked_at_first_and_only_outcomes_count() -> None:
    book: Book[str] = Book()
    book.trigger(trigger(A), "accepting", 0, 100)
    book.await_outcome(B, "waiter", 1, "add")
    assert book.longest_waiting(LOOK_AFTER) is None
    found = book.longest_waiting(LOOK_AFTER + 1)
    assert found is not None and (found.run_id, found.routine) == (B, "add")


def test_a_feed_hears_of_every_change_until_it_is_taken_away() -> None:
    book: Book[str] = Book()
    heard: list[RunChanged] = []
    book.follow(A, heard.append)
    changes = [RunChanged(A, "EXECUTING"), RunChanged(B, "EXECUTING"), ended()]
    book.take(changes)
    assert heard == [changes[0], changes[2]]
    assert book.again(0).outcomes == [A]
    book.unfollow(A, heard.append)
    book.take(changes)
    assert len(heard) == 2 and book.again(0).outcomes == []


def test_clearing_gives_everybody_who_waits_and_sends_nothing_again() -> None:
    book: Book[str] = Book()
    errand = book.trigger(trigger(A), "a", 0, 10)
    question = book.question(Ask("workers", "1", "me"), "q", 0, 10)
    book.await_outcome(B, "b", 0)
    assert sorted(book.clear()) == ["a", "b", "q"]
    assert errand.over and question.over and book.next_deadline() is None
