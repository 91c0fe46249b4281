"""Consuming from RabbitMQ: one channel per consumer, callbacks that only enqueue, settling in groups.

It never settles a message of a channel that is gone, and never waits inside a callback.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final

from aiormq.abc import AbstractChannel, AbstractConnection, ArgumentsType, DeliveredMessage

from longshore.broker.bus import Headers, Incoming
from longshore.broker.rabbitmq_lane import Lane, keep
from longshore.broker.rabbitmq_link import FAULTS, Link, canceled_from_outside
from longshore.broker.rabbitmq_publisher import message_id_of
from longshore.broker.tags import Tags

SETTLE_WITHIN: Final = 3.0
"""Seconds that closing waits for settlements which are still to be written."""

ADVICE: Final = (
    ". Look at it with `rabbitmqctl list_queues`; one that takes and gives nothing although it runs (a broker killed "
    "in the first second of a new queue leaves that behind) is made anew after `rabbitmqctl delete_queue {queue}`"
)


@dataclass(slots=True, frozen=True)
class Source:
    """What to consume: a durable queue, or a binding of a private one."""

    queue: str = ""
    exchange: str = ""
    key: str = ""
    prefetch: int = 0
    priority: int = 0
    on_bound: Callable[[int], None] | None = None
    limit: int = 0


class RabbitConsumer:
    """One consumer, rebuilt for ever. Satisfies the protocol `Consumer`."""

    def __init__(self, source: Source, on_message: Callable[[Incoming], None], lanes: count[int]) -> None:
        self._source = source
        self._on_message = on_message
        self._lanes = lanes
        self._lane = 0
        self._bound = 0
        self._tags = Tags()
        self._words: deque[tuple[int, bool]] = deque()  # (tag, whether it is an acknowledgement), to be written
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._writing: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    def start(self, link: Link, on_hopeless: Callable[[str], None]) -> None:
        """Begin consuming; needs no connection yet."""
        source = self._source
        name = f"consuming {source.queue}" if source.queue else f"a private queue on {source.exchange}"
        advice = ADVICE.format(queue=source.queue) if source.queue else ""
        lane = Lane(name, self._open, self._furnish, self._lost, lambda reason: on_hopeless(reason + advice))
        self._keeping = asyncio.get_running_loop().create_task(keep(lane, link))

    async def wait_ready(self, timeout: float) -> None:
        """Wait until it consumes, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._ready.wait()

    def settle(self, upto: Incoming) -> None:
        """See `Consumer.settle`."""
        if upto.lane != self._lane:
            return
        tag = self._tags.settle(upto.tag)
        if not tag:
            return
        if self._words and self._words[-1][1]:
            self._words[-1] = (tag, True)  # it covers the one before
        else:
            self._say(tag, True)

    def reject(self, message: Incoming) -> None:
        """See `Consumer.reject`."""
        if message.lane == self._lane and self._tags.reject(message.tag):
            self._say(message.tag, False)

    async def close(self) -> None:
        """See `Consumer.close`."""
        keeping, self._keeping = self._keeping, None
        if keeping is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_WITHIN):
                await self._idle.wait()
        self._lane = 0
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        self._lost("closed")

    async def _open(self, connection: AbstractConnection) -> AbstractChannel:
        return await connection.channel(publisher_confirms=False)

    async def _furnish(self, channel: AbstractChannel) -> None:
        source, lane = self._source, next(self._lanes)
        self._tags, self._lane = Tags(), lane
        self._words.clear()
        self._writing = asyncio.get_running_loop().create_task(self._write(channel))
        await channel.basic_qos(prefetch_count=source.prefetch)
        queue = source.queue or await self._bind(channel)
        arguments: ArgumentsType = {"x-priority": source.priority} if source.priority else {}

        async def deliver(message: DeliveredMessage) -> None:  # aiormq wants a coroutine function
            if lane == self._lane:
                self._on_message(incoming(message, lane))

        await channel.basic_consume(queue, deliver, arguments=arguments)
        self._ready.set()

    async def _bind(self, channel: AbstractChannel) -> str:
        """A fresh queue each time: the name of one whose connection is half open stays locked for a while."""
        source = self._source
        queue = f"{source.exchange}.{secrets.token_hex(8)}"
        arguments: ArgumentsType = {"x-max-length": source.limit} if source.limit else {}  # the oldest go first
        await channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=arguments)
        await channel.queue_bind(queue, source.exchange, source.key)
        self._bound += 1
        if source.on_bound is not None:
            source.on_bound(self._bound)
        return queue

    def _lost(self, _: str) -> None:
        self._lane = 0
        self._words.clear()
        self._idle.set()
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.cancel()

    def _say(self, tag: int, acknowledge: bool) -> None:
        self._words.append((tag, acknowledge))
        self._idle.clear()
        self._wake.set()

    async def _write(self, channel: AbstractChannel) -> None:
        """Write settlements while the channel lives; they gather while one is being written."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._write_all(channel)
                self._idle.set()
        except FAULTS:
            pass  # the channel is gone, and with it every tag
        except asyncio.CancelledError:
            if canceled_from_outside():
                raise

    async def _write_all(self, channel: AbstractChannel) -> None:
        while self._words:
            tag, acknowledge = self._words.popleft()
            if acknowledge:
                await channel.basic_ack(tag, multiple=True, wait=False)
            else:
                await channel.basic_reject(tag, requeue=False, wait=False)


def incoming(message: DeliveredMessage, lane: int) -> Incoming:
    """The message as the bus shows it."""
    properties, delivery = message.header.properties, message.delivery
    return Incoming(
        exchange=delivery.exchange or "",  # type: ignore[union-attr]  # always Basic.Deliver here
        key=delivery.routing_key or "",  # type: ignore[union-attr]
        body=message.body,
        headers=_headers(properties.headers) if properties.headers else {},
        content_type=properties.content_type or "",
        message_id=message_id_of(properties.message_id),
        correlation_id=properties.correlation_id or "",
        reply_to=properties.reply_to or "",
        user_id=properties.user_id or "",
        redelivered=bool(delivery.redelivered),  # type: ignore[union-attr]
        tag=delivery.delivery_tag or 0,  # type: ignore[union-attr]
        lane=lane,
    )


def _headers(table: Mapping[str, object]) -> Headers:
    """Texts and numbers only; what the broker adds about its own work (x-death and the like) is dropped."""
    return {
        name: value
        for name, value in table.items()
        if isinstance(value, str | int) and not name.startswith(("x-delivery-count", "x-acquired-count"))
    }
