"""The arguments of a call as they would be written."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any

import pytest

from longshore.serialization.arguments import Arguments, encode_arguments
from longshore.serialization.written import LARGEST, LONGEST, written, written_call


@dataclass
class Order:
    number: int
    lines: list[str]


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ([], {}, []),
        ([1, "tea", None, 1.5, True], {"n": [1, {"a": 2}]}, ["1", "'tea'", "None", "1.5", "True", "n=[1, {'a': 2}]"]),
        ([Order(3, ["x"])], {}, ["Order(number=3, lines=['x'])"]),
        ([(1, 2), (1,), {"b", "a"}], {}, ["(1, 2)", "(1,)", "set('a', 'b')"]),
        ([{2: "b", 1: "a"}, {"d": 1, "c": 2}], {}, ["{1: 'a', 2: 'b'}", "{'c': 2, 'd': 1}"]),
        ([date(2026, 1, 2)], {"by": Colour.RED}, ["date('2026-01-02')", "by=Colour('RED')"]),
    ],
)
def test_each_argument_is_written_on_its_own(args: list[Any], kwargs: dict[str, Any], said: list[str]) -> None:
    assert written_call(Arguments(tuple(args), kwargs)) == said
    assert written(encode_arguments(args, kwargs).inline()) == said


def test_long_arguments_are_cut_and_told_from_each_other_behind_the_cut() -> None:
    texts = ["x" * 5000 + end for end in ("a", "b", "a")]
    said = written_call(Arguments(tuple(texts), {}))
    assert said is not None and said[0] == said[2] != said[1]
    assert all(len(one) <= LONGEST and "… (5,003 characters, " in one for one in said)


def test_what_cannot_travel_is_too_large_or_is_no_call_is_not_written() -> None:
    assert written_call(Arguments((object(),), {})) is None
    assert written_call(Arguments(("x" * LARGEST,), {})) is None
    assert [written(one) for one in (b"in", b"", b"\xff" * 40, secrets.token_bytes(500))] == [None] * 4
    assert written(encode_arguments([1], {}).inline()[:-1]) is None
