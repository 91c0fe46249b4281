"""What has ended, as the ledger wants to see it before it lets it go: a page of trees, the next part of a large one.

It only reads, and never more than a bounded number of rows. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection

from longshore.coordinator.store.columns import micros
from longshore.coordinator.store.statements import marks_of
from longshore.coordinator.store.tables import ROOTS
from longshore.core.cursors import FORGET_EXPIRED, FORGET_ROWS, Cursor
from longshore.core.ids import RunId
from longshore.core.keeping import KeepRow, KeptPage, Member, Shown, Tree, Wanted

GROUP: Final = 1000
TREES: Final = 100
"""So many workflows are looked at for one page: each of them is asked for what is below it."""
ROWS: Final = 10_000
"""Of histories and journals in one step."""
COLUMNS: Final = "id, no, finished_at, generation, history_seq"
_ROOT: Final = f"{COLUMNS}, batch_id"
_EXPIRE: Final = {
    "answered": ("key", "expires_at"),
    "batch": ("id", "closed_at"),
    "bulk": ("id", "finished_at"),
    "cache": ("key", "expires_at"),
    "idempotency": ("key", "expires_at"),
}
"""What is over some time, by table: its key, and when that is (0: not yet known)."""
_FORK: Final = "forked_seq >= 0 AND rerun_of <> ''"
MOVED_ON: Final = (
    "joint.generation < run.generation AND NOT EXISTS "
    "(SELECT 1 FROM run AS fork WHERE fork.rerun_of = run.id AND fork.rerun_of <> '' AND fork.forked_seq >= 0)"
)
"""Of a shared call and its caller: that it is of an earlier journal, which no fork tells."""
_BELOW: Final = "root_id = {mark} AND parent_id <> ''"


def shown(connection: Connection) -> list[Shown]:
    """How many final runs of each routine are nobody's children, and when the first of them ended."""
    text = f"SELECT routine, COUNT(*), MIN(finished_at) FROM run WHERE {ROOTS} GROUP BY routine"
    return [Shown(*row) for row in connection.exec_driver_sql(text)]


def policies(connection: Connection) -> list[KeepRow]:
    """What the authors of routines say."""
    return [
        KeepRow(*row) for row in connection.exec_driver_sql("SELECT routine, version, keep_ms, keep_count FROM keep")
    ]


def kept_page(connection: Connection, wanted: Wanted) -> KeptPage:
    """The page that is wanted, or the beginning of it."""
    mark = marks_of(connection)
    behind = f"{ROOTS} AND routine = {mark} AND (finished_at, no) > ({mark}, {mark})"
    text = f"SELECT {_ROOT} FROM run WHERE {behind} AND finished_at <= {mark} ORDER BY finished_at, no LIMIT {mark}"
    page = KeptPage(wanted, [], 0)
    after, room, flows, budget = wanted.after, wanted.limit, TREES, ROWS
    any_shared = is_any_shared(connection)
    going = set(connection.exec_driver_sql("SELECT run_id FROM cursor WHERE kind = 'forget_tree'").scalars())
    for row in connection.exec_driver_sql(text, (wanted.routine, *after, wanted.until, wanted.limit)).fetchall():
        tree = _tree(connection, row)
        tree.going = tree.root.id in going
        if any_shared and not tree.forked:
            tree.forked = any(is_shared(connection, one.id) for one in (tree.root, *tree.members))
        flows -= tree.root.flow
        room -= 1 + len(tree.members)
        budget -= sum(one.rows for one in (tree.root, *tree.members) if one.rows <= GROUP)
        if page.trees and min(room, flows, budget) < 0:
            break
        page.trees.append(tree)
        after = tree.at
    text = f"SELECT finished_at FROM run WHERE {behind} ORDER BY finished_at, no LIMIT 1"
    page.next_at = connection.exec_driver_sql(text, (wanted.routine, *after)).scalar() or 0
    return page


def _tree(connection: Connection, row: Any) -> Tree:
    run_id, no, finished_at, generation, _, batch_id = row
    tree = Tree(member_of(connection, row[:5]), (finished_at, no), batch_id=batch_id)
    if generation < 0:
        return tree
    mark = marks_of(connection)
    text = f"SELECT {COLUMNS} FROM run WHERE {_BELOW.format(mark=mark)} ORDER BY no LIMIT {GROUP}"
    found = connection.exec_driver_sql(text, (run_id,)).fetchall()
    tree.large = len(found) == GROUP
    if not tree.large:
        tree.members = [member_of(connection, one) for one in found]
        flows = [one.id for one in (tree.root, *tree.members) if one.flow]
        tree.forked = any(is_forked(connection, one) for one in flows)
    return tree


def member_of(connection: Connection, row: Any) -> Member:
    """A row of COLUMNS."""
    run_id, _, finished_at, generation, history_seq = row
    is_flow = generation >= 0
    rows = history_seq + (_journal(connection, run_id) if is_flow else 0)
    return Member(RunId(run_id), finished_at > 0, rows, is_flow)


def _journal(connection: Connection, run_id: str) -> int:
    """How many rows the journal has, each kind counted up to one more than go at once."""
    return _counted(connection, run_id, ("call", "delivery", "told_signal"))


def _counted(connection: Connection, run_id: str, tables: tuple[str, ...]) -> int:
    mark = marks_of(connection)
    counts = (
        f"(SELECT COUNT(*) FROM (SELECT 1 FROM {one} WHERE run_id = {mark} LIMIT {GROUP + 1}) AS {one}s)"
        for one in tables
    )
    return int(connection.exec_driver_sql(f"SELECT {' + '.join(counts)}", (run_id,) * len(tables)).scalar_one())


def is_forked(connection: Connection, run_id: str) -> bool:
    """Whether a fork of it is there, which tells what it was told."""
    text = f"SELECT 1 FROM run WHERE {_FORK} AND rerun_of = {marks_of(connection)} LIMIT 1"
    return connection.exec_driver_sql(text, (run_id,)).first() is not None


def is_any_shared(connection: Connection) -> bool:
    """Whether any call was answered by a run that is not its child."""
    return connection.exec_driver_sql("SELECT 1 FROM joint LIMIT 1").first() is not None


def is_shared(connection: Connection, run_id: str) -> bool:
    """Whether a workflow that lives was told, or will be, the outcome of this run, which is not its child."""
    mark = marks_of(connection)
    text = (
        "SELECT 1 FROM joint JOIN run ON run.id = joint.parent_id "
        f"WHERE joint.run_id = {mark} AND run.finished_at = 0 AND NOT ({MOVED_ON}) LIMIT 1"
    )
    return connection.exec_driver_sql(text, (run_id,)).first() is not None


# -------------------------------------------------------------------------------------------------------- many steps


def is_going(connection: Connection, run_id: str) -> bool:
    """Whether a run belongs to a tree of which some are gone already, or will be."""
    text = (
        "SELECT 1 FROM run JOIN cursor ON cursor.kind = 'forget_tree' AND cursor.run_id IN (run.id, run.root_id) "
        f"WHERE run.id = {marks_of(connection)} LIMIT 1"
    )
    return connection.exec_driver_sql(text, (run_id,)).first() is not None


def stand_before(connection: Connection, cursor: Cursor) -> Cursor:
    """The cursor with what it stands before."""
    if cursor.kind == FORGET_ROWS:
        cursor.rows = _counted(connection, cursor.run_id, ("history", "call", "delivery", "told_signal"))
    elif cursor.kind == FORGET_EXPIRED:
        _find_expired(connection, cursor)
    elif cursor.reason == "look":
        _look(connection, cursor)
    else:
        _find_youngest(connection, cursor)
    return cursor


def _look(connection: Connection, cursor: Cursor) -> None:
    mark = marks_of(connection)
    below = _BELOW.format(mark=mark)
    text = f"SELECT id, no, finished_at FROM run WHERE {below} AND no > {mark} ORDER BY no LIMIT {GROUP}"
    found = connection.exec_driver_sql(text, (cursor.run_id, int(cursor.after or 0))).fetchall()
    cursor.members = [Member(RunId(run_id), finished_at > 0, 0, False) for run_id, _, finished_at in found]
    cursor.rows, cursor.last = len(found), len(found) < GROUP
    if found:
        cursor.after = RunId(str(found[-1][1]))
    if cursor.last:
        text = (
            f"SELECT 1 FROM run AS fork JOIN run ON run.id = fork.rerun_of WHERE fork.forked_seq >= 0 "
            f"AND fork.rerun_of <> '' AND run.root_id = {mark} LIMIT 1"
        )
        cursor.forked = connection.exec_driver_sql(text, (cursor.run_id,)).first() is not None


def _find_youngest(connection: Connection, cursor: Cursor) -> None:
    """The last of the tree that are still there; its root with the last of them."""
    mark = marks_of(connection)
    text = f"SELECT {COLUMNS} FROM run WHERE {_BELOW.format(mark=mark)} ORDER BY no DESC LIMIT {GROUP}"
    found = connection.exec_driver_sql(text, (cursor.run_id,)).fetchall()
    cursor.last = len(found) < GROUP
    cursor.members = list(within(member_of(connection, row) for row in found))
    if len(cursor.members) < len(found):
        cursor.last = False
    if cursor.last:
        text = f"SELECT {COLUMNS}, routine FROM run WHERE id = {mark}"
        for *row, routine in connection.exec_driver_sql(text, (cursor.run_id,)).fetchall():
            cursor.members.append(member_of(connection, row))
            cursor.routine = routine
    cursor.rows = len(cursor.members)


def within(members: Iterator[Member]) -> Iterator[Member]:
    """As many as may go in one step, at least one."""
    budget = ROWS
    for member in members:
        yield member
        budget -= member.rows if member.rows <= GROUP else 0
        if budget < 0:
            return


def _find_expired(connection: Connection, cursor: Cursor) -> None:
    mark = marks_of(connection)
    before = micros(cursor.before) if cursor.before is not None else 0
    key, at = _EXPIRE[cursor.reason]
    over = f"{at} > 0 AND {at} < {mark}"
    text = f"SELECT {key}, {over} FROM {cursor.reason} WHERE {key} > {mark} ORDER BY {key} LIMIT {GROUP + 1}"
    found = connection.exec_driver_sql(text, (before, cursor.after)).fetchall()
    cursor.children = [RunId(one) for one, _ in found[:GROUP]]
    cursor.keys = [one for one, is_over in found[:GROUP] if is_over]
    cursor.last = len(found) <= GROUP
