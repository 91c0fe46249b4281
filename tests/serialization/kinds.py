"""Values of every kind that can travel, and every way in which they do."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, RootModel

from longshore.serialization.values import decode, decode_stream, encode, encode_inline


class Color(Enum):
    RED = 1
    BLUE = "b"


class Level(IntEnum):
    LOW = 1


class Right(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: tuple[int, ...]


@dataclass(frozen=True)
class Frozen:
    name: str
    parts: tuple[Any, ...] = ()


@dataclass(slots=True)
class Slotted:
    value: Any
    more: list[int] = field(default_factory=list)


@dataclass
class Refusing:
    value: int

    def __post_init__(self) -> None:
        if self.value > 10:
            raise AssertionError("constructors are not called")


class Model(BaseModel):
    count: int
    named: str = Field(default="n", alias="Named")
    inner: "Model | None" = None
    extra: dict[str, Frozen] = {}


class Open(BaseModel, extra="allow"):
    a: int = 1


class Root(RootModel[list[int]]):
    pass


class Outer:
    class Inner(Enum):
        DEEP = 1


class Foreign:
    def __init__(self, text: str) -> None:
        self.text = text


class Registered:
    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registered) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


BERLIN = ZoneInfo("Europe/Berlin")


refusing = Refusing(1)
refusing.value = 99

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63) - 1,
    10**100,
    -(10**100),
    1.5,
    float("inf"),
    -0.0,
    "",
    "text",
    "é\0\U0001f600",
    b"",
    b"bytes",
    bytearray(b"array"),
    1 + 2j,
    [],
    [[]],
    (),
    ((),),
    {},
    set(),
    frozenset(),
    [1, (2, [3, (4,)])],
    {1, "a", (2, 3)},
    frozenset({frozenset({1})}),
    {"a": {"b": {"c": ()}}},
    {1: 2, None: 3, (1, (2,)): 4, frozenset({1}): 5, b"k": 6, 1.5: 7, date(2026, 1, 1): 8},
    datetime(2026, 1, 1, 12, 30, 1, 5),  # noqa: DTZ001 - naive ones travel too
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
    datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
    datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    datetime(2026, 1, 1, fold=1),  # noqa: DTZ001 - as above
    datetime.min,  # noqa: DTZ901 - as above
    datetime.max,  # noqa: DTZ901 - as above
    date(1, 1, 1),
    time(1, 2, 3, 4),
    time(23, tzinfo=UTC),
    timedelta(days=-1, microseconds=1),
    timedelta.max,
    UUID(int=5),
    Decimal("1.10"),
    Decimal("-0E+5"),
    Path("/a/b"),
    Path("rel"),
    PurePosixPath("/x"),
    PureWindowsPath("c:\\x"),
    Color.RED,
    Color.BLUE,
    Level.LOW,
    Right.READ,
    Right.READ | Right.WRITE,
    Outer.Inner.DEEP,
    Point(1, (2,)),
    Frozen("f", (1, [2])),
    {Frozen("key"): 1},
    Slotted({1}, [2]),
    refusing,
    Model(count=1, Named="z", inner=Model(count=2), extra={"f": Frozen("x")}),
    Open.model_validate({"a": 2, "b": [3]}),
    Root([1, 2]),
]


def same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return (
            list(left) == list(right) and all(map(same, left.values(), right.values())) and all(map(same, left, right))
        )
    if isinstance(left, datetime):
        return (
            left.replace(tzinfo=None) == right.replace(tzinfo=None)
            and left.fold == right.fold
            and str(left.tzinfo) == str(right.tzinfo)
        )
    return bool(left == right)


def every_way(value: Any) -> Iterator[Any]:
    encoded = encode(value)
    data = encoded.inline()
    assert len(data) == encoded.size
    assert b"".join(encoded.chunks()) == data
    yield decode(data)
    yield decode(memoryview(data))
    yield decode_stream(io.BytesIO(data), len(data))
    inline = encode_inline(value, len(data))
    assert inline is not None
    yield decode(inline)
