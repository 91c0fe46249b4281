"""The digest of a value: the same in every process, Python version and order of dicts and sets. It never uses `hash()`.

The digest is the sha256 of the value's canonical MessagePack: dicts in the order of their keys (text keys by text,
others by encoded bytes), sets in the order of their encoded items, objects as marked arrays, arrays row by row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgpack

from longshore.serialization import arrays, leaves, wire
from longshore.serialization.packing import SCALARS, Packing, borrow, give_back, too_deep
from longshore.serialization.registry import MODEL

_PREFIX: Final = b"longshore digest 1\0"
_SHORT: Final = 64
_SHALLOW: Final = 4
_SHORT_BUFFER: Final = 1 << 16
_TEXT: Final = frozenset({str})
_FLAT: Final = SCALARS | {str}
_MARKS: Final[dict[type, bytes]] = {
    kind: msgpack.packb(wire.mark(tag))
    for kind, tag in ((tuple, "t"), (set, "s"), (frozenset, "f"), (bytearray, "a"), (memoryview, "m"))
}

Update = Callable[[Any], None]


def digest(value: Any) -> str:
    """The sha256 of the value's canonical form, in hex. Raises EncodingError for what cannot travel."""
    packing = borrow()
    try:
        short = _short(packing, value)
        if short is not None:
            return hashlib.sha256(_PREFIX + short).hexdigest()
        whole = hashlib.sha256(_PREFIX)
        _feed(packing, value, whole.update, 0)
        return whole.hexdigest()
    finally:
        give_back(packing)


def _short(packing: Packing, value: Any) -> bytes | None:
    """The canonical form, in one C call, of a small value of scalars, texts, bytes, lists and dicts; else None."""
    try:
        return packing.pack(_ordered(value, _SHALLOW))
    except _NotShortError:
        return None


class _NotShortError(Exception):
    """The value needs the long way."""


def _ordered(value: Any, levels: int) -> Any:
    """The same value with its dicts in order, ready to be packed as it is."""
    kind = type(value)
    if kind in _FLAT or (kind is bytes and len(value) < _SHORT_BUFFER):
        return value
    if kind not in (list, dict) or len(value) > _SHORT or not levels:
        raise _NotShortError
    if kind is list:
        return value if _FLAT.issuperset(map(type, value)) else [_ordered(item, levels - 1) for item in value]
    if not _TEXT.issuperset(map(type, value)):
        raise _NotShortError
    if _FLAT.issuperset(map(type, value.values())):
        return dict(sorted(value.items()))
    return {key: _ordered(value[key], levels - 1) for key in sorted(value)}


def _feed(packing: Packing, value: Any, update: Update, depth: int) -> None:
    if depth > wire.MAX_DEPTH:
        raise too_deep()
    kind = type(value)
    if kind in _FLAT or kind in leaves.WRITERS:
        update(packing.pack(value))
    elif kind is bytes:
        _feed_buffer(value, update)
    elif kind is list:
        update(_array_header(len(value)))
        _feed_items(packing, value, update, depth)
    elif kind is tuple:
        update(_array_header(len(value) + 1) + _MARKS[kind])
        _feed_items(packing, value, update, depth)
    elif kind is dict:
        _feed_dict(packing, value, update, depth)
    elif kind is set or kind is frozenset:
        update(_array_header(len(value) + 1) + _MARKS[kind])
        for piece in sorted(_canonical(packing, item, depth + 1) for item in value):
            update(piece)
    elif kind is bytearray or kind is memoryview:
        update(_array_header(2) + _MARKS[kind])
        _feed_buffer(value, update)
    else:
        _feed_object(packing, value, update, depth)


def _feed_items(packing: Packing, items: Iterable[Any], update: Update, depth: int) -> None:
    for item in items:
        if type(item) in _FLAT:
            update(packing.pack(item))
        else:
            _feed(packing, item, update, depth + 1)


def _feed_dict(packing: Packing, value: dict[Any, Any], update: Update, depth: int) -> None:
    update(_map_header(len(value)))
    if _TEXT.issuperset(map(type, value)):
        for key in sorted(value):
            update(packing.pack(key))
            _feed(packing, value[key], update, depth + 1)
        return
    for key, item in sorted(((_canonical(packing, key, depth + 1), item) for key, item in value.items()), key=_first):
        update(key)
        _feed(packing, item, update, depth + 1)


def _first(pair: tuple[bytes, Any]) -> bytes:
    return pair[0]


def _feed_object(packing: Packing, value: Any, update: Update, depth: int) -> None:
    parts = packing.take_apart(arrays.row_major(value))
    items = parts.items[:1] if parts.tag == MODEL else parts.items  # which fields were set explicitly changes nothing
    packing.clear()
    update(_array_header(len(items) + 2) + packing.pack(wire.mark(parts.tag)) + packing.pack(parts.head))
    if parts.tag == arrays.ARRAY:
        _feed_buffer(items[0], update)
    else:
        _feed_items(packing, items, update, depth)


def _feed_buffer(value: bytes | bytearray | memoryview, update: Update) -> None:
    view = memoryview(value)
    size = view.nbytes
    update(b"\xc4%c" % size if size < 1 << 8 else b"\xc5" + size.to_bytes(2, "big") if size < 1 << 16 else _long(size))
    update(view if view.c_contiguous else view.tobytes())


def _long(size: int) -> bytes:
    return b"\xc6" + size.to_bytes(8, "big")  # eight bytes, not MessagePack's four: buffers may be over 4 GiB


def _canonical(packing: Packing, value: Any, depth: int) -> bytes:
    pieces: list[Any] = []
    _feed(packing, value, pieces.append, depth)
    return b"".join(pieces)


def _array_header(count: int) -> bytes:
    return bytes((0x90 | count,)) if count < 16 else _long_header(b"\xdc", b"\xdd", count)


def _map_header(count: int) -> bytes:
    return bytes((0x80 | count,)) if count < 16 else _long_header(b"\xde", b"\xdf", count)


def _long_header(short: bytes, long: bytes, count: int) -> bytes:
    return short + count.to_bytes(2, "big") if count < 1 << 16 else long + count.to_bytes(4, "big")
