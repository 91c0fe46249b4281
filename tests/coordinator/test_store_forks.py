"""What the store keeps of a fork: the same rows as the plain model, whatever the journal."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from longshore.coordinator.bodies import Inputs
from longshore.coordinator.depending import depends
from longshore.core.changes import Changes, Needs, NewCall, NewDelivery, NewRun
from longshore.core.forks import ForkPoint, NewFork
from longshore.core.ids import Address, RunId
from longshore.core.message import Start
from longshore.core.records import TokenRow
from longshore.core.run import Flow, Run, Status
from tests.coordinator.conftest import Book
from tests.coordinator.rows import CHECK, NOW, a_run, history_of, inserting, run_id
from tests.simulation.cuts import Cut, cut

DAY = timedelta(days=1)
KINDS = ("call", "call", "call", "timer", "signal", "token", "patch")


class Journal:
    """A random journal: calls and waits, each answered later, in another order, or never; signals between."""

    def __init__(self, run: Run, seed: int) -> None:
        self.random = random.Random(seed)
        self.run = run
        self.generation = run.flow.generation if run.flow else 0
        self.calls: list[NewCall] = []
        self.facts: list[NewDelivery] = []
        self.closed: list[tuple[RunId, int, Address]] = []
        for seq in range(self.random.randrange(1, 12)):
            for _ in range(self.random.randrange(4)):
                self.ask(seq)
            self.answer(seq + 1)

    def ask(self, seq: int) -> None:
        number = len(self.calls)
        kind = self.random.choice(KINDS)
        due = NOW + DAY if kind == "timer" or (kind == "token" and number % 2) else None
        name = f"{self.run.id[-4:]}-{number}" if kind == "token" else "f"
        child = run_id() if kind == "call" else RunId("")
        address = Address(f"0:{number}")
        self.calls.append(NewCall(self.run.id, self.generation, address, kind, name, "d", seq, child, due, "f.py:1"))

    def answer(self, seq: int) -> None:
        told = {row.address for row in self.facts}
        open_ = [row for row in self.calls if row.address not in told and row.kind in ("call", "timer", "token")]
        kind, address, child, status, value = "signal", Address(f"id-{seq}"), RunId(""), "go", b"v" if seq % 2 else None
        if open_ and self.random.random() < 0.8:
            row = self.random.choice(open_)
            kind = {"call": "outcome", "timer": "timer"}.get(
                row.kind, "timer" if self.random.random() < 0.4 else "token"
            )
            status = self.random.choice(["COMPLETED", "FAILED", "CANCELED"]) if kind == "outcome" else ""
            address, child, value = row.address, row.child_id, None
            if kind != "outcome":
                self.closed.append((self.run.id, self.generation, address))
        at = NOW + timedelta(seconds=seq)
        self.facts.append(NewDelivery(self.run.id, self.generation, seq, kind, address, at, status, child, value))

    @property
    def changes(self) -> Changes:
        tokens = [
            TokenRow(row.name, self.run.id, self.generation, row.address, row.due_at)
            for row in self.calls
            if row.kind == "token"
        ]
        done = [row.address for row in self.facts if row.kind == "token"]
        completed = [(row.token, NOW, "") for row in tokens if row.address in done]
        return Changes(
            calls=self.calls, deliveries=self.facts, closed=self.closed, tokens=tokens, tokens_completed=completed
        )


def a_source(**more: Any) -> Run:
    flow = Flow(generation=2, last_seq=9, processed_seq=8, forked_at=NOW, seed=run_id())
    return a_run(Status.FAILED, kind="workflow", flow=flow, attempt_at=NOW, finished_at=NOW, **more)


def a_fork(source: Run, address: Address, seq: int, at: Any = NOW + DAY) -> tuple[Run, Changes]:
    assert source.flow is not None
    run = a_run(Status.QUEUED, kind="workflow", flow=Flow(generation=source.flow.generation, forked_seq=seq))
    fork = NewFork(run.id, source.id, source.flow.generation, address, seq, at, timedelta(hours=1))
    return run, Changes(inserted=[NewRun(run, b"", [], {})], history=[history_of(run, 1, "")], forks=[fork])


def point_of(book: Book, run: RunId, address: str) -> ForkPoint:
    key = (run, Address(address))
    return book.store.reader.read(Needs(forks={key}), NOW).forks[key]


def rows_of(book: Book, columns: str, table: str, run: RunId) -> Sequence[Any]:
    connection = book.store.reader.connection
    order = "seq" if table == "delivery" else "address"
    return connection.exec_driver_sql(
        f"SELECT {columns} FROM {table} WHERE run_id = ? ORDER BY {order}", (run,)
    ).fetchall()


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_the_store_cuts_a_journal_as_the_model_does(book: Book, first: int) -> None:
    cuts = 0
    for seed in range(first, first + 20):
        source = a_source()
        journal, other = Journal(source, seed), Journal(a_source(), seed + 1000)
        book.commit(inserting(source, other.run), journal.changes, other.changes)
        for row in [row for row in journal.calls if row.kind == "call"][:4]:
            found = cut(journal.calls, journal.facts, row.address)
            point = point_of(book, source.id, row.address)
            assert point.call is not None and point.call.asked_seq == found.seq
            assert (point.dropped_seq, point.appended) == (found.dropped_seq, len(found.behind))
            assert {one.address for one in point.tokens} == set(found.open)
            run, changes = a_fork(source, row.address, found.seq)
            book.commit(changes)
            check_copy(book, journal, found, run)
            give_back(book, source, run)
            cuts += 1
    assert cuts > 20


def check_copy(book: Book, journal: Journal, found: Cut, run: Run) -> None:
    calls = rows_of(book, "address, kind, name, digest, asked_seq, child_id, place", "call", run.id)
    kept = [row for row in sorted(journal.calls, key=lambda row: row.address) if row.address in found.kept]
    assert [tuple(row) for row in calls] == [(*row[2:8], row.place) for row in kept]
    facts = [tuple(row) for row in rows_of(book, "seq, kind, address, status, child_id, value", "delivery", run.id)]
    told = [row for row in journal.facts if row.seq <= found.seq or row.seq in found.behind]
    assert facts == [(n, row.kind, row.address, row.status, row.child_id, row.value) for n, row in enumerate(told, 1)]
    names = {row.name for row in kept if row.address in found.open}
    assert {row[0] for row in rows_of_tokens(book, run.id)} == names


def rows_of_tokens(book: Book, run: RunId) -> Sequence[Any]:
    text = "SELECT token, expires_at FROM token WHERE run_id = ?"
    return book.store.reader.connection.exec_driver_sql(text, (run,)).fetchall()


def give_back(book: Book, source: Run, run: Run) -> None:
    """So that the next cut finds the open tokens where they were."""
    text = "UPDATE token SET run_id = ?, expires_at = MAX(0, expires_at - 3600000000) WHERE run_id = ?"

    def act(connection: Connection) -> None:
        connection.exec_driver_sql(text, (source.id, run.id))

    book.store.writer.on_connection(act)


def test_a_fork_has_the_input_the_tags_and_the_metadata_of_the_run_it_came_from(book: Book) -> None:
    source = a_source()
    book.commit(inserting(source, value=CHECK, tags=["a"], ticket=7), Journal(source, 3).changes)
    run, changes = a_fork(source, Address("0:0"), 0)
    book.commit(changes)
    inputs, _ = book.store.reader.bodies([run.id], [])
    assert (inputs[run.id].value, inputs[run.id].tags) == (CHECK, ["a"])
    shown = book.store.queries.run(run.id)
    assert shown is not None
    assert (shown["metadata"], shown["rerun_of"], shown["address"]) == ({"ticket": 7}, source.id, "")
    kept = Inputs()
    kept.keep(changes)
    assert not kept.give(Start(run_id=run.id, epoch=1, attempt=1, routine="wf", version="1.0.0"))


def test_the_beginning_of_a_fork_comes_back_with_its_row(book: Book) -> None:
    flow = Flow(generation=1, last_seq=4, processed_seq=2, forked_seq=3, forked_at=NOW + DAY, seed=run_id())
    flow.cuts = [(1, 86_400_000_000), (2, 5)]
    run = a_run(Status.HANGING, flow=flow)
    book.commit(inserting(run))
    (loaded,) = book.store.reader.snapshot(1, 0, NOW).runs
    assert loaded.flow == flow
    run.flow = Flow(generation=2)
    book.commit(Changes(updated={run.id: run}))
    (loaded,) = book.store.reader.snapshot(1, 0, NOW).runs
    assert loaded.flow == Flow(generation=2)
    recorded = book.store.queries.journal(run.id)
    assert recorded is not None and (recorded.forked_seq, recorded.seed) == (-1, "")


def test_a_fork_is_decided_when_nothing_is_under_way() -> None:
    needs = Needs(forks={(run_id(), Address("0:0"))})
    assert depends(needs, Changes()) and not depends(Needs(), Changes())


def test_the_times_of_a_fork_facts_behind_the_cut_and_open_tokens_are_moved(book: Book) -> None:
    source = a_source()
    call = NewCall(source.id, 2, Address("0:0"), "call", "f", "d", 1, run_id(), None, "")
    token = NewCall(source.id, 2, Address("0:1"), "token", "secret", "d", 0, RunId(""), NOW + DAY, "")
    expired = NewCall(source.id, 2, Address("0:2"), "token", "late", "d", 0, RunId(""), NOW, "")
    facts = [
        NewDelivery(source.id, 2, 1, "signal", Address("id-1"), NOW, "go", RunId(""), b"1"),
        NewDelivery(source.id, 2, 2, "signal", Address("id-2"), NOW, "go", RunId(""), CHECK),
        NewDelivery(source.id, 2, 3, "timer", Address("0:2"), NOW, "", RunId("")),
    ]
    tokens = [TokenRow(row.name, source.id, 2, row.address, row.due_at) for row in (token, expired)]
    changes = Changes(calls=[call, token, expired], deliveries=facts, tokens=tokens)
    changes.closed = [(source.id, 2, Address("0:2"))]
    book.commit(inserting(source), changes)
    point = point_of(book, source.id, "0:0")
    assert (point.at, point.appended, point.dropped_seq) == (NOW, 2, 1)
    assert (point.unread, point.unread_bytes) == (2, 1)
    assert [(one.token, one.owner, one.due_at) for one in point.tokens] == [("secret", source.id, NOW + DAY)]
    run, forked = a_fork(source, Address("0:0"), 1)
    run.flow = Flow(generation=2, last_seq=3, forked_seq=1)
    book.commit(forked)
    page = book.store.journal_page(run.id, -1)
    assert [(one.seq, one.at, one.result) for one in page.deliveries] == [
        (1, NOW, b"1"),
        (2, NOW + DAY, CHECK),
        (3, NOW + DAY, None),
    ]
    (loaded,) = book.store.reader.snapshot(1, 0, NOW).runs
    assert loaded.flow is not None and loaded.flow.timers == {Address("0:1"): NOW + DAY + timedelta(hours=1)}
    facts_now = book.store.reader.read(Needs(tokens={"secret", "late"}), NOW).tokens
    assert (facts_now["secret"].run_id, facts_now["secret"].expires_at) == (run.id, NOW + DAY + timedelta(hours=1))
    assert facts_now["late"].run_id == source.id


def test_what_is_no_call_comes_with_the_calls_near_it(book: Book) -> None:
    source, task = a_source(), a_run(Status.FAILED)
    calls = [
        NewCall(source.id, 2, Address(f"0:{n}"), "timer" if n == 3 else "call", f"f{n}", "d", 0, RunId(""), None, "")
        for n in range(8)
    ]
    book.commit(inserting(source, task), Changes(calls=calls))
    assert point_of(book, task.id, "0:0").run.id == task.id
    for address in ("0:3", "0:9"):
        point = point_of(book, source.id, address)
        assert (point.call is None) is (address == "0:9")
        assert {row.name for row in point.near} == {f"f{n}" for n in range(8) if n != 3}
    assert book.store.reader.read(Needs(forks={(run_id(), Address("0:0"))}), NOW).forks == {}


def test_a_journal_of_a_hundred_thousand_rows_is_copied_in_the_database(book: Book) -> None:
    source, many = a_source(), 50_000
    calls = [
        NewCall(source.id, 2, Address(f"0/{n}:0"), "call", "f", "d", 0, run_id(), None, "f.py:1") for n in range(many)
    ]
    facts = [
        NewDelivery(source.id, 2, n, "outcome", row.address, NOW, "FAILED" if n == many else "COMPLETED", row.child_id)
        for n, row in enumerate(calls, 1)
    ]
    book.commit(inserting(source), Changes(calls=calls, deliveries=facts))
    began = time.perf_counter()
    point = point_of(book, source.id, calls[-1].address)
    assert (point.appended, point.dropped_seq) == (many - 1, 0)
    run, changes = a_fork(source, calls[-1].address, 0)
    book.commit(changes)
    took = time.perf_counter() - began
    connection = book.store.reader.connection
    for table in ("call", "delivery"):
        count = connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table} WHERE run_id = ?", (run.id,)).scalar_one()
        assert count == many - 1
    assert took < 20, f"{took:.1f} s"  # 0.6 s on an idle machine; row by row through a scan it would be hours
