"""An object taken apart: the shape that the codec makes and the packers read. It holds no logic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Parts(NamedTuple):
    """A tag, a small head (text or a list of texts), and items that are values again."""

    tag: str
    head: Any
    items: list[Any]


TakeApart = Callable[[Any], Parts]
