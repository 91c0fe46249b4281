"""What the ledger keeps of the few runs that need more care than others: retries of their own, crashes as evidence.

An ordinary run has none of it (`Run.care` is None). Facts only; it decides nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

LONGEST_TAIL: Final = 4000
"""Characters."""


class Crash(msgspec.Struct, omit_defaults=True, gc=False):
    """One loss of a worker, or of the run's own process, while it executed. `tail` is the end of what the dead process
    wrote to stderr, where it is known."""

    at: datetime
    worker_id: str
    attempt: int
    reason: str
    tail: str = ""


class Loss(NamedTuple):
    """How a run lost its worker, or its own process. `charge`: it counts as a crash. `tail` is the end of what the dead
    process wrote to stderr."""

    reason: str
    charge: bool = True
    starved: bool = False
    """Out of memory."""
    tail: str = ""


class Care(msgspec.Struct, omit_defaults=True, gc=False):
    """See the module. What is None is as the routine says."""

    retry_first_ms: int | None = None
    retry_factor: float | None = None
    retry_max_ms: int | None = None
    crashes: list[Crash] = []
    """The last ones in a row, oldest first."""
    pool: str = ""
    """Where it goes on since it ran out of memory."""
    in_default: bool = False
    """Its trigger named the queue `default`, when nobody knew yet which one its routine says."""


def renewed(care: Care | None) -> Care | None:
    """What of it goes over to a new run with the same options."""
    if care is None or (care.retry_first_ms, care.retry_factor, care.retry_max_ms) == (None, None, None):
        return None
    return Care(care.retry_first_ms, care.retry_factor, care.retry_max_ms)


def fields(crash: Crash) -> dict[str, Any]:
    """One crash as people see it."""
    return {
        "at": crash.at,
        "worker_id": crash.worker_id,
        "attempt": crash.attempt,
        "reason": crash.reason,
        "stderr": crash.tail,
    }
