"""Publishing to RabbitMQ: one channel with confirms, many messages in one write, no asyncio task or future per message.

It uses aiormq's channel for its bookkeeping of confirms and returns, and puts frames on its write queue itself: through
`basic_publish` a message costs about 60 Python calls, three context managers and two futures.
"""

from __future__ import annotations

import asyncio
import struct
from itertools import count
from typing import Any, Final

from aiormq.abc import AbstractConnection, ChannelFrame
from aiormq.channel import Channel
from aiormq.exceptions import PublishError
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.exceptions import PAMQPException
from pamqp.frame import marshal
from pamqp.header import ContentHeader

from longshore.broker.bus import Outgoing, Sent
from longshore.broker.pipeline import IN_FLIGHT, Pending, Pipeline
from longshore.broker.rabbitmq_lane import close

MADE_UP: Final = "longshore-bus/"
"""How ids begin that mean "none": aiormq knows a returned message by its id only, so each needs its own."""

_WRITE: Final = 128 * 1024
"""Bytes in one write, about; a larger message is one write."""
_LEFT_BEHIND: Final = 4 * IN_FLIGHT
"""So many unconfirmed publishes, most of which nobody waits for any more: the channel is of no use."""


class _Confirm:
    """Stands where aiormq keeps a future for each confirm: tells the pipeline directly."""

    __slots__ = ("_message_id", "_pending", "_publisher")

    def __init__(self, publisher: Publisher, pending: Pending, message_id: str) -> None:
        self._publisher = publisher
        self._pending = pending
        self._message_id = message_id

    def done(self) -> bool:
        """Never: aiormq removes it before it tells it anything."""
        return False

    def set_result(self, _: object) -> None:
        """Confirmed."""
        self._publisher.settle(self._pending, self._message_id, Sent(confirmed=True))

    def set_exception(self, error: BaseException) -> None:
        """Returned, or refused."""
        returned = isinstance(error, PublishError)
        outcome = Sent(returned=True) if returned else Sent(failed="refused by the broker (nack)")
        self._publisher.settle(self._pending, self._message_id, outcome)


class Publisher:
    """The publishing end of a RabbitMQ bus."""

    pipeline: Pipeline
    """Set by the bus: the two need each other."""

    def __init__(self, user: str) -> None:
        self.channel: Channel | None = None
        self._user = user
        self._unwritten: list[Pending] = []
        self._wake = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._numbers = count(1)

    async def open(self, connection: AbstractConnection) -> Channel:
        """A channel with confirms on."""
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        assert isinstance(channel, Channel)
        return channel

    def take(self, channel: Channel) -> None:
        """Take a channel into use."""
        self.channel = channel
        self._writing = asyncio.get_running_loop().create_task(self._write(channel))
        self.pipeline.pump()

    def lost(self, reason: str) -> None:
        """The channel is gone: everything under way on it has failed."""
        self.channel = None
        self._unwritten.clear()
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.cancel()
        self.pipeline.lost(f"connection lost before the confirm: {reason}")

    async def close(self) -> None:
        """Stop writing."""
        writing = self._writing
        self.lost("the bus is closed")
        if writing is not None:
            await asyncio.gather(writing, return_exceptions=True)

    def send(self, group: list[Pending]) -> None:
        """Have these messages written, in this order."""
        self._unwritten += group
        self._wake.set()

    def settle(self, pending: Pending, message_id: str, outcome: Sent) -> None:
        """The broker has said what became of this message."""
        if self.channel is not None:
            self.channel.message_id_delivery_tag.pop(message_id, None)
        self.pipeline.resolve(pending, outcome)
        self.pipeline.pump()

    async def _write(self, channel: Channel) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._unwritten:
                group, self._unwritten = self._unwritten, []
                for payload in self._payloads(channel, group):
                    await channel.write_queue.put(ChannelFrame(payload=payload, should_close=False))
            if len(channel.confirmations) > _LEFT_BEHIND:
                await close(channel)

    def _payloads(self, channel: Channel, group: list[Pending]) -> list[bytes]:
        """The bytes of these messages, gathered into writes; each message gets the channel's next delivery tag."""
        payloads: list[bytes] = []
        gathered: list[bytes] = []
        size = 0
        methods: dict[tuple[str, str, bool], bytes] = {}
        for pending in group:
            message = pending.message
            message_id = self._message_id(channel, message)
            try:
                frames = self._frames(channel, message, message_id, methods)
            except (ValueError, TypeError, struct.error, PAMQPException) as error:
                self.pipeline.resolve(pending, Sent(failed=f"this message cannot be sent over AMQP: {error}"))
                continue
            channel.delivery_tag += 1
            confirm: Any = _Confirm(self, pending, message_id)
            channel.confirmations[channel.delivery_tag] = confirm
            channel.message_id_delivery_tag[message_id] = channel.delivery_tag
            gathered += frames
            size += pending.size + 200  # about what method and header take
            if size >= _WRITE:
                payloads.append(b"".join(gathered))
                gathered, size = [], 0
        if gathered:
            payloads.append(b"".join(gathered))
        return payloads

    def _message_id(self, channel: Channel, message: Outgoing) -> str:
        given = message.message_id
        if given and given not in channel.message_id_delivery_tag:
            return given
        return f"{MADE_UP}{next(self._numbers)}" + (f"/{given}" if given else "")

    def _frames(
        self, channel: Channel, message: Outgoing, message_id: str, methods: dict[tuple[str, str, bool], bytes]
    ) -> list[bytes]:
        route = (message.exchange, message.key, message.mandatory)
        method = methods.get(route)
        if method is None:
            publish = Basic.Publish(exchange=message.exchange, routing_key=message.key, mandatory=message.mandatory)
            method = methods[route] = marshal(publish, channel.number)
        properties = Basic.Properties(
            content_type=message.content_type,
            headers=message.headers or None,  # type: ignore[arg-type]  # texts and numbers are a field table
            delivery_mode=2 if message.durable else 1,
            correlation_id=message.correlation_id or None,
            reply_to=message.reply_to or None,
            message_id=message_id,
            user_id=self._user,
        )
        body, largest = message.body, channel.max_content_size
        frames = [method, marshal(ContentHeader(properties=properties, body_size=len(body)), channel.number)]
        frames += (
            marshal(ContentBody(body[start : start + largest]), channel.number)
            for start in range(0, len(body), largest)
        )
        return frames


def message_id_of(text: str | None) -> str:
    """The message id that the publisher gave: "" when the bus had to make one up."""
    if not text:
        return ""
    if text.startswith(MADE_UP):
        return text.removeprefix(MADE_UP).partition("/")[2]
    return text
