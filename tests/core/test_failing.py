"""Retries: how long, how often, by whose word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from longshore.core.care import Care
from longshore.core.errors import RetryAfter, UsageError
from longshore.core.message import Offer, Options
from longshore.core.policy import MAX_RETRY_MS, Retries, check_retries, retries_of, retry_delay
from tests.core.stages import BOOM, S
from tests.simulation.world import World, task

OFFER = Offer("t", "1.0.0", "task", retry_first_ms=2000, retry_factor=3.0, retry_max_ms=10_000)


@pytest.mark.parametrize(
    ("care", "expected"),
    [
        (None, (2000, 3.0, 10_000)),
        (Care(), (2000, 3.0, 10_000)),
        (Care(retry_first_ms=20_000), (20_000, 3.0, 20_000)),
        (Care(retry_max_ms=500), (500, 3.0, 500)),
        (Care(0, 1.5, 7000), (0, 1.5, 7000)),
    ],
)
def test_what_the_trigger_says_of_delays_goes_before_what_the_routine_says(
    care: Care | None, expected: tuple[int, float, int]
) -> None:
    assert retries_of(OFFER, care) == Retries(*expected)
    assert retries_of(None, None) == Retries(1000, 2.0, 60_000)


def test_no_factor_is_too_large() -> None:
    assert retry_delay(Retries(1, 1e300, 5000), 250, 0.999999) <= timedelta(seconds=5)
    assert retry_delay(Retries(0, 1e300, 5000), 250, 0.5) == timedelta(0)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (Options(retry_first_ms=-1), "retry_first_ms"),
        (Options(retry_max_ms=MAX_RETRY_MS + 1), "retry_max_ms"),
        (Options(retry_factor=0.9), "retry_factor"),
        (Options(retry_factor=float("nan")), "retry_factor"),
        (Options(retry_first_ms=2, retry_max_ms=1), "retry_max_ms"),
    ],
)
def test_options_of_retries_out_of_range_are_refused_by_name(options: Options, rule: str) -> None:
    problem = check_retries(options)
    assert problem is not None
    assert problem[0] == rule
    assert check_retries(Options(retry_first_ms=0, retry_factor=1, retry_max_ms=0)) is None


def test_the_delays_of_a_run_are_those_its_trigger_asked_for_even_after_a_restart() -> None:
    world = World()
    worker = world.join(offers=[task(max_attempts=3)])
    run_id = world.trigger("t", retry_first_ms=100_000, retry_factor=10.0, retry_max_ms=400_000)
    world.finish(worker, world.starts(worker)[0], "failed", error=BOOM)
    run = world.book.runs[run_id]
    assert run.due_at is not None
    assert timedelta(seconds=50) <= run.due_at - world.now <= timedelta(seconds=100)
    world.restart()
    worker = world.join("w2", offers=[task(max_attempts=3)])
    world.tick(101)
    world.finish(worker, world.starts(worker)[0], "failed", error=BOOM)
    assert world.status(run_id) is S.RETRYING
    due = world.book.runs[run_id].due_at
    assert due is not None
    assert timedelta(seconds=200) <= due - world.now <= timedelta(seconds=400)


def test_a_trigger_with_a_wrong_delay_is_refused_and_nothing_is_stored() -> None:
    world = World()
    world.join(offers=[task()])
    run_id = world.trigger("t", retry_factor=0.0)
    assert run_id not in world.book.runs


def test_what_a_routine_asks_for_itself_is_at_most_30_days_away() -> None:
    world = World()
    worker = world.join(offers=[task(max_attempts=2)])
    run_id = world.trigger("t")
    world.finish(worker, world.starts(worker)[0], "failed", error=BOOM, retry_after_ms=10**12)
    assert world.book.runs[run_id].due_at == world.now + timedelta(days=30)


def test_retry_after_takes_seconds_a_length_or_an_instant() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert RetryAfter(2.5).seconds_from(now) == 2.5
    assert RetryAfter(timedelta(minutes=1)).seconds_from(now) == 60
    assert RetryAfter(now + timedelta(hours=1)).seconds_from(now) == 3600
    assert RetryAfter(now - timedelta(hours=1)).seconds_from(now) == RetryAfter(-3).seconds_from(now) == 0
    assert str(RetryAfter(timedelta(minutes=1))) == "retry after 60 s"
    assert str(RetryAfter(now)) == "retry at 2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize("when", ["5m", True, float("inf"), datetime(2026, 1, 1), None])  # noqa: DTZ001
def test_retry_after_refuses_everything_else(when: object) -> None:
    with pytest.raises(UsageError, match="time zone"):
        RetryAfter(when)  # type: ignore[arg-type]
