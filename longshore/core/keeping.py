"""What has ended is kept for a while: how long and how much of it, and what the ledger must know before it lets a page
of it go. Values only: it decides nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

import msgspec

from longshore.core.durations import duration, spell
from longshore.core.errors import UsageError
from longshore.core.ids import RunId

OFF: Final = "off"
LARGEST: Final = 1_000_000_000
START: Final = (0, 0)
LOOK: Final = "look"
GO: Final = "go"
"""Where an order to let go of very many stands: all of them are looked at before the first goes."""
LEFT_END: Final = RunId("~")
"""Behind all children of a workflow."""
ALLOWED: Final = '"30d", "30d,1000000", "off,1000" (by number only) or "off"'


class Keep(msgspec.Struct, frozen=True, gc=False):
    """For how long runs are kept that have ended, and how many. None: without a bound."""

    age: timedelta | None = None
    count: int | None = None

    @property
    def text(self) -> str:
        """As people read it."""
        age = "" if self.age is None else f"for {_spelled(self.age)}"
        count = "" if self.count is None else f"the latest {self.count:,}"
        return ", ".join(filter(None, (age, count))) or "for ever"


def _spelled(length: timedelta) -> str:
    days, rest = divmod(length, timedelta(days=1))
    return spell(length) if rest or not days else f"{days} day{'s' if days > 1 else ''}"


def keep_of(text: str) -> Keep:
    """What a setting says: an age, or an age and a number. Raises UsageError saying what is allowed."""
    first, comma, second = (part.strip() for part in text.partition(","))
    if first.replace(".", "").isdecimal():
        raise UsageError(f"{text!r} could be seconds or runs; allowed: {ALLOWED}")
    age = None if first == OFF else _age(first, text)
    if not comma:
        return Keep(age)
    if not second.isdecimal() or not 1 <= int(second) <= LARGEST:
        raise UsageError(f"{text!r}: the number of runs is from 1 to {LARGEST:,}; allowed: {ALLOWED}")
    return Keep(age, int(second))


def _age(first: str, text: str) -> timedelta:
    try:
        age = duration(first)
    except UsageError:
        raise UsageError(f"{text!r} is neither an age nor an age and a number; allowed: {ALLOWED}") from None
    if not age:
        raise UsageError(f"{text!r} keeps nothing; allowed: {ALLOWED}")
    return age


class KeepRow(msgspec.Struct, frozen=True, gc=False):
    """What the author of a routine says, in place of the settings. -1: as the settings say; 0: without a bound."""

    routine: str
    version: str
    keep_ms: int = -1
    keep_count: int = -1

    def over(self, settings: Keep) -> Keep:
        """What holds for its runs."""
        age = timedelta(milliseconds=self.keep_ms) if self.keep_ms > 0 else None
        return Keep(
            settings.age if self.keep_ms < 0 else age,
            settings.count if self.keep_count < 0 else self.keep_count or None,
        )


class Shown(NamedTuple):
    """How many final runs of a routine stand for themselves (nobody's children), and when the first of them ended
    (microseconds since 1970)."""

    routine: str
    many: int
    first: int


class Wanted(NamedTuple):
    """A page that the ledger wants to see: of final runs of one routine that are nobody's children, by their end,
    behind `after` (end in microseconds, number of the row), ended `until` then, at most so many."""

    routine: str
    after: tuple[int, int]
    until: int
    limit: int


class Member(NamedTuple):
    """A run that is to go. `rows` are those of its history and journal, counted up to one more than go at once."""

    id: RunId
    ended: bool
    rows: int
    flow: bool


class Tree(msgspec.Struct, gc=False):
    """A run that stands for itself, with all below it. `forked`: another run tells what one of these was told. `large`:
    there are more below it than are looked at here. `going`: a cursor for it is open."""

    root: Member
    at: tuple[int, int]
    members: list[Member] = []
    forked: bool = False
    large: bool = False
    going: bool = False
    batch_id: str = ""
    routine: str = ""


class KeptPage(msgspec.Struct, gc=False):
    """The answer to `wanted`, and when the first run behind it ended (0: there is none)."""

    wanted: Wanted
    trees: list[Tree]
    next_at: int


class LettingGo(msgspec.Struct, gc=False):
    """What a round lets go of, with everything that belongs to it."""

    runs: list[RunId] = msgspec.field(default_factory=list)
    flows: list[RunId] = msgspec.field(default_factory=list)
    """Of these the journals, too."""
    bare: list[RunId] = msgspec.field(default_factory=list)
    """Of these only what is small: their history and journal go later, as `rows`."""
    rows: list[tuple[RunId, int]] = msgspec.field(default_factory=list)
    """History and journals of runs that are gone: at most so many rows of each kind."""
    expired: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """By table: keys that are over."""
    letters: tuple[int, int, int] | None = None
    """Dead letters from before this (microseconds), all but the latest so many, at most so many at once."""
    removed: list[str] = msgspec.field(default_factory=list)
    """Objects that are gone from the payload store."""
    policies: list[KeepRow] = msgspec.field(default_factory=list)
