"""A workflow's journal as tools ask for it: in pages that fit an answer, whatever lies in it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from longshore.coordinator.asks import answer
from longshore.coordinator.store.recordings import recorded
from longshore.core.changes import Changes, NewCall, NewDelivery
from longshore.core.ids import Address, RunId
from longshore.core.message import MAX_BODY, Answer, Ask, Failure, Recorded
from longshore.core.run import Flow, Run, Status
from longshore.serialization.envelope import pack
from tests.coordinator.conftest import Book
from tests.coordinator.rows import CHECK, NOW, a_run, ending, inserting, run_id


def ask(book: Book, of: RunId, **params: Any) -> Answer:
    return answer(Ask("journal", "a", "c", [of], params), book.store.queries, {"now": NOW, "kept": "for 30 days"})


def whole(book: Book, of: RunId) -> tuple[Recorded, int]:
    """All pages together, and how many there were; each fits a body."""
    found: Recorded | None = None
    pages, where = 0, dict[str, Any]()
    while found is None or where:
        said = ask(book, of, **where)
        assert said.error is None and all(len(body) <= MAX_BODY for body in pack([said]))
        page = msgspec.convert(said.data, Recorded, builtin_types=(bytes,))
        pages += 1
        where = {"after": page.after, "address": page.address} if page.more else {}
        if found is None:
            found = page
            continue
        assert page.input is None
        found.calls += page.calls
        found.deliveries += page.deliveries
    return found, pages


def asking(run: Run, many: int, *, generation: int = 0, place: str = "module.py:10") -> Changes:
    calls = [
        NewCall(run.id, generation, Address(f"0/{n}:0"), "call", "f", "0123456789abcdef", 0, run_id(), None, place)
        for n in range(many)
    ]
    return Changes(calls=calls)


def test_ten_thousand_calls_and_large_values_come_in_pages_that_fit(book: Book) -> None:
    run = a_run(
        Status.HANGING, kind="workflow", version="1.0.0", flow=Flow(last_seq=40, processed_seq=39), attempt_at=NOW
    )
    children = [a_run(Status.COMPLETED, finished_at=NOW) for _ in range(40)]
    told = [
        NewDelivery(run.id, 0, n, "outcome", Address(f"0/{n}:0"), NOW, "COMPLETED", child.id)
        for n, child in enumerate(children, 1)
    ]
    book.commit(inserting(run, *children, value=b"i" * 60_000), asking(run, 10_000), Changes(deliveries=told))
    for child in children[:-2]:
        book.commit(ending(child, b"x" * 64_000))
    book.commit(ending(children[-2], CHECK), ending(children[-1], None, Failure("m.E", "no", "trace" * 100_000)))
    journal, pages = whole(book, run.id)
    assert 5 < pages < 20
    assert {row.address for row in journal.calls} == {f"0/{n}:0" for n in range(10_000)}
    assert len(journal.calls) == 10_000
    assert [one.seq for one in journal.deliveries] == list(range(1, 41))
    assert journal.deliveries[-2].result == CHECK
    assert journal.deliveries[-1].error is not None and journal.deliveries[0].result == b"x" * 64_000
    assert (journal.input, journal.started_at, journal.last_seq, journal.processed_seq) == (b"i" * 60_000, NOW, 40, 39)


def test_only_the_present_generation_is_told(book: Book) -> None:
    run = a_run(Status.HANGING, flow=Flow(generation=1))
    book.commit(inserting(run), asking(run, 2), asking(run, 1, generation=1))
    journal, pages = whole(book, run.id)
    assert (journal.generation, len(journal.calls), pages) == (1, 1, 1)


def test_a_page_smaller_than_one_row_still_moves_on(book: Book) -> None:
    run = a_run(Status.HANGING, flow=Flow())
    book.commit(inserting(run), asking(run, 3))
    page = recorded(book.store.reader.connection, run.id, 0, "", limit=1)
    assert page is not None and page.more and [row.address for row in page.calls] == ["0/0:0"]
    last = recorded(book.store.reader.connection, run.id, 0, "0/1:0", limit=1)
    assert last is not None and not last.more and [row.address for row in last.calls] == ["0/2:0"]


@pytest.mark.parametrize(
    ("params", "rule", "said"),
    [
        ({"after": "many"}, "after", "must be a whole number"),
        ({"address": 7}, "address", "`address` must be a text, not 7"),
    ],
)
def test_a_wrong_question_is_answered_with_the_rule(book: Book, params: dict[str, Any], rule: str, said: str) -> None:
    run = a_run(Status.HANGING, flow=Flow())
    book.commit(inserting(run))
    error = ask(book, run.id, **params).error
    assert error is not None and error["rule"] == rule and said in error["text"]


def test_a_task_and_a_run_that_is_not_there_have_no_journal(book: Book) -> None:
    run = a_run()
    book.commit(inserting(run))
    refused, unknown = ask(book, run.id).error, ask(book, run_id()).error
    assert refused is not None and refused["rule"] == "no_workflow"
    assert "has no journal: no workflow has begun there" in refused["text"]
    assert unknown is not None and unknown["rule"] == "unknown_run"
