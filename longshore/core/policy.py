"""The numbers of failing: how long to wait before the next attempt, and when to give up."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from longshore.core.message import Offer

MAX_ATTEMPTS_CAP: Final = 250
CRASHES_TO_BLOCK: Final = 3
"""Workers lost in a row while executing one run, after which it needs a person."""
CRASHES_TO_ISOLATE: Final = 2
"""From this many on, it runs alone on a worker process that executes nothing else."""
LOSSES_TO_BLOCK: Final = 10
"""Workers lost in a row before the run even started."""


def retry_delay(offer: Offer | None, failed_attempt: int, chance: float) -> timedelta:
    """How long to wait after `failed_attempt` (from 1): first delay times factor per attempt, capped, with jitter.

    `chance` in [0, 1) spreads the result over the upper half of the delay ("equal jitter").
    """
    first, factor, ceiling = (
        (offer.retry_first_ms, offer.retry_factor, offer.retry_max_ms) if offer else (1000, 2.0, 60_000)
    )
    full = min(float(ceiling), first * factor ** min(failed_attempt - 1, 64))
    return timedelta(milliseconds=full * (0.5 + chance / 2))


def attempts_allowed(offer: Offer | None, asked: int | None) -> int:
    """How many attempts a run has: what the trigger asked for, else what the routine says, never over the cap."""
    allowed = asked if asked is not None else (offer.max_attempts if offer else 1)
    return max(1, min(allowed, MAX_ATTEMPTS_CAP))
