"""What a local bus and its router say to each other, and how it lies on a socket. It never opens one.

On a socket: four bytes of length, then a MessagePack array of frames; everything that is ready goes in one write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Generic, TypeVar

import msgspec

from longshore.broker.bus import Headers
from longshore.core.errors import DecodeError

VERSION: Final = 1
LARGEST_BODY: Final = 16 * 1024 * 1024
"""As on RabbitMQ from 4.0."""

_LARGEST_WRITE: Final = 1024 * 1024
_LARGEST_READ: Final = LARGEST_BODY + _LARGEST_WRITE + 65536
_LENGTH: Final = 4


class _Frame(msgspec.Struct, array_like=True, tag=True, gc=False):
    pass


class Hello(_Frame):
    """First from a bus."""

    namespace: str
    version: int


class Publish(_Frame):
    """A message to route; the answer names its number."""

    number: int
    exchange: str
    key: str
    body: bytes
    headers: Headers
    content_type: str
    message_id: str
    correlation_id: str
    reply_to: str
    mandatory: bool


class Consume(_Frame):
    """Consume a durable queue (`queue`), or bind and consume a private one (`exchange` and `key`)."""

    consumer: int
    queue: str
    exchange: str
    key: str
    prefetch: int
    priority: int
    limit: int = 0


class Settle(_Frame):
    """Done with this message of the consumer and all before it."""

    consumer: int
    tag: int


class Reject(_Frame):
    """Dead-letter this message."""

    consumer: int
    tag: int


class Cancel(_Frame):
    """Stop consuming."""

    consumer: int


class Welcome(_Frame):
    """First from the router; with a reason when it refuses the bus."""

    refused: str = ""


class Confirmed(_Frame):
    """These publishes have been taken care of."""

    numbers: list[int]


class Returned(_Frame):
    """Nobody is bound to that key."""

    number: int


class Refused(_Frame):
    """This publish cannot be done."""

    number: int
    reason: str


class Consuming(_Frame):
    """The consumer is in place; with a reason when it cannot be. Comes before any of its messages."""

    consumer: int
    refused: str = ""


class Deliver(_Frame):
    """A message for a consumer."""

    consumer: int
    tag: int
    exchange: str
    key: str
    body: bytes
    headers: Headers
    content_type: str
    message_id: str
    correlation_id: str
    reply_to: str
    user_id: str
    redelivered: bool


FromBus = Hello | Publish | Consume | Settle | Reject | Cancel
FromRouter = Welcome | Confirmed | Returned | Refused | Consuming | Deliver

T = TypeVar("T")

_encode = msgspec.msgpack.Encoder().encode
from_bus: Final = msgspec.msgpack.Decoder(list[FromBus])
from_router: Final = msgspec.msgpack.Decoder(list[FromRouter])


def pack(frames: Sequence[FromBus | FromRouter]) -> Iterator[bytes]:
    """The bytes of these frames, in writes of about a megabyte at most (one frame at least)."""
    start = size = 0
    for index, frame in enumerate(frames):
        size += len(frame.body) if isinstance(frame, Publish | Deliver) else 0
        if size > _LARGEST_WRITE and index > start:
            yield _written(frames[start:index])
            start, size = index, len(frame.body) if isinstance(frame, Publish | Deliver) else 0
    yield _written(frames[start:])


def _written(frames: Sequence[FromBus | FromRouter]) -> bytes:
    payload = _encode(frames)
    return len(payload).to_bytes(_LENGTH, "big") + payload


class Unpacker(Generic[T]):
    """Bytes in, frames out."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[list[T]]) -> None:
        self._decoder = decoder
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[T]:
        """The frames that these bytes complete. After a DecodeError the connection is of no use."""
        buffer, position, frames = self._buffer, 0, list[T]()
        buffer += data
        with memoryview(buffer) as view:
            while len(buffer) - position >= _LENGTH:
                length = int.from_bytes(view[position : position + _LENGTH], "big")
                if length > _LARGEST_READ:
                    raise DecodeError(f"a frame of {length} bytes on the local bus; allowed are {_LARGEST_READ}")
                end = position + _LENGTH + length
                if end > len(buffer):
                    break
                frames += self._decoded(view[position + _LENGTH : end])
                position = end
        del buffer[:position]
        return frames

    def _decoded(self, payload: memoryview) -> list[T]:
        try:
            return self._decoder.decode(payload)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise DecodeError(f"a frame on the local bus that cannot be read: {error}") from error
