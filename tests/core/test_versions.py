"""Versions of routines: one text each, and their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.core.versions import UNRELEASED, Version, parse

numbers = st.integers(0, 999_999_999)
any_version = st.builds(Version, numbers, numbers, numbers, st.booleans())


@given(any_version)
def test_a_version_is_read_back_from_its_text(version: Version) -> None:
    assert parse(str(version)) == version


@given(any_version, any_version)
def test_versions_are_ordered_by_their_numbers_then_dev_before_release(one: Version, other: Version) -> None:
    assert (one < other) == ((*one[:3], one.released) < (*other[:3], other.released))


def test_dev_stands_before_its_release_and_after_the_release_before() -> None:
    texts = ["10.0.0", "1.0.0", "1.0.1-dev", "1.0.1", UNRELEASED, "0.0.0", "1.2.0", "1.10.0"]
    assert [str(version) for version in sorted(map(parse, texts))] == [
        "0.0.0-dev",
        "0.0.0",
        "1.0.0",
        "1.0.1-dev",
        "1.0.1",
        "1.2.0",
        "1.10.0",
        "10.0.0",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.0",
        "1.0.0.0",
        "01.0.0",
        "1.0.0-rc",
        "1.0.0-dev1",
        "v1.0.0",
        " 1.0.0",
        "1.0.0\n",
        "\u0661.0.0",
        "-1.0.0",
    ],
)
def test_any_other_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"major\.minor\.patch"):
        parse(text)
