"""Who watches a bus, and what they are told: each change once, nothing twice. It decides nothing about the link."""

from __future__ import annotations

from collections.abc import Callable


class Watchers:
    """Tells its watchers `connected`, `lost: reason`, `blocked: reason`, `unblocked` and `failed: reason`."""

    def __init__(self) -> None:
        self._watchers: list[Callable[[str], None]] = []
        self._up = False
        self._blocked = False
        self._muted = False

    def add(self, on_change: Callable[[str], None]) -> None:
        """Tell this one too, from now on."""
        self._watchers.append(on_change)

    def link(self, *, up: bool, trouble: str) -> None:
        """The link is up, or down with this reason."""
        if up != self._up:
            self._up = up
            self._tell("connected" if up else f"lost: {trouble}")

    def alarm(self, *, on: bool, reason: str) -> None:
        """The broker takes publishes, or not."""
        if on != self._blocked:
            self._blocked = on
            self._tell(f"blocked: {reason}" if on else "unblocked")

    def failed(self, reason: str) -> None:
        """It cannot be repaired from here."""
        self._tell(f"failed: {reason}")

    def mute(self) -> None:
        """The owner closes the bus, so it need not be told of what follows; a later opening starts afresh."""
        self._muted, self._up, self._blocked = True, False, False

    def unmute(self) -> None:
        """Tell again."""
        self._muted = False

    def _tell(self, change: str) -> None:
        if self._muted:
            return
        for watcher in list(self._watchers):
            watcher(change)
