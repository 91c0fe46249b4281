"""What the store lets go of: never more at once than it is told to, and nothing that is still read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from longshore.core.changes import Changes, HistoryRow, Needs, NewDelivery, Outcome
from longshore.core.cursors import CANCEL_CHILDREN, FORGET_JOURNAL, FORGET_SIGNALS, FORGET_TOKENS, Cursor
from longshore.core.ids import Address, RunId
from longshore.core.records import TokenRow
from longshore.core.run import Flow, Run, Status
from tests.coordinator.conftest import Book
from tests.coordinator.rows import NOW, a_run, inserting
from tests.coordinator.test_store import read
from tests.coordinator.test_store_generations import journal

DAY = timedelta(days=1)


def count(book: Book, table: str, where: str = "1 = 1") -> int:
    text = f"SELECT COUNT(*) FROM {table} WHERE {where}"
    return int(book.store.reader.connection.exec_driver_sql(text).scalar_one())


def signal(run: Run, generation: int, seq: int, name: str) -> NewDelivery:
    return NewDelivery(run.id, generation, seq, "signal", Address(name), NOW, "s", RunId(""), b"1")


def standing(book: Book, cursor: Cursor) -> Cursor:
    book.commit(Changes(cursors=[cursor]))
    (found,) = read(book, cursors=True).cursors
    assert isinstance(found, Cursor)
    return found


def test_journals_go_page_by_page_the_oldest_first_and_the_present_one_stays(book: Book) -> None:
    run, other = a_run(flow=Flow(generation=2)), a_run(flow=Flow(generation=2))
    book.commit(inserting(run, other), *(journal(one, number) for one in (run, other) for number in range(3)))
    found = standing(book, Cursor("c", FORGET_JOURNAL, run.id, ""))
    assert (found.upto, found.rows) == (1, 12)
    left = []
    for _ in range(3):
        book.commit(Changes(forgotten=[(run.id, found.upto, 4)]))
        left.append((count(book, "call", f"run_id = '{run.id}'"), count(book, "delivery", f"run_id = '{run.id}'")))
    assert left == [(5, 5), (3, 3), (3, 3)]
    assert {row.generation for row in _rows(book, run)} == {2}
    assert count(book, "call", f"run_id = '{other.id}'") == 9


def _rows(book: Book, run: Run) -> Any:
    return book.store.reader.connection.exec_driver_sql(f"SELECT generation FROM delivery WHERE run_id = '{run.id}'")


def test_cancels_go_before_what_is_only_let_go_of(book: Book) -> None:
    orders = [Cursor(f"0{number:02}", FORGET_JOURNAL, RunId("r"), "") for number in range(20)]
    book.commit(Changes(cursors=[*orders, Cursor("9", CANCEL_CHILDREN, RunId("r"), "")]))
    found = read(book, cursors=True).cursors
    assert (len(found), found[0].kind) == (10, CANCEL_CHILDREN)


def test_rows_are_counted_up_to_one_more_than_go_at_once(book: Book) -> None:
    run = a_run(flow=Flow(generation=1))
    book.commit(inserting(run), journal(run, 0, many=1500))
    assert read(book, told_signals={run.id}).journal_rows == {run.id: 2002}
    assert standing(book, Cursor("c", FORGET_JOURNAL, run.id, "")).rows == 2002


def test_the_ids_of_signals_outlive_their_journal_for_as_long_as_they_are_kept(book: Book) -> None:
    run = a_run(flow=Flow())
    told = [signal(run, 0, 1, "one"), signal(run, 0, 2, ""), signal(run, 0, 3, "two"), signal(run, 1, 1, "two")]
    book.commit(inserting(run), Changes(deliveries=told))
    book.commit(Changes(forgotten=[(run.id, 0, 2)]))
    book.commit(Changes(forgotten=[(run.id, 1, 2)]))
    assert count(book, "delivery") == 0
    wanted = Needs(signals={run.id: {"one", "two", "three", ""}})
    assert book.store.reader.read(wanted, NOW).signals == {run.id: {"one", "two"}}
    assert standing(book, Cursor("c", FORGET_SIGNALS, RunId(""), "", NOW)).rows == 0
    assert standing(book, Cursor("c", FORGET_SIGNALS, RunId(""), "", NOW + DAY)).rows == 2
    book.commit(Changes(signals_forgotten=(NOW + DAY, 1)))
    assert count(book, "told_signal") == 1
    book.commit(Changes(signals_forgotten=(NOW + DAY, 1)))
    assert book.store.reader.read(wanted, NOW).signals == {run.id: set()}


def test_the_first_row_of_a_history_and_the_latest_are_kept(book: Book) -> None:
    run = a_run()
    rows = [HistoryRow(run.id, seq, "", "QUEUED", "r", "", 1, 1, "", NOW, True) for seq in range(1, 11)]
    book.commit(inserting(run), Changes(history=rows[1:]))
    book.commit(Changes(history_forgotten=[(run.id, 7, 4)]))
    seqs = "SELECT seq FROM history ORDER BY seq"
    assert book.store.reader.connection.exec_driver_sql(seqs).scalars().all() == [1, 6, 7, 8, 9, 10]
    book.commit(Changes(history_forgotten=[(run.id, 7, 4)]))
    assert book.store.reader.connection.exec_driver_sql(seqs).scalars().all() == [1, 8, 9, 10]


def test_tokens_that_nobody_waits_for_are_found_on_a_walk_over_all(book: Book) -> None:
    lives, began_anew, ended = a_run(flow=Flow()), a_run(flow=Flow(generation=1)), a_run(flow=Flow())
    runs = {"a": lives, "b": began_anew, "c": ended, "d": lives}
    tokens = [TokenRow(name, run.id, 0, Address("0:0")) for name, run in runs.items()]
    gone = TokenRow("e", RunId("nobody"), 0, Address("0:0"))
    book.commit(inserting(lives, began_anew, ended), Changes(tokens=[*tokens, gone]))
    ended.status, ended.finished_at = Status.COMPLETED, NOW
    book.commit(Changes(ended={ended.id: Outcome(ended, None, None)}))
    found = standing(book, Cursor("c", FORGET_TOKENS, RunId(""), "", NOW))
    assert (found.children, found.keys, found.last) == (["a", "b", "c", "d", "e"], ["b", "e"], True)
    found = standing(book, Cursor("c", FORGET_TOKENS, RunId(""), "", NOW + DAY, after=RunId("b")))
    assert (found.children, found.keys) == (["c", "d", "e"], ["c", "e"])
    book.commit(Changes(tokens_forgotten=found.keys))
    assert read(book, tokens={"a", "c", "d", "e"}).tokens.keys() == {"a", "d"}
