"""A bare AMQP channel into a house: publishes any bytes under any key, and reads replies as they come."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from longshore.core.envelope import MSGPACK
from longshore.core.message import Message
from longshore.serialization.envelope import pack, unpack_replies


class Raw:
    """See the module. `key` is where its replies go."""

    def __init__(self, namespace: str, channel: AbstractChannel, queue: AbstractQueue, key: str) -> None:
        self.key = key
        self._namespace = namespace
        self._channel = channel
        self._queue = queue

    async def command(self, body: bytes, *, content_type: str = MSGPACK, key: str = "trigger", **more: Any) -> None:
        """Publish to the commands; returns once the broker has it."""
        await self.publish("commands", key, body, content_type=content_type, **more)

    async def publish(self, exchange: str, key: str, body: bytes, **more: Any) -> None:
        """Publish to one of the house's exchanges."""
        target = await self._channel.get_exchange(f"{self._namespace}.{exchange}", ensure=False)
        await target.publish(aio_pika.Message(body, **more), routing_key=key)

    async def send(self, messages: Sequence[Message], **more: Any) -> None:
        """Publish messages as our own clients do."""
        for body in pack(messages):
            await self.command(body, **more)

    async def incoming(self, *, within: float = 10) -> AbstractIncomingMessage:
        """The next message to our key."""
        async with asyncio.timeout(within):
            while True:
                found = await self._queue.get(fail=False, no_ack=True)
                if found is not None:
                    return found
                await asyncio.sleep(0.01)

    async def reply(self, *, within: float = 10) -> Any:
        """The next reply to our key."""
        (found,) = unpack_replies((await self.incoming(within=within)).body)
        return found


@asynccontextmanager
async def raw(url: str, namespace: str = "longshore") -> AsyncIterator[Raw]:
    """A channel of its own into the house at that broker."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        queue = await channel.declare_queue(exclusive=True)
        key = f"raw-{secrets.token_hex(8)}"
        await queue.bind(f"{namespace}.replies", key)
        yield Raw(namespace, channel, queue, key)
