"""Batches whose messages are under way: published in order, several at once, settled in order when all is known of
them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from longshore.coordinator.inbox import Batch
from longshore.coordinator.sender import Letter, Sender
from longshore.core.changes import Internal

_log = logging.getLogger("longshore.coordinator")

UNDER_WAY: Final = 4
"""Batches at once; with more the confirms would not come sooner."""


class Flights:
    """What was committed and is being sent."""

    def __init__(self, sender: Sender, tell: Callable[[Internal], None]) -> None:
        self._sender = sender
        self._tell = tell
        self._flying: deque[tuple[asyncio.Task[list[Internal]] | None, Batch | None, int]] = deque()
        self._landed = asyncio.Event()
        self.published = 0
        """The last batch of which every message is known to be sent, and all before it."""
        self.departed = 0
        self.landed = 0
        """How many batches were handed over, and how many of them are done."""

    async def depart(self, letters: Sequence[Letter], batch: Batch | None, number: int) -> None:
        """Send a batch's messages, then settle it. Waits only while too many are under way."""
        while len(self._flying) >= UNDER_WAY:
            self._landed.clear()
            await self._landed.wait()
        flight = None
        if letters:
            flight = asyncio.create_task(self._sender.send(letters))
            flight.add_done_callback(self._land)
        self._flying.append((flight, batch, number))
        self.departed += 1
        if flight is None:
            self._land(None)

    def _land(self, _: object) -> None:
        flying = self._flying
        while flying:
            flight, batch, number = flying[0]
            if flight is not None and not flight.done():
                break
            flying.popleft()
            if flight is not None and not flight.cancelled():
                self._hear(flight)
            if batch is not None:
                batch.done()
            self.published = max(self.published, number)
            self.landed += 1
        self._landed.set()

    def _hear(self, flight: asyncio.Task[list[Internal]]) -> None:
        error = flight.exception()
        if error is not None:  # what was not sent is put right by handshakes and by who asks again
            _log.error("a batch could not be sent", exc_info=error)
            return
        for news in flight.result():
            self._tell(news)

    async def emptied(self) -> None:
        """Wait until nothing is under way."""
        while self._flying:
            self._landed.clear()
            await self._landed.wait()

    async def close(self) -> None:
        """Give up what is still under way; it was committed, and goes again after the next start."""
        flights = [flight for flight, _, _ in self._flying if flight is not None]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        self._flying.clear()


class Resends:
    """Outcomes that an earlier coordinator may not have sent: until the ledger's ticks have sent them all again, what
    was published stays where it was, so that another crash loses none."""

    def __init__(self, published: int = 0, ticks: int = 0) -> None:
        self._published = published
        self._ticks = ticks
        self._last: int | None = None if ticks else 0

    def ticked(self, flights: Flights) -> None:
        """A tick was sent."""
        if self._ticks:
            self._ticks -= 1
            if not self._ticks:
                self._last = flights.departed

    def published(self, flights: Flights) -> int:
        """The last batch that counts as published."""
        if self._last is None or flights.landed < self._last:
            return self._published
        return max(flights.published, self._published)
