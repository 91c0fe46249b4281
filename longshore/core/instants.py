"""Instants as whole numbers, microseconds since 1970: what is compared and stored. No clock is read here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)


def micros(at: datetime) -> int:
    """Microseconds since 1970."""
    since = at - _START
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
