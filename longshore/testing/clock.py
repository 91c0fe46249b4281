"""A clock that goes on as the machine's does, and jumps ahead when it is told to. It never goes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class JumpingClock:
    """`clock()` is the instant, aware, in UTC."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def move_to(self, at: datetime) -> None:
        """Make it that instant, unless it is past."""
        self._ahead += max(at - self(), timedelta(0))
