"""Publishes under way: bounded, in order, each with exactly one outcome. It never talks to a broker itself.

A link gives it `send` (put these on the wire) and `why_not` (the reason why nothing can be sent now, or ""), tells it
what became of each message, and calls `pump` whenever more may go. Used by the RabbitMQ link and by the local one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from longshore.broker.bus import Outgoing, Sent

IN_FLIGHT: Final = 1_000
"""Unconfirmed messages at once: a `multiple` confirm makes aiormq look at every one of them."""
IN_FLIGHT_BYTES: Final = 32 * 1024 * 1024
"""Unconfirmed bytes at once; a single larger body still goes, alone."""

CLOSED: Final = "the bus is closed"


class Pending:
    """One message on the wire whose outcome is not known yet."""

    __slots__ = ("batch", "index", "message", "size")

    def __init__(self, message: Outgoing, batch: _Batch, index: int) -> None:
        self.message = message
        self.size = len(message.body)
        self.batch = batch
        self.index = index


class _Batch:
    """What one call of `publish` waits for."""

    __slots__ = ("done", "left", "messages", "outcomes", "unsent")

    def __init__(self, messages: Sequence[Outgoing], done: asyncio.Future[None]) -> None:
        self.messages = messages
        self.outcomes: list[Sent | None] = [None] * len(messages)
        self.left = len(messages)
        self.unsent = 0  # index of the first message that has not been sent
        self.done = done

    def settle(self, index: int, outcome: Sent) -> None:
        if self.outcomes[index] is None:
            self.outcomes[index] = outcome
            self.left -= 1
            if not self.left and not self.done.done():
                self.done.set_result(None)

    def fail_rest(self, reason: str) -> None:
        for index, outcome in enumerate(self.outcomes):
            if outcome is None:
                self.settle(index, Sent(failed=reason))


class Pipeline:
    """The publishes of one link. Everything runs on the link's loop."""

    def __init__(self, send: Callable[[list[Pending]], None], why_not: Callable[[], str]) -> None:
        self._send = send
        self._why_not = why_not
        self._waiting: deque[_Batch] = deque()
        self._in_flight: set[Pending] = set()
        self._bytes = 0
        self._batches: set[_Batch] = set()

    async def publish(self, messages: Sequence[Outgoing], timeout: float) -> list[Sent]:
        """One outcome per message, in order. Waits at most `timeout` seconds, also while the link is down."""
        if not messages:
            return []
        batch = _Batch(messages, asyncio.get_running_loop().create_future())
        self._waiting.append(batch)
        self._batches.add(batch)
        self.pump()
        try:
            async with asyncio.timeout(timeout):
                await batch.done
        except TimeoutError:
            why_not = self._why_not()
            batch.fail_rest(f"not confirmed within {timeout:g} s" + (f": {why_not}" if why_not else ""))
        finally:  # a cancellation too: what is on the wire may arrive, what is not stays here
            self._forget(batch)
        return [outcome for outcome in batch.outcomes if outcome is not None]

    def pump(self) -> None:
        """Send what may be sent now."""
        if not self._waiting or len(self._in_flight) >= IN_FLIGHT or self._why_not():
            return
        ready: list[Pending] = []
        while self._waiting and len(self._in_flight) < IN_FLIGHT:
            batch = self._waiting[0]
            pending = Pending(batch.messages[batch.unsent], batch, batch.unsent)
            if self._bytes and self._bytes + pending.size > IN_FLIGHT_BYTES:
                break
            batch.unsent += 1
            if batch.unsent == len(batch.messages):
                self._waiting.popleft()
            self._in_flight.add(pending)
            self._bytes += pending.size
            ready.append(pending)
        if ready:
            self._send(ready)

    def resolve(self, pending: Pending, outcome: Sent) -> None:
        """Say what became of a message. Too late is harmless. Call `pump` after the last of a group."""
        if pending in self._in_flight:
            self._in_flight.discard(pending)
            self._bytes -= pending.size
            pending.batch.settle(pending.index, outcome)

    def lost(self, reason: str) -> None:
        """The link is gone: all in flight fails, and the rest of their batches: no tail goes without its head."""
        in_flight, self._in_flight, self._bytes = self._in_flight, set(), 0
        for batch in {pending.batch for pending in in_flight}:
            batch.fail_rest(reason)
            self._unqueue(batch)

    async def drain(self, timeout: float) -> None:
        """Wait until nothing is under way any more, at most `timeout` seconds."""
        under_way = [batch.done for batch in self._batches]
        if under_way:
            await asyncio.wait(under_way, timeout=timeout)

    def fail_all(self, reason: str) -> None:
        """Give every message under way or waiting this outcome."""
        for batch in list(self._batches):
            batch.fail_rest(reason)
        self._in_flight.clear()
        self._waiting.clear()
        self._bytes = 0

    def _forget(self, batch: _Batch) -> None:
        self._batches.discard(batch)
        if batch.left or batch.unsent < len(batch.messages):
            self._unqueue(batch)
        gone = [pending for pending in self._in_flight if pending.batch is batch] if batch.unsent else []
        for pending in gone:
            self._in_flight.discard(pending)
            self._bytes -= pending.size
        if gone or self._waiting:
            self.pump()

    def _unqueue(self, batch: _Batch) -> None:
        if batch in self._waiting:
            self._waiting.remove(batch)
