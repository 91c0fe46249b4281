"""Addresses of durable operations: the path of the scope that asked, and how many it had asked before, e.g. `0/3/1:2`.

The main coroutine is scope `0`; an asyncio task made inside scope S is `S/k` in the order of making. No clock and no
chance: the same code told the same things gives the same addresses.
"""

from __future__ import annotations

from longshore.core.ids import Address


class Scope:
    """One coroutine's name for what it asks and makes."""

    __slots__ = ("_asked", "_made", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._asked = 0
        self._made = 0

    def next_address(self) -> Address:
        """The address of the next durable operation asked for in this scope."""
        index = self._asked
        self._asked = index + 1
        return Address(f"{self.path}:{index}")

    def child(self) -> Scope:
        """The scope of the next asyncio task made in this one."""
        index = self._made
        self._made = index + 1
        return Scope(f"{self.path}/{index}")
