"""The numbers of failing: how long to wait before the next attempt, and when to give up."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple

from longshore.core.care import Care
from longshore.core.message import Finished, Offer, Options

MAX_ATTEMPTS_CAP: Final = 250
MAX_RETRY_MS: Final = 30 * 24 * 3600 * 1000
"""No delay between two attempts is longer, whoever asks for it."""
CRASHES_TO_BLOCK: Final = 3
"""Workers lost in a row while executing one run, after which it needs a person."""
CRASHES_TO_ISOLATE: Final = 2
"""From this many on, it runs alone on a worker process that executes nothing else."""
LOSSES_TO_BLOCK: Final = 10
"""Workers lost in a row before the run even started."""


class Retries(NamedTuple):
    """The delays between attempts, in milliseconds."""

    first: int = 1000
    factor: float = 2.0
    longest: int = 60_000


def retries_of(offer: Offer | None, care: Care | None) -> Retries:
    """What the trigger asked for, else what the routine says. A first delay of its own is never cut by a limit that is
    not."""
    own = Retries(offer.retry_first_ms, offer.retry_factor, offer.retry_max_ms) if offer else Retries()
    if care is None:
        return own
    first = own.first if care.retry_first_ms is None else care.retry_first_ms
    factor = own.factor if care.retry_factor is None else care.retry_factor
    longest = max(own.longest, first) if care.retry_max_ms is None else care.retry_max_ms
    return Retries(min(first, longest), factor, longest)


def retry_delay(retries: Retries, failed_attempt: int, chance: float) -> timedelta:
    """How long to wait after `failed_attempt` (from 1): first delay times factor per attempt, capped, with jitter.

    `chance` in [0, 1) spreads the result over the upper half of the delay ("equal jitter").
    """
    if not retries.first:
        return timedelta(0)
    try:
        full = min(float(retries.longest), retries.first * retries.factor ** min(failed_attempt - 1, 64))
    except OverflowError:
        full = float(retries.longest)
    return timedelta(milliseconds=full * (0.5 + chance / 2))


def delay_after(retry_after_ms: int) -> timedelta:
    """The delay that a routine asked for itself, in its bounds."""
    return timedelta(milliseconds=min(max(retry_after_ms, 0), MAX_RETRY_MS))


def next_delay(
    report: Finished, attempt: int, allowed: int, retries: Retries, chance: Callable[[], float]
) -> timedelta | None:
    """How long to wait before the next attempt, when this one has failed. None: there is none."""
    if report.how == "aborted" or not report.retry or attempt >= allowed:
        return None
    if report.retry_after_ms is not None:
        return delay_after(report.retry_after_ms)
    return retry_delay(retries, attempt, chance())


def attempts_allowed(offer: Offer | None, asked: int | None) -> int:
    """How many attempts a run has: what the trigger asked for, else what the routine says, never over the cap."""
    allowed = asked if asked is not None else (offer.max_attempts if offer else 1)
    return max(1, min(allowed, MAX_ATTEMPTS_CAP))


def care_asked(options: Options) -> Care | None:
    """What the trigger says of retries; None: nothing."""
    first, factor, longest = options.retry_first_ms, options.retry_factor, options.retry_max_ms
    if first is None and factor is None and longest is None:
        return None
    return Care(first, factor, longest)


def check_retries(options: Options) -> tuple[str, str] | None:
    """(rule, what is wrong with the options of retries), or None."""
    first, factor, longest = options.retry_first_ms, options.retry_factor, options.retry_max_ms
    for name, value in (("retry_first_ms", first), ("retry_max_ms", longest)):
        if value is not None and not 0 <= value <= MAX_RETRY_MS:
            return name, f"{name} is {value}; it must be from 0 to {MAX_RETRY_MS}"
    if factor is not None and not 1 <= factor < math.inf:
        return "retry_factor", f"retry_factor is {factor}; it must be a number from 1 on"
    if first is not None and longest is not None and longest < first:
        return "retry_max_ms", f"retry_max_ms is {longest}, less than retry_first_ms, which is {first}"
    return None
