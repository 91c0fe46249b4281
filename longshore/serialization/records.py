"""Large values as a sequence of records: documents for what is light, frames for buffers, counts for containers.

Neither side ever holds the whole encoded form: the writer hands buffers on as they are, the reader fills the final
buffer. Each record is kind, tag, and two lengths; every count is backed by records that must be there: hostile counts
cost nothing.
"""

from __future__ import annotations

import codecs
import io
import struct
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final, Protocol

from longshore.core.errors import DecodeError, EncodingError
from longshore.serialization import leaves, wire
from longshore.serialization.packing import HEAVY, SCALARS, Buffer, Packing, too_deep

_RECORD: Final = struct.Struct(">ccQI")
"""kind, tag, length or count, length of the head."""

_VALUE: Final = b"V"  # one document: one value
_RUN: Final = b"R"  # one document: a list, spliced into the container around it
_CONTAINER: Final = b"C"  # count items follow
_FRAME: Final = b"F"  # raw bytes
_P: Final = b"p"  # tag of a document without marks
_R: Final = b"r"  # tag of a document with marks

_LIST: Final = b"l"
_DICT: Final = b"d"
_BYTES: Final = b"b"
_BYTEARRAY: Final = b"a"
_VIEW: Final = b"m"
_TEXT: Final = b"u"

_TAGS: Final[dict[type, bytes]] = {
    list: _LIST,
    tuple: wire.TUPLE.encode(),
    set: wire.SET.encode(),
    frozenset: wire.FROZENSET.encode(),
}
_PIECE: Final = 1 << 20


# ------------------------------------------------------------------------------------------------------ writing


def write_records(packing: Packing, value: Any, depth: int = 0) -> Iterator[Buffer]:
    """The records of a value. Buffers come as memoryviews on the value's own memory, everything else as bytes."""
    if depth > wire.MAX_DEPTH:
        raise too_deep()
    kind = type(value)
    if kind is bytes or kind is bytearray or kind is memoryview:
        yield from _frame(value)
    elif kind is str and len(value) >= wire.LARGE:
        yield from _text(value)
    elif kind in SCALARS or kind in leaves.WRITERS or packing.survey(value, wire.LARGE, depth) != HEAVY:
        yield from _document(packing, _VALUE, value)
    elif kind is dict:
        yield _RECORD.pack(_CONTAINER, _DICT, 2 * len(value), 0)
        yield from _items(packing, chain.from_iterable(value.items()), depth + 1)
    elif kind in _TAGS:
        yield _RECORD.pack(_CONTAINER, _TAGS[kind], len(value), 0)
        yield from _items(packing, value, depth + 1)
    else:
        parts = packing.take_apart(value)
        packing.clear()
        head = packing.pack(parts.head)
        yield _RECORD.pack(_CONTAINER, parts.tag.encode(), len(parts.items), len(head)) + head
        yield from _items(packing, parts.items, depth + 1)


def _items(packing: Packing, items: Iterable[Any], depth: int) -> Iterator[Buffer]:
    """Light items in runs, one document each; the others on their own."""
    run: list[Any] = []
    room = wire.LARGE
    for item in items:
        kind = type(item)
        if kind in SCALARS:
            left = room - 9
        elif kind is str and len(item) < wire.LARGE:
            left = room - len(item) - 5
        else:
            left = packing.survey(item, wire.LARGE, depth)
            if left == HEAVY:
                yield from _run(packing, run)
                yield from write_records(packing, item, depth)
                run, room = [], wire.LARGE
                continue
            left += room - wire.LARGE
        run.append(item)
        room = left
        if room < 0:
            yield from _run(packing, run)
            run, room = [], wire.LARGE
    yield from _run(packing, run)


def _run(packing: Packing, run: list[Any]) -> Iterator[Buffer]:
    if run:
        yield from _document(packing, _RUN, run)


def _document(packing: Packing, kind: bytes, value: Any) -> Iterator[Buffer]:
    packed = packing.pack(value)
    yield _RECORD.pack(kind, _R if packing.rich else _P, len(packed), 0) + packed


def _frame(value: Buffer) -> Iterator[Buffer]:
    tag = _BYTES if type(value) is bytes else _BYTEARRAY if type(value) is bytearray else _VIEW
    view = memoryview(value)
    if not view.c_contiguous:
        view = memoryview(view.tobytes())
    yield _RECORD.pack(_FRAME, tag, view.nbytes, 0)
    if view.nbytes:
        yield view.cast("B")


def _text(value: str) -> Iterator[Buffer]:
    starts = range(0, len(value), _PIECE)
    try:
        size = len(value) if value.isascii() else sum(len(value[at : at + _PIECE].encode()) for at in starts)
    except UnicodeEncodeError as error:
        raise EncodingError(f"the text cannot travel: {error.reason} at {error.start}") from error
    yield _RECORD.pack(_FRAME, _TEXT, size, 0)
    for at in starts:
        yield value[at : at + _PIECE].encode()


# ------------------------------------------------------------------------------------------------------ reading


class ByteReader(Protocol):
    """What a value is read from: a binary stream."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill some of the buffer; 0 at the end."""


class Source(Protocol):
    """Bytes in order, with a known end; and how objects are made of their parts."""

    left: int
    build: wire.Build

    def take(self, size: int) -> bytes | memoryview:
        """Exactly so many bytes, for immediate use. The caller has compared with `left`."""

    def fill(self, target: memoryview) -> None:
        """Fill the target. The caller has compared with `left`."""


class ViewSource:
    """A source in memory."""

    def __init__(self, data: bytes | memoryview, build: wire.Build) -> None:
        self.build = build
        self._data = memoryview(data)
        self.left = self._data.nbytes

    def take(self, size: int) -> memoryview:
        start = self._data.nbytes - self.left
        self.left -= size
        return self._data[start : start + size]

    def fill(self, target: memoryview) -> None:
        target[:] = self.take(target.nbytes)


class StreamSource:
    """A source read from a stream that is said to hold `size` bytes."""

    def __init__(self, reader: ByteReader, size: int, build: wire.Build) -> None:
        self.build = build
        self._reader = reader
        self.left = size

    def take(self, size: int) -> bytes:
        piece = self._reader.read(size)
        if len(piece) < size:
            pieces = [piece]
            missing = size - len(piece)
            while missing:
                pieces.append(self._reader.read(missing))
                if not pieces[-1]:
                    raise DecodeError(f"the value ends {self.left - size + missing} bytes early")
                missing -= len(pieces[-1])
            piece = b"".join(pieces)
        self.left -= size
        return piece

    def fill(self, target: memoryview) -> None:
        done = 0
        while done < target.nbytes:
            count = self._reader.readinto(target[done : done + _PIECE])
            if not count:
                raise DecodeError(f"the value ends {self.left} bytes early")
            done += count
            self.left -= count


def read_value(source: Source) -> Any:
    """The one value in these records. Raises DecodeError."""
    try:
        value = _read(source, *_header(source), 0)
    except wire.UNREADABLE as error:
        raise wire.unreadable(error) from error
    if source.left:
        raise DecodeError(f"{source.left} bytes follow the value")
    return value


def _header(source: Source) -> tuple[bytes, bytes, int, int]:
    if source.left < _RECORD.size:
        raise DecodeError("the value ends in the middle of a record")
    kind, tag, size, head = _RECORD.unpack(source.take(_RECORD.size))
    if (0 if kind == _CONTAINER else size) + head > source.left:
        raise DecodeError(f"a record of {size + head} bytes stands where {source.left} bytes are left")
    return kind, tag, size, head


def _read(source: Source, kind: bytes, tag: bytes, size: int, head: int, depth: int) -> Any:
    if depth > wire.MAX_DEPTH:
        raise DecodeError(f"the value is nested deeper than {wire.MAX_DEPTH} levels")
    if kind == _VALUE:
        return _read_document(source, tag, size)
    if kind == _FRAME:
        return _read_frame(source, tag, size)
    if kind != _CONTAINER:
        raise DecodeError(f"a record of kind {kind!r} stands where a value begins")
    heading = wire.unpack_plain(source.take(head)) if head else None
    items = _read_items(source, size, depth + 1)
    if tag == _LIST:
        return items
    if tag == _DICT:
        pairs = iter(items)
        return dict(zip(pairs, pairs, strict=True))
    return wire.together(tag.decode(), [None, *([heading] if head else []), *items], source.build)


def _read_items(source: Source, count: int, depth: int) -> list[Any]:
    items: list[Any] = []
    while len(items) < count:
        kind, tag, size, head = _header(source)
        if kind == _RUN:
            run = _read_document(source, tag, size)
            if not isinstance(run, list) or len(items) + len(run) > count:
                raise DecodeError("a run of items does not fit its container")
            items.extend(run)
        else:
            items.append(_read(source, kind, tag, size, head, depth))
    return items


def _read_document(source: Source, tag: bytes, size: int) -> Any:
    document = source.take(size)
    return wire.unpack_rich(document, source.build) if tag == _R else wire.unpack_plain(document)


def _read_frame(source: Source, tag: bytes, size: int) -> Any:
    if tag in (_BYTEARRAY, _VIEW):
        array = bytearray(size)
        source.fill(memoryview(array))
        return array if tag == _BYTEARRAY else memoryview(array)
    if tag == _TEXT:
        return _read_text(source, size)
    if tag != _BYTES:
        raise DecodeError(f"a frame of kind {tag!r} is unknown")
    buffer = io.BytesIO()  # getvalue() of an exactly filled BytesIO is its own buffer: no second copy
    if size:
        buffer.seek(size - 1)
        buffer.write(b"\0")
    with buffer.getbuffer() as view:
        source.fill(view)
    return buffer.getvalue()


def _read_text(source: Source, size: int) -> str:
    """The text in the next `size` bytes of UTF-8, in its own memory and a few pieces.

    One exception: a string has 1, 2 or 4 bytes per character, as its widest one needs (and one of ASCII alone is of a
    kind of its own). When the first wider character comes, what came before is copied once: a text whose first wider
    character stands near its end needs, for a moment, its narrower beginning besides.
    """
    if size <= _PIECE:
        return str(source.take(size), "utf-8")
    pieces = _TextPieces(source, size)
    # CPython's % grows one string in place, asking for each part when its turn comes. Nothing else in Python does so
    # reliably: join() wants all parts first, StringIO.getvalue() copies, += grows in place only in specialised code.
    return "%s" * pieces.count % ((pieces,) * pieces.count)


class _TextPieces:
    """A text that is read and decoded one piece at a time: each str() of it is the next piece."""

    def __init__(self, source: Source, size: int) -> None:
        self.count = -(-size // _PIECE)
        self._source = source
        self._left = size
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def __str__(self) -> str:
        piece = self._source.take(min(self._left, _PIECE))
        self._left -= len(piece)
        return self._decoder.decode(piece, final=not self._left)
