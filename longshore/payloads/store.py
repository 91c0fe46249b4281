"""What Longshore asks of a place for large values: put whole or not at all, open, exists, delete. It knows no value.

Stores are synchronous and safe to use from several threads. Keys are relative to the store and never a path or an
address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Final, Protocol

from longshore.core.errors import PayloadCorrupt

Buffer = bytes | bytearray | memoryview

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_@=+~-][A-Za-z0-9._@=+~-]*", re.ASCII)
_LONGEST_SEGMENT: Final = 200
_LONGEST: Final = 900


class Reader(Protocol):
    """An open object. `size` is its whole size in bytes."""

    size: int

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, fewer only at the end; empty at the end."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill some of the buffer; 0 at the end."""


class PayloadStore(Protocol):
    """A place for objects. Every method raises PayloadUnavailable, in bounded time, when the place does not answer."""

    def put(self, key: str, chunks: Iterable[Buffer], size: int) -> None:
        """Store the chunks, `size` bytes in all, under the key: visible whole or not at all. Memory is bounded.

        Raises PayloadCorrupt when the chunks are not `size` bytes.
        """

    def open(self, key: str) -> AbstractContextManager[Reader]:
        """The object, to be read from its beginning. Raises PayloadCorrupt when there is none."""

    def exists(self, key: str) -> bool:
        """Whether there is an object under the key."""

    def delete(self, key: str) -> None:
        """Remove the object; harmless when there is none."""


def check_key(key: str) -> str:
    """The key, if it is lawful: parts of letters, digits and `._@=+~-` that begin with no dot, joined by slashes.

    Raises PayloadCorrupt otherwise: who sent it points elsewhere.
    """
    segments = key.split("/")
    lawful = len(key) <= _LONGEST and all(
        len(segment) <= _LONGEST_SEGMENT and _SEGMENT.fullmatch(segment) for segment in segments
    )
    if not lawful:
        raise PayloadCorrupt(f"the payload key {key[:80]!r} is refused: no part may be empty or begin with a dot")
    return key


def missing(key: str, where: str) -> PayloadCorrupt:
    """The error for an object that is not there."""
    return PayloadCorrupt(f"payload {key!r} is missing in {where}: deleted, or this is not the store it was put into")


def wrong_size(key: str, expected: int, found: int) -> PayloadCorrupt:
    """The error for chunks or an object of another size than announced."""
    return PayloadCorrupt(f"payload {key!r} should be {expected} bytes, found {found}")
