"""NumPy arrays by frames: every layout, writable afterwards; digests by content."""

from typing import Any

import pytest

from longshore.core.errors import EncodingError
from longshore.serialization.digests import digest
from longshore.serialization.plain import plain
from longshore.serialization.values import decode, encode

np: Any = pytest.importorskip("numpy")

ARRAYS = [
    lambda: np.arange(5),
    lambda: np.zeros((0, 3)),
    lambda: np.array(5.0),
    lambda: np.arange(300_000, dtype="f4").reshape(300, 1000),
    lambda: np.asfortranarray(np.arange(300_000).reshape(300, 1000)),
    lambda: np.arange(300_000)[::3],
    lambda: np.arange(12).reshape(3, 4).T,
    lambda: np.array(["a", "bcd"]),
    lambda: np.array(["2026-01-01", "NaT"], dtype="M8[s]"),
    lambda: np.zeros(3, dtype=[("a", "i4"), ("b", "f8", (2,))]),
    lambda: np.array([True, False]),
    lambda: np.array([1 + 2j]),
    lambda: np.arange(3, dtype=">i2"),
]


@pytest.mark.parametrize("make", ARRAYS)
def test_an_array_comes_back_in_shape_and_type_and_can_be_written(make: Any) -> None:
    array = make()
    [back, _] = decode(encode([array, 1]).inline())
    assert type(back) is np.ndarray
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert (back == array).all() or array.dtype.kind == "M"
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable
    assert digest(back) == digest(array)


def test_a_large_contiguous_array_is_not_copied() -> None:
    array = np.arange(100_000)
    [frame] = [piece for piece in encode({"a": array}).chunks() if isinstance(piece, memoryview)]
    assert np.shares_memory(np.frombuffer(frame, "i8"), array)


@pytest.mark.parametrize("value", ["np.float64(1.5)", "np.int32(3)", "np.bool_(True)", "np.datetime64('2026-01-01')"])
def test_scalars_keep_their_type(value: str) -> None:
    scalar = eval(value, {"np": np})
    back = decode(encode([scalar]).inline())[0]
    assert type(back) is type(scalar)
    assert back == scalar


def test_arrays_of_objects_are_refused_with_advice() -> None:
    with pytest.raises(EncodingError, match="pass a list") as caught:
        encode({"a": np.array([object()])})
    assert caught.value.path == "$.a"


def test_layout_does_not_change_the_digest_but_shape_and_type_do() -> None:
    array = np.arange(300_000).reshape(300, 1000)
    assert digest(array) == digest(np.asfortranarray(array))
    assert len({digest(array), digest(array.reshape(1000, 300)), digest(array.astype("f8")), digest(array + 1)}) == 4


def test_an_array_is_json_for_others() -> None:
    assert plain(encode(np.arange(2, dtype="u1")).inline()) == {
        "$type": "numpy.ndarray",
        "value": {"dtype": "'|u1'", "shape": "2", "order": "C", "data": "AAE="},
    }
