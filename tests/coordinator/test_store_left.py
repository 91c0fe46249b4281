"""What the store finds of children that living workflows have left behind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from longshore.coordinator.store import left
from longshore.coordinator.store.forgetting import stand_before
from longshore.core.beginnings import Beginnings, Joint
from longshore.core.changes import Changes
from longshore.core.cursors import FORGET_BELOW, FORGET_LEFT, Cursor
from longshore.core.forks import NewFork
from longshore.core.ids import Address, RunId
from longshore.core.keeping import GO, LEFT_END, LOOK, LettingGo
from longshore.core.run import Flow, Run, Status
from tests.coordinator.conftest import Book
from tests.coordinator.rows import NOW, a_run, inserting
from tests.coordinator.test_store_keeping import end


def a_flow(generation: int = 0, **more: Any) -> Run:
    return a_run(kind="workflow", flow=Flow(generation=generation), **more)


def children(of: Run, many: int, generation: int = 0, **more: Any) -> list[Run]:
    root = of.root_id or of.id
    return [a_run(parent_id=of.id, parent_generation=generation, root_id=root, **more) for _ in range(many)]


def stand(book: Book, cursor: Cursor) -> Cursor:
    return stand_before(book.store.reader.connection, cursor)


def walk(book: Book, cursor: Cursor | None = None) -> Cursor:
    return stand(book, cursor or Cursor(FORGET_LEFT, FORGET_LEFT, RunId(""), "", NOW))


def ids(cursor: Cursor) -> list[RunId]:
    return [tree.root.id for tree in cursor.trees]


def test_only_ended_children_of_earlier_generations_of_living_workflows_are_found(book: Book) -> None:
    first, second, over, plain = a_flow(2), a_flow(1), a_flow(3), a_flow()
    book.commit(inserting(first, second, over, plain))
    old, older = children(first, 2, 1), children(first, 1, 0)
    present, others = children(first, 1, 2), children(second, 2)
    rest = [*children(over, 1), *children(plain, 1)]
    book.commit(inserting(*older, *old, *present, *others, *rest))
    end(book, older[0], old[1], *present, *others, *rest, over, after=timedelta(seconds=3))
    found = walk(book)
    assert (found.run_id, set(ids(found)), found.after) == (first.id, {older[0].id, old[1].id}, LEFT_END)
    assert {tree.routine for tree in found.trees} == {"train"} and found.rows == 2
    found.trees = []
    found = walk(book, found)
    assert found.run_id == second.id and set(ids(found)) == {one.id for one in others} and not found.last
    found.trees = []
    assert walk(book, found).last


def test_a_child_comes_with_all_below_it_and_says_who_tells_of_it(book: Book) -> None:
    root, other = a_flow(1), a_flow()
    child, alone = (a_flow(parent_id=root.id, root_id=root.id) for _ in range(2))
    inner = a_flow(parent_id=child.id, root_id=root.id)
    low, lowest = children(child, 1)[0], children(inner, 1)[0]
    book.commit(inserting(root, other, child, alone, inner, low, lowest))
    end(book, child, alone, inner, lowest)
    tree, own = walk(book).trees
    order = [member.id for member in tree.members]
    assert set(order) == {inner.id, low.id, lowest.id} and order.index(lowest.id) < order.index(inner.id)
    assert [member.id for member in tree.members if not member.ended] == [low.id]
    assert (tree.forked, own.forked, own.members) == (False, False, [])
    joint = Joint(other.id, 0, Address("0:0"), lowest.id)
    book.commit(Changes(beginnings=Beginnings(joints={joint[:3]: joint})))
    assert [tree.forked for tree in walk(book).trees] == [True, False]
    other.flow = Flow(generation=1)
    book.commit(Changes(updated={other.id: other}))
    assert [tree.forked for tree in walk(book).trees] == [False, False]
    fork = a_flow()
    assert fork.flow is not None
    fork.flow.forked_seq = 0
    copied = NewFork(fork.id, alone.id, 0, Address("0:0"), 0, NOW, timedelta(0))
    book.commit(Changes(inserted=inserting(fork).inserted, forks=[copied]))
    assert [tree.forked for tree in walk(book).trees] == [False, True]


def test_a_child_with_very_many_below_it_is_looked_at_and_let_go_of_page_by_page(book: Book) -> None:
    root = a_flow(1)
    child = a_flow(parent_id=root.id, root_id=root.id)
    inner = [a_flow(parent_id=child.id, root_id=root.id) for _ in range(3)]
    below = [one for flow in inner for one in children(flow, 500)] + children(child, 900)
    book.commit(inserting(root, child, *inner), inserting(*below))
    end(book, child, *inner, *below)
    (tree,) = walk(book).trees
    assert tree.large and tree.members == [] and not tree.going
    cursor = Cursor("c", FORGET_BELOW, child.id, LOOK)
    seen: list[RunId] = []
    while not cursor.last:
        cursor.members = []
        seen += [member.id for member in stand(book, cursor).members]
        assert len(cursor.members) <= 1000
    assert sorted(seen) == sorted([one.id for one in (*inner, *below)]) and not cursor.forked
    cursor = Cursor("c", FORGET_BELOW, child.id, GO)
    book.commit(Changes(cursors=[cursor]))
    (tree,) = walk(book).trees
    assert tree.going and left.is_going(book.store.reader.connection, below[0].id)
    assert not left.is_going(book.store.reader.connection, root.id)
    gone: list[RunId] = []
    while not cursor.last:
        page = [member.id for member in stand(book, cursor).members]
        assert 0 < len(page) <= 1001
        gone += page
        book.commit(Changes(letting_go=LettingGo(flows=page)))
    assert sorted(gone) == sorted([child.id, *(one.id for one in (*inner, *below))]) and gone[-1] == child.id
    for flow in inner:
        own = [gone.index(one.id) for one in below if one.parent_id == flow.id]
        assert max(own) < gone.index(flow.id), "who is above goes last"


def test_a_walk_over_very_many_children_goes_page_by_page(book: Book) -> None:
    root = a_flow(1)
    book.commit(inserting(root))
    old = children(root, 1500)
    book.commit(inserting(*old))
    end(book, *old)
    cursor, found = walk(book), 0
    while cursor.run_id == root.id and not cursor.last:
        found += len(cursor.trees)
        assert len(cursor.trees) <= 1001
        cursor.trees = []
        cursor = walk(book, cursor)
    assert found == 1500 and {one.status for one in old} == {Status.COMPLETED}
