"""The store on SQLite: what is committed comes back, and who is not the owner writes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from longshore.coordinator.store import Fenced, Store, StoreConflict
from longshore.coordinator.store.tables import metadata
from longshore.core.changes import (
    Changes,
    Cursor,
    HistoryRow,
    Needs,
    NewCall,
    NewDelivery,
    ReturnedReply,
    Unreadable,
    WorkerRow,
)
from longshore.core.errors import SettingsError, StoreUnavailableError, UsageError
from longshore.core.ids import Address, RunId, SessionId, WorkerId
from longshore.core.message import ClaimCheck, Failure, Offer
from longshore.core.run import Flow, Status
from longshore.serialization.arguments import encode_arguments
from tests.coordinator.conftest import Book
from tests.coordinator.rows import NOW, a_run, ending, history_of, inserting, run_id

CHECK = ClaimCheck(key="runs/x/y", size=70_000, sha256="a" * 64)
FULL: dict[str, Any] = {
    "kind": "workflow",
    "asked_version": "1.0.0",
    "version": "1.0.0",
    "queue": "gpu",
    "pool": "big",
    "priority": 2.5,
    "epoch": 3,
    "attempt": 2,
    "crashes": 1,
    "losses": 4,
    "session": SessionId("s1"),
    "worker_id": WorkerId("host-1"),
    "queued_at": NOW,
    "due_at": NOW + timedelta(seconds=1),
    "started_at": NOW + timedelta(microseconds=1),
    "attempt_at": NOW + timedelta(seconds=2),
    "ttl_at": NOW + timedelta(days=30),
    "deadline_at": NOW + timedelta(days=1),
    "cancel_at": NOW + timedelta(hours=1),
    "reason": "waits für Öl",
    "max_attempts": 7,
    "timeout_ms": 1,
    "parent_id": run_id(999),
    "parent_address": Address("0/1:2"),
    "parent_generation": 1,
    "root_id": run_id(998),
    "reply_to": "client-1",
    "correlation_id": "c",
    "wants_outcome": True,
    "plain": True,
    "cache_key": "k",
    "cached": True,
    "traceparent": "00-a-b-01",
    "span": "00-a-c-01",
    "history_seq": 9,
}


def read(book: Book, **needs: Any) -> Any:
    return book.store.reader.read(Needs(**needs), NOW)


def test_every_field_of_a_run_comes_back_at_the_next_start(open_book: Callable[[], Book]) -> None:
    due = NOW + timedelta(seconds=5)
    flow = Flow(generation=2, last_seq=5, processed_seq=4, open_calls=1, cancel_seq=3, timers={Address("0:1"): due})
    run = a_run(Status.HANGING, flow=flow, **FULL)
    plain = a_run()
    book = open_book()
    timer = NewCall(run.id, 2, Address("0:1"), "timer", "", "d", 0, RunId(""), due, "f.py:1")
    book.commit(inserting(run, plain), Changes(calls=[timer]))
    assert open_book().snapshot.runs == [run, plain]


def test_an_update_changes_all_that_can_change(open_book: Callable[[], Book]) -> None:
    book = open_book()
    fixed = "parent_id parent_address parent_generation root_id reply_to correlation_id plain wants_outcome"
    fixed += " asked_version pool priority max_attempts timeout_ms"
    first = a_run(**{name: FULL[name] for name in fixed.split()})
    book.commit(inserting(first))
    flow = Flow(generation=1, last_seq=2, processed_seq=1, open_calls=3, cancel_seq=2)
    second = a_run(Status.HANGING, id=first.id, flow=flow, **FULL)
    book.commit(Changes(updated={second.id: second}))
    assert open_book().snapshot.runs == [second]


ALONE: dict[str, Any] = FULL | {"flow": Flow(generation=1, last_seq=2)}
FIXED = (
    "parent_id parent_address parent_generation root_id reply_to correlation_id plain wants_outcome asked_version pool"
    " priority max_attempts timeout_ms created_at"
)


@pytest.mark.parametrize("name", ALONE)
def test_one_field_alone_is_enough_to_be_written(book: Book, name: str) -> None:
    young = a_run(**{name: ALONE[name]})
    older = a_run(**{name: ALONE[name]} if name in FIXED.split() else {})
    book.commit(inserting(young), inserting(older))
    setattr(older, name, ALONE[name])
    book.commit(Changes(updated={older.id: older}))
    assert book.store.reload(NOW).runs == [young, older]


@pytest.mark.parametrize(("name", "value"), [("crashes", 2), ("cached", 1), ("span", "00-a-c-01")])
def test_one_field_alone_is_enough_to_be_written_at_the_end(book: Book, name: str, value: Any) -> None:
    run = a_run()
    book.commit(inserting(run))
    setattr(run, name, value)
    run.status, run.finished_at = Status.COMPLETED, NOW
    book.commit(ending(run))
    text = f"SELECT {name}, status FROM run WHERE id = ?"
    found = book.store.reader.connection.exec_driver_sql(text, (run.id,)).one()
    assert tuple(found) == (value, "COMPLETED")


def test_plain_runs_and_others_of_one_batch_keep_their_order(book: Book) -> None:
    runs = [a_run() for _ in range(6)]
    for run in runs[1::2]:
        run.due_at = NOW
    book.commit(inserting(*runs))
    assert book.store.reload(NOW).runs == runs


@pytest.mark.parametrize("count", [1, 3, 4, 21, 499, 1001])
def test_batches_of_any_size_are_written_whole(book: Book, count: int) -> None:
    runs = [a_run() for _ in range(count)]
    book.commit(inserting(*runs))
    for run in runs:
        run.status, run.reason = Status.DISPATCHED, f"placed {run.id}"
    book.commit(Changes(updated={run.id: run for run in runs}))
    snapshot = book.store.reload(NOW)
    assert snapshot.runs == runs
    ended = Changes()
    for run in runs:
        run.status, run.finished_at = Status.COMPLETED, NOW
        ended.ended.update(ending(run, run.id.encode()).ended)
    book.commit(ended)
    _, endings = book.store.reader.bodies([], [run.id for run in runs])
    assert {run_id: ending.result for run_id, ending in endings.items()} == {run.id: run.id.encode() for run in runs}
    assert book.store.reload(NOW).runs == []


def test_final_and_suspended_runs_stay_out_of_memory_and_are_read_when_needed(book: Book) -> None:
    done = a_run(Status.FAILED, finished_at=NOW, reason="boom", reply_to="c")
    parent = a_run(Status.SUSPENDED, flow=Flow(timers={Address("0:1"): NOW}))
    child = a_run(Status.SUSPENDED, flow=Flow(), parent_id=parent.id)
    live = a_run()
    timer = NewCall(parent.id, 0, Address("0:1"), "timer", "", "d", 0, RunId(""), NOW, "")
    book.commit(inserting(done, parent, child, live), Changes(calls=[timer]))
    assert [run.id for run in book.store.reload(NOW).runs] == [live.id]
    facts = read(book, runs={done.id, child.id, live.id, run_id()})
    assert facts.runs == {child.id: child, parent.id: parent}
    assert list(facts.final) == [done.id]
    assert (facts.final[done.id].status, facts.final[done.id].finished_at) == ("FAILED", NOW)


def test_suspended_runs_are_found_when_a_timer_or_the_deadline_is_due(book: Book) -> None:
    soon, later = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)
    by_timer = a_run(Status.QUEUED)
    by_deadline = a_run(Status.QUEUED, deadline_at=soon)
    neither = a_run(Status.QUEUED, deadline_at=later)
    book.commit(inserting(by_timer, by_deadline, neither))
    for run in (by_timer, by_deadline, neither):
        run.status, run.flow = Status.SUSPENDED, Flow()
    by_timer.flow = Flow(timers={Address("0:1"): soon})
    timer = NewCall(by_timer.id, 0, Address("0:1"), "timer", "", "d", 0, RunId(""), soon, "")
    book.commit(Changes(updated={run.id: run for run in (by_timer, by_deadline, neither)}, calls=[timer]))
    facts = read(book, suspended_due=True)
    assert set(facts.suspended_due) == {by_timer.id, by_deadline.id}
    assert facts.runs[by_timer.id].flow == by_timer.flow
    by_timer.status = Status.QUEUED
    closed = (by_timer.id, 0, Address("0:1"))
    book.commit(Changes(updated={by_timer.id: by_timer}, closed=[closed]))
    assert read(book, suspended_due=True).suspended_due == [by_deadline.id]
    live = next(run for run in book.store.reload(NOW).runs if run.id == by_timer.id)
    assert live.flow is not None
    assert live.flow.timers == {}


def test_inputs_results_and_errors_come_back_inline_or_as_claim_checks(book: Book) -> None:
    inline, offloaded, empty, failed = a_run(), a_run(), a_run(), a_run()
    book.commit(inserting(inline, value=b"\x00x", tags=["a"]), inserting(offloaded, value=CHECK))
    book.commit(inserting(empty, failed, value=b""))
    error = Failure(type="x.Y", message="boom", cause=Failure(type="x.Z", message="deep"))
    for run in (inline, offloaded, empty, failed):
        run.status, run.finished_at = Status.COMPLETED, NOW
    failed.status = Status.FAILED
    book.commit(ending(inline, b""), ending(offloaded, CHECK), ending(empty, None), ending(failed, None, error))
    ids = [inline.id, offloaded.id, empty.id, failed.id]
    inputs, endings = book.store.reader.bodies(ids, ids)
    assert [inputs[one].value for one in ids] == [b"\x00x", CHECK, b"", b""]
    assert inputs[inline.id].tags == ["a"]
    assert [endings[one].result for one in ids] == [b"", CHECK, None, None]
    assert [endings[one].error for one in ids] == [None, None, None, error]


def test_a_second_coordinator_fences_the_first_and_nothing_of_it_is_written(open_book: Callable[[], Book]) -> None:
    first = open_book()
    second = open_book()
    assert second.snapshot.term == first.snapshot.term + 1
    run = a_run()
    with pytest.raises(Fenced, match="another coordinator"):
        first.commit(inserting(run))
    assert second.store.reload(NOW).runs == []
    second.commit(inserting(run))
    assert second.store.reload(NOW).runs == [run]


def test_a_batch_that_contradicts_the_store_leaves_nothing_behind(book: Book) -> None:
    run, other = a_run(), a_run()
    book.commit(inserting(run))
    with pytest.raises(StoreConflict):
        book.commit(inserting(other, run))
    assert [one.id for one in book.store.reload(NOW).runs] == [run.id]


def test_batch_numbers_and_unsent_outcomes_survive_until_they_are_published(open_book: Callable[[], Book]) -> None:
    book = open_book()
    asked = a_run(Status.COMPLETED, finished_at=NOW, reply_to="c", wants_outcome=True)
    silent = a_run(Status.COMPLETED, finished_at=NOW, reply_to="c")
    book.commit(inserting(asked, silent))
    book.commit(ending(asked), ending(silent), published=1)
    again = open_book()
    assert again.snapshot.unsent == [asked.id]
    assert again.batch == 3
    again.commit(Changes(), published=3)
    assert open_book().snapshot.unsent == []


def test_history_without_a_number_gets_the_next_one(book: Book) -> None:
    run = a_run(Status.COMPLETED, finished_at=NOW, history_seq=2)
    changes = inserting(run)
    changes.history.append(history_of(run, 2, "QUEUED"))
    refused = HistoryRow(run.id, 0, "COMPLETED", "COMPLETED", "cancel refused", "me", 1, 1, "", NOW, False)
    changes.history += [refused, refused]
    book.commit(changes)
    rows = book.store.queries.history(run.id)
    assert [(row["seq"], row["valid"]) for row in rows] == [(1, True), (2, True), (3, False), (4, False)]
    assert rows[3]["actor"] == "me"
    assert rows[0]["at"] == "2026-01-02T03:04:05.678901Z"
    assert read(book, runs={run.id}).final[run.id].history_seq == 4


def test_calls_are_written_once_and_read_by_address_or_all(book: Book) -> None:
    run = a_run(Status.HANGING, flow=Flow(generation=1))
    rows = [
        NewCall(run.id, 1, Address(f"0:{n}"), "call", "train", f"d{n}", n, run_id(), None, "f.py:1") for n in range(30)
    ]
    old = rows[0]._replace(generation=0, digest="old")
    book.commit(inserting(run), Changes(calls=[*rows, old]), Changes(calls=[rows[3]._replace(digest="other")]))
    book.commit(Changes(closed=[(run.id, 1, Address("0:3"))]))
    some = read(book, addresses={run.id: {Address("0:3"), Address("0:29"), Address("9:9")}}).calls[run.id]
    assert {address: (row.digest, row.closed) for address, row in some.items()} == {
        "0:3": ("d3", True),
        "0:29": ("d29", False),
    }
    assert len(read(book, calls={run.id}).calls[run.id]) == 30


def test_a_journal_comes_in_pages_with_the_childrens_outcomes(book: Book) -> None:
    run = a_run(Status.HANGING, flow=Flow(generation=1, last_seq=6))
    children = [a_run(Status.COMPLETED, finished_at=NOW, parent_id=run.id, cached=n == 2) for n in range(5)]
    calls = [
        NewCall(run.id, 1, Address(f"0:{n}"), "call", "c", "d", max(0, n - 2), child.id, None, "")
        for n, child in enumerate(children)
    ]
    told = [
        NewDelivery(run.id, 1, n + 1, "outcome", Address(f"0:{n}"), NOW, "COMPLETED", child.id)
        for n, child in enumerate(children)
    ]
    told.append(NewDelivery(run.id, 1, 6, "cancel", Address(""), NOW, "", RunId("")))
    book.commit(inserting(run, *children), Changes(calls=calls, deliveries=told))
    book.commit(*(ending(child, b"x" * 1000) for child in children))
    seen: list[int] = []
    asked: list[str] = []
    after, pages, last = -1, 0, False
    while not last:
        page = book.store.journal_page(run.id, after, limit=3000)
        assert all(after < call.asked_seq <= page.upto for call in page.calls)
        seen += [delivery.seq for delivery in page.deliveries]
        asked += [call.address for call in page.calls]
        after, last, pages = page.upto, page.last, pages + 1
        assert all(one.result == b"x" * 1000 for one in page.deliveries if one.kind == "outcome")
    assert seen == [1, 2, 3, 4, 5, 6]
    assert sorted(asked) == [f"0:{n}" for n in range(5)]
    assert pages > 1
    whole = book.store.journal_page(run.id, -1)
    assert whole.last
    assert [one.cached for one in whole.deliveries] == [False, False, True, False, False, False]


def test_a_page_smaller_than_one_delivery_still_moves_on(book: Book) -> None:
    run = a_run(Status.HANGING, flow=Flow(last_seq=2))
    child = a_run(Status.COMPLETED, finished_at=NOW)
    told = [NewDelivery(run.id, 0, n, "outcome", Address("0:0"), NOW, "COMPLETED", child.id) for n in (1, 2)]
    book.commit(inserting(run, child), Changes(deliveries=told), ending(child, b"x" * 5000))
    assert book.store.journal_page(run.id, 0, limit=100).upto == 1
    assert book.store.journal_page(run.id, 1, limit=100).last


def test_cache_idempotency_and_sessions_are_found_until_they_expire(book: Book) -> None:
    run = a_run(Status.COMPLETED, finished_at=NOW, version="1.0.0")
    later = NOW + timedelta(days=1)
    changes = inserting(run)
    changes.cache = [("k1", run.id, None), ("k2", run.id, later), ("k1", run.id, later)]
    changes.idempotency = [("i1", run.id, later), ("i2", run.id, NOW - timedelta(seconds=1))]
    offer = Offer(routine="train", version="1.0.0", kind="task", cache=True)
    worker = WorkerRow(SessionId("s1"), WorkerId("w"), "default", 4, "IDLE", 0, [offer], "h", 7, "3.11", NOW)
    changes.workers = {worker.session: worker}
    book.commit(changes, ending(run, b"r"), Changes(taken={worker.session: 9}))
    facts = read(book, cache_keys={"k1", "k2", "k3"}, idempotency_keys={"i1", "i2"}, sessions={worker.session})
    assert {
        key: (hit.run_id, hit.result, hit.version, hit.expires_at) for key, hit in facts.cache.items()
    } == dict.fromkeys(("k1", "k2"), (run.id, b"r", "1.0.0", later))
    assert facts.idempotency == {"i1": run.id}
    assert facts.sessions == {worker.session: msgspec.structs.replace(worker, taken=9)}
    book.commit(Changes(freed_keys=[run.id]))
    assert read(book, idempotency_keys={"i1"}).idempotency == {}


def test_sessions_long_closed_are_loaded_only_if_a_run_names_them(open_book: Callable[[], Book]) -> None:
    def session(name: str, status: str, since: Any) -> WorkerRow:
        return WorkerRow(SessionId(name), WorkerId(name), "default", 4, status, 0, [], since=since)

    old = NOW - timedelta(hours=1)
    rows = [session("open", "IDLE", old), session("just", "CLOSED", NOW), session("old", "CLOSED", old)]
    rows.append(session("held", "CLOSED", old))
    book = open_book()
    book.commit(inserting(a_run(Status.EXECUTING, session=SessionId("held"))))
    book.commit(Changes(workers={row.session: row for row in rows}))
    assert {row.session for row in open_book().snapshot.workers} == {"open", "just", "held"}


def test_of_the_sessions_closed_before_a_time_a_thousand_rows_go_at_once(book: Book) -> None:
    def session(name: str, status: str, hours: int) -> WorkerRow:
        since = NOW - timedelta(hours=hours)
        return WorkerRow(SessionId(name), WorkerId(name), "default", 4, status, 0, [], since=since)

    rows = [session("open", "IDLE", 30), session("just", "CLOSED", 23)]
    rows += [session(f"old-{number}", "CLOSED", 25) for number in range(1001)]
    book.commit(Changes(workers={row.session: row for row in rows}))
    left = []
    for _ in range(2):
        book.commit(Changes(workers_until=NOW - timedelta(hours=24)))
        left.append(set(read(book, sessions={row.session for row in rows}).sessions))
    assert len(left[0]) == 3
    assert left[1] == {"open", "just"}


def test_cursors_give_pages_of_children_that_still_live(book: Book) -> None:
    parent = run_id()
    children = [a_run(parent_id=parent) for _ in range(1500)]
    children[0].finished_at, children[0].status = NOW, Status.COMPLETED
    late = a_run(parent_id=parent, created_at=NOW + timedelta(seconds=1))
    book.commit(inserting(*children, late))
    cursor = Cursor(id="c", kind="cancel_children", run_id=parent, reason="r", before=NOW)
    book.commit(Changes(cursors=[cursor]))
    (first,) = read(book, cursors=True).cursors
    assert first.children == [child.id for child in children[1:1001]]
    assert not first.last
    book.commit(Changes(cursors=[msgspec.structs.replace(first, after=first.children[-1], children=[])]))
    (second,) = read(book, cursors=True).cursors
    assert second.children == [child.id for child in children[1001:]]
    assert second.last
    book.commit(Changes(cursors_done=["c"]))
    assert read(book, cursors=True).cursors == []


def test_replies_that_came_back_are_due_after_a_while(book: Book) -> None:
    run = a_run(Status.COMPLETED, finished_at=NOW, reply_to="c")
    due = ReturnedReply(run.id, "c", NOW, NOW)
    later = ReturnedReply(run_id(), "c", NOW, NOW + timedelta(seconds=1))
    book.commit(inserting(run), Changes(returned=[due, later]))
    facts = read(book, replies_due=True)
    assert facts.replies_due == [due]
    assert list(facts.final) == [run.id]
    book.commit(Changes(returned_done=[run.id]))
    assert read(book, replies_due=True).replies_due == []


def test_the_tables_are_those_the_migrations_make(book: Book) -> None:
    def compare(connection: Any) -> None:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []

    book.store.writer.on_connection(compare)


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path, book: Book) -> None:
    book.store.close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(UsageError, match=r"9999.*newer.*LONGSHORE_STORE_URL"):
        Store.open(f"sqlite:///{tmp_path}/ledger.db")


def test_somebody_elses_file_or_folder_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to look like a file of some kind" * 20)
    with pytest.raises(StoreUnavailableError, match="LONGSHORE_STORE_URL"):
        Store.open(f"sqlite:///{tmp_path}/text.db")
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(UsageError, match="somebody else's tables"):
        Store.open(f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(SettingsError, match="does not exist"):
        Store.open(f"sqlite:///{tmp_path}/nowhere/ledger.db")
    with pytest.raises(SettingsError, match="LONGSHORE_STORE_URL"):
        Store.open("mysql://somewhere/else")


def test_a_locked_database_is_unavailable_and_the_next_try_succeeds(tmp_path: Path, book: Book) -> None:
    book.store.writer.on_connection(lambda connection: None)
    book.store.writer._connect().exec_driver_sql("PRAGMA busy_timeout = 50")
    book.store.writer._connect().rollback()
    run = a_run()
    blocker = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked"):
        book.commit(inserting(run))
    blocker.execute("ROLLBACK")
    blocker.close()
    book.commit(inserting(run))
    assert book.store.reload(NOW).runs == [run]


def test_a_full_disk_is_definite_and_the_batch_can_be_repeated(book: Book) -> None:
    connection = book.store.writer._connect()
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    connection.rollback()
    runs = [a_run() for _ in range(300)]
    with pytest.raises(StoreUnavailableError, match="full; make room"):
        book.commit(inserting(*runs))
    assert book.store.reload(NOW).runs == []
    book.store.writer._connect().exec_driver_sql("PRAGMA max_page_count = 1000000")
    book.store.writer._connect().rollback()
    book.commit(inserting(*runs))
    assert len(book.store.reload(NOW).runs) == 300


def test_dead_letters_keep_the_reason_and_the_body(book: Book) -> None:
    letters = [
        Unreadable("commands", "no MessagePack", b"\xff\x00", 2, {"session": "s"}, "Traceback ...", [run_id(5)]),
        Unreadable("reports", "too large", b"text", 2_000_000),
    ]
    book.commit(Changes(dead=letters))
    rows, more = book.store.queries.dead_letters()
    assert [(row["source"], row["size"]) for row in rows] == [("reports", 2_000_000), ("commands", 2)]
    assert more is None
    first = book.store.queries.dead_letter(rows[1]["id"])
    assert first is not None
    assert (first["encoding"], first["body"], first["headers"]) == ("base64", "/wA=", {"session": "s"})
    assert (first["traceback"], first["run_ids"]) == ("Traceback ...", [run_id(5)])
    assert book.store.queries.dead_letter(77) is None
    page, more = book.store.queries.dead_letters(limit=1)
    assert more == page[0]["id"]
    assert [row["id"] for row in book.store.queries.dead_letters(limit=5, cursor=more)[0]] == [rows[1]["id"]]


def _list(book: Book, **filters: Any) -> list[RunId]:
    found: list[Any] = []
    cursor: int | None = None
    while True:
        page, cursor = book.store.queries.runs(limit=7, cursor=cursor, **filters)
        found += [row["run_id"] for row in page]
        if cursor is None:
            return found


def test_lists_are_filtered_paged_and_newest_first(book: Book) -> None:
    queued = [a_run() for _ in range(20)]
    done = [a_run(Status.COMPLETED, finished_at=NOW, routine="score") for _ in range(10)]
    book.commit(inserting(*queued, tags=["50%", 'a"b', "Ärger"]), inserting(*done, tags=["A"]))
    newest_first = [run.id for run in reversed([*queued, *done])]
    assert _list(book) == newest_first
    assert _list(book, status="QUEUED") == newest_first[10:]
    assert _list(book, status="COMPLETED") == newest_first[:10]
    assert _list(book, routine="score") == newest_first[:10]
    assert _list(book, tag='a"b', status="QUEUED") == newest_first[10:]
    assert _list(book, tag="50%") == _list(book, tag="Ärger") == newest_first[10:]
    assert _list(book, tag="a") == _list(book, tag="50_") == []
    assert _list(book, tag="A", routine="score", status="COMPLETED") == newest_first[:10]


def test_a_runs_fields_are_those_of_the_api(book: Book) -> None:
    run = a_run(Status.FAILED, finished_at=NOW, **{k: v for k, v in FULL.items() if k != "cached"})
    book.commit(inserting(run, tags=["x"], a=1), ending(run, None, Failure("x.Y", "boom", "Traceback")))
    fields = book.store.queries.run(run.id)
    assert fields is not None
    assert fields["error"] == {"type": "x.Y", "message": "boom", "traceback": "Traceback"}
    assert (fields["tags"], fields["metadata"], fields["created_at"]) == (
        ["x"],
        {"a": 1},
        "2026-01-02T03:04:05.678901Z",
    )
    assert fields["why_waiting"] is None
    assert book.store.queries.run(run_id()) is None


def test_a_list_says_why_each_run_waits_in_the_words_of_why(book: Book) -> None:
    book.commit(inserting(a_run(Status.PENDING_VERSION)))
    ((listed,), _) = book.store.queries.runs(status="PENDING_VERSION")
    assert listed["why_waiting"]["kind"] == "version"
    assert set(listed["why_waiting"]) == {"kind", "text", "holders", "position", "since", "next_at"}


def test_a_tree_has_every_run_below_the_root_with_what_was_offloaded(book: Book) -> None:
    root = a_run(Status.COMPLETED, finished_at=NOW)
    children = [a_run(parent_id=root.id, root_id=root.id) for _ in range(5)]
    grandchild = a_run(parent_id=children[0].id, root_id=root.id)
    book.commit(inserting(root), inserting(*children, grandchild, value=CHECK), ending(root, CHECK))
    rows, more = book.store.queries.tree(grandchild.id)
    assert [row["run_id"] for row in rows] == [root.id, *(child.id for child in children), grandchild.id]
    assert more is None
    assert (rows[0]["result_size"], rows[0]["input_size"], rows[1]["input_size"]) == (70_000, None, 70_000)
    first, more = book.store.queries.tree(root.id, limit=4)
    rest, end = book.store.queries.tree(root.id, after=more or 0, limit=4)
    assert [row["run_id"] for row in first + rest] == [row["run_id"] for row in rows]
    assert end is None
    assert book.store.queries.tree(run_id()) == ([], None)


def test_a_tree_says_how_each_run_was_called_and_how_it_failed_but_reads_no_long_input(book: Book) -> None:
    root = a_run(Status.EXECUTING, reason="started")
    short, long = (a_run(parent_id=root.id, root_id=root.id) for _ in range(2))
    book.commit(inserting(root, value=encode_arguments([3], {}).inline()))
    book.commit(inserting(short, value=encode_arguments(["x"], {"n": 1}).inline()))
    book.commit(inserting(long, value=encode_arguments(["x" * 3000], {}).inline()))
    short.status, short.finished_at, short.reason = Status.FAILED, NOW, "attempt 1 of 1: too bad"
    book.commit(ending(short, None, Failure(type="builtins.ValueError", message="too bad", traceback="t" * 5000)))
    rows, _ = book.store.queries.tree(root.id)
    assert [(row["call"], row["reason"], row["error"]) for row in rows] == [
        ("3", "started", None),
        ("'x', n=1", "attempt 1 of 1: too bad", {"type": "builtins.ValueError", "message": "too bad"}),
        ("", "", None),
    ]


def test_what_a_workflow_waits_for_names_its_open_calls_and_next_timer(book: Book) -> None:
    run = a_run(Status.HANGING, flow=Flow(open_calls=1))
    told, open_one = a_run(Status.COMPLETED, finished_at=NOW, parent_id=run.id), a_run(parent_id=run.id)
    calls = [
        NewCall(run.id, 0, Address("0:0"), "call", "train", "d", 0, told.id, None, ""),
        NewCall(run.id, 0, Address("0:1"), "call", "train", "d", 0, open_one.id, None, ""),
        NewCall(run.id, 0, Address("0:2"), "timer", "", "d", 0, RunId(""), NOW, ""),
    ]
    delivered = NewDelivery(run.id, 0, 1, "outcome", Address("0:0"), NOW, "COMPLETED", told.id)
    book.commit(inserting(run, told, open_one), Changes(calls=calls, deliveries=[delivered]))
    assert book.store.queries.waits(run.id) == {
        "calls": 1,
        "children": [f"train {open_one.id} (QUEUED)"],
        "timers": 1,
        "next_at": "2026-01-02T03:04:05.678901Z",
    }


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("SELECT id FROM run WHERE status <> 'COMPLETED' AND status = 'QUEUED' ORDER BY no DESC", "run_uncompleted"),
        ("SELECT id FROM run WHERE routine = 'x' ORDER BY no DESC", "run_routine"),
        ("SELECT id FROM run WHERE check_at > 0 AND check_at <= 5 ORDER BY check_at", "run_check"),
        ("SELECT id FROM run WHERE parent_id <> '' AND parent_id = 'x' AND id > 'y' ORDER BY id", "run_parent"),
        ("SELECT id FROM run WHERE parent_id <> '' AND root_id = 'x' AND no > 5 ORDER BY no", "run_root"),
        ("SELECT id FROM run WHERE tags <> '' AND tags LIKE '%x%' ORDER BY no DESC", "run_tagged"),
        ("UPDATE run SET epoch = v.column2 FROM (VALUES ('a', 1), ('b', 2)) AS v WHERE run.id = v.column1", "id=?"),
    ],
)
def test_an_index_serves_each_question(book: Book, statement: str, index: str) -> None:
    rows = book.store.reader.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    plan = "\n".join(str(row[3]) for row in rows)
    assert index in plan
    assert "SCAN run\n" not in f"{plan}\n"
