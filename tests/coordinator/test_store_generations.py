"""What the store keeps of a workflow that continues: the new input, and no journal of the generations before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from longshore.coordinator.bodies import Inputs
from longshore.core.changes import Changes, NewCall, NewDelivery
from longshore.core.cursors import Cursor
from longshore.core.ids import Address, RunId
from longshore.core.message import Start, Value
from longshore.core.run import Flow, Run, Status
from tests.coordinator.conftest import Book
from tests.coordinator.rows import CHECK, NOW, a_run, inserting, run_id
from tests.coordinator.test_store import read


def journal(run: Run, generation: int, many: int = 3) -> Changes:
    """Some calls and facts of one generation."""
    calls = [
        NewCall(run.id, generation, Address(f"0:{n}"), "call", "f", "d", n, run_id(), None, "f.py:1")
        for n in range(many)
    ]
    told = [
        NewDelivery(run.id, generation, n + 1, "outcome", Address(f"0:{n}"), NOW, "COMPLETED", RunId(""))
        for n in range(many)
    ]
    return Changes(calls=calls, deliveries=told)


def continuing(run: Run, value: Value) -> Changes:
    """The next generation of this run."""
    assert run.flow is not None
    changes = Changes(inputs={run.id: value}, forgotten=[(run.id, run.flow.generation, 1000)], updated={run.id: run})
    run.flow = Flow(generation=run.flow.generation + 1)
    return changes


def rows_of(book: Book, table: str) -> Any:
    connection = book.store.reader.connection
    return connection.exec_driver_sql(f"SELECT run_id, generation FROM {table} ORDER BY 1, 2").fetchall()


@pytest.mark.parametrize("value", [b"next", CHECK])
def test_a_next_generation_has_its_own_input_and_an_empty_journal(book: Book, value: Value) -> None:
    run = a_run(Status.QUEUED, flow=Flow())
    other = a_run(Status.HANGING, flow=Flow())
    book.commit(inserting(run, other), journal(run, 0), journal(other, 0))
    both = journal(run, 1, many=1)
    book.commit(journal(run, 1), continuing(run, value))
    assert rows_of(book, "call") == rows_of(book, "delivery") == sorted([(run.id, 1)] * 3 + [(other.id, 0)] * 3)
    last = continuing(run, value)
    last.calls = [call._replace(address=Address("9:9")) for call in both.calls]  # asked in the very batch of its end
    book.commit(last)
    assert rows_of(book, "call") == [(other.id, 0)] * 3
    inputs, _ = book.store.reader.bodies([run.id, other.id], [])
    assert inputs[run.id].value == value
    assert inputs[other.id].value == b"in"
    page = book.store.journal_page(run.id, -1)
    assert (page.calls, page.deliveries, page.last) == ([], [], True)


def test_an_input_kept_for_the_generation_before_is_not_given_to_the_next() -> None:
    inputs, run = Inputs(), a_run(flow=Flow())
    inputs.keep(inserting(run, value=b"old"))
    inputs.keep(continuing(run, b"new"))
    assert not inputs.give(Start(run_id=run.id, epoch=2, attempt=1, routine="t", version="1.0.0"))
    assert inputs._size == 0


def test_a_thousand_generations_take_no_more_room_than_one(tmp_path: Path, book: Book) -> None:
    run = a_run(Status.QUEUED, flow=Flow())
    book.commit(inserting(run))
    pages = []
    for number in range(1000):
        generation = run.flow.generation if run.flow else 0
        changes = journal(run, generation, many=20)
        more = continuing(run, f"{number}".encode() * 100)
        changes.inputs, changes.forgotten, changes.updated = more.inputs, more.forgotten, more.updated
        book.commit(changes)
        if number in (99, 999):
            pages.append(book.store.reader.connection.exec_driver_sql("PRAGMA page_count").scalar_one())
    assert pages[1] <= pages[0] + 2, pages
    assert rows_of(book, "call") == rows_of(book, "delivery") == []


def test_children_that_are_spared_are_on_no_page_of_a_cascade(book: Book) -> None:
    parent = run_id()
    children = [a_run(parent_id=parent, spared=number % 2 == 1) for number in range(6)]
    book.commit(inserting(*children))
    book.commit(Changes(cursors=[Cursor(id="c", kind="cancel_children", run_id=parent, reason="r")]))
    (cursor,) = read(book, cursors=True).cursors
    assert cursor.children == [child.id for child in children[::2]]
    assert cursor.last
    suspended = a_run(Status.SUSPENDED, parent_id=parent, spared=True, flow=Flow())
    book.commit(inserting(suspended))
    assert read(book, runs={suspended.id}).runs[suspended.id].spared
