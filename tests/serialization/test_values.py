"""Values to bytes and back: every type by type, nested, small and large; and what is said about what cannot travel."""

import io
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.core.errors import DecodeError, EncodingError
from longshore.serialization.values import decode, decode_stream, encode, encode_inline
from tests.serialization.kinds import (
    VALUES,
    Foreign,
    Frozen,
    Model,
    Open,
    Point,
    Slotted,
    every_way,
    same,
)


def name(value: object) -> str:
    """The same in each process: the order in a set of texts is not."""
    return f"a set of {len(value)}" if isinstance(value, set | frozenset) else repr(value)[:40]


@pytest.mark.parametrize("value", VALUES, ids=name)
def test_a_value_comes_back_by_type(value: Any) -> None:
    for holder in (value, [value], {"k": (value, [value])}, [value, b"x" * 70_000, bytearray(3)]):
        for back in every_way(holder):
            assert same(back, holder), (back, holder)


def test_all_values_at_once_come_back_also_when_they_are_many() -> None:
    for holder in (VALUES, VALUES * 300, tuple(VALUES) * 100, dict(enumerate(VALUES * 50))):
        for back in every_way(holder):
            assert same(back, holder)


def test_a_memoryview_comes_back_as_one() -> None:
    for size in (0, 10, 100_000):
        for back in every_way([memoryview(b"x" * size)]):
            assert type(back[0]) is memoryview
            assert back[0] == b"x" * size
    assert decode(encode(memoryview(b"abcdef")[::2]).inline()) == b"ace"


@pytest.mark.parametrize(
    "value",
    [
        b"x" * 65_536,
        bytearray(300_000),
        "t" * 200_000,
        "é" * 3_000_000,
        list(range(200_000)),
        [str(n) for n in range(50_000)],
        {str(n): n for n in range(50_000)},
        set(range(50_000)),
        frozenset(range(50_000)),
        tuple([n, (n,)] for n in range(20_000)),
        [[b"y" * 70_000]] * 3,
        {"a": [Frozen("n", (b"z" * 100_000,))]},
        Model(count=1, extra={str(n): Frozen("f" * 50) for n in range(3000)}),
        [10**30_000 + n for n in range(10)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_large_values_come_back(value: Any) -> None:
    for back in every_way(value):
        assert same(back, value)


LONG_TEXTS = [
    *("x" * shift + "😀" * 600_000 for shift in range(4)),  # the pieces it is read in end inside of characters
    "x" * 2_000_000 + "é",
    "é" * 1_000_000 + "€" * 1_000_000 + "😀",
    "a line\r\nof two\rends\n\0%s%" * 100_000,
    "x" * (1 << 20),
    "x" * ((1 << 20) + 1),
]


@pytest.mark.parametrize("text", LONG_TEXTS, ids=range(len(LONG_TEXTS)))
def test_long_texts_come_back(text: str) -> None:
    for value in (text, [text, {"k": (text,)}, 1]):
        for back in every_way(value):
            assert back == value


def test_a_long_text_that_is_no_utf_8_or_ends_early_is_an_error() -> None:
    good = encode("€" * 1_000_000).inline()
    for bad in (good[:-1] + b"x", good[:-1] + b"\xff", good[:2_000_000] + b"\xed\xa0\x80" + good[2_000_003:]):
        with pytest.raises(DecodeError, match=r"utf-8"):
            decode(bad)
        with pytest.raises(DecodeError, match=r"utf-8"):
            decode_stream(io.BytesIO(bad), len(bad))
    for size in (100, 1_500_000, len(good) - 1):
        with pytest.raises(DecodeError, match=r"bytes early"):
            decode_stream(io.BytesIO(good[:size]), len(good))


def test_large_buffers_are_passed_on_without_a_copy() -> None:
    data = b"x" * 1_000_000
    pieces = list(encode([1, {"k": data}]).chunks())
    [frame] = [piece for piece in pieces if isinstance(piece, memoryview)]
    assert frame.obj is data
    assert sum(len(piece) for piece in pieces if isinstance(piece, bytes)) < 200


def test_a_large_container_is_never_held_encoded() -> None:
    encoded = encode([str(n) * 20 for n in range(400_000)])
    assert encoded.size > 16 << 20
    assert max(len(piece) for piece in encoded.chunks()) < 200_000
    assert sum(len(piece) for piece in encoded.chunks()) == encoded.size


def test_a_value_that_changes_while_it_is_sent_is_an_error() -> None:
    value = [str(n) * 20 for n in range(400_000)]
    encoded = encode(value)
    value.append("one more")
    with pytest.raises(EncodingError, match=r"changed while it was being sent"):
        list(encoded.chunks())


def test_inline_is_none_over_the_limit() -> None:
    data = encode_inline([1, 2, 3], 100)
    assert data is not None
    assert encode_inline([1, 2, 3], len(data)) == data
    assert encode_inline([1, 2, 3], len(data) - 1) is None
    assert encode_inline(b"x" * 100_000) is None
    assert encode_inline(list(range(100_000))) is None
    assert encode_inline([b"x" * 60_000]) is not None


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.text()), inner)
        | st.builds(Slotted, inner)
    ),
    max_leaves=30,
)


@given(plain_values)
def test_any_value_comes_back(value: Any) -> None:
    for back in every_way(value):
        assert same(back, value)


# ---------------------------------------------------------------------------------------------- what cannot travel


@dataclass
class Holder:
    model: Any


@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda bad: bad, "$"),
        (lambda bad: [1, 2, 3, {"model": bad}], "$[3].model"),
        (lambda bad: [1, Holder(bad)], "$[1].model"),
        (lambda bad: {"a b": (0, bad)}, "$['a b'][1]"),
        (lambda bad: {(1, bad): 2}, "$.keys()[0][1]"),
        (lambda bad: {5: [bad]}, "$[5][0]"),
        (lambda bad: Point(1, bad), "$.y"),
        (lambda bad: Open.model_validate({"x": bad}), "$.x"),
        (lambda bad: [b"x" * 100_000, "y" * 100_000, [bad]], "$[2][0]"),
        (lambda bad: [0] * 100_000 + [bad], "$[100000]"),
    ],
)
def test_an_unclaimed_type_is_an_error_that_names_the_path(wrap: Callable[[Any], Any], path: str) -> None:
    for attempt in (encode, lambda value: encode_inline(value, 1 << 30)):
        with pytest.raises(EncodingError, match=r"Foreign cannot travel: codec.register") as caught:
            attempt(wrap(Foreign("x")))
        assert caught.value.path == path
        assert str(caught.value).startswith(f"{path}: ")


def test_a_forgotten_await_is_called_that() -> None:
    async def later() -> int:
        return 1

    waiting = later()
    with pytest.raises(EncodingError, match=r"^\$\[0\]: .*later.* is no value yet: write `await` before it"):
        encode([waiting])
    waiting.close()


@pytest.mark.parametrize("value", [OrderedDict(a=1), range(3), lambda: 1, "\ud800", Exception, (1).__add__])
def test_other_things_that_cannot_travel_are_named_too(value: Any) -> None:
    with pytest.raises(EncodingError) as caught:
        encode([0, value])
    assert caught.value.path == "$[1]"


def test_a_class_inside_a_function_cannot_travel() -> None:
    @dataclass
    class Local:
        x: int

    with pytest.raises(EncodingError, match=r"top level") as caught:
        encode([Local(1)])
    assert caught.value.path == "$[0]"


def test_nesting_is_bounded_and_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    for _ in range(150):
        value = [value]
    assert same(decode(encode(value).inline()), value)
    for _ in range(100):
        value = [value]
    with pytest.raises(EncodingError, match=r"nested deeper"):
        encode(value)
    ring: list[Any] = [b"x" * 100_000]
    ring.append(ring)
    with pytest.raises(EncodingError, match=r"holds itself"):
        encode(ring)
