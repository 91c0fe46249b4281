"""Durations as people write them: seconds, "1h30m", "500ms", "10d" or a timedelta. Never a clock: only lengths.

A text is one or more numbers with a unit, largest unit first, each unit once: w, d, h, m, s, ms, us. A number alone is
seconds. Nothing is negative and nothing is longer than a century, so that an instant plus a duration is always a date.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from fractions import Fraction
from typing import Final

from longshore.core.errors import UsageError

LONGEST: Final = timedelta(days=36_525)
"""A century: longer is taken for a mistake."""

_UNITS: Final = {  # in microseconds, largest first
    "w": 604_800_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
_RANK: Final = {unit: rank for rank, unit in enumerate(_UNITS)}
_PIECE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|us|[wdhms])\s*", re.ASCII)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_LONGEST_TEXT: Final = 64
_MICROSECOND: Final = timedelta(microseconds=1)

ALLOWED: Final = 'seconds (90, 0.5), "1h30m", "500ms", "10d", or a timedelta; up to a century, never negative'
"""What `duration` takes, for error messages."""


def duration(value: str | float | timedelta) -> timedelta:
    """The length that the value names, to the microsecond.

    Raises UsageError for anything else, saying what is allowed.
    """
    if isinstance(value, timedelta):
        length = value
    elif isinstance(value, str):
        length = _bounded(_microseconds(value), value)
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _refused(value)
    else:
        length = _bounded(Fraction(value) * _UNITS["s"], value)
    if not timedelta(0) <= length <= LONGEST:
        raise _refused(value)
    return length


def spell(length: timedelta) -> str:
    """The shortest text of units that `duration` reads back as the same length: `1h30m`, `500ms`, `0s`."""
    rest = length // _MICROSECOND
    if rest < 0:
        return "-" + spell(-length)
    pieces = []
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            pieces.append(f"{count}{unit}")
    return "".join(pieces) or "0s"


def _microseconds(text: str) -> Fraction:
    stripped = text.strip()
    if len(stripped) > _LONGEST_TEXT:
        raise _refused(stripped[:_LONGEST_TEXT] + "...")
    if _NUMBER.fullmatch(stripped):
        return Fraction(stripped) * _UNITS["s"]
    total, position, rank = Fraction(0), 0, -1
    while position < len(stripped):
        piece = _PIECE.match(stripped, position)
        if piece is None or _RANK[piece[2]] <= rank:
            raise _refused(text)
        rank, position = _RANK[piece[2]], piece.end()
        total += Fraction(piece[1]) * _UNITS[piece[2]]
    if rank < 0:
        raise _refused(text)
    return total


def _bounded(microseconds: Fraction, value: object) -> timedelta:
    whole = round(microseconds)
    if whole > LONGEST // _MICROSECOND or whole < 0:
        raise _refused(value)
    return timedelta(microseconds=whole)


def _refused(value: object) -> UsageError:
    return UsageError(f"{value!r} is not a duration; allowed: {ALLOWED}")
