"""Bytes that are damaged or hostile: an error, never a surprise."""

import io
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from longshore.core.errors import DecodeError
from longshore.serialization.values import decode, decode_stream, encode
from tests.serialization.kinds import (
    VALUES,
)


@given(st.integers(0, 6), st.binary(max_size=300))
@example(1, b"\xdd\xff\xff\xff\xff")
@example(1, b"\xdd\x00\x10\x00\x00" * 100_000)
@example(2, b"\x91" * 2000 + b"\x01")
@example(3, b"Fb" + b"\xff" * 12)
@example(3, b"Cl" + b"\xff" * 8 + b"\0" * 4)
@example(3, (b"Cl" + b"\0" * 7 + b"\x01" + b"\0" * 4) * 100_000)
@example(4, b"[" * 100_000)
@example(1, b"\x81\x90\x01")
@example(1, b"\xc7\x05\x07hello")
def test_random_bytes_give_a_decode_error_never_a_crash(form: int, rest: bytes) -> None:
    data = bytes([form]) + rest
    with suppress(DecodeError):
        decode(data)
    with suppress(DecodeError):
        decode_stream(io.BytesIO(data), len(data))


@given(st.data())
def test_damaged_bytes_give_a_value_or_a_decode_error(data: st.DataObject) -> None:
    good = bytearray(data.draw(st.sampled_from(DAMAGED)))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(good[: data.draw(st.integers(0, len(good)))])
    for damaged in (bytes(good), cut):
        with suppress(DecodeError):
            decode_stream(io.BytesIO(damaged), len(damaged))


DAMAGED = [
    encode(VALUES).inline(),
    encode([VALUES[:20], bytearray(3), {"a": (1, 2)}]).inline(),
    encode(list(range(500))).inline(),
]


def test_a_stream_that_ends_early_is_an_error() -> None:
    data = encode([b"x" * 100_000]).inline()
    for size in (0, 1, 10, 50_000):
        with pytest.raises(DecodeError, match=r"early|no bytes"):
            decode_stream(io.BytesIO(data[:size]), len(data) if size else 0)
    with pytest.raises(DecodeError, match=r"follow"):
        decode(data + b"x")
    with pytest.raises(DecodeError):
        decode(encode([1]).inline() + b"x")
    with pytest.raises(DecodeError, match=r"format 99"):
        decode(b"\x63abc")
    with pytest.raises(DecodeError, match=r"no bytes"):
        decode(b"")
