"""What people ask the store: lists, trees, dead letters, what a workflow waits for."""

from __future__ import annotations

import time
from typing import Any

import pytest

from longshore.coordinator.store.tables import WAITED
from longshore.core.bulks import RunFilter
from longshore.core.changes import (
    Changes,
    NewCall,
    NewDelivery,
    Unreadable,
)
from longshore.core.ids import Address, RunId
from longshore.core.message import Failure
from longshore.core.run import Flow, Status
from longshore.serialization.arguments import encode_arguments
from tests.coordinator.conftest import Book
from tests.coordinator.rows import CHECK, FULL, NOW, a_run, ending, inserting, run_id


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
        page, cursor = book.store.queries.runs(RunFilter(**filters), limit=7, cursor=cursor)
        found += [row["run_id"] for row in page]
        if cursor is None:
            return found


def test_lists_are_filtered_paged_and_newest_first(book: Book) -> None:
    queued = [a_run() for _ in range(20)]
    done = [a_run(Status.COMPLETED, finished_at=NOW, routine="score") for _ in range(10)]
    book.commit(inserting(*queued, tags=["50%", 'a"b', "Ärger"]), inserting(*done, tags=["A"]))
    newest_first = [run.id for run in reversed([*queued, *done])]
    assert _list(book) == newest_first
    assert _list(book, status=["QUEUED"]) == newest_first[10:]
    assert _list(book, status=["COMPLETED"]) == newest_first[:10]
    assert _list(book, routine="score") == newest_first[:10]
    assert _list(book, tag='a"b', status=["QUEUED"]) == newest_first[10:]
    assert _list(book, tag="50%") == _list(book, tag="Ärger") == newest_first[10:]
    assert _list(book, tag="a") == _list(book, tag="50_") == []
    assert _list(book, tag="A", routine="score", status=["COMPLETED"]) == newest_first[:10]


def test_lists_are_filtered_by_queue_and_concurrency_key(book: Book) -> None:
    plain, gpu, keyed = (
        [a_run(queue=queue, concurrency_key=key) for _ in range(9)]
        for queue, key in (("default", ""), ("gpu", ""), ("gpu", "acme"))
    )
    ended = a_run(Status.COMPLETED, finished_at=NOW, queue="gpu", concurrency_key="acme")
    book.commit(inserting(*plain), inserting(*gpu), inserting(*keyed, ended))
    of_key = [ended.id, *(run.id for run in reversed(keyed))]
    assert _list(book, queue="gpu") == [*of_key, *(run.id for run in reversed(gpu))]
    assert _list(book, queue="default") == [run.id for run in reversed(plain)]
    assert _list(book, concurrency_key="acme") == _list(book, queue="gpu", concurrency_key="acme") == of_key
    assert _list(book, queue="gpu", concurrency_key="acme", status=["QUEUED"]) == of_key[1:]
    assert (
        _list(book, queue="GPU")
        == _list(book, concurrency_key="a")
        == _list(book, queue="default", concurrency_key="acme")
        == []
    )
    assert [row["concurrency_key"] for row in book.store.queries.runs(RunFilter(queue="gpu"), limit=1)[0]] == ["acme"]


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


def test_a_run_says_its_priority_its_pool_its_times_and_its_attempts_where_they_were_given(book: Book) -> None:
    given, plain = a_run(Status.DELAYED, **FULL), a_run()
    book.commit(inserting(given, plain))
    names = ("priority", "pool", "max_attempts", "due_at", "ttl_at", "deadline_at")
    (second, first), _ = book.store.queries.runs()
    for fields in (first, book.store.queries.run(given.id)):
        assert fields is not None
        assert [fields[name] for name in names] == [
            2.5, "big", 7, "2026-01-02T03:04:06.678901Z", "2026-02-01T03:04:05.678901Z", "2026-01-03T03:04:05.678901Z",
        ]  # fmt: skip
    for fields in (second, book.store.queries.run(plain.id)):
        assert fields is not None
        assert [fields[name] for name in names] == [0.0, "", None, None, None, None]


def test_a_list_says_why_each_run_waits_in_the_words_of_why(book: Book) -> None:
    book.commit(inserting(a_run(Status.PENDING_VERSION)))
    ((listed,), _) = book.store.queries.runs(RunFilter(["PENDING_VERSION"]))
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
    told = a_run(Status.COMPLETED, finished_at=NOW, parent_id=run.id, parent_address=Address("0:0"))
    open_one = a_run(parent_id=run.id, parent_address=Address("0:1"))
    left = a_run(Status.CANCELING, parent_id=run.id, parent_address=Address("0:3"))  # no longer waited for
    calls = [
        NewCall(run.id, 0, Address("0:0"), "call", "train", "d", 0, told.id, None, ""),
        NewCall(run.id, 0, Address("0:1"), "call", "train", "d", 0, open_one.id, None, ""),
        NewCall(run.id, 0, Address("0:2"), "timer", "", "d", 0, RunId(""), NOW, ""),
        NewCall(run.id, 0, Address("0:3"), "call", "train", "d", 0, left.id, None, ""),
    ]
    delivered = NewDelivery(run.id, 0, 1, "outcome", Address("0:0"), NOW, "COMPLETED", told.id)
    closed = [(run.id, 0, Address("0:3"))]
    book.commit(inserting(run, told, open_one, left), Changes(calls=calls, deliveries=[delivered], closed=closed))
    assert book.store.queries.waits(run.id) == {
        "calls": 1,
        "children": [f"train {open_one.id} (QUEUED)"],
        "timers": 1,
        "outside": [],
        "next_at": "2026-01-02T03:04:05.678901Z",
    }


def test_what_a_workflow_of_many_calls_waits_for_is_found_without_going_through_all_of_them(book: Book) -> None:
    parent = a_run(Status.HANGING, flow=Flow(open_calls=1))
    many = [
        a_run(Status.COMPLETED, finished_at=NOW, parent_id=parent.id, parent_address=Address(f"0:{number}"))
        for number in range(5000)
    ]
    many[-1].status = Status.QUEUED
    told = [
        NewDelivery(parent.id, 0, number, "outcome", child.parent_address, NOW, "COMPLETED", child.id)
        for number, child in enumerate(many[:-1], 1)
    ]
    calls = [NewCall(parent.id, 0, child.parent_address, "call", "train", "d", 0, child.id, None, "") for child in many]
    book.commit(inserting(parent, *many), Changes(calls=calls, deliveries=told))
    begun = time.process_time()
    waits = book.store.queries.waits(parent.id)
    assert waits is not None and waits["children"] == [f"train {many[-1].id} (QUEUED)"]
    assert time.process_time() - begun < 0.5  # every call beside every fact would be ten seconds and more


OPEN_WAITS = (
    "SELECT name FROM call JOIN run ON run.id = call.run_id AND run.generation = call.generation "
    f"WHERE call.run_id IN ('x', 'y') AND {WAITED}"
)


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("SELECT id FROM run WHERE status <> 'COMPLETED' AND status = 'QUEUED' ORDER BY no DESC", "run_uncompleted"),
        ("SELECT id FROM run WHERE routine = 'x' ORDER BY no DESC", "run_routine"),
        ("SELECT id FROM run WHERE check_at > 0 AND check_at <= 5 ORDER BY check_at", "run_check"),
        ("SELECT id FROM run WHERE parent_id <> '' AND parent_id = 'x' AND id > 'y' ORDER BY id", "run_parent"),
        ("SELECT id FROM run WHERE parent_id <> '' AND root_id = 'x' AND no > 5 ORDER BY no", "run_root"),
        ("SELECT seq FROM delivery WHERE kind = 'signal' AND run_id = 'x' AND address IN ('y')", "delivery_signal"),
        (OPEN_WAITS, "call_wait"),
        ("SELECT id FROM run WHERE tags <> '' AND tags LIKE '%x%' ORDER BY no DESC", "run_tagged"),
        ("SELECT id FROM run WHERE queue <> 'default' AND queue = 'x' ORDER BY no DESC", "run_queue"),
        ("SELECT id FROM run WHERE concurrency_key <> '' AND concurrency_key = 'x' ORDER BY no DESC", "run_key"),
        ("UPDATE run SET epoch = v.column2 FROM (VALUES ('a', 1), ('b', 2)) AS v WHERE run.id = v.column1", "id=?"),
    ],
)
def test_an_index_serves_each_question(book: Book, statement: str, index: str) -> None:
    rows = book.store.reader.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    plan = "\n".join(str(row[3]) for row in rows)
    assert index in plan
    assert "SCAN run\n" not in f"{plan}\n"
