"""The part of the book that lets go of what has ended: it answers and keeps as the real store promises to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longshore.core.cursors import FORGET_BELOW, FORGET_EXPIRED, FORGET_LEFT, FORGET_ROWS, FORGET_TREE, Cursor
from longshore.core.ids import RunId
from longshore.core.instants import micros
from longshore.core.keeping import LEFT_END, LOOK, KeptPage, LettingGo, Member, Shown, Tree, Wanted
from longshore.core.run import Run

if TYPE_CHECKING:
    from tests.simulation.book import Book

PAGE = 1000
LARGE = 5
"""A tree with so many below its root is a large one here."""


def _roots(book: Book) -> list[tuple[int, int, Run]]:
    """Final runs that are nobody's children, by their end."""
    ended = (run for run in book.runs.values() if not run.parent_id)
    return sorted(
        ((micros(run.finished_at), book.numbers[run.id], run) for run in ended if run.finished_at),
        key=lambda one: one[:2],
    )


def _below(book: Book, root: RunId) -> list[tuple[int, Run]]:
    return [(book.numbers[run.id], run) for run in book.runs.values() if run.root_id == root and run.parent_id]


def shown(book: Book) -> list[Shown]:
    """Of each routine: how many, and the first end."""
    found: dict[str, list[int]] = {}
    for at, _, run in _roots(book):
        found.setdefault(run.routine, []).append(at)
    return [Shown(routine, len(ends), ends[0]) for routine, ends in found.items()]


def kept_page(book: Book, wanted: Wanted) -> KeptPage:
    """The page that is wanted."""
    behind = [one for one in _roots(book) if one[2].routine == wanted.routine and one[:2] > wanted.after]
    taken = [one for one in behind if one[0] <= wanted.until][: wanted.limit]
    trees = [_tree(book, at, no, run) for at, no, run in taken]
    rest = behind[len(taken) :]
    return KeptPage(wanted, trees, rest[0][0] if rest else 0)


def _tree(book: Book, at: int, no: int, run: Run) -> Tree:
    below = _below(book, run.id)
    tree = Tree(_member(book, run), (at, no), large=len(below) >= LARGE)
    tree.batch_id = book.batch_of.get(run.id, "")
    tree.going = any(one.kind == FORGET_TREE and one.run_id == run.id for one in book.cursors.values())
    if not tree.large:
        tree.members = [_member(book, one) for _, one in below]
        tree.forked = bool({run.id, *(one.id for _, one in below)} & _forked(book))
    return tree


def _forked(book: Book) -> set[RunId]:
    return {source for fork, source in book.forked_from.items() if fork in book.runs}


def _member(book: Book, run: Run) -> Member:
    return Member(run.id, run.finished_at is not None, _rows(book, run.id), run.flow is not None)


def _rows(book: Book, run_id: RunId) -> int:
    journals = [*book.calls.items(), *book.deliveries.items()]
    counted = sum(len(rows) for key, rows in journals if key[0] == run_id)
    return counted + len(book.history.get(run_id, ())) + len(book.told_ids.get(run_id, ()))


def stand_before(book: Book, cursor: Cursor) -> Cursor:
    """The cursor with what it stands before."""
    if cursor.kind == FORGET_LEFT:
        _find_left(book, cursor)
    elif cursor.kind == FORGET_BELOW:
        _find_below(book, cursor)
    elif cursor.kind == FORGET_ROWS:
        cursor.rows = _rows(book, cursor.run_id)
    elif cursor.kind == FORGET_EXPIRED:
        keys = {"cache": [*book.cache], "batch": [*book.batches], "idempotency": [*book.begun.keys]}
        page = sorted(key for key in keys.get(cursor.reason, []) if key > cursor.after)
        cursor.children, cursor.last = [RunId(key) for key in page[:PAGE]], len(page) <= PAGE
        ends = {key: at for key, (_, at) in book.cache.items()} if cursor.reason == "cache" else {}
        if cursor.reason == "batch":
            ends = {key: one.closed_at for key, one in book.batches.items()}
        over = {key for key, at in ends.items() if at and cursor.before and at < cursor.before}
        cursor.keys = [key for key in page[:PAGE] if key in over]
    elif cursor.reason == "look":
        below = [(no, run) for no, run in _below(book, cursor.run_id) if no > int(cursor.after or 0)][:LARGE]
        cursor.members = [_member(book, run) for _, run in below]
        cursor.rows, cursor.last = len(below), len(below) < LARGE
        cursor.after = RunId(str(below[-1][0])) if below else cursor.after
        cursor.forked = cursor.last and bool({run.id for _, run in _below(book, cursor.run_id)} & _forked(book))
    else:
        youngest = _below(book, cursor.run_id)[::-1][:LARGE]
        cursor.last = len(youngest) < LARGE
        runs = [run for _, run in youngest]
        if cursor.last and cursor.run_id in book.runs:
            runs.append(book.runs[cursor.run_id])
            cursor.routine = book.runs[cursor.run_id].routine
        cursor.members, cursor.rows = [_member(book, run) for run in runs], len(runs)
    return cursor


def is_going(book: Book, run: Run) -> bool:
    """Whether the run belongs to what is being let go of bit by bit."""
    above, one = [run.id], run
    while one.parent_id in book.runs:
        one = book.runs[one.parent_id]
        above.append(one.id)
    trees = {cursor.run_id for cursor in book.cursors.values() if cursor.kind == FORGET_TREE}
    below = {cursor.run_id for cursor in book.cursors.values() if cursor.kind == FORGET_BELOW}
    return bool(trees & {run.id, run.root_id} or below & set(above))


def _find_left(book: Book, cursor: Cursor) -> None:
    """The children that the next living workflow has left behind."""
    flows = sorted(run.id for run in book.runs.values() if run.flow and run.flow.generation and not run.finished_at)
    found = next((run_id for run_id in flows if run_id > cursor.run_id), None)
    cursor.run_id, cursor.after, cursor.last = RunId(found or ""), LEFT_END, found is None
    flow = book.runs[found].flow if found else None
    if flow is None or found in _forked(book):
        return
    for child in [run for run in book.runs.values() if run.parent_id == found and run.finished_at]:
        if child.parent_generation < flow.generation:
            below = _all_below(book, child.id)
            at = micros(child.finished_at) if child.finished_at else 0
            tree = Tree(_member(book, child), (at, book.numbers[child.id]), routine=child.routine)
            tree.large, tree.going = len(below) >= LARGE, is_going(book, child)
            tree.members = [] if tree.large else [_member(book, one) for one in below]
            tree.forked = any(_is_told(book, one) for one in (child, *below))
            cursor.trees.append(tree)


def _all_below(book: Book, run_id: RunId) -> list[Run]:
    """Each after those below it."""
    children = [run for run in book.runs.values() if run.parent_id == run_id]
    return [one for child in children for one in (*_all_below(book, child.id), child)]


def _is_told(book: Book, run: Run) -> bool:
    shared = {joint.run_id for key, joint in book.begun.joints.items() if not book.begun.is_over(book, key)}
    return run.id in _forked(book) or run.id in shared


def _find_below(book: Book, cursor: Cursor) -> None:
    below = _all_below(book, cursor.run_id)
    if cursor.reason == LOOK:
        page = below[int(cursor.after or 0) :][:LARGE]
        cursor.after, cursor.last = RunId(str(int(cursor.after or 0) + len(page))), len(page) < LARGE
        cursor.forked = any(_is_told(book, one) for one in page)
    else:
        page = below[:LARGE]
        cursor.last = len(page) < LARGE
        page += [book.runs[cursor.run_id]] if cursor.last else []
    cursor.members, cursor.rows = [_member(book, run) for run in page], len(page)


def let_go(book: Book, gone: LettingGo) -> None:
    """Everything of these runs is no more."""
    for run_id in (*gone.runs, *gone.flows, *gone.bare):
        run = book.runs.pop(run_id)
        assert run.finished_at is not None, f"run {run_id} is {run.status}: nothing that lives may go"
        book.gone.add(run_id)
        for kept in (
            book.inputs,
            book.results,
            book.errors,
            book.tags,
            book.returned,
            book.unheard,
            book.metadata,
            book.given,
        ):
            kept.pop(run_id, None)
        book.annotation_ids = {one for one in book.annotation_ids if one[0] != run_id}
        book.begun.keys = {key: held for key, held in book.begun.keys.items() if held[0] != run_id}
        book.cache = {key: row for key, row in book.cache.items() if row[0] != run_id}
        book.tokens = {key: row for key, row in book.tokens.items() if row.run_id != run_id}
    for run_id in (*gone.runs, *gone.flows):
        _drop_rows(book, run_id)
    for run_id, limit in gone.rows:
        assert run_id not in book.runs
        if _rows(book, run_id) <= limit:
            _drop_rows(book, run_id)
        else:
            book.history[run_id] = book.history.get(run_id, [])[limit:]
            for key in [key for key in book.calls if key[0] == run_id]:
                book.calls[key] = dict(list(book.calls[key].items())[limit:])
            for key in [key for key in book.deliveries if key[0] == run_id]:
                book.deliveries[key] = book.deliveries[key][limit:]
    for over in gone.expired.get("cache", ()):
        del book.cache[over]
    for over in gone.expired.get("batch", ()):
        del book.batches[over]
    for row in gone.policies:
        book.policies[row.routine] = row


def _drop_rows(book: Book, run_id: RunId) -> None:
    book.history.pop(run_id, None)
    book.told_ids.pop(run_id, None)
    for kept in (book.calls, book.deliveries):
        for key in [key for key in kept if key[0] == run_id]:
            del kept[key]
