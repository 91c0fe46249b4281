"""Durations: what people may write, and what is refused with advice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.core.durations import LONGEST, duration, spell
from longshore.core.errors import UsageError


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (0, timedelta(0)),
        (90, timedelta(seconds=90)),
        (0.5, timedelta(milliseconds=500)),
        ("90", timedelta(seconds=90)),
        ("1.5", timedelta(seconds=1.5)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("1h 30m", timedelta(hours=1, minutes=30)),
        (" 10d ", timedelta(days=10)),
        ("2w", timedelta(weeks=2)),
        ("500ms", timedelta(milliseconds=500)),
        ("7us", timedelta(microseconds=7)),
        ("1.5h", timedelta(minutes=90)),
        ("1m1ms", timedelta(seconds=60, milliseconds=1)),
        (timedelta(seconds=3), timedelta(seconds=3)),
        (LONGEST, LONGEST),
    ],
)
def test_a_duration_is_written_in_seconds_in_units_or_as_a_timedelta(written: Any, meant: timedelta) -> None:
    assert duration(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "", " ", "h", "1x", "1h1h", "1m1h", "-5", "-5s", "1 hour", "1e3", "٣s", "inf", "9" * 65, "9" * 60, "99999999w",
        -1, -0.1, float("nan"), float("inf"), 1e300, True, None, [1], b"1s",
        timedelta(seconds=-1), LONGEST + timedelta(microseconds=1), timedelta.max,
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_what_is_allowed(written: Any) -> None:
    with pytest.raises(UsageError, match=r'is not a duration; allowed: seconds .*"1h30m"'):
        duration(written)


@given(st.timedeltas(min_value=timedelta(0), max_value=LONGEST))
def test_a_spelt_duration_reads_back_as_the_same_length(length: timedelta) -> None:
    assert duration(spell(length)) == length


@given(st.one_of(st.text(), st.floats(), st.integers(), st.timedeltas()))
def test_no_value_gives_anything_but_a_length_in_bounds_or_a_usage_error(value: Any) -> None:
    try:
        length = duration(value)
    except UsageError:
        return
    assert timedelta(0) <= length <= LONGEST


def test_spelling_uses_whole_units_from_the_largest() -> None:
    assert spell(timedelta(hours=1, minutes=30)) == "1h30m"
    assert spell(timedelta(0)) == "0s"
    assert spell(timedelta(seconds=-90)) == "-1m30s"
