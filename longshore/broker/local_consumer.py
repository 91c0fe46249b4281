"""A consumer of a local bus. It never waits in a callback and never settles on a connection that is gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from longshore.broker.bus import Incoming
from longshore.broker.local_frames import Cancel, Consume, Deliver, FromBus, Reject, Settle

CONSUME_WITHIN: Final = 5.0
"""Seconds that `consume_*` waits for the first set-up before it leaves it to go on by itself."""


class LocalConsumer:
    """One consumer, put in place again after every reconnect. Satisfies the protocol `Consumer`."""

    def __init__(
        self,
        wish: Consume,
        on_message: Callable[[Incoming], None],
        on_bound: Callable[[int], None] | None,
        say: Callable[[FromBus], None],
        among: dict[int, LocalConsumer],
    ) -> None:
        self.wish = wish
        self._on_message = on_message
        self._on_bound = on_bound
        self._say = say
        self._among = among
        self._lane = 0
        self._bound = 0
        self._ready = asyncio.Event()

    async def wait_ready(self, timeout: float) -> None:
        """Wait until it consumes, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._ready.wait()

    def placed(self, lane: int) -> None:
        """It is in place, on this lane."""
        self._lane = lane
        self._bound += 1
        self._ready.set()
        if self._on_bound is not None:
            self._on_bound(self._bound)

    def lost(self) -> None:
        """The connection is gone."""
        self._lane = 0

    def deliver(self, frame: Deliver) -> None:
        """Hand a message over."""
        self._on_message(Incoming(
            frame.exchange, frame.key, frame.body, frame.headers, frame.content_type, frame.message_id,
            frame.correlation_id, frame.reply_to, frame.user_id, frame.redelivered, frame.tag, self._lane,
        ))  # fmt: skip

    def settle(self, upto: Incoming) -> None:
        """See `Consumer.settle`."""
        if upto.lane == self._lane:
            self._say(Settle(self.wish.consumer, upto.tag))

    def reject(self, message: Incoming) -> None:
        """See `Consumer.reject`."""
        if message.lane == self._lane:
            self._say(Reject(self.wish.consumer, message.tag))

    async def close(self) -> None:
        """See `Consumer.close`."""
        if self._among.pop(self.wish.consumer, None) is not None:
            self._lane = 0
            self._say(Cancel(self.wish.consumer))
