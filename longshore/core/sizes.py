"""Amounts of memory as people write them: bytes, "512MiB", "2GiB", "500MB". Pure."""

from __future__ import annotations

import re
from typing import Final

from longshore.core.errors import UsageError

LARGEST: Final = 1 << 50
_UNITS: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
_TEXT: Final = re.compile(r"(\d{1,18}(?:\.\d{1,6})?)\s*([a-z]*)", re.ASCII)


def size(value: str | int) -> int:
    """The number of bytes that the value names. Raises UsageError for anything else, saying what is allowed."""
    if isinstance(value, int) and not isinstance(value, bool):
        found = value
    else:
        match = _TEXT.fullmatch(value.strip().lower()) if isinstance(value, str) else None
        if match is None or match[2] not in _UNITS:
            raise _refused(value)
        found = int(float(match[1]) * _UNITS[match[2]]) if "." in match[1] else int(match[1]) * _UNITS[match[2]]
    if not 0 < found <= LARGEST:
        raise _refused(value)
    return found


def spell(amount: int) -> str:
    """Bytes as a short text: `512MiB`, `1.5GiB`."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if amount >= _UNITS[unit.lower()]:
            return f"{amount / _UNITS[unit.lower()]:.4g}{unit}"
    return f"{amount}B"


def _refused(value: object) -> UsageError:
    return UsageError(f'{value!r} is no amount of memory; allowed: bytes, "512MiB", "2GiB", "500MB", up to a pebibyte')
