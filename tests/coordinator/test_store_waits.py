"""What the store keeps of signals and tokens."""

from __future__ import annotations

from datetime import timedelta

from longshore.core.changes import Changes, Needs, NewCall, NewDelivery
from longshore.core.ids import Address, RunId
from longshore.core.message import Value
from longshore.core.records import KeptSignal, TokenRow
from longshore.core.run import Flow, Run, Status
from tests.coordinator.conftest import Book
from tests.coordinator.rows import CHECK, NOW, a_run, inserting

DAY = timedelta(days=1)
NOBODY = RunId("")


def told(run: Run, seq: int, name: str, value: Value | None, *, kind: str = "signal") -> NewDelivery:
    address = Address(f"id-{seq}" if kind == "signal" else "0:0")
    return NewDelivery(run.id, 0, seq, kind, address, NOW, name, NOBODY, value)


def test_what_signals_and_tokens_bring_comes_back_in_the_journal(book: Book) -> None:
    run = a_run(Status.HANGING, flow=Flow(last_seq=5))
    facts = [
        told(run, 1, "a", b"inline"),
        told(run, 2, "a", CHECK),
        told(run, 3, "b", None),
        told(run, 4, "COMPLETED", b"paid", kind="token"),
        told(run, 5, "", None, kind="timer"),
    ]
    book.commit(inserting(run), Changes(deliveries=facts))
    page = book.store.journal_page(run.id, -1)
    assert [(one.kind, one.status, one.result) for one in page.deliveries] == [
        ("signal", "a", b"inline"),
        ("signal", "a", CHECK),
        ("signal", "b", None),
        ("token", "COMPLETED", b"paid"),
        ("timer", "", None),
    ]


def test_a_signal_is_known_by_its_id_whatever_the_generation_and_kept_for_the_next(book: Book) -> None:
    run, other = (a_run(Status.HANGING, flow=Flow(last_seq=3)) for _ in range(2))
    signals = [told(run, 1, "a", b"1"), told(run, 2, "b", CHECK), told(run, 3, "COMPLETED", None, kind="token")]
    book.commit(inserting(run, other), Changes(deliveries=signals))
    needs = Needs(signals={run.id: {"id-1", "id-9"}, other.id: {"id-1"}}, told_signals={run.id, other.id})
    facts = book.store.reader.read(needs, NOW)
    assert facts.signals == {run.id: {"id-1"}, other.id: set()}
    assert facts.told_signals == {run.id: [(1, 1), (2, 0)], other.id: []}

    run.flow = Flow(generation=1, last_seq=2)
    more = NewDelivery(run.id, 1, 2, "signal", Address("id-5"), NOW, "c", NOBODY, b"5")
    kept = Changes(updated={run.id: run}, deliveries=[more], kept_signals=[KeptSignal(run.id, 0, 2, 1, 1)])
    kept.forgotten = [(run.id, 0, 1000)]
    book.commit(kept)
    page = book.store.journal_page(run.id, -1)
    assert [(one.seq, one.status, one.address, one.result) for one in page.deliveries] == [
        (1, "b", "id-2", CHECK),
        (2, "c", "id-5", b"5"),
    ]
    assert book.store.reader.read(needs, NOW).signals[run.id] == {"id-1"}, "told, in a journal that is gone"


def test_a_token_is_found_with_its_run_and_when_it_was_completed(book: Book) -> None:
    run = a_run(Status.SUSPENDED, flow=Flow())
    rows = [TokenRow("t1", run.id, 0, Address("0:0"), NOW + DAY), TokenRow("t2", run.id, 3, Address("0:1"))]
    book.commit(inserting(run), Changes(tokens=rows))
    book.commit(Changes(tokens=rows[:1], tokens_completed=[("t2", NOW, "me/1")]))
    facts = book.store.reader.read(Needs(tokens={"t1", "t2", "t3"}), NOW)
    rows[1].completed_at, rows[1].completed_by = NOW, "me/1"
    assert facts.tokens == {"t1": rows[0], "t2": rows[1]}
    assert facts.runs.keys() == {run.id}


def test_what_is_waited_for_from_outside_is_told_in_words(book: Book) -> None:
    run = a_run(Status.HANGING, flow=Flow())
    calls = [
        NewCall(run.id, 0, Address("0:0"), "signal", "approved", "d", 0, NOBODY, None, ""),
        NewCall(run.id, 0, Address("0:1"), "token", "t1", "d", 0, NOBODY, NOW + DAY, ""),
        NewCall(run.id, 0, Address("0:2"), "token", "t2", "d", 0, NOBODY, None, ""),
        NewCall(run.id, 0, Address("0:3"), "signal", "taken", "d", 0, NOBODY, None, ""),
        NewCall(run.id, 0, Address("patch:p"), "patch", "p", "d", 0, NOBODY, None, ""),
    ]
    book.commit(inserting(run), Changes(calls=calls, closed=[(run.id, 0, Address("0:3"))]))
    outside = ["signal 'approved'", "token t1 until 2026-01-03T03:04:05.678901Z", "token t2"]
    waits = book.store.queries.waits(run.id)
    assert waits is not None
    assert (waits["timers"], waits["outside"]) == (0, outside)
    assert waits["next_at"] == "2026-01-03T03:04:05.678901Z"
    rows, _ = book.store.queries.tree(run.id)
    assert rows[0]["waits"] == outside
