"""Hooks that no worker has said to have run, in the store."""

from __future__ import annotations

from datetime import timedelta

from longshore.coordinator.depending import depends
from longshore.core.changes import Changes, Needs
from longshore.core.ids import RunId
from longshore.core.records import Unheard
from longshore.core.run import Status
from tests.coordinator.conftest import Book
from tests.coordinator.rows import NOW, a_run, ending, inserting

NEEDS = Needs(unheard=True)
SECOND = timedelta(seconds=1)


def kept(run_id: RunId, seconds: int) -> Changes:
    changes = Changes()
    changes.unheard[run_id] = Unheard(run_id, NOW + seconds * SECOND, NOW + 100 * SECOND)
    return changes


def test_those_that_are_due_come_with_how_their_runs_ended_and_go_when_they_are_heard(book: Book) -> None:
    runs = [a_run() for _ in range(3)]
    book.commit(inserting(*runs))
    for run in runs:
        run.status, run.finished_at = Status.CRASHED, NOW
        book.commit(ending(run, None))
    book.commit(*(kept(run.id, second) for run, second in zip(runs, (2, 1, 5), strict=True)))
    page = book.store.reader.read(NEEDS, NOW).unheard
    assert page is not None and (page.due, page.next_at) == ([], NOW + SECOND)
    facts = book.store.reader.read(NEEDS, NOW + 3 * SECOND)
    assert facts.unheard is not None and facts.unheard.next_at == NOW + 5 * SECOND
    assert [one.run_id for one in facts.unheard.due] == [runs[1].id, runs[0].id]
    assert {facts.final[one.run_id].status for one in facts.unheard.due} == {"CRASHED"}
    done = kept(runs[1].id, 50)
    done.unheard_done = [runs[0].id, runs[1].id]
    book.commit(done)
    page = book.store.reader.read(NEEDS, NOW + 60 * SECOND).unheard
    assert page is not None and ([one.run_id for one in page.due], page.next_at) == ([runs[2].id], None)


def test_no_more_than_a_hundred_are_read_at_once_and_nothing_while_they_are_written(book: Book) -> None:
    changes = Changes()
    for number in range(101):
        changes.unheard.update(kept(RunId(f"r{number:03}"), number).unheard)
    book.commit(changes)
    page = book.store.reader.read(NEEDS, NOW + 200 * SECOND).unheard
    assert page is not None and len(page.due) == 100 and page.next_at == NOW + 100 * SECOND
    assert depends(NEEDS, changes) and not depends(NEEDS, Changes())
