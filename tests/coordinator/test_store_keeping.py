"""What the store finds of runs that have ended, what goes with each of them, and which objects may go after it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection

from longshore.coordinator.store.migrations.versions import r0003_run_engine
from longshore.core.beginnings import Beginnings
from longshore.core.changes import Changes, NewCall, NewDelivery, Outcome, Unreadable
from longshore.core.cursors import FORGET_EXPIRED, FORGET_ROWS, FORGET_TREE, Cursor
from longshore.core.forks import NewFork
from longshore.core.ids import Address, RunId
from longshore.core.instants import micros
from longshore.core.keeping import START, KeepRow, KeptPage, LettingGo, Shown, Tree, Wanted
from longshore.core.message import ClaimCheck, Value
from longshore.core.records import ReturnedReply, TokenRow
from longshore.core.run import Flow, Run, Status
from tests.coordinator.conftest import Book
from tests.coordinator.rows import NOW, a_run, inserting
from tests.coordinator.test_store import read
from tests.coordinator.test_store_forgetting import count, standing
from tests.coordinator.test_store_generations import journal

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
ALL = micros(NOW + 100 * DAY)


def check(key: str) -> ClaimCheck:
    return ClaimCheck(key=key, size=70_000, sha256="a" * 64)


def end(book: Book, *runs: Run, after: timedelta = timedelta(0), result: Value | None = b"out") -> None:
    for run in runs:
        run.status, run.finished_at = Status.COMPLETED, NOW + after
    book.commit(Changes(ended={run.id: Outcome(run, result, None) for run in runs}))


def finished(book: Book, *runs: Run, **more: Any) -> None:
    book.commit(inserting(*runs))
    end(book, *runs, **more)


def page(
    book: Book, routine: str = "train", after: tuple[int, int] = START, until: int = ALL, limit: int = 10
) -> KeptPage:
    found = read(book, kept=Wanted(routine, after, until, limit)).kept
    assert isinstance(found, KeptPage)
    return found


def ids(trees: list[Tree]) -> list[RunId]:
    return [tree.root.id for tree in trees]


def go(book: Book, **gone: Any) -> None:
    book.commit(Changes(letting_go=LettingGo(**gone)))


def doomed(book: Book, after: timedelta = 100 * DAY) -> dict[str, bool]:
    return {one.key: one.named for one in book.store.objects.doomed(NOW + after, (0, ""), 100)}


# ------------------------------------------------------------------------------------------------------- what has ended


def test_a_page_has_the_oldest_ends_first_and_says_when_the_next_one_ended(book: Book) -> None:
    old, young, other, live = a_run(), a_run(), a_run(routine="other"), a_run()
    book.commit(inserting(young, old, other, live))
    end(book, old)
    end(book, young, other, after=SECOND)
    found = page(book, until=micros(NOW))
    assert (ids(found.trees), found.next_at) == ([old.id], micros(NOW + SECOND))
    found = page(book)
    assert (ids(found.trees), found.next_at) == ([old.id, young.id], 0)
    assert ids(page(book, after=found.trees[0].at).trees) == [young.id]
    assert ids(page(book, limit=1).trees) == [old.id]


def test_a_page_of_runs_that_ended_in_the_same_moment_goes_on_behind_the_last(book: Book) -> None:
    runs = [a_run() for _ in range(5)]
    finished(book, *runs)
    first = page(book, limit=3)
    rest = page(book, limit=3, after=first.trees[-1].at)
    assert first.next_at == micros(NOW) and ids(first.trees) + ids(rest.trees) == [run.id for run in runs]


def test_a_starting_coordinator_is_told_how_many_there_are_of_each_routine(book: Book) -> None:
    roots, child = [a_run(), a_run(), a_run(routine="other")], a_run(parent_id=RunId("p"))
    finished(book, *roots, child)
    book.commit(inserting(a_run()))
    go(book, policies=[KeepRow("train", "1.0.0", 5), KeepRow("train", "2.0.0", 7, 8)])
    snapshot = book.store.reload(NOW)
    assert sorted(snapshot.shown) == [Shown("other", 1, micros(NOW)), Shown("train", 2, micros(NOW))]
    assert snapshot.policies == [KeepRow("train", "2.0.0", 7, 8)]


def test_counting_and_paging_read_nothing_but_the_index(book: Book) -> None:
    connection = book.store.reader.connection
    counting = (
        "SELECT routine, COUNT(*), MIN(finished_at) FROM run WHERE finished_at > 0 AND parent_id = '' GROUP BY routine"
    )
    plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {counting}")]
    assert plan == ["SCAN run USING COVERING INDEX run_ended"]
    paging = (
        "SELECT id FROM run WHERE finished_at > 0 AND parent_id = '' AND routine = 'r' AND (finished_at, no) > (1, 2) "
        "AND finished_at <= 9 ORDER BY finished_at, no LIMIT 5"
    )
    plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {paging}")]
    assert len(plan) == 1 and "run_ended (routine=? AND finished_at>" in plan[0]


def test_a_tree_is_shown_with_all_below_it_and_whether_it_is_forked(book: Book) -> None:
    root, task = a_run(flow=Flow()), a_run()
    below = [a_run(parent_id=root.id, root_id=root.id, flow=Flow() if number else None) for number in range(2)]
    book.commit(inserting(root, *below), journal(root, 0, many=4))
    finished(book, task)
    end(book, root, below[0])
    tree, single = page(book).trees if page(book).trees[0].root.id == root.id else page(book).trees[::-1]
    assert single.root.id == task.id and single.members == [] and not single.root.flow
    assert [(one.id, one.ended, one.flow) for one in tree.members] == [
        (below[0].id, True, False),
        (below[1].id, False, True),
    ]
    assert tree.root.rows > 8 and not tree.forked and not tree.large
    fork = a_run(flow=Flow(forked_seq=0))
    copied = NewFork(fork.id, below[1].id, 0, Address("0:0"), 0, NOW, timedelta(0))
    book.commit(Changes(inserted=inserting(fork).inserted, forks=[copied]))
    assert next(one for one in page(book).trees if one.root.id == root.id).forked


def test_a_large_tree_says_so_and_is_walked_from_both_ends(book: Book) -> None:
    root = a_run(flow=Flow())
    below = [a_run(parent_id=root.id, root_id=root.id) for _ in range(1500)]
    finished(book, root, *below)
    (tree,) = page(book).trees
    assert tree.large and tree.members == []
    found = standing(book, Cursor("c", FORGET_TREE, root.id, "look"))
    assert (len(found.members), found.last) == (1000, False)
    assert page(book).trees[0].going
    found = standing(book, Cursor("c", FORGET_TREE, root.id, "look", after=found.after))
    assert (len(found.members), found.last, found.forked) == (500, True, False)
    found = standing(book, Cursor("c", FORGET_TREE, root.id, "go"))
    assert [one.id for one in found.members] == [run.id for run in below[:499:-1]] and not found.last
    go(book, runs=[one.id for one in found.members])
    found = standing(book, Cursor("c", FORGET_TREE, root.id, "go"))
    assert (len(found.members), found.last, found.members[-1].id, found.routine) == (501, True, root.id, "train")


# ------------------------------------------------------------------------------------------------------------ what goes


def test_a_run_goes_with_everything_that_belongs_to_it_and_nothing_else(book: Book) -> None:
    run, other = a_run(flow=Flow(), cache_key="k"), a_run(flow=Flow(), cache_key="o")
    finished(book, run, other)
    for one in (run, other):
        book.commit(journal(one, 0))
        token, row = f"t-{one.id}", TokenRow(f"t-{one.id}", one.id, 0, Address("0:9"))
        call = NewCall(one.id, 0, Address("0:9"), "token", token, "", 0, RunId(""), None, "")
        told = NewDelivery(one.id, 1, 1, "signal", Address("s"), NOW, "s", RunId(""), b"1")
        cached = Changes(cache=[(one.cache_key, one.id, None)], idempotency=[(one.id, one.id, NOW + DAY)])
        book.commit(Changes(tokens=[row], calls=[call], deliveries=[told]), cached)
        book.commit(Changes(returned=[ReturnedReply(one.id, "c", NOW, NOW)], forgotten=[(one.id, 1, 1)]))
    tables = ("history", "call", "delivery", "token", "cache", "idempotency", "returned_reply", "run")
    go(book, flows=[run.id])
    for table in tables:
        owner = "id" if table == "run" else "run_id"
        assert count(book, table, f"{owner} = '{run.id}'") == 0, table
        assert count(book, table, f"{owner} = '{other.id}'") > 0, table


def test_rows_of_a_run_that_is_gone_go_some_at_a_time(book: Book) -> None:
    run = a_run(flow=Flow())
    finished(book, run)
    book.commit(journal(run, 0, many=10))
    go(book, bare=[run.id])
    found = standing(book, Cursor("c", FORGET_ROWS, run.id, ""))
    before = found.rows
    go(book, rows=[(run.id, 4)])
    assert 0 < standing(book, Cursor("c", FORGET_ROWS, run.id, "")).rows <= before - 8
    go(book, rows=[(run.id, 1000)])
    assert standing(book, Cursor("c", FORGET_ROWS, run.id, "")).rows == 0


def test_what_has_expired_is_found_on_a_walk(book: Book) -> None:
    run = a_run()
    book.commit(inserting(run), Changes(idempotency=[("a", run.id, NOW - SECOND), ("b", run.id, NOW + DAY)]))
    book.commit(Changes(cache=[("k", run.id, NOW - SECOND), ("l", run.id, None)]))
    found = standing(book, Cursor("c", FORGET_EXPIRED, RunId(""), "idempotency", NOW))
    assert (found.children, found.keys, found.last) == (["a", "b"], ["a"], True)
    found = standing(book, Cursor("c", FORGET_EXPIRED, RunId(""), "cache", NOW))
    assert found.keys == ["k"]
    go(book, expired={"cache": ["k"], "idempotency": ["a"]})
    assert (count(book, "cache"), count(book, "idempotency")) == (1, 1)


def test_of_dead_letters_the_latest_stay_for_a_while(book: Book) -> None:
    book.commit(Changes(dead=[Unreadable("commands", "why", b"x", 1) for _ in range(10)]))
    go(book, letters=(micros(NOW), 7, 2))
    assert count(book, "dead_letter") == 8
    go(book, letters=(micros(NOW), 7, 2))
    assert count(book, "dead_letter", "no > 3") == 7 == count(book, "dead_letter")
    go(book, letters=(micros(NOW + DAY), 7, 5))
    assert count(book, "dead_letter") == 2


# -------------------------------------------------------------------------------------------------------------- objects


def test_the_objects_of_a_run_may_go_a_day_after_its_end_once_nobody_names_them(book: Book) -> None:
    run, equal = a_run(), a_run()
    book.commit(inserting(run, value=check("inputs/a/1")), inserting(equal))
    end(book, run, equal, result=check("runs/a/2"))
    assert doomed(book) == {}
    go(book, runs=[run.id])
    assert doomed(book) == {"inputs/a/1": False, "runs/a/2": True}
    assert doomed(book, DAY - SECOND) == {}
    go(book, runs=[equal.id], removed=["inputs/a/1"])
    assert doomed(book) == {"runs/a/2": False}


def test_an_input_that_was_replaced_may_go_and_what_a_workflow_was_told_with_it(book: Book) -> None:
    run = a_run(flow=Flow())
    book.commit(inserting(run, value=check("inputs/a/1")))
    told = NewDelivery(run.id, 0, 1, "signal", Address("s"), NOW, "s", RunId(""), check("inputs/s/1"))
    book.commit(Changes(deliveries=[told]), Changes(inputs={run.id: check("inputs/a/2")}))
    assert doomed(book) == {"inputs/a/1": False}
    end(book, run, after=DAY)
    go(book, flows=[run.id])
    assert doomed(book) == {"inputs/a/1": False, "inputs/a/2": False, "inputs/s/1": False}
    assert doomed(book, DAY) == {"inputs/a/1": False}


def test_a_checkpoint_that_was_replaced_may_go_and_the_last_one_with_its_run(book: Book) -> None:
    run = a_run()
    book.commit(inserting(run), Changes(checkpoints={run.id: check("runs/a/1")}))
    book.commit(Changes(checkpoints={run.id: check("runs/a/2")}))
    assert doomed(book) == {"runs/a/1": False}
    end(book, run)
    go(book, runs=[run.id])
    assert doomed(book) == {"runs/a/1": False, "runs/a/2": False}


def test_a_fork_names_what_the_run_before_it_names(book: Book) -> None:
    run, fork = a_run(flow=Flow()), a_run(flow=Flow(forked_seq=0))
    book.commit(inserting(run, value=check("inputs/a/1")), journal(run, 0))
    copied = NewFork(fork.id, run.id, 0, Address("0:0"), 0, NOW, timedelta(0))
    book.commit(Changes(inserted=inserting(fork).inserted, forks=[copied]))
    end(book, run, fork)
    go(book, flows=[fork.id])
    assert doomed(book) == {"inputs/a/1": True}


def test_objects_under_other_keys_are_nobodys(book: Book) -> None:
    run = a_run()
    book.commit(inserting(run, value=check("cas/abc")))
    end(book, run)
    go(book, runs=[run.id])
    assert doomed(book) == {}


def test_a_checkpoint_names_its_object_until_the_next_one(book: Book) -> None:
    run = a_run()
    book.commit(inserting(run), Changes(checkpoints={run.id: check("runs/a/1")}))
    book.commit(Changes(checkpoints={run.id: check("runs/a/2")}))
    assert doomed(book) == {"runs/a/1": False}
    book.commit(Changes(checkpoints={run.id: b"small"}))
    assert doomed(book) == {"runs/a/1": False, "runs/a/2": False}


def test_a_rerun_names_the_input_of_what_it_runs_again(book: Book) -> None:
    run, again = a_run(), a_run()
    book.commit(inserting(run, value=check("inputs/a/1")))
    end(book, run, result=check("runs/a/2"))
    book.commit(Changes(inserted=inserting(again).inserted, beginnings=Beginnings(reruns=[(again.id, run.id)])))
    go(book, runs=[run.id])
    assert doomed(book) == {"inputs/a/1": True, "runs/a/2": False}


def test_objects_of_runs_from_before_there_were_names_are_named_by_the_migration(book: Book) -> None:
    run = a_run(flow=Flow())
    told = NewDelivery(run.id, 0, 1, "signal", Address("s"), NOW, "s", RunId(""), check("inputs/s/1"))
    book.commit(inserting(run, value=check("inputs/a/1")), Changes(deliveries=[told]))
    end(book, run, result=check("runs/a/2"))

    def migrate(connection: Connection) -> None:
        connection.exec_driver_sql("DELETE FROM payload")
        with Operations.context(MigrationContext.configure(connection)):
            for one in r0003_run_engine.NAMED:
                r0003_run_engine._name(*one)

    book.store.writer.on_connection(migrate)
    found = book.store.reader.connection.exec_driver_sql(
        "SELECT key, run_id, what FROM payload ORDER BY key"
    ).fetchall()
    assert [tuple(row) for row in found] == [
        ("inputs/a/1", run.id, "input"),
        ("inputs/s/1", run.id, "told"),
        ("runs/a/2", run.id, "result"),
    ]
