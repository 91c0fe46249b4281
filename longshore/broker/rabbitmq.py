"""The bus over RabbitMQ (3.10 to 4.3), on two connections: an alarm stops publishing only. It knows nothing of runs.

Parts: `rabbitmq_link` keeps a connection up, `rabbitmq_lane` a channel, `rabbitmq_topology` declares,
`rabbitmq_publisher` publishes, `rabbitmq_consumer` consumes. Source of its rules: RabbitMQ's documentation and
aiormq's code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final
from urllib.parse import unquote, urlsplit

from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.channel import Channel

from longshore.broker.bus import Consumer, Incoming, Outgoing, Sent
from longshore.broker.pipeline import CLOSED, Pipeline
from longshore.broker.rabbitmq_consumer import RabbitConsumer, Source
from longshore.broker.rabbitmq_lane import Lane, keep
from longshore.broker.rabbitmq_link import Link, address_of, quieten_library
from longshore.broker.rabbitmq_publisher import Publisher
from longshore.broker.rabbitmq_topology import declare as declare_topology
from longshore.broker.watching import Watchers
from longshore.core.envelope import Names
from longshore.core.errors import BrokerUnavailableError

CONSUME_WITHIN: Final = 5.0
"""Seconds that `consume_*` waits for the first set-up before it leaves it to go on by itself."""
FLUSH_WITHIN: Final = 5.0

_ALARM: Final = "the broker takes no publishes at the moment (memory or disk alarm)"


class RabbitBus:
    """One link to RabbitMQ. `declare=False` takes the topology as given. Satisfies the protocol `Bus`."""

    def __init__(self, url: str, names: Names, *, declare: bool = True) -> None:
        self._names = names
        self._address = address_of(url)
        self._declare = declare
        self._watchers = Watchers()
        self._publisher = Publisher(unquote(urlsplit(url).username or "guest"))
        self._pipeline = self._publisher.pipeline = Pipeline(self._publisher.send, self._why_not)
        self._ready = asyncio.Event()
        label = f"longshore {names.namespace}"
        self._publishing = Link(url, f"{label} publishing", on_change=self._changed)
        self._consuming = Link(url, f"{label} consuming", prepare=self._prepare, on_change=self._changed)
        self._tasks: list[asyncio.Task[None]] = []
        self._consumers: list[RabbitConsumer] = []
        self._lanes = count(1)
        self._closed = False

    async def open(self, *, timeout: float) -> None:
        """See `Bus.open`."""
        quieten_library()
        loop = asyncio.get_running_loop()
        self._closed = False
        self._watchers.unmute()
        for link in (self._consuming, self._publishing):
            link.refused.clear()
        lane = Lane("publishing", self._publisher.open, self._furnish, self._publisher.lost, self._watchers.failed)
        self._tasks = [
            loop.create_task(self._consuming.run()),
            loop.create_task(self._publishing.run()),
            loop.create_task(keep(lane, self._publishing)),
        ]
        waits = [
            loop.create_task(event.wait()) for event in (self._ready, self._consuming.refused, self._publishing.refused)
        ]
        try:
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            ready = self._ready.is_set()
            trouble = self._trouble() or "no channel could be opened"
            if not ready:
                await self.close()
        if not ready:
            raise BrokerUnavailableError(
                f"RabbitMQ at {self._address} could not be reached within {timeout:g} s: {trouble}. "
                "Check that it runs, and LONGSHORE_BROKER_URL."
            )

    async def close(self) -> None:
        """See `Bus.close`."""
        if self._closed:
            return
        self._closed = True
        self._watchers.mute()
        for consumer in list(self._consumers):
            await consumer.close()
        if self._publisher.channel is not None:
            await self._pipeline.drain(FLUSH_WITHIN)
        self._pipeline.fail_all(CLOSED)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._publisher.close()
        self._ready.clear()

    @property
    def connected(self) -> bool:
        """See `Bus.connected`."""
        return self._consuming.alive and self._publishing.alive and not self._closed

    @property
    def blocked(self) -> bool:
        """See `Bus.blocked`."""
        return self._publishing.blocked

    async def publish(self, messages: Sequence[Outgoing], *, timeout: float) -> list[Sent]:
        """See `Bus.publish`. While the link is down or blocked, publishes wait for it, up to their timeout."""
        if self._closed:
            return [Sent(failed=CLOSED) for _ in messages]
        return await self._pipeline.publish(messages, timeout)

    async def consume_queue(
        self, queue: str, on_message: Callable[[Incoming], None], *, prefetch: int, priority: int = 0
    ) -> Consumer:
        """See `Bus.consume_queue`."""
        return await self._consume(Source(queue=queue, prefetch=prefetch, priority=priority), on_message)

    async def consume_private(
        self,
        exchange: str,
        key: str,
        on_message: Callable[[Incoming], None],
        on_bound: Callable[[int], None],
        *,
        prefetch: int,
        limit: int = 0,
    ) -> Consumer:
        """See `Bus.consume_private`."""
        source = Source(exchange=exchange, key=key, prefetch=prefetch, on_bound=on_bound, limit=limit)
        return await self._consume(source, on_message)

    def watch(self, on_change: Callable[[str], None]) -> None:
        """See `Bus.watch`."""
        self._watchers.add(on_change)

    async def _consume(self, source: Source, on_message: Callable[[Incoming], None]) -> Consumer:
        consumer = RabbitConsumer(source, on_message, self._lanes)
        self._consumers.append(consumer)
        consumer.start(self._consuming, self._watchers.failed)
        await consumer.wait_ready(CONSUME_WITHIN)
        return consumer

    async def _prepare(self, connection: AbstractConnection) -> None:
        if self._declare:
            await declare_topology(connection, self._names)

    async def _furnish(self, channel: AbstractChannel) -> None:
        assert isinstance(channel, Channel)
        self._publisher.take(channel)
        self._changed()

    def _trouble(self) -> str:
        """What is wrong with the links: a refusal first, because the other link may not have got so far."""
        links = sorted((self._consuming, self._publishing), key=lambda link: not link.refused.is_set())
        return next((link.trouble for link in links if link.trouble), "")

    def _why_not(self) -> str:
        if self._publishing.blocked:
            return _ALARM
        if self._publisher.channel is None:
            return f"not connected to RabbitMQ at {self._address}: {self._publishing.trouble or 'opening a channel'}"
        return ""

    def _changed(self) -> None:
        if self.connected and self._publisher.channel is not None:
            self._ready.set()
        self._watchers.link(up=self.connected, trouble=self._trouble())
        self._watchers.alarm(on=self.blocked, reason=_ALARM)
        if not self.blocked:
            self._pipeline.pump()
