"""The two sides of a difference between a workflow's code and its journal, as people read them. Text only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

LONGEST: Final = 200
"""Characters of all arguments of one side."""
SHOWN: Final = 3
"""How many arguments that differ are named."""
THE_CODE: Final = "  the code: "
_NOTHING: Final = "nothing"


def call_of(name: str, arguments: str) -> str:
    """A call as the text names it; `arguments` are a digest or `listed` ones."""
    return f"call of {name!r} with arguments {arguments}"


def listed(arguments: Sequence[str]) -> str:
    """Arguments in parentheses, cut to 200 characters."""
    text = ", ".join(arguments)
    return f"({text if len(text) <= LONGEST else text[: LONGEST - 1] + '…'})"


def with_recorded(text: str, digest: str, recorded: Sequence[str], asked: Sequence[str] | None) -> str:
    """The text with the recorded call's arguments in place of their digest; where those of the code are known too, a
    line says which of them differ."""
    text = text.replace(f" with arguments {digest}", f" with arguments {listed(recorded)}", 1)
    if asked is None or list(recorded) == list(asked):
        return text
    lines = text.split("\n")
    place = next((number for number, line in enumerate(lines, 1) if line.startswith(THE_CODE)), len(lines))
    return "\n".join([*lines[:place], f"  the difference: {_named(recorded, asked)}", *lines[place:]])


def _named(recorded: Sequence[str], asked: Sequence[str]) -> str:
    pairs = enumerate(zip_longest(recorded, asked, fillvalue=_NOTHING), 1)
    named = [
        f"argument {number}: {was} was recorded, the code says {now}" for number, (was, now) in pairs if was != now
    ]
    more = f"; and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    return "; ".join(named[:SHOWN]) + more
