"""What has come and was not taken yet: reports before commands, both bounded per round. Callbacks only enqueue here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from longshore.broker.bus import Consumer, Incoming
from longshore.coordinator import decoding
from longshore.core.changes import Inbound, Internal
from longshore.core.message import MAX_BODY, Ask

MESSAGES: Final = 2000
"""About so many messages of each kind are taken at once: the batch grows while the one before is under way."""
BYTES: Final = 4 << 20


@dataclass(slots=True)
class Batch:
    """What was taken at once, and what is to be settled when all of it is done."""

    inbound: list[Inbound] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    settle: list[tuple[Consumer, Incoming]] = field(default_factory=list)

    def done(self) -> None:
        """Settle everything, one `multiple` each."""
        for consumer, last in self.settle:
            consumer.settle(last)


class Tray:
    """The messages of one consumer."""

    def __init__(self, wake: asyncio.Event) -> None:
        self.consumer: Consumer | None = None
        self._waiting: deque[Incoming] = deque()
        self._wake = wake

    def put(self, message: Incoming) -> None:
        """The consumer's callback."""
        self._waiting.append(decoding.cut(message) if len(message.body) > MAX_BODY else message)
        self._wake.set()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self, batch: Batch) -> list[Incoming]:
        """The next messages, in order, up to the bounds. The last one settles them all."""
        waiting = self._waiting
        taken: list[Incoming] = []
        count, size = 0, 0
        while waiting and count < MESSAGES and size < BYTES:
            message = waiting.popleft()
            taken.append(message)
            count += _items(message.body)
            size += len(message.body)
        if taken and self.consumer is not None:
            batch.settle.append((self.consumer, taken[-1]))
        return taken


class Inbox:
    """Everything that waits for the next round."""

    def __init__(self, clock: Callable[[], datetime] | None = None) -> None:
        self._clock = clock or _utcnow
        self.wake = asyncio.Event()
        self.reports = Tray(self.wake)
        self.commands = Tray(self.wake)
        self.dead = Tray(self.wake)
        self._own: list[Inbound] = []
        self.read_until: datetime | None = None
        """When no command waited here: whatever was sent before is read."""
        self.admits: Callable[[Inbound], bool] = _all
        """Whether a report body is taken now; if not, whoever says so puts it here later."""

    def tell(self, event: Internal) -> None:
        """News from our own shell."""
        self.put(decoding.internal(event))

    def put(self, inbound: Inbound) -> None:
        """Something that is decoded already."""
        self._own.append(inbound)
        self.wake.set()

    def take(self) -> Batch:
        """The next batch: our own news, then reports, then commands. Empty when nothing waits."""
        batch = Batch()
        if self._own:
            batch.inbound, self._own = self._own, []
        if self.reports:
            bodies = map(decoding.reports, self.reports.take(batch))
            batch.inbound += filter(self.admits, bodies)
        if self.commands:
            for message in self.commands.take(batch):
                inbound, asks = decoding.commands(message)
                batch.asks += asks
                if inbound.messages:
                    batch.inbound.append(inbound)
        if self.dead:
            batch.inbound += map(decoding.dead, self.dead.take(batch))
        if not self.commands:
            self.read_until = self._clock()
        if not (self._own or self.reports or self.commands or self.dead):
            self.wake.clear()
        return batch


def _utcnow() -> datetime:
    return datetime.now(UTC)


def _all(_: Inbound) -> bool:
    return True


def _items(body: bytes) -> int:
    """About how many messages the body holds: what its array header says, 1 where there is none."""
    first = body[:1]
    if first == b"\xdc":
        return int.from_bytes(body[1:3], "big")
    return body[0] & 0x0F if first and 0x90 <= body[0] < 0xA0 else 1
