"""Who waits before the line. When more is to be sent than a batch holds, callers wait here for their turn before they
encode anything: the first batches are on their way, and answered, while the last calls are still to be made.

It decides nothing about a run. It never makes a caller late: at the first deadline all go on, and wait in the line.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

FOR_EVER: Final = float("inf")


class Crowd:
    """Callers in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    async def turn(self, within: float) -> float:
        """Wait for one's turn, but no longer than `within` seconds; gives the seconds it took."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        mine = loop.create_future()
        self._waiting.append(mine)
        deadline = begun + within
        if deadline < FOR_EVER and (self._timer is None or deadline < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(deadline, self.dissolve)
        await mine
        return loop.time() - begun

    def admit(self, count: int) -> None:
        """The turn of the first `count` has come."""
        waiting = self._waiting
        while waiting and count > 0:
            first = waiting.popleft()
            if not first.done():  # else its caller was canceled
                first.set_result(None)
                count -= 1
        if not waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def dissolve(self) -> None:
        """Everybody's turn has come."""
        self.admit(len(self._waiting))
