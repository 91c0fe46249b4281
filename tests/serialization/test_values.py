"""Values to bytes and back: every type by type, nested, small and large; and what is said about what cannot travel."""

import io
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel

from longshore.core.errors import DecodeError, DefinitionError, EncodingError
from longshore.serialization import codec
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


refusing = Refusing(1)
refusing.value = 99
BERLIN = ZoneInfo("Europe/Berlin")

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


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:40])
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


# ------------------------------------------------------------------------------------------------------ codec


def test_a_registered_type_travels_by_its_name() -> None:
    codec.register(Registered, "tests.registered", lambda value: {"t": value.text}, lambda data: Registered(data["t"]))
    for back in every_way([Registered("a"), {Registered("b"): (Registered("c" * 100_000),)}]):
        assert back == [Registered("a"), {Registered("b"): (Registered("c" * 100_000),)}]
    with pytest.raises(DefinitionError, match=r"belongs to"):
        codec.register(Foreign, "tests.registered", str, Foreign)


class Failing:
    pass


def test_a_registered_coder_that_fails_is_told_with_its_name() -> None:
    codec.register(Failing, "tests.failing", lambda value: 1 / 0, lambda data: Failing())
    with pytest.raises(EncodingError, match=r"registered for 'tests.failing' failed: ZeroDivisionError"):
        encode(Failing())
    codec.register(Failing, "tests.failing", lambda value: 0, lambda data: 1 / data)
    with pytest.raises(DecodeError, match=r"registered for 'tests.failing' failed: ZeroDivisionError"):
        decode(encode(Failing()).inline())


def test_a_class_of_a_module_that_is_not_imported_is_never_imported(tmp_path: Path) -> None:
    (tmp_path / "strange_types.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Thing:\n    x: int\nprint('imported')\n"
    )
    (tmp_path / "writer.py").write_text(
        "import sys\nfrom strange_types import Thing\nfrom longshore.serialization.values import encode\n"
        "sys.stderr.write(encode([Thing(5)]).inline().hex())\n"
    )
    written = python(tmp_path, "writer.py")
    data = bytes.fromhex(written.stderr)
    with pytest.raises(DecodeError, match=r"import strange_types first"):
        decode(data)
    reader = (
        "import sys\nfrom longshore.serialization import codec\nfrom longshore.serialization.values import decode\n"
        f"codec.allow('strange_types')\nassert decode(bytes.fromhex('{data.hex()}'))[0].x == 5\n"
    )
    read = python(tmp_path, "-c", reader)
    assert read.stdout == "imported\n"


def test_a_class_of_a_script_travels_under_its_importable_name(tmp_path: Path) -> None:
    (tmp_path / "my_script.py").write_text(
        "from dataclasses import dataclass\nfrom longshore.serialization.values import encode, decode\n"
        "@dataclass\nclass Thing:\n    x: int\n"
        "if __name__ == '__main__':\n    data = encode(Thing(5)).inline()\n"
        "    assert type(decode(data)) is Thing\n    print(data.hex())\n"
    )
    written = python(tmp_path, "my_script.py")
    reader = (
        "import my_script\nfrom longshore.serialization.values import decode\n"
        f"assert type(decode(bytes.fromhex('{written.stdout.strip()}'))) is my_script.Thing\n"
    )
    python(tmp_path, "-c", reader)


def python(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PYTHONPATH": f"{folder}:{Path.cwd()}"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=environment, timeout=60)


def test_bytes_that_name_something_else_than_such_a_class_are_refused() -> None:
    good = encode([Frozen("x")]).inline()
    name = f"{__name__}:Frozen".encode()
    assert name in good
    for other in (
        b"os:system",
        b"builtins:dict",
        b"subprocess:Popen",
        f"{__name__}:Color".encode(),
        f"{__name__}:same".encode(),
    ):
        header = bytes([0xD9, len(name)]) if len(name) > 31 else bytes([0xA0 | len(name)])
        swapped = good.replace(header + name, bytes([0xD9, len(other)]) + other)
        assert swapped != good
        with pytest.raises(DecodeError):
            decode(swapped)


def test_a_pydantic_model_is_validated_when_it_is_read() -> None:
    data = encode(Model(count=5)).inline().replace(b"count\x05", b"count\xc0")
    with pytest.raises(DecodeError, match=r"do not fit"):
        decode(data)


# ------------------------------------------------------------------------------------------------------ hostile bytes


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
