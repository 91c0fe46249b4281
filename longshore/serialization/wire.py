"""The bytes of one value: format numbers, bounds, and the MessagePack of values that fit in one piece.

The first byte of every encoded value is its format. Extensions carry the leaves MessagePack lacks; an array whose
first item is a MARK extension is something that is not a list. It never imports or constructs a user's class itself:
`build` is given.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import msgpack

from longshore.core.errors import DecodeError
from longshore.serialization import leaves

PLAIN: Final = 1
"""MessagePack without marks: lists, dicts, scalars and leaves."""
RICH: Final = 2
"""MessagePack in which some arrays are marked: tuples, sets, objects."""
RECORDS: Final = 3
"""A sequence of records (`records.py`): large values, and large buffers out of band."""
JSON_TEXT: Final = 4
"""JSON text, from a foreign program."""

MAX_DEPTH: Final = 200
"""How deep containers may be nested in a value."""
LARGE: Final = 64 * 1024
"""Buffers of this size and more travel out of band, never through MessagePack."""

TUPLE: Final = "t"
SET: Final = "s"
FROZENSET: Final = "f"

UNREADABLE: Final = (
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    OSError,
    MemoryError,
    RecursionError,
    struct.error,
    msgpack.UnpackException,
)
"""What decoders raise on hostile bytes: each becomes a DecodeError."""

_CHECKED: Final = 1024

Build = Callable[[str, Any, list[Any]], Any]
"""(tag, head, items) -> the object; for tags other than TUPLE, SET and FROZENSET."""


class Mark:
    """The first item of a marked array, as it stands while decoding."""

    __slots__ = ("tag",)

    def __init__(self, tag: str) -> None:
        self.tag = tag


def mark(tag: str) -> msgpack.ExtType:
    """The extension that marks an array."""
    return msgpack.ExtType(leaves.MARK, tag.encode())


def unpack_plain(document: bytes | memoryview) -> Any:
    """The value in a document without marks. Raises DecodeError."""
    try:
        if len(document) > _CHECKED:
            _check(document)
        return msgpack.unpackb(document, strict_map_key=False, ext_hook=leaves.read)
    except UNREADABLE as error:
        raise unreadable(error) from error


def unpack_rich(document: bytes | memoryview, build: Build) -> Any:
    """The value in a document with marks; `build` makes objects. Raises DecodeError."""
    marks = 0

    def extension(code: int, data: bytes) -> Any:
        nonlocal marks
        if code != leaves.MARK:
            return leaves.read(code, data)
        marks += 1
        return Mark(data.decode())

    def array(items: list[Any]) -> Any:
        nonlocal marks
        if not items or type(items[0]) is not Mark:
            return items
        marks -= 1
        return together(items[0].tag, items, build)

    try:
        if len(document) > _CHECKED:
            _check(document)
        value = msgpack.unpackb(document, strict_map_key=False, ext_hook=extension, list_hook=array)
    except UNREADABLE as error:
        raise unreadable(error) from error
    if marks:
        raise DecodeError("a mark stands where no array begins")
    return value


def together(tag: str, items: list[Any], build: Build) -> Any:
    """What a marked array means; `items[0]` is the mark itself."""
    if tag == TUPLE:
        return tuple(items[1:])
    if tag == SET:
        return set(items[1:])
    if tag == FROZENSET:
        return frozenset(items[1:])
    if len(items) < 2:
        raise ValueError(f"the array marked {tag!r} has no head")
    return build(tag, items[1], items[2:])


def unreadable(error: BaseException) -> DecodeError:
    """The DecodeError for what a decoder raised."""
    if isinstance(error, DecodeError):
        return error
    return DecodeError(f"a value cannot be read: {type(error).__name__}: {error}")


def _check(document: bytes | memoryview) -> None:
    """Walk the document in C without building anything: after that every count in it is backed by as many bytes.

    Without it a nested array header of 5 bytes can ask for 8 bytes times the length of the document, a thousand times.
    """
    size = len(document)
    unpacker = msgpack.Unpacker(max_buffer_size=size)
    unpacker.feed(document)
    unpacker.skip()
    if unpacker.tell() != size:
        raise ValueError(f"{size - unpacker.tell()} bytes follow the value")
