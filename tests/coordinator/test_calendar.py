"""Which instants timetables name: both changes of the clock in two zones, what was missed, and what is no timetable."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.coordinator.calendar import calendar
from longshore.core.schedules import Calendar, Timetable

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
FAR = timedelta(days=365)


def coming(cron: str, zone: str, day: str, count: int) -> list[str]:
    """The next ticks from a local midnight on, as clocks on the wall and their distance from UTC."""
    begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)) - timedelta(microseconds=1)
    found = calendar(Timetable(cron, 0, zone), begin.astimezone(UTC), begin.astimezone(UTC), 0, count)
    return [f"{at.astimezone(ZoneInfo(zone)):%d %H:%M%z}" for at in found.upcoming]


@pytest.mark.parametrize(
    ("zone", "day", "before", "after"),
    [(BERLIN, "2026-03-29", "+0100", "+0200"), (NEW_YORK, "2026-03-08", "-0500", "-0400")],
)
def test_a_time_in_the_hour_that_is_left_out_comes_right_behind_it(
    zone: str, day: str, before: str, after: str
) -> None:
    number = int(day[-2:])
    assert coming("30 2 * * *", zone, day, 2) == [f"{number:02} 03:00{after}", f"{number + 1:02} 02:30{after}"]
    both = [f"{number:02} 03:00{after}", f"{number + 1:02} 02:00{after}", f"{number + 1:02} 02:30{after}"]
    assert coming("0,30 2 * * *", zone, day, 3) == both, "two times of that hour are one instant"
    hours = [f"{number:02} {hour:02}:00{before if hour < 2 else after}" for hour in (0, 1, 3, 4)]
    assert coming("0 * * * *", zone, day, 4) == hours, "every real hour"
    assert coming("30 2 * * *", "UTC", day, 1) == [f"{number:02} 02:30+0000"]


@pytest.mark.parametrize(
    ("zone", "day", "twice", "before", "after"),
    [(BERLIN, "2026-10-25", 2, "+0200", "+0100"), (NEW_YORK, "2026-11-01", 1, "-0400", "-0500")],
)
def test_a_time_in_the_hour_that_comes_twice_comes_once_and_every_hour_comes_twice(
    zone: str, day: str, twice: int, before: str, after: str
) -> None:
    number = int(day[-2:])
    once = [f"{number:02} {twice:02}:30{before}", f"{number + 1:02} {twice:02}:30{after}"]
    assert coming(f"30 {twice} * * *", zone, day, 2) == once
    both = ((twice, before), (twice, after), (twice + 1, after))
    real = [f"{number:02} {hour:02}:00{away}" for hour, away in both]
    assert coming("0 * * * *", zone, day, twice + 3)[-3:] == real
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    for minutes in range(0, 240, 7):  # wherever in that night one asks
        asked = midnight + timedelta(minutes=60 * (twice - 1) + minutes)
        found = calendar(Timetable(f"30 {twice} * * *", 0, zone), asked, asked, 0, 1).upcoming[0]
        assert found > asked
        assert f"{found.astimezone(ZoneInfo(zone)):%d %H:%M%z}" in once


def test_of_the_ticks_that_are_over_the_latest_are_told_and_it_takes_no_time_however_many_there_were() -> None:
    began = time.perf_counter()
    one = calendar(Timetable("* * * * *", 0, BERLIN), NOON - FAR, NOON, 1)
    many = calendar(Timetable("*/5 * * * *"), NOON - FAR, NOON, 1000)
    none = calendar(Timetable("0 0 1 1 *"), NOON - timedelta(days=30), NOON, 5)
    rare = calendar(Timetable("* 9 1 1 *"), NOON - 3 * FAR, NOON, 100)
    assert time.perf_counter() - began < 2
    assert one.over == [NOON]
    assert many.over == [NOON - timedelta(minutes=5 * step) for step in range(999, -1, -1)]
    assert none.over == []
    assert len(rare.over) == 100 and {at.minute for at in rare.over[-60:]} == set(range(60))
    assert many.upcoming == [NOON + timedelta(minutes=5 * step) for step in range(1, 6)]


@settings(max_examples=150, deadline=None)
@given(
    cron=st.sampled_from(
        ["* * * * *", "*/7 * * * *", "30 2 * * *", "0,30 1-3 * * *", "*/20 2 * * *", "0 0 L * *", "15 2 * * MON#1"]
    ),
    zone=st.sampled_from([BERLIN, NEW_YORK, "Australia/Lord_Howe", "UTC", "Asia/Kathmandu"]),
    days=st.integers(0, 400),
    minutes=st.integers(0, 1440),
    most=st.integers(1, 30),
)
def test_what_is_over_is_what_was_to_come(cron: str, zone: str, days: int, minutes: int, most: int) -> None:
    after = datetime(2025, 12, 31, tzinfo=UTC) + timedelta(days=days, minutes=minutes, microseconds=1)
    told = calendar(Timetable(cron, 0, zone), after, after, 0, most).upcoming
    assert told == sorted(set(told)) and told[0] > after
    assert calendar(Timetable(cron, 0, zone), after, told[-1], most).over == told
    assert calendar(Timetable(cron, 0, zone), after, told[-1], 1).over == told[-1:]


@pytest.mark.parametrize(
    ("cron", "text"),
    [
        ("61 * * * *", "'61' is no minute in the cron expression '61 * * * *'; it takes 0-59, or *"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 0 0 * *", "'0' is no day-of-month"),
        ("0 0 * 13 *", "'13' is no month"),
        ("0 0 * * 8", "'8' is no day-of-week"),
        ("0 0 * * SOMEDAY", "0-7 (0 and 7: Sunday) or SUN-SAT"),
        ("5-1 * * * *", "'5-1' is no minute"),
        ("*/0 * * * *", "'*/0' is no minute"),
        ("1/ * * * *", "'1/' is no minute"),
        ("², * * * *", "is no minute"),
        ("0 0 * *", "has 4 fields; it must have 5: minute, hour, day-of-month, month, day-of-week"),
        ("0 0 0 * * *", "has 6 fields"),
        ("@daily", "has 1 field;"),
        ("0 0 30 2 *", "names no day in the next 50 years"),
    ],
)
def test_a_bad_cron_expression_is_refused_with_its_field_and_what_that_takes(cron: str, text: str) -> None:
    rule, said = calendar(Timetable(cron), NOON, NOON, 1).error or ("", "")
    assert rule == "cron" and text in said


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Europe/Berlni", "'Europe/Berlni' is no time zone; did you mean Europe/Berlin"),
        ("Mars", "'Mars' is no time zone; they are named like Europe/Berlin"),
        ("Europe", "'Europe' is no time zone"),
        ("../../etc/passwd", "is no time zone"),
        ("/etc/localtime", "is no time zone"),
        ("", "is no time zone"),
        ("x" * 500, "is no time zone"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_names_that_are_near(zone: str, text: str) -> None:
    assert calendar(Timetable("0 0 * * *", 0, zone), NOON, NOON, 1) == Calendar(error=("timezone", _said(zone, text)))


def _said(zone: str, text: str) -> str:
    rule, said = calendar(Timetable("0 0 * * *", 0, zone), NOON, NOON, 1).error or ("", "")
    assert rule == "timezone" and text in said and len(said) < 300
    return said


def test_every_zone_there_is_has_a_calendar() -> None:
    for zone in sorted(available_timezones())[::20]:
        assert len(calendar(Timetable("30 2 * * *", 0, zone), NOON, NOON, 0).upcoming) == 5


def test_an_interval_is_the_same_everywhere_and_asks_no_zone() -> None:
    table = Timetable("", 90_000, "UTC", NOON)
    later = NOON + timedelta(minutes=5)
    found = calendar(table, NOON, later, 2)
    assert found.over == [NOON + timedelta(seconds=180), NOON + timedelta(seconds=270)]
    assert found.upcoming[:2] == [NOON + timedelta(seconds=360), NOON + timedelta(seconds=450)]
