"""Names of things. Every id is a text; the NewTypes keep one kind from being passed for another."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, NewType

RunId = NewType("RunId", str)  # UUIDv7, canonical text
SessionId = NewType("SessionId", str)  # unguessable: who knows it is the worker
WorkerId = NewType("WorkerId", str)  # what people see: host-pid-xxxx
ClientId = NewType("ClientId", str)  # the key under which a client's reply queue is bound
Address = NewType("Address", str)  # of a call inside a workflow: scope path + index, `0/3/1:2`

ENTROPY_BYTES: Final = 10
"""How many random bytes one run id needs."""

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_RAND_MASK: Final = (1 << 74) - 1
_VERSION: Final = 0x7 << 76
_VARIANT: Final = 0b10 << 62


def uuid7(now: datetime, entropy: bytes) -> str:
    """A UUIDv7 in canonical text: 48 bits of milliseconds, then 74 bits of the given entropy (10 bytes).

    Source: RFC 9562, section 5.7.
    """
    random = int.from_bytes(entropy[:ENTROPY_BYTES], "big") & _RAND_MASK
    return uuid7_from(int(now.timestamp() * 1000), random)


def uuid7_from(unix_ms: int, random: int) -> str:
    """A UUIDv7 from milliseconds since 1970 and 74 random bits."""
    high, low = random >> 62, random & ((1 << 62) - 1)
    value = (unix_ms << 80) | _VERSION | (high << 64) | _VARIANT | low
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_run_id(text: str) -> bool:
    """Whether the text has the canonical form of a UUID (36 characters, lower-case hex, four dashes)."""
    return _UUID.fullmatch(text) is not None
