"""Which delivery tags of one channel may still be acknowledged. Pure: it says what to send and never sends it.

RabbitMQ closes the channel on an acknowledgement of a tag that is not outstanding; this keeps such words from being
said.
"""

from __future__ import annotations


class Tags:
    """The tags of one consumer on one channel: 1, 2, 3, ..."""

    def __init__(self) -> None:
        self._settled = 0
        self._rejected: set[int] = set()  # all of them above _settled

    def settle(self, tag: int) -> int:
        """The tag to acknowledge with all below it, so that everything up to `tag` is settled; 0: none."""
        if tag <= self._settled:
            return 0
        top = tag
        while top in self._rejected:
            top -= 1
        found = top if top > self._settled else 0
        self._settled = tag
        self._rejected = {rejected for rejected in self._rejected if rejected > tag}
        self._absorb()
        return found

    def reject(self, tag: int) -> bool:
        """Whether this tag may be rejected: not settled and not rejected before."""
        if tag <= self._settled or tag in self._rejected:
            return False
        self._rejected.add(tag)
        self._absorb()
        return True

    def _absorb(self) -> None:
        while self._settled + 1 in self._rejected:
            self._settled += 1
            self._rejected.discard(self._settled)
