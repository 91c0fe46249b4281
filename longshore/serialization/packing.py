"""Packing of values that fit in one MessagePack document: look first whether they are light, then let C do the work.

Light means: no buffer over LARGE, not too many items, not too deep. It never holds a value after its document is made.
"""

from __future__ import annotations

from collections.abc import Awaitable
from types import NoneType
from typing import Any, Final

import msgpack

from longshore.core.errors import EncodingError
from longshore.serialization import leaves, wire
from longshore.serialization.parts import Parts
from longshore.serialization.registry import codec

Buffer = bytes | bytearray | memoryview

HEAVY: Final = -1
"""What `survey` answers for a value that does not fit in one document."""

SCALARS: Final = frozenset({int, float, bool, NoneType})

_MARKS: Final[dict[type, Any]] = {
    tuple: wire.mark(wire.TUPLE),
    set: wire.mark(wire.SET),
    frozenset: wire.mark(wire.FROZENSET),
}
_SEQUENCES: Final = frozenset({list, tuple, set, frozenset})
_ITEM: Final = 9  # bytes of the longest scalar
_LEAF: Final = 40
_HEADER: Final = 5


class Packing:
    """One packer and what it remembers about the document in hand. Used by one caller at a time (`borrow`)."""

    __slots__ = ("_packer", "_parts", "_rich")

    def __init__(self) -> None:
        self._packer = msgpack.Packer(default=self._lower, strict_types=True, buf_size=4096)
        self._parts: dict[int, tuple[Any, Parts]] = {}
        self._rich = False

    def survey(self, value: Any, room: int, depth: int) -> int:
        """How much of `room` (estimated bytes) is left after the value, or HEAVY.

        Raises EncodingError for a type nobody claims and for nesting over MAX_DEPTH.
        """
        kind = type(value)
        if kind in SCALARS:
            room -= _ITEM
        elif kind is str or kind is bytes:
            room -= len(value) + _HEADER
        elif kind is dict:
            room = self._survey_dict(value, room - len(value) - _HEADER, depth)
        elif kind in _SEQUENCES:
            room = self._survey_items(value, room - len(value) - _HEADER, depth)
        elif kind in leaves.WRITERS:
            room -= _LEAF
        elif kind is bytearray or kind is memoryview:
            return HEAVY
        else:
            room = self._survey_items(self.take_apart(value).items, room - _LEAF, depth)
        return room if room >= 0 else HEAVY

    def _survey_items(self, items: Any, room: int, depth: int) -> int:
        if depth >= wire.MAX_DEPTH:
            raise too_deep()
        for item in items:
            if room < 0:
                return HEAVY
            kind = type(item)
            if kind in SCALARS:
                room -= _ITEM
            elif kind is str:
                room -= len(item) + _HEADER
            elif kind is list:
                room = self._survey_items(item, room - len(item) - _HEADER, depth + 1)
            else:
                room = self.survey(item, room, depth + 1)
        return room

    def _survey_dict(self, value: dict[Any, Any], room: int, depth: int) -> int:
        if room < 0:
            return HEAVY
        room = self._survey_items(value, room, depth)
        return self._survey_items(value.values(), room, depth) if room >= 0 else HEAVY

    def take_apart(self, value: Any) -> Parts:
        """The parts of an object, remembered until its document is made. Raises EncodingError if nobody claims it."""
        known = self._parts.get(id(value))
        if known is not None:
            return known[1]
        plan = codec.plan(type(value))
        if plan is None:
            if isinstance(value, Awaitable):
                raise EncodingError(f"{value!r} is no value yet: write `await` before it")
            raise EncodingError(
                f"a {type(value).__module__}.{type(value).__qualname__} cannot travel: codec.register its type, or "
                "pass plain data"
            )
        parts = plan(value)
        self._parts[id(value)] = (value, parts)  # the value is kept so that its id is not given to another
        return parts

    def document(self, value: Any) -> bytes | None:
        """A light value with its format byte; None for a heavy one. Raises EncodingError."""
        if self.survey(value, wire.LARGE, 0) == HEAVY:
            return None
        packed = self.pack(value)
        return (b"\x02" if self._rich else b"\x01") + packed

    def pack(self, value: Any) -> bytes:
        """A surveyed, light value as MessagePack; `rich` tells which of the two formats it is. Raises EncodingError."""
        self._rich = False
        try:
            packed: bytes = self._packer.pack(value)
        except (ValueError, OverflowError, TypeError, RecursionError) as error:
            self._packer.reset()
            raise EncodingError(f"the value cannot travel: {error}") from error
        finally:
            if self._parts:
                self._parts.clear()
        return packed

    @property
    def rich(self) -> bool:
        """Whether the last packed document holds marks."""
        return self._rich

    def clear(self) -> None:
        """Forget the value in hand."""
        self._parts.clear()

    def _lower(self, value: Any) -> Any:
        """Called from C for what MessagePack lacks: an extension, or a marked list that C packs on."""
        kind = type(value)
        writer = leaves.WRITERS.get(kind)
        if writer is not None:
            return writer(value)
        self._rich = True
        found = _MARKS.get(kind)
        if found is not None:
            return [found, *value]
        parts = self.take_apart(value)
        return [wire.mark(parts.tag), parts.head, *parts.items]


_free: Final[list[Packing]] = []


def borrow() -> Packing:
    """A Packing for one value, to be given back; encoders called in between may borrow others.

    A pair of calls, not a context manager: that would cost 1.5 us per value.
    """
    try:
        return _free.pop()
    except IndexError:
        return Packing()


def give_back(packing: Packing) -> None:
    """Return what `borrow` gave."""
    if packing._parts:
        packing.clear()
    _free.append(packing)


def too_deep() -> EncodingError:
    """The error for nesting over MAX_DEPTH."""
    return EncodingError(f"the value is nested deeper than {wire.MAX_DEPTH} levels, or holds itself")
