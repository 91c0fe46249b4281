"""Where other threads lay down what the bus's loop shall take up: one wake-up for many things.

It never blocks anybody, and it keeps the order of each thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Tray(Generic[Thing]):
    """A deque with a bell: `wake` is called on `loop`, once for all that was put down since it last took."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._things: deque[Thing] = deque()
        self._rung = False

    def put(self, thing: Thing) -> None:
        """Lay one thing down; from any thread."""
        self._things.append(thing)
        if not self._rung:
            self.ring()

    def put_all(self, things: Iterable[Thing]) -> None:
        """Lay many down; from any thread."""
        self._things.extend(things)
        if not self._rung:
            self.ring()

    def put_quietly(self, thing: Thing) -> None:
        """Lay one down without ringing: it is taken with the next one that rings, or when somebody looks."""
        self._things.append(thing)

    def ring(self) -> None:
        """Have the loop look; a loop that is closed has nothing to look for."""
        self._rung = True
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake)

    def take(self) -> list[Thing]:
        """Everything that lies here; only on the loop's thread."""
        self._rung = False
        things = self._things
        return [things.popleft() for _ in range(len(things))]
