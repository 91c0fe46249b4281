"""The store on SQLite: what is committed comes back, and who is not the owner writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from longshore.coordinator.store import Fenced, StoreConflict
from longshore.core.changes import Changes, HistoryRow, Needs, NewCall, NewDelivery
from longshore.core.cursors import Cursor
from longshore.core.ids import Address, RunId, SessionId, WorkerId
from longshore.core.message import Drain, Failure, Offer, Value
from longshore.core.records import ReturnedReply, WorkerRow
from longshore.core.run import Flow, Status
from longshore.serialization.arguments import encode_arguments
from longshore.serialization.written import LARGEST
from tests.coordinator.conftest import Book
from tests.coordinator.rows import CHECK, FULL, NOW, a_run, ending, history_of, inserting, run_id


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
    fixed += " asked_version pool priority max_attempts timeout_ms version_deadline_ms"
    first = a_run(**{name: FULL[name] for name in fixed.split()})
    book.commit(inserting(first))
    flow = Flow(generation=1, last_seq=2, processed_seq=1, open_calls=3, cancel_seq=2)
    second = a_run(Status.HANGING, id=first.id, flow=flow, **FULL)
    book.commit(Changes(updated={second.id: second}))
    assert open_book().snapshot.runs == [second]


ALONE: dict[str, Any] = FULL | {"flow": Flow(generation=1, last_seq=2)}
FIXED = (
    "parent_id parent_address parent_generation root_id reply_to correlation_id plain wants_outcome asked_version pool"
    " priority max_attempts timeout_ms version_deadline_ms created_at"
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


def test_the_parent_of_a_run_that_lives_is_read_with_it_if_it_is_put_away(book: Book) -> None:
    parent = a_run(Status.SUSPENDED, flow=Flow())
    live, over = a_run(parent_id=parent.id), a_run(Status.FAILED, parent_id=parent.id, finished_at=NOW)
    book.commit(inserting(parent, live, over))
    assert read(book, runs={live.id}).runs == {parent.id: parent}
    assert read(book, runs={over.id}).runs == {}


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


def test_what_a_task_keeps_for_its_next_attempt_comes_with_its_input(book: Book) -> None:
    inline, offloaded, other = a_run(), a_run(), a_run()
    book.commit(inserting(inline, offloaded, other, value=b"x"))
    book.commit(Changes(checkpoints={inline.id: b"\x01", offloaded.id: CHECK}))
    book.commit(Changes(checkpoints={inline.id: b"\x02"}))
    inputs, _ = book.store.reader.bodies([inline.id, offloaded.id, other.id], [])
    assert [inputs[one.id].checkpoint for one in (inline, offloaded, other)] == [b"\x02", CHECK, None]


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


def test_what_recorded_calls_were_given_is_read_where_it_can_be_shown(book: Book) -> None:
    run = a_run(Status.HANGING, flow=Flow())
    values: list[Value] = [
        encode_arguments(["tea"], {"n": 2}).inline(),
        b"in",
        CHECK,
        encode_arguments(["x" * LARGEST], {}).inline(),
    ]
    children = [a_run(parent_id=run.id) for _ in values]
    calls = [
        NewCall(run.id, 0, Address(f"0:{n}"), "call", "c", "d", 0, child.id, None, "")
        for n, child in enumerate(children)
    ]
    calls.append(NewCall(run.id, 0, Address("0:4"), "timer", "", "d", 0, RunId(""), NOW, ""))
    book.commit(inserting(run), Changes(calls=calls))
    book.commit(*(inserting(child, value=value) for child, value in zip(children, values, strict=True)))
    addresses = {Address(f"0:{n}") for n in range(6)}
    asked = {(run.id, address) for address in addresses}
    assert read(book, addresses={run.id: addresses}, arguments=asked).arguments == {(run.id, "0:0"): ["'tea'", "n=2"]}


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
    worker = WorkerRow(SessionId("s1"), WorkerId("w"), "default", 4, "IDLE", 0, [offer], "h", 7, "3.11", NOW, Drain())
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
