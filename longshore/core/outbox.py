"""The worker's side of a session: what was reported and not yet taken, what was directed, and when to say Hello
again.

Pure: it holds encoded bodies and counts, never sends, never looks at a clock, never knows what a report says. The
rules are DESIGN 4 "Sessions": reports are numbered from 1 and kept until the ledger has them; directives are counted,
and a sum that does not fit means that some were missed. Every doubt ends in the same way: Hello, and nothing else
until Welcome.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

from longshore.core.ids import RunId
from longshore.core.message import Directive, Ping, Welcome

HELLO_EVERY: Final = 1.0
"""Seconds between two Hellos while no Welcome comes."""
STALE_AFTER: Final = 10.0
"""Seconds a sent body may stay untaken before we ask by Hello."""


class Phase(StrEnum):
    """Where the session stands."""

    CLOSED = "closed"  # no queue of ours is bound: whatever is sent could not be answered
    OPENING = "opening"  # Hello is being said
    OPEN = "open"


class Outbox:
    """One session's outbox and its count of directives. `now` is any clock that only goes forward, in seconds."""

    __slots__ = (
        "_hello_at",
        "_kept",
        "_next",
        "_report_queue",
        "_sent_at",
        "directives",
        "number",
        "phase",
        "refused",
        "taken",
        "term",
    )

    def __init__(self) -> None:
        self.phase = Phase.CLOSED
        self.term = 0
        self.number = 0  # of the last body kept
        self.taken = 0  # the last one the ledger has
        self.directives = 0  # taken since Welcome
        self.refused = ""
        self._report_queue = 0
        self._kept: deque[bytes] = deque()  # bodies taken + 1 ... number
        self._next = 1  # the first body that has not been sent since Welcome
        self._hello_at: float | None = None  # when the next Hello is due; None: none is
        self._sent_at: float | None = None  # when something untaken was sent or anything was last taken

    # ---------------------------------------------------------------------------------------------------- the link

    def bound(self) -> None:
        """A private queue of ours is in place, on a new connection or after a rebuild: say Hello."""
        self._reopen()

    def lost(self) -> None:
        """The connection is gone."""
        self.phase = Phase.CLOSED
        self._hello_at = None

    def doubted(self) -> None:
        """A report came back or was not confirmed: ask where we stand."""
        if self.phase is Phase.OPEN:
            self._reopen()

    def hello_due(self, now: float) -> bool:
        """Whether Hello is to be said now; the answer True counts as said."""
        if self.phase is Phase.OPEN and self._sent_at is not None and now - self._sent_at >= STALE_AFTER:
            self._reopen()
        if self.phase is not Phase.OPENING or (self._hello_at is not None and now < self._hello_at):
            return False
        self._hello_at = now + HELLO_EVERY
        return True

    def _reopen(self) -> None:
        self.phase = Phase.OPENING
        self._hello_at = None

    # -------------------------------------------------------------------------------------------------- the reports

    def keep(self, bodies: Iterable[bytes]) -> int:
        """Number these bodies and keep them; the number of the last one."""
        for body in bodies:
            self.number += 1
            self._kept.append(body)
        return self.number

    def unsent(self, now: float) -> list[tuple[int, bytes]]:
        """The bodies to send now, with their numbers, in order; nothing unless open. They count as sent."""
        if self.phase is not Phase.OPEN or self._next > self.number:
            return []
        first, self._next = self._next, self.number + 1
        if self._sent_at is None:
            self._sent_at = now
        offset = first - self.taken - 1
        return [(number, self._kept[offset + index]) for index, number in enumerate(range(first, self.number + 1))]

    @property
    def kept(self) -> int:
        """How many bodies the ledger has not taken yet."""
        return len(self._kept)

    def _take(self, taken: int, now: float) -> None:
        if taken <= self.taken:
            return
        taken = min(taken, self.number)  # a number never given cannot have been taken
        while self.taken < taken:
            self._kept.popleft()
            self.taken += 1
        self._next = max(self._next, self.taken + 1)
        self._sent_at = now if self._kept and self._next > self.taken + 1 else None

    # ----------------------------------------------------------------------------------------------- the directives

    def receive(
        self, directives: Sequence[Directive], *, number: int, term: int, taken: int, now: float
    ) -> Sequence[Directive]:
        """Take one body with its headers (0: not given); the directives to carry out, none if they do not fit."""
        if term and term < self.term:
            return ()  # a coordinator that has been replaced
        if not number:
            for directive in directives:
                self._hear(directive, now)
            return ()
        if self.phase is not Phase.OPEN:
            return ()  # Welcome comes first; what this held comes again after it
        if term > self.term:
            self._reopen()
            return ()
        self._take(taken, now)
        if number <= self.directives:
            return ()
        if self.directives + len(directives) != number:
            self._reopen()
            return ()
        self.directives = number
        return directives

    def _hear(self, directive: Directive, now: float) -> None:
        if isinstance(directive, Welcome):
            self._welcome(directive, now)
        elif isinstance(directive, Ping):
            self._ping(directive, now)

    def _welcome(self, welcome: Welcome, now: float) -> None:
        if self.phase is Phase.CLOSED or welcome.term < self.term:
            return
        if welcome.refused:
            self.refused = welcome.refused
            return
        self.phase = Phase.OPEN
        self.term = welcome.term
        self.directives = 0
        self._hello_at = None
        self._take(welcome.taken, now)
        self._next = self.taken + 1
        self._sent_at = None

    def _ping(self, ping: Ping, now: float) -> None:
        if ping.term < self.term:
            return
        elsewhere = ping.term > self.term or ping.report_queue not in (0, self._report_queue)
        self._report_queue = ping.report_queue or self._report_queue
        if self.phase is not Phase.OPEN:
            return
        if elsewhere or ping.hello:
            self._reopen()
        else:
            self._take(ping.taken, now)


def held_digest(held: Iterable[tuple[RunId, int]]) -> int:
    """A number over what a worker holds, whatever the order: 1 and the sum of the CRC-32 of `run_id:epoch`.

    It is never 0, which in Beat says "not to be compared"; runs can be added to it and taken from it one by one.
    """
    return 1 + sum(held_term(run_id, epoch) for run_id, epoch in held)


def held_term(run_id: RunId, epoch: int) -> int:
    """What one held run adds to the digest."""
    return zlib.crc32(f"{run_id}:{epoch}".encode())
