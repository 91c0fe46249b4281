"""Batches and bulk orders in the store: what is over is let go of after its time."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from longshore.core.batches import Batch
from longshore.core.bulks import BulkRow, RunFilter
from longshore.core.changes import Changes
from tests.coordinator.conftest import Book
from tests.coordinator.rows import NOW, a_run, inserting


def test_what_is_over_is_let_go_of_and_what_is_open_stays(book: Book) -> None:
    old = NOW - timedelta(days=31)
    batches = [
        Batch(id="over", status="sealed", created_at=old, closed_at=old, patience_ms=1),
        Batch(id="open", created_at=old, patience_ms=1),
        Batch(id="young", status="sealed", created_at=NOW, closed_at=NOW, patience_ms=1),
    ]
    every = RunFilter(all=True)
    bulks = [
        BulkRow(id="over", what="cancel", filter=every, status="done", created_at=old, finished_at=old),
        BulkRow(id="running", what="cancel", filter=every, created_at=old),
    ]
    kept = Changes(batches={one.id: one for one in batches}, bulks={one.id: one for one in bulks})
    book.commit(kept, Changes(batches_until=NOW - timedelta(days=30)))
    queries = book.store.queries.many
    assert [one["batch_id"] for one in queries.batches()] == ["young", "open"]
    assert [one["bulk_id"] for one in queries.bulks(10)] == ["running"]


def test_a_bulk_order_under_way_says_how_many_that_fit_are_left(book: Book) -> None:
    runs = [a_run(routine="t" if number % 2 else "u") for number in range(10)]
    book.commit(inserting(*runs))
    bulk = BulkRow(id="b", what="cancel", filter=RunFilter(routine="t"), created_at=NOW, matched=2, after=4)
    book.commit(Changes(bulks={"b": bulk}))
    said = book.store.queries.many.bulk("b")
    assert said is not None and (said["left"], said["progress"]) == (3, 0.4)
    book.commit(Changes(bulks={"b": replace(bulk, after=10)}))
    said = book.store.queries.many.bulk("b")
    assert said is not None and (said["left"], said["progress"]) == (0, 1.0)
