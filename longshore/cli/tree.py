"""A run and its sub-routines drawn as a tree with bars: where the time went, without any tracing backend.

Pure but for `show_tree`, which puts the drawing on a screen; it asks nobody for anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from longshore.cli.fields import cut, first_line, routine_id, time_of
from longshore.cli.screen import Screen, seconds, size

Row = Mapping[str, Any]

QUEUED: Final = "░"
EXECUTING: Final = "█"
NOTHING: Final = "·"
WIDEST: Final = 32
BESIDE: Final = 96
"""Columns that the other parts of a line need."""
GAP: Final = 3
"""Columns between two parts of a line."""
LEAST: Final = 24
"""Columns that the last part has even where it must fold."""
_TOLD: Final = frozenset(
    {"FAILED", "CANCELED", "CRASHED", "TIMED_OUT", "EXPIRED", "SYSTEM_FAILURE", "RETRYING", "BLOCKED"}
)
"""Statuses whose reason is news."""


def show_tree(screen: Screen, rows: Sequence[Row], *, now: datetime, limit: int | None = None) -> None:
    """The drawing on a screen, with a line that says how to read it."""
    lines = draw(rows, now, width=max(8, min(WIDEST, screen.width - BESIDE)), limit=limit)
    cells = [[line.branch + line.name, line.status, line.bar, line.times] for line in lines]
    names = ["RUN", "STATUS", "TIME", "QUEUED + RUNNING"]
    taken = sum(max(map(len, column)) + GAP for column in zip(names, *cells, strict=True))
    room = max(LEAST, screen.width - taken - 2)
    noted = [[*row, line.note(room)] for row, line in zip(cells, lines, strict=True)]
    screen.table([*names, "CALLED WITH / WHAT HAPPENED"], noted)
    screen.remark(f"{QUEUED} without a worker   {EXECUTING} with one (a workflow: its whole life)")


@dataclass(slots=True)
class Line:
    """One line of the drawing. `bar` is as wide as asked; `times` says queued and executing in words."""

    branch: str
    name: str
    status: str
    bar: str
    times: str
    marks: str = ""
    call: str = ""
    trouble: str = ""

    def note(self, width: int) -> str:
        """What tells it from its siblings, and what happened to it. Trouble gets most of the room."""
        call = cut(self.call, max(12, width // 3)) if self.trouble else self.call
        return cut("  ".join(filter(None, [call, self.marks, self.trouble])), width)


@dataclass(slots=True)
class _Node:
    row: Row
    children: list[_Node] = field(default_factory=list)


def draw(rows: Sequence[Row], now: datetime, *, width: int = WIDEST, limit: int | None = None) -> list[Line]:
    """The tree of the rows, root first.

    `░` is time without a worker (queued, delayed, between attempts), `█` time with one, `·` nothing yet or no more.
    With `limit`, only that many children of each parent are drawn, the longest, and a line says what was left out.
    """
    roots = _plant([_with_times(row) for row in rows])
    if not roots:
        return []
    begin = min(root.row["created_at"] for root in roots)
    end = max((_end(_with_times(row), now) for row in rows), default=now)
    scale = _Scale(begin, max((end - begin).total_seconds(), 1e-6), width, now)
    lines: list[Line] = []
    for root in roots:
        lines += _branch(root, "", "", scale, limit)
    return lines


@dataclass(frozen=True, slots=True)
class _Scale:
    begin: datetime
    span: float
    width: int
    now: datetime

    def column(self, at: datetime) -> int:
        return max(0, min(self.width, round((at - self.begin).total_seconds() / self.span * self.width)))


def _with_times(row: Row) -> Row:
    times = {name: time_of(row.get(name)) for name in ("created_at", "started_at", "finished_at")}
    return {**row, **times}


def _plant(rows: Sequence[Row]) -> list[_Node]:
    nodes = {row["run_id"]: _Node(row) for row in rows}
    roots: list[_Node] = []
    for row in rows:
        parent = nodes.get(row.get("parent_id") or "")
        (parent.children if parent else roots).append(nodes[row["run_id"]])
    for node in nodes.values():
        node.children.sort(key=lambda child: (child.row["created_at"], child.row["run_id"]))
    return roots


def _branch(node: _Node, head: str, tail: str, scale: _Scale, limit: int | None) -> Iterator[Line]:
    yield _line(node.row, head, scale)
    shown, left_out = _chosen(node.children, scale.now, limit)
    for position, child in enumerate(shown):
        last = position == len(shown) - 1 and not left_out
        yield from _branch(child, tail + ("└─ " if last else "├─ "), tail + ("   " if last else "│  "), scale, limit)
    if left_out:
        yield Line(tail + "└─ ", f"… and {len(left_out)} shorter", _counted(left_out), NOTHING * scale.width, "")


def _chosen(children: list[_Node], now: datetime, limit: int | None) -> tuple[list[_Node], list[_Node]]:
    if limit is None or len(children) <= limit + 1:
        return children, []
    longest = sorted(children, key=lambda child: _running(child.row, now), reverse=True)
    kept = {id(child) for child in longest[:limit]}
    return [child for child in children if id(child) in kept], [child for child in children if id(child) not in kept]


def _running(row: Row, now: datetime) -> tuple[float, float]:
    """Seconds with a worker, then seconds in all."""
    end = _end(row, now)
    began = row.get("started_at") or end
    return (end - began).total_seconds(), (end - row["created_at"]).total_seconds()


def _counted(nodes: list[_Node]) -> str:
    counts: dict[str, int] = {}
    for node in nodes:
        counts[node.row["status"]] = counts.get(node.row["status"], 0) + 1
    return ", ".join(status if len(counts) == 1 else f"{count} {status}" for status, count in counts.items())


def _line(row: Row, branch: str, scale: _Scale) -> Line:
    created, end = row["created_at"], _end(row, scale.now)
    began = row.get("started_at")
    first = min(scale.column(created), scale.width - 1)  # the shortest run is still seen
    last = max(scale.column(end), first + 1)
    split = min(last, max(first, scale.column(began))) if began else last
    if began and split == last and not row.get("cached"):
        split = max(first, last - 1)
    bar = (NOTHING * first + QUEUED * (split - first) + EXECUTING * (last - split)).ljust(scale.width, NOTHING)
    times, call = _times(row, scale.now), row.get("call") or ""
    return Line(branch, routine_id(row), row["status"], bar, times, _marks(row), call, _trouble(row))


def _times(row: Row, now: datetime) -> str:
    if row.get("cached"):
        return "from the cache"
    created, began, end = row["created_at"], row.get("started_at"), _end(row, now)
    if began is None:
        return f"{seconds((end - created).total_seconds())} waiting"
    return f"{seconds((began - created).total_seconds())} + {seconds((end - began).total_seconds())}"


def _marks(row: Row) -> str:
    marks = []
    if row.get("address") and row["status"] in _TOLD:
        marks.append(f"at {row['address']}")
    if row.get("attempt", 1) > 1:
        marks.append(f"attempt {row['attempt']}")
    if row.get("crashes"):
        marks.append(f"{row['crashes']} crashes")
    for name, word in (("input_size", "input"), ("result_size", "result")):
        if row.get(name):
            marks.append(f"{word} {size(row[name])} offloaded")
    return ", ".join(marks)


def _trouble(row: Row) -> str:
    """Why it did not go well, on one line."""
    error = row.get("error")
    if error:
        kind = str(error["type"]).rpartition(".")[2]
        return f"{kind}: {first_line(error['message'])}".rstrip(": ")
    if row.get("waits"):
        return f"waits for {', '.join(row['waits'])}"
    return first_line(row.get("reason")) if row["status"] in _TOLD else ""


def _end(row: Row, now: datetime) -> datetime:
    end: datetime = row.get("finished_at") or now
    return end
