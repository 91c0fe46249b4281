"""Bodies of the bus: an array of messages as MessagePack, or JSON from foreign programs. It never looks inside a value.

Every body is at most MAX_BODY bytes and MAX_ITEMS messages. Encoding is one call per message and one join per body
(0.2 us per Start, measured); typed decoders are built once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import msgspec

from longshore.core.envelope import JSON
from longshore.core.errors import DecodeError, EncodingError
from longshore.core.message import MAX_BODY, MAX_ITEMS, Command, Directive, Message, Reply, ReportItem
from longshore.serialization.foreign import UNREADABLE, commands_of

_HEADER: Final = 3  # an array header is never longer here: MAX_ITEMS fits 16 bits
_UNENCODABLE: Final = (TypeError, ValueError, OverflowError, RecursionError)

_encode: Final = msgspec.msgpack.Encoder().encode


def pack(messages: Sequence[Message]) -> list[bytes]:
    """The messages as bodies, order kept; each body within MAX_BODY bytes and MAX_ITEMS items.

    Raises EncodingError naming the type of a message that alone is over MAX_BODY or holds something that cannot travel.
    """
    try:
        pieces = list(map(_encode, messages))
    except _UNENCODABLE:
        raise _unencodable(messages) from None
    if len(pieces) <= MAX_ITEMS and sum(map(len, pieces)) <= MAX_BODY - _HEADER:
        return [_array_header(len(pieces)) + b"".join(pieces)] if pieces else []
    return _split(pieces, messages)


def _split(pieces: list[bytes], messages: Sequence[Message]) -> list[bytes]:
    bodies: list[bytes] = []
    first = room = 0
    for index, piece in enumerate(pieces):
        size = len(piece)
        if size > room or index - first == MAX_ITEMS:
            if size > MAX_BODY - _HEADER:
                raise EncodingError(
                    f"a {type(messages[index]).__name__} of {size} bytes is over the limit of {MAX_BODY} bytes for one "
                    "message: move what is large in it into a claim check"
                )
            if index > first:
                bodies.append(_array_header(index - first) + b"".join(pieces[first:index]))
            first, room = index, MAX_BODY - _HEADER
        room -= size
    bodies.append(_array_header(len(pieces) - first) + b"".join(pieces[first:]))
    return bodies


def _array_header(count: int) -> bytes:
    return bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")


def _unencodable(messages: Sequence[Message]) -> EncodingError:
    for message in messages:
        try:
            _encode(message)
        except _UNENCODABLE as error:
            return EncodingError(f"a {type(message).__name__} cannot travel: {error}")
    return EncodingError("a message changed while it was being encoded")


# ------------------------------------------------------------------------------------------------------ reading


def unpack_commands(body: bytes, content_type: str) -> list[Command]:
    """The commands in a body: MessagePack from Longshore's own clients, JSON from foreign ones. Raises DecodeError."""
    if is_json(content_type):
        return commands_of(body)
    commands: list[Command] = _unpack(body, Command)
    return commands


def is_json(content_type: str) -> bool:
    """Whether a body with this content type is JSON from a foreign program."""
    return content_type.partition(";")[0].strip().lower() == JSON


def unpack_reports(body: bytes) -> list[ReportItem]:
    """The reports (or the coordinator's own Mark) in a body. Raises DecodeError."""
    reports: list[ReportItem] = _unpack(body, ReportItem)
    return reports


def unpack_directives(body: bytes) -> list[Directive]:
    """The directives in a body. Raises DecodeError."""
    directives: list[Directive] = _unpack(body, Directive)
    return directives


def unpack_replies(body: bytes) -> list[Reply]:
    """The replies in a body. Raises DecodeError."""
    replies: list[Reply] = _unpack(body, Reply)
    return replies


def _unpack(body: bytes, union: Any) -> list[Any]:
    if len(body) > MAX_BODY:
        raise DecodeError(f"a body of {len(body)} bytes is over the limit of {MAX_BODY}")
    if (count := _count(body)) > MAX_ITEMS:
        raise DecodeError(f"a body of {count} messages is over the limit of {MAX_ITEMS}")
    try:
        messages: list[Any] = _decoder(union).decode(body)
    except UNREADABLE as error:
        text = f"not readable as MessagePack messages: {error}"
        if body.lstrip()[:1] in (b"{", b"["):
            text += "; it looks like JSON: publish it with content_type: application/json"
        raise DecodeError(text) from None
    return messages


def _count(body: bytes) -> int:
    """How many items the array header announces; 0 where there is no such header (the decoder then says why)."""
    match body[:1]:
        case b"\xdc":
            return int.from_bytes(body[1:3], "big")
        case b"\xdd":
            return int.from_bytes(body[1:5], "big")
        case _:
            return 0


@cache
def _decoder(union: Any) -> msgspec.msgpack.Decoder[list[Any]]:
    return msgspec.msgpack.Decoder(list[union], ext_hook=_refuse_extension)


def _refuse_extension(code: int, data: memoryview) -> Any:
    raise ValueError(f"MessagePack extension {code} has no meaning in a message")
