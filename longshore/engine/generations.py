"""How a workflow goes on as its next generation: the arguments it names, and the end of everything it was doing.

It decides nothing about the run: the step says that it continues, and the host reports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longshore.serialization.arguments import Arguments
from longshore.serialization.values import Encoded

Frozen = bytes | Encoded | None
"""A value as it was when the code named it: encoded, and all of it in memory if it is not very large."""
Freeze = Callable[[Any], Frozen]
Bind = Callable[[Sequence[Any], Mapping[str, Any]], Arguments]
"""The workflow's own signature. Raises ArgumentError, naming the parameter."""


@dataclass(slots=True)
class Continued:
    """The workflow goes on as its next generation with these arguments, encoded when it said so in `frozen`. `unread`
    are the signals (by seq) that its code has not taken."""

    arguments: Arguments
    unread: list[int]
    frozen: Frozen = None


def unfrozen(_value: Any) -> Frozen:
    """Nothing: where no value travels."""
    return None


def unbound(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
    """The arguments as they are given, where there is no signature to hold them against."""
    return Arguments(tuple(args), dict(kwargs))
