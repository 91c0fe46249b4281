"""A bare AMQP channel into a house: publishes any bytes under any key, and reads replies as they come."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from longshore.core.envelope import MSGPACK
from longshore.core.ids import SessionId, WorkerId
from longshore.core.message import Directive, Hello, Message, Offer, Start, Welcome
from longshore.serialization.envelope import pack, unpack_directives, unpack_replies


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

    async def reply(self, *, within: float = 10) -> Any:
        """The next reply to our key."""
        (found,) = unpack_replies((await next_message(self._queue, within=within)).body)
        return found

    @asynccontextmanager
    async def worker(self, session: SessionId, offers: list[Offer]) -> AsyncIterator[RawWorker]:
        """A worker of one's own making that has said Hello and was welcomed."""
        queue = await self._channel.declare_queue(exclusive=True)
        await queue.bind(f"{self._namespace}.workers", session)
        worker = RawWorker(self, session, queue)
        hello = Hello(WorkerId(f"raw-{session[:4]}"), "default", 4, offers, held=[])
        await self.publish("reports", "reports", pack([hello])[0], headers={"session": session})
        while not isinstance(await worker.directive(), Welcome):
            pass
        yield worker
        await queue.delete(if_unused=False, if_empty=False)


class RawWorker:
    """What a worker says and hears, message by message; it beats only when told to."""

    def __init__(self, wire: Raw, session: SessionId, queue: AbstractQueue) -> None:
        self._wire = wire
        self._session = session
        self._queue = queue
        self._number = 0
        self._heard: deque[Directive] = deque()

    async def directive(self) -> Directive:
        """The next directive."""
        while not self._heard:
            self._heard += unpack_directives((await next_message(self._queue)).body)
        return self._heard.popleft()

    async def start(self) -> Start:
        """The next Start; all else is passed over."""
        while not isinstance(found := await self.directive(), Start):
            pass
        return found

    async def report(self, report: Message) -> None:
        """A report with the next number."""
        self._number += 1
        headers = {"session": self._session, "number": self._number}
        await self._wire.publish("reports", "reports", pack([report])[0], headers=headers)


async def next_message(queue: AbstractQueue, *, within: float = 10) -> AbstractIncomingMessage:
    """The next message of a queue."""
    async with asyncio.timeout(within):
        while True:
            found = await queue.get(fail=False, no_ack=True)
            if found is not None:
                return found
            await asyncio.sleep(0.01)


@asynccontextmanager
async def raw(url: str, namespace: str) -> AsyncIterator[Raw]:
    """A channel of its own into the house at that broker."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        queue = await channel.declare_queue(exclusive=True)
        key = f"raw-{secrets.token_hex(8)}"
        await queue.bind(f"{namespace}.replies", key)
        yield Raw(namespace, channel, queue, key)
