"""Arguments bound, filled and coerced; errors name the parameter and the value."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel, Field

from longshore.core.errors import ArgumentError, DecodeError, EncodingError
from longshore.serialization.arguments import Arguments, Signature, decode_arguments, encode_arguments
from longshore.serialization.values import encode

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


class Params(BaseModel):
    rate: float
    depth: int = 3


@dataclass
class Data:
    rows: list[int]


class Opaque:
    pass


def simple(x: int) -> None: ...
def several(a: int, b: str = "b", /, c: float = 1, *rest: int, d: bool = False, **more: int) -> None: ...
def rich(data: Data, grid: list[Params], at: datetime | None = None) -> None: ...
def free(a, b=2): ...  # type: ignore[no-untyped-def]
def odd(a: "Unknown", b: "int", c: Opaque, d: Any, e: Iterator[int], f: "1 / 0") -> None: ...  # type: ignore[valid-type]
def limited(n: Annotated[int, Field(gt=0)], m: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013 - seen in the wild


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "bound"),
    [
        (simple, (1,), {}, Arguments((1,), {})),
        (simple, ("1",), {}, Arguments((1,), {})),
        (simple, (), {"x": 1.0}, Arguments((1,), {})),
        (several, (1,), {}, Arguments((1, "b", 1.0), {"d": False})),
        (several, ("1", "x", 2, "3", 4), {"d": True, "z": "5"}, Arguments((1, "x", 2.0, 3, 4), {"d": True, "z": 5})),
        (several, (1,), {"c": "1.5", "a": 7}, Arguments((1, "b", 1.5), {"d": False, "a": 7})),
        (free, (1,), {}, Arguments((1, 2), {})),
        (free, (), {"b": "x", "a": [1]}, Arguments(([1], "x"), {})),
        (
            rich,
            ({"rows": ["1"]}, [{"rate": 1}]),
            {"at": "2026-01-01T00:00:00Z"},
            Arguments((Data([1]), [Params(rate=1.0)], datetime(2026, 1, 1, tzinfo=UTC)), {}),
        ),
        (limited, (1,), {}, Arguments((1, None), {})),
    ],
)
def test_arguments_are_bound_filled_and_coerced(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], bound: Arguments
) -> None:
    found = Signature(function).bind(args, kwargs)
    assert found == bound
    assert [type(value) for value in found.args] == [type(value) for value in bound.args]
    assert list(found.kwargs) == list(bound.kwargs)


def test_what_cannot_be_resolved_passes_through() -> None:
    opaque, items = Opaque(), iter([1])
    bound = Signature(odd).bind((1, "2", opaque, object, items, "f"), {})
    assert bound.args == (1, 2, opaque, object, items, "f")


def test_a_plain_class_as_annotation_is_checked_by_its_type() -> None:
    with pytest.raises(ArgumentError, match="'c'"):
        Signature(odd).bind((1, 2, "not opaque", 4, 5, 6), {})


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "parameter", "text"),
    [
        (simple, ("abc",), {}, "x", r"simple\(\) argument 'x': 'abc' \(str\) does not fit"),
        (simple, (), {}, "x", "needs an argument for 'x'"),
        (simple, (), {"xs": 1}, "x", "needs an argument for 'x'; it has no parameter 'xs'"),
        (simple, (1, 2), {}, "", "takes 1 positional arguments, 2 were given"),
        (simple, (1,), {"x": 2}, "x", "'x' twice"),
        (simple, (1,), {"y": 2}, "y", "no parameter 'y'"),
        (several, (1,), {"z": "no"}, "z", "argument 'z': 'no'"),
        (several, (1, "b", 1.0, "bad"), {}, "rest", "'bad'"),
        (rich, ({"rows": [1]}, [{"rate": 1}, {"rate": "fast"}]), {}, "grid", r"1\.rate"),
        (limited, (0,), {}, "n", "greater than 0"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], parameter: str, text: str
) -> None:
    with pytest.raises(ArgumentError, match=text) as caught:
        Signature(function).bind(args, kwargs)
    assert caught.value.parameter == parameter


def test_a_value_whose_repr_fails_is_still_named() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(ArgumentError, match=r"a Rude|instance"):
        Signature(simple).bind((Rude(),), {})


def test_binding_again_changes_nothing() -> None:
    signature = Signature(rich)
    once = signature.bind(({"rows": [1]}, [{"rate": 1}]), {})
    assert signature.bind(once.args, once.kwargs) == once


def test_every_way_of_writing_a_call_has_one_digest() -> None:
    signature = Signature(simple)
    ways = [signature.bind((1,), {}), signature.bind((), {"x": 1}), signature.bind(("1",), {})]
    assert len({signature.digest(way) for way in ways}) == 1
    assert signature.digest(signature.bind((2,), {})) != signature.digest(ways[0])
    other = Signature(several)
    assert other.digest(other.bind((1,), {"c": 1, "q": 1, "p": 2})) == other.digest(
        other.bind((1, "b"), {"p": 2, "q": 1})
    )


def test_arguments_travel() -> None:
    encoded = encode_arguments((1, "a", {2}), {"k": (1,)})
    assert decode_arguments(encoded.inline()) == Arguments((1, "a", {2}), {"k": (1,)})
    wrongs: list[Any] = [1, [1], [[1], [2]], [[1], {2: 3}], ((), {})]
    for wrong in wrongs:
        with pytest.raises(DecodeError, match="positional and named"):
            decode_arguments(encode(wrong).inline())


def test_an_argument_that_cannot_travel_is_named_by_its_path() -> None:
    with pytest.raises(EncodingError, match=r"^args\[1\]\[0\]: ") as caught:
        encode_arguments((1, [Opaque()]), {})
    assert caught.value.path == "args[1][0]"
    with pytest.raises(EncodingError, match=r"^kwargs\.model\.a: "):
        encode_arguments((1,), {"model": {"a": Opaque()}})
