"""Digests: golden values, and independence of order, process and hash seed."""

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from longshore.core.errors import EncodingError
from longshore.serialization.digests import digest


@dataclass
class Item:
    name: str
    tags: set[str]


class Model(BaseModel):
    a: int = 1
    b: dict[str, int] = {}


GOLDEN: list[tuple[Any, str]] = [
    (None, "6206ff40e2fb761a82a8b072efdddfd7b9b50ca0837ba9e721600be9a524ca2b"),
    (1, "b8d5fe8411e302125065457f2e1961fea9bf8496e110c5ff27cc2e40bf4f8519"),
    (1.0, "22bb3bad959e6672dd5f4a0ccaadfd9efff2f8cef0157adeb04d40acb2f1e7c2"),
    ([[1], {}], "d8733e11fadd7adc3b5a76c9b699f274a8ab74ed3cb946ff3875315bee5ac80c"),
    ({"b": 1, "a": [True, None, "é", b"x"]}, "1122cfdfc05b7673063ae21e9e84dbaa27fa944bd1204ce418670d28776ab30a"),
    (
        {(1, 2): {3, 1, 2}, "k": frozenset({"z", "a"}), 5: 10**40},
        "9f4230d8db202f47728ebe1ba69bb07f88bb163d29fbc314f6dc4f6821ba5dc4",
    ),
    (
        [datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 2), Decimal("1.10"), (1, (2,))],
        "f38768cf9d37eea77bb6f79d76f04bc44eb9db1ad94506038e390422594c39ef",
    ),
    (b"x" * 100_000, "52990163245b18f268eb91d69fb0f50f9946ba9a841736a4b4da7358f8d32fbf"),
    (list(range(1000)), "40d8b1cd555a99dcdec9ec9efe2586c0f03dc53528c4bf3b2aa262465d953b3c"),
]


@pytest.mark.parametrize(("value", "golden"), GOLDEN, ids=lambda value: repr(value)[:30])
def test_digests_never_change(value: Any, golden: str) -> None:
    assert digest(value) == golden


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(), st.lists
    )
)
def test_a_plain_value_is_digested_as_its_messagepack(value: Any) -> None:
    for held in (value, [value], [value] * 70, [[value], {"k": value}]):
        packed = msgpack.packb(held)
        assert digest(held) == hashlib.sha256(b"longshore digest 1\0" + packed).hexdigest()


def test_order_of_dicts_and_sets_does_not_matter() -> None:
    assert digest({"a": 1, "b": {"d": 1, "c": 2}}) == digest({"b": {"c": 2, "d": 1}, "a": 1})
    assert digest({1: "a", (2, 3): "b"}) == digest({(2, 3): "b", 1: "a"})
    assert digest(set("abcdefgh")) == digest(set("hgfedcba"))
    assert digest(Item("x", set("abcdef"))) == digest(Item("x", set("fedcba")))


@given(
    st.dictionaries(st.text() | st.integers() | st.tuples(st.text()), st.sets(st.text() | st.integers())), st.randoms()
)
def test_any_order_has_one_digest(value: dict[Any, set[Any]], random: Any) -> None:
    items = [(key, random.sample(list(inner), len(inner))) for key, inner in value.items()]
    random.shuffle(items)
    assert digest({key: set(inner) for key, inner in items}) == digest(value)


def test_different_values_have_different_digests() -> None:
    values: list[Any] = [
        None,
        False,
        True,
        0,
        1,
        1.0,
        "1",
        b"1",
        [1],
        (1,),
        {1},
        frozenset({1}),
        {1: 1},
        {"1": 1},
        {"a": 1, "b": 2},
        {"a": 2, "b": 1},
        [[1], []],
        [[], [1]],
        [[1, 2]],
        [1, [2]],
        bytearray(b"1"),
        [b"", b"1"],
        [b"1", b""],
        2**64,
        Item("1", set()),
        Item("", {"1"}),
        Model(a=1),
        Model(a=2),
        date(2026, 1, 1),
        datetime(2026, 1, 1, tzinfo=UTC),
    ]
    assert len({digest(value) for value in values}) == len(values)


def test_a_model_has_one_digest_however_its_fields_were_given() -> None:
    assert digest(Model()) == digest(Model(a=1)) == digest(Model(b={}))


def test_large_buffers_count_with_their_content() -> None:
    assert digest([b"x" * 70_000]) != digest([b"x" * 70_001])
    assert digest([bytearray(70_000)]) == digest([bytearray(70_000)])


def test_the_hash_seed_does_not_matter() -> None:
    program = (
        "from longshore.serialization.digests import digest\n"
        "print(digest([{'a', 'b', 'c', (1, 'x')}, {'k': {'q', 'r'}}]))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": ":".join([os.getcwd(), *sys.path]), "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(found) == 1


def test_what_cannot_travel_has_no_digest() -> None:
    with pytest.raises(EncodingError):
        digest([object()])
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(EncodingError, match="nested deeper"):
        digest(ring)
