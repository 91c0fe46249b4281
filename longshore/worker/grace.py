"""How long what executes may go on when its worker is to leave. It ends nothing itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, Final

SAME_ORDER: Final = 1.0
"""Seconds within which a second order to drain is taken for the first one."""


class Grace:
    """One per worker, on the bus's loop. It counts from the moment it is waited for, or changed."""

    def __init__(self, length: timedelta) -> None:
        self._seconds = length.total_seconds()
        self._counting: asyncio.Timeout | None = None
        self._ordered_at: float | None = None

    def is_over_by_order(self, now: float) -> bool:
        """Note an order to drain; whether it is another one than the first."""
        if self._ordered_at is None:
            self._ordered_at = now
        return now - self._ordered_at >= SAME_ORDER

    def change(self, milliseconds: int | None) -> None:
        """So long from now on; None leaves it as it is."""
        if milliseconds is None:
            return
        self._seconds = milliseconds / 1000
        counting = self._counting
        if counting is not None and not counting.expired():
            counting.reschedule(asyncio.get_running_loop().time() + self._seconds)

    async def wait(self, work: Coroutine[Any, Any, None]) -> None:
        """Until the work is done, or the grace is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds) as self._counting:
                await work
        self._counting = None
