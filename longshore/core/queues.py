"""What a queue is: its limits, the runs that count against them, its starts within the period of its rate.

A queue needs no record here before it has a limit or is paused: an ordinary one is a name that runs carry. Counts are
never kept: `holding` names the runs themselves, and can be made anew from them at any time.
"""

from __future__ import annotations

import re
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from longshore.core.durations import duration, spell
from longshore.core.errors import UsageError
from longshore.core.ids import RunId
from longshore.core.orders import LimitQueue

DEFAULT: Final = "default"
"""The queue of what names none."""
NAMESPACE: Final = "*"
"""The queue in which every run of the namespace is counted, whatever other queue it is in."""
MAX_LIMIT: Final = 1_000_000
MAX_STARTS: Final = 1_000_000
MAX_PERIOD: Final = timedelta(days=1)
PARTS: Final = 100
"""A rate's period is counted in so many parts: a start counts until the end of its part is a whole period ago."""
_RATE: Final = re.compile(r"(\d{1,7})/(.+)")
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHORTEST: Final = timedelta(milliseconds=1)


class Rate(msgspec.Struct, frozen=True, gc=False):
    """At most so many starts in any period."""

    starts: int
    per_ms: int

    def __str__(self) -> str:
        return f"{self.starts}/{spell(timedelta(milliseconds=self.per_ms))}"


def rate_of(text: str) -> Rate:
    """The rate written as `10/1m` or `5/s`. Raises UsageError for anything else."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text[:40]!r} is no rate: write starts/period, for example 10/1s or 300/1h")
    period = match[2] if match[2][:1].isdigit() else f"1{match[2]}"
    try:
        length = duration(period)
    except UsageError as error:
        raise UsageError(f"{text[:40]!r} is no rate: {error}") from None
    starts = int(match[1])
    if not 1 <= starts <= MAX_STARTS or not timedelta(milliseconds=100) <= length <= MAX_PERIOD:
        raise UsageError(f"{text[:40]!r} is out of range: 1 to {MAX_STARTS} starts per 100ms to 1d")
    return Rate(starts, round(length / _SHORTEST))


def problem_of(order: LimitQueue) -> tuple[str, str] | None:
    """(rule, what is wrong) of limits that no queue can have; None if there may be one that has them."""
    for name, low in (("limit", 0), ("key_limit", 1), ("max_size", 0)):
        value = getattr(order, name)
        if isinstance(value, int) and not low <= value <= MAX_LIMIT:
            return name, f"{name} is {value}; it must be from {low} to {MAX_LIMIT}, or null for none"
    if order.queue == NAMESPACE and (isinstance(order.key_limit, int) or isinstance(order.max_size, int)):
        return "namespace", "the namespace has a limit and a rate; key_limit and max_size are for queues"
    if all(value is msgspec.UNSET for value in (order.limit, order.key_limit, order.rate, order.max_size)):
        return "limit_queue", "nothing to change: give limit, key_limit, rate or max_size"
    if isinstance(order.rate, str):
        try:
            rate_of(order.rate)
        except UsageError as error:
            return "rate", str(error)
    return None


class QueueRow(msgspec.Struct, kw_only=True, gc=False):
    """A queue's rule as it is kept, with the starts that count against its rate: (part, how many)."""

    name: str
    limit: int | None = None  # runs that may execute at once
    key_limit: int | None = None  # of each concurrency key
    rate: Rate | None = None
    max_size: int | None = None  # runs that may wait for their first start
    paused_at: datetime | None = None
    starts: list[tuple[int, int]] = []

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing, and need not be kept."""
        return self.is_unlimited and self.max_size is None and self.paused_at is None

    @property
    def is_unlimited(self) -> bool:
        """Whether it never has to know what executes."""
        return self.limit is None and self.key_limit is None and self.rate is None


class Window:
    """The latest starts of a queue with a rate, in parts of its period."""

    __slots__ = ("_counts", "_part", "_rate", "total")

    def __init__(self, rate: Rate, starts: list[tuple[int, int]]) -> None:
        self._rate = rate
        self._part = _part_of(rate)
        self._counts = deque((part, count) for part, count in starts)
        self.total = sum(count for _, count in starts)

    def left(self, now: datetime) -> int:
        """How many may start now."""
        oldest_that_counts = _micros(now) - self._rate.per_ms * 1000
        counts = self._counts
        while counts and (counts[0][0] + 1) * self._part <= oldest_that_counts:
            self.total -= counts.popleft()[1]
        return self._rate.starts - self.total

    def start(self, now: datetime) -> None:
        """One has started."""
        part = _micros(now) // self._part
        counts = self._counts
        if counts and counts[-1][0] >= part:  # the clock may have gone back
            counts[-1] = (counts[-1][0], counts[-1][1] + 1)
        else:
            counts.append((part, 1))
        self.total += 1

    def next_at(self) -> datetime | None:
        """When the earliest starts count no longer."""
        if not self._counts:
            return None
        return _START + timedelta(microseconds=(self._counts[0][0] + 1) * self._part + self._rate.per_ms * 1000)

    def starts(self, rate: Rate | None = None) -> list[tuple[int, int]]:
        """As it is kept; or as another rate would count it."""
        if rate is None:
            return list(self._counts)
        part = _part_of(rate)
        return [(((one + 1) * self._part - 1) // part, count) for one, count in self._counts]


def _part_of(rate: Rate) -> int:
    """How long a part of its period is, microseconds."""
    return rate.per_ms * 1000 // PARTS


def _micros(at: datetime) -> int:
    return (at - _START) // timedelta(microseconds=1)


class Queue:
    """A queue with a rule, and the runs that count against it."""

    __slots__ = ("holding", "keys", "row", "waiting", "window")

    def __init__(self, row: QueueRow) -> None:
        self.row = row
        self.holding: dict[RunId, None] = {}
        self.keys: dict[str, dict[RunId, None]] = {}
        self.waiting: dict[RunId, None] = {}
        """Runs that have never been placed; kept where there is a max_size only."""
        self.window = None if row.rate is None else Window(row.rate, row.starts)

    def kept(self) -> QueueRow:
        """The row to keep."""
        return msgspec.structs.replace(self.row, starts=[] if self.window is None else self.window.starts())

    def room(self, now: datetime) -> int | None:
        """How many more may start now, whatever their keys; None for no limit."""
        row = self.row
        if row.paused_at is not None:
            return 0
        room = None if row.limit is None else row.limit - len(self.holding)
        if self.window is not None:
            left = self.window.left(now)
            room = left if room is None else min(room, left)
        return room

    def is_full(self, key: str) -> bool:
        """Whether this concurrency key has all the runs that it may have at once."""
        most = self.row.key_limit
        return most is not None and len(self.keys.get(key, ())) >= most

    def take(self, run_id: RunId, key: str) -> None:
        """The run counts from now on."""
        self.holding[run_id] = None
        if key:
            self.keys.setdefault(key, {})[run_id] = None

    def drop(self, run_id: RunId, key: str) -> bool:
        """It counts no longer. Returns whether it did."""
        if self.holding.pop(run_id, run_id) is not None:
            return False
        if key:
            held = self.keys[key]
            del held[run_id]
            if not held:
                del self.keys[key]
        return True
