"""What earlier generations of living workflows have called, as the ledger wants to see it before it lets it go: a page
of children with all below them, the next part of a child with very many.

It only reads, and never more than a bounded number of rows. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Index
from sqlalchemy import text as sql

from longshore.coordinator.store import keeping
from longshore.coordinator.store.statements import marks_of
from longshore.coordinator.store.tables import run
from longshore.core.cursors import FORGET_LEFT, Cursor
from longshore.core.ids import RunId
from longshore.core.keeping import LEFT_END, LOOK, Member, Tree

CONTINUING: Final = "generation > 0 AND finished_at = 0"
"""Queries repeat this word for word, so that the index is used."""
Index("run_continuing", run.c.id, sqlite_where=sql(CONTINUING), postgresql_where=sql(CONTINUING))

_BELOW: Final = "parent_id <> '' AND parent_id = {mark}"
_OPENS: Final = 200
"""So many workflows below a child are opened in one step."""


def stand_before(connection: Connection, cursor: Cursor) -> Cursor:
    """The cursor with what it stands before."""
    if cursor.kind == FORGET_LEFT:
        _find_left(connection, cursor)
    elif cursor.reason == LOOK:
        _look(connection, cursor)
    else:
        _find_lowest(connection, cursor)
    return cursor


def is_going(connection: Connection, run_id: str) -> bool:
    """Whether a run stands below a child (or is one) of which some are gone already, or will be."""
    mark = marks_of(connection)
    text = (
        f"WITH RECURSIVE up(id, parent_id) AS (SELECT id, parent_id FROM run WHERE id = {mark} UNION ALL "
        "SELECT run.id, run.parent_id FROM run JOIN up ON run.id = up.parent_id) "
        "SELECT 1 FROM up JOIN cursor ON cursor.kind = 'forget_below' AND cursor.run_id = up.id LIMIT 1"
    )
    return connection.exec_driver_sql(text, (run_id,)).first() is not None


# ---------------------------------------------------------------------------------------------------------- the walk


def _find_left(connection: Connection, cursor: Cursor) -> None:
    """The next children that a living workflow has left behind, the oldest first; then the next workflow."""
    mark = marks_of(connection)
    if not cursor.run_id or cursor.after == LEFT_END:
        text = f"SELECT id FROM run WHERE {CONTINUING} AND id > {mark} ORDER BY id LIMIT 1"
        found = connection.exec_driver_sql(text, (cursor.run_id,)).scalar()
        cursor.run_id, cursor.after, cursor.last = RunId(found or ""), RunId(""), found is None
        if cursor.last:
            return
    text = f"SELECT generation FROM run WHERE id = {mark} AND {CONTINUING}"
    generation = connection.exec_driver_sql(text, (cursor.run_id,)).scalar() or 0
    text = f"SELECT {keeping.COLUMNS}, routine, parent_generation FROM run WHERE {_BELOW.format(mark=mark)} "
    text += f"AND id > {mark} ORDER BY id LIMIT {keeping.GROUP}"
    rows = connection.exec_driver_sql(text, (cursor.run_id, cursor.after)).fetchall()
    left = [row for row in rows if row[-1] < generation]
    if not left or keeping.is_forked(connection, cursor.run_id):  # of the present one; or a fork tells what it was told
        cursor.after = LEFT_END
        return
    cursor.after = rows[-1][0] if len(rows) == keeping.GROUP else LEFT_END
    room, opens = keeping.GROUP, _OPENS
    any_shared = keeping.is_any_shared(connection)
    for row in left:
        if row[2] == 0:
            continue
        tree = _tree(connection, row, any_shared)
        room -= 1 + len(tree.members)
        opens -= 1 + sum(member.flow for member in tree.members) if tree.root.flow else 0
        if cursor.trees and min(room, opens) < 0:
            cursor.after = cursor.trees[-1].root.id  # the next step begins with this one
            break
        cursor.trees.append(tree)
    cursor.rows = sum(1 + len(tree.members) for tree in cursor.trees)


def _tree(connection: Connection, row: Any, any_shared: bool) -> Tree:
    run_id, no, finished_at = row[:3]
    tree = Tree(keeping.member_of(connection, row[:5]), (finished_at, no), routine=row[5])
    if tree.root.flow:
        tree.members = list(islice(_lowest_first(connection, run_id, [_OPENS]), keeping.GROUP))
        tree.large = len(tree.members) == keeping.GROUP or sum(one.flow for one in tree.members) >= _OPENS
        tree.going = is_going(connection, run_id)
    if tree.large:
        tree.members = []
    members = (tree.root, *tree.members)
    tree.forked = any(_is_told(connection, one, any_shared) for one in members)
    return tree


def _is_told(connection: Connection, member: Member, any_shared: bool) -> bool:
    """Whether another run that is there tells what this one was told, or what became of it."""
    is_forked = member.flow and keeping.is_forked(connection, member.id)
    return is_forked or (any_shared and keeping.is_shared(connection, member.id))


# ------------------------------------------------------------------------------------------------ a child with many


def _children(connection: Connection, run_id: str, after: str = "") -> Iterator[Any]:
    """Of a run, one by one, from the oldest on."""
    mark = marks_of(connection)
    text = f"SELECT {keeping.COLUMNS} FROM run WHERE {_BELOW.format(mark=mark)} AND id > {mark} ORDER BY id"
    with connection.exec_driver_sql(text, (run_id, after)) as found:
        yield from found


def _lowest_first(connection: Connection, run_id: str, opens: list[int]) -> Iterator[Member]:
    """All below a run, each after those below it; no more than so many workflows are opened."""
    for row in _children(connection, run_id):
        member = keeping.member_of(connection, row)
        if member.flow:
            opens[0] -= 1
            yield from _lowest_first(connection, member.id, opens)
            if opens[0] < 0:
                return
        yield member


def _look(connection: Connection, cursor: Cursor) -> None:
    """The next that are below it, wherever: `after` is the way down to where it stands, with the last one seen on each
    level."""
    way: list[tuple[str, ...]] = [(cursor.run_id, "")]
    if cursor.after:
        way = [tuple(level.split(":")) for level in cursor.after.split("/")]
    room, opens, any_shared = keeping.GROUP, _OPENS, keeping.is_any_shared(connection)
    while way and room > 0 and opens > 0:
        run_id, after = way.pop()
        opens -= 1
        for row in _children(connection, run_id, after):
            member = keeping.member_of(connection, row)
            cursor.members.append(member)
            cursor.forked = cursor.forked or _is_told(connection, member, any_shared)
            room -= 1
            if member.flow or not room:
                way += [(run_id, member.id), (member.id, "")] if member.flow else [(run_id, member.id)]
                break
    cursor.after = RunId("/".join(":".join(level) for level in way))
    cursor.rows, cursor.last = len(cursor.members), not way


def _find_lowest(connection: Connection, cursor: Cursor) -> None:
    """The next that have nothing below them; the child itself with the last of them."""
    found = list(islice(_lowest_first(connection, cursor.run_id, opens := [_OPENS]), keeping.GROUP))
    cursor.members = list(keeping.within(iter(found)))
    cursor.last = opens[0] >= 0 and len(cursor.members) < keeping.GROUP and len(cursor.members) == len(found)
    if cursor.last:
        mark = marks_of(connection)
        text = f"SELECT {keeping.COLUMNS} FROM run WHERE id = {mark}"
        own = connection.exec_driver_sql(text, (cursor.run_id,)).fetchall()
        cursor.members += [keeping.member_of(connection, row) for row in own]
    cursor.rows = len(cursor.members)
