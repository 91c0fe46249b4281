"""Values to self-describing bytes and back. It never reads a pickle and never imports what the bytes name.

Small values are one MessagePack document made by the C packer (`encode_inline`); large ones are a stream of records
(`records.py`) whose buffers are passed on, not copied.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from longshore.core.errors import DecodeError, EncodingError
from longshore.serialization import wire
from longshore.serialization.packing import Buffer, borrow, give_back, too_deep
from longshore.serialization.paths import located
from longshore.serialization.records import ByteReader, StreamSource, ViewSource, read_value, write_records
from longshore.serialization.registry import codec

_HELD: Final = 16 << 20
"""Packed pieces up to this many bytes are kept; a larger value is packed again each time it is sent."""


class Encoded:
    """A value as bytes, not necessarily in memory at once. `size` is the number of bytes `chunks()` gives."""

    __slots__ = ("_pieces", "_value", "size")

    def __init__(self, size: int, pieces: list[Buffer] | None, value: Any = None) -> None:
        self.size = size
        self._pieces = pieces
        self._value = value

    def chunks(self) -> Iterator[Buffer]:
        """The bytes in order, never joined. May be called again. Raises EncodingError when the value changed since."""
        if self._pieces is not None:
            yield from self._pieces
            return
        sent = 0
        try:
            for piece in _stream(self._value):
                sent += memoryview(piece).nbytes
                yield piece
        except RuntimeError as error:  # a dict or set changed size under the iteration
            raise EncodingError(f"the value changed while it was being sent: {error}") from error
        if sent != self.size:
            raise EncodingError(f"the value changed while it was being sent: {sent} bytes instead of {self.size}")

    def inline(self) -> bytes:
        """All bytes in one object; for small values."""
        return b"".join(self.chunks())


def encode(value: Any) -> Encoded:
    """The value as bytes. Raises EncodingError naming the path of what cannot travel, before anything is sent."""
    try:
        document = _document(value)
        return Encoded(len(document), [document]) if document is not None else _measured(value)
    except EncodingError as error:
        raise located(error, value) from error


def _measured(value: Any) -> Encoded:
    """A heavy value: its pieces where they are few, else only their size."""
    pieces: list[Buffer] | None = []
    size = held = 0
    for piece in _stream(value):
        size += memoryview(piece).nbytes
        held += len(piece) if isinstance(piece, bytes) else 0
        if pieces is not None:
            pieces.append(piece)
        if held > _HELD:
            pieces = None
    return Encoded(size, pieces, value)


def encode_inline(value: Any, limit: int = wire.LARGE) -> bytes | None:
    """The value as one bytes object of at most `limit` bytes, or None when it is larger. Raises as `encode`."""
    try:
        document = _document(value)
        if document is None:
            return _gathered(value, limit)
    except EncodingError as error:
        raise located(error, value) from error
    return document if len(document) <= limit else None


def _document(value: Any) -> bytes | None:
    """A light value as one document; None for a heavy one."""
    packing = borrow()
    try:
        return packing.document(value)
    except RecursionError:
        raise too_deep() from None
    finally:
        give_back(packing)


def decode(data: bytes | memoryview, *, build: wire.Build = codec.build) -> Any:
    """The value in these bytes. Raises DecodeError, and for a class whose module is not imported says which module.

    `build` makes objects of their parts.
    """
    form = data[0] if len(data) else 0
    if form == wire.PLAIN:
        return wire.unpack_plain(data[1:])
    if form == wire.RICH:
        return wire.unpack_rich(data[1:], build)
    if form == wire.RECORDS:
        return read_value(ViewSource(memoryview(data)[1:], build))
    if form == wire.JSON_TEXT:
        return _json(data[1:])
    raise DecodeError(
        f"format {form} is unknown: was this written by a newer Longshore?" if len(data) else "no bytes at all"
    )


def decode_stream(reader: ByteReader, size: int) -> Any:
    """The value in a stream of `size` bytes, large buffers read straight into their final place. Raises DecodeError."""
    source = StreamSource(reader, size, codec.build)
    if size < 1:
        raise DecodeError("no bytes at all")
    form = source.take(1)
    if form[0] == wire.RECORDS:
        return read_value(source)
    return decode(form + source.take(size - 1))


def _stream(value: Any) -> Iterator[Buffer]:
    packing = borrow()
    try:
        yield bytes((wire.RECORDS,))
        yield from write_records(packing, value)
    finally:
        give_back(packing)


def _gathered(value: Any, limit: int) -> bytes | None:
    pieces: list[Buffer] = []
    size = 0
    for piece in _stream(value):
        size += memoryview(piece).nbytes
        if size > limit:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _json(text: bytes | memoryview) -> Any:
    try:
        value = json.loads(bytes(text), parse_constant=_refuse_constant)
        _bound_depth(value, 0)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"a JSON value cannot be read: {error}") from error
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _bound_depth(value: Any, depth: int) -> None:
    if depth > wire.MAX_DEPTH:
        raise ValueError(f"nested deeper than {wire.MAX_DEPTH} levels")
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return
    for item in value:
        if isinstance(item, list | dict):
            _bound_depth(item, depth + 1)
