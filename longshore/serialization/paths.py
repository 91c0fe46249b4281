"""Where in a value something cannot travel. Only for the error: it walks the value again, slowly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from longshore.core.errors import EncodingError
from longshore.serialization import leaves, wire
from longshore.serialization.packing import SCALARS, Packing
from longshore.serialization.parts import Parts
from longshore.serialization.registry import DATACLASS, MODEL, NAMED_TUPLE


def located(error: EncodingError, value: Any) -> EncodingError:
    """The same error, with the path of the first thing inside the value that cannot travel."""
    path = _find(Packing(), value, "$", 0) or "$"
    return EncodingError(f"{path}: {error}", path=path)


def _find(packing: Packing, value: Any, path: str, depth: int) -> str | None:
    kind = type(value)
    if kind in SCALARS or kind in (bytes, bytearray, memoryview):
        return None
    if depth > wire.MAX_DEPTH:
        return path
    if kind is str or kind in leaves.WRITERS:
        return None if _packs(packing, value) else path
    try:
        inner = list(_inside(packing, value, path))
    except EncodingError:
        return path
    for item, item_path in inner:
        found = _find(packing, item, item_path, depth + 1)
        if found is not None:
            return found
    return None


def _packs(packing: Packing, value: Any) -> bool:
    try:
        packing.pack(value)
    except EncodingError:
        return False
    return True


def _inside(packing: Packing, value: Any, path: str) -> Iterator[tuple[Any, str]]:
    if type(value) in (list, tuple):
        yield from ((item, f"{path}[{index}]") for index, item in enumerate(value))
    elif type(value) in (set, frozenset):
        yield from ((item, f"{path}{{{_name(item)}}}") for item in value)
    elif type(value) is dict:
        yield from ((key, f"{path}.keys()[{index}]") for index, key in enumerate(value))
        yield from ((item, path + _step(key)) for key, item in value.items())
    else:
        yield from _inside_object(packing.take_apart(value), value, path)


def _inside_object(parts: Parts, value: Any, path: str) -> Iterator[tuple[Any, str]]:
    if parts.tag == DATACLASS:
        yield from ((item, f"{path}.{name}") for name, item in zip(parts.head[1:], parts.items, strict=True))
    elif parts.tag == NAMED_TUPLE:
        yield from ((item, f"{path}.{name}") for name, item in zip(value._fields, parts.items, strict=True))
    elif parts.tag == MODEL:
        yield from ((item, f"{path}.{name}") for name, item in parts.items[0].items())
    else:
        yield from ((item, path) for item in parts.items)


def _step(key: Any) -> str:
    return f".{key}" if type(key) is str and key.isidentifier() else f"[{_name(key)}]"


def _name(key: Any) -> str:
    return repr(key)[:40] if type(key) in SCALARS or type(key) in (str, bytes) else type(key).__name__
