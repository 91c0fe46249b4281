"""Where a routine that a schedule starts finds its tick among its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from longshore.core.errors import ArgumentError
from longshore.core.schedules import ScheduledTick
from longshore.routines.ticks import with_tick
from longshore.serialization.arguments import Signature
from longshore.serialization.values import decode, encode

NOW = datetime(2026, 3, 29, 1, tzinfo=UTC)
TICK = ScheduledTick("s", NOW, None, "Europe/Berlin", [NOW + timedelta(hours=1)])


class Told(BaseModel):
    schedule_id: str
    timestamp: datetime
    upcoming: list[datetime]


def named(a: int = 0, schedule: ScheduledTick | None = None) -> Any: ...
def bare(a: int, *, schedule): ...  # type: ignore[no-untyped-def]
def only(payload: dict[str, Any]) -> Any: ...
def model(payload: Told) -> Any: ...
def anything(payload: Any, more: int = 1) -> Any: ...
def nothing() -> Any: ...
def two(a: int, b: int) -> Any: ...
def plain(a: int) -> Any: ...
def spread(*args: Any, **kwargs: Any) -> Any: ...


def bound(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return tuple(Signature(function).bind(*with_tick(function, args, kwargs, TICK)))


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "wanted"),
    [
        (named, (), {}, ((0, TICK), {})),
        (named, (5,), {}, ((5, TICK), {})),
        (named, (5, None), {}, ((5, TICK), {})),
        (named, (), {"a": 5, "schedule": None}, ((5, TICK), {})),
        (bare, (5,), {}, ((5,), {"schedule": TICK})),
        (only, (), {}, ((asdict(TICK),), {})),
        (model, (), {}, ((Told(**asdict(TICK)),), {})),
        (anything, (), {}, ((TICK, 1), {})),
        (anything, (7,), {}, ((7, 1), {})),
        (nothing, (), {}, ((), {})),
        (plain, (7,), {}, ((7,), {})),
        (spread, (1,), {"x": 2}, ((1,), {"x": 2})),
    ],
)
def test_the_tick_is_the_parameter_schedule_or_the_only_one_that_is_needed(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], wanted: Any
) -> None:
    assert bound(function, *args, **kwargs) == wanted


def test_what_the_schedule_itself_gives_is_left_alone() -> None:
    other = ScheduledTick("mine", NOW)
    assert bound(named, 1, other) == ((1, other), {})
    assert bound(named, schedule=other) == ((0, other), {})


def test_a_routine_that_needs_more_than_the_tick_fails_with_the_name_of_what_is_missing() -> None:
    with pytest.raises(ArgumentError, match="needs an argument for 'a'"):
        bound(two)


def test_a_tick_travels_as_any_value() -> None:
    assert decode(encode([TICK]).inline()) == [TICK]
