"""Exceptions as they travel: never an error of their own, and back as their class where that is known."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from longshore.core.errors import ArgumentError, RemoteError, RetryAfter, SettingsError
from longshore.core.message import Failure
from longshore.serialization.failures import MAX_TRACEBACK, decode_failure, encode_failure


class Custom(Exception):
    def __init__(self, code: int, *, hint: str) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.hint = hint


class Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - the test looks at every kind
        return caught


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x", 3),
        KeyError("k"),
        OSError(2, "No such file", "/x"),
        FileNotFoundError(2, "gone"),
        StopIteration(5),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ZeroDivisionError(),
        ArgumentError("a", parameter="p"),
        SettingsError("VAR", "wrong"),
        RetryAfter(2.5, "later"),
        RemoteError("a.B", "text", "tb"),
        ImportError("no", name="m"),
    ],
    ids=repr,
)
def test_known_classes_come_back_as_themselves(error: Exception) -> None:
    back = decode_failure(encode_failure(raised(error)))
    assert type(back) is type(error)
    assert back.args == error.args
    assert str(back) == str(error)
    assert {k: v for k, v in vars(back).items() if k != "__notes__"} == vars(error)
    if isinstance(error, OSError):
        assert isinstance(back, OSError)
        assert (back.errno, back.filename) == (error.errno, error.filename)


def test_a_class_of_a_given_module_comes_back_without_its_constructor() -> None:
    failure = encode_failure(raised(Custom(5, hint="h")))
    assert failure.type == f"{__name__}.Custom"
    back = decode_failure(failure, modules=[__name__])
    assert isinstance(back, Custom)
    assert (back.code, back.hint, str(back)) == (5, "h", "code 5")
    unknown = decode_failure(failure)
    assert isinstance(unknown, RemoteError)
    assert (unknown.type, unknown.message) == (f"{__name__}.Custom", "code 5")
    assert "raise error" in unknown.traceback


def test_the_remote_traceback_and_notes_come_along() -> None:
    error = raised(ValueError("x"))
    error.add_note("look here")
    failure = encode_failure(error)
    assert "look here" in failure.traceback
    [note] = decode_failure(failure).__notes__
    assert note.startswith("Remote traceback:\nTraceback (most recent call last)")


def test_the_chain_of_causes_is_kept_up_to_five() -> None:
    error: BaseException = ValueError(0)
    for number in range(1, 10):
        later = ValueError(number)
        later.__cause__ = error
        error = later
    back: BaseException | None = decode_failure(encode_failure(error))
    numbers = []
    while back is not None:
        numbers.append(back.args[0])
        back = back.__cause__
    assert numbers == [9, 8, 7, 6, 5, 4]


def test_a_chain_that_closes_on_itself_ends() -> None:
    first, second = ValueError(1), ValueError(2)
    first.__cause__, second.__cause__ = second, first
    assert encode_failure(first).cause is not None


@pytest.mark.parametrize(
    "error",
    [
        Rude(),
        ValueError(object()),
        ValueError("\ud800"),
        ValueError("x" * 1_000_000),
        ExceptionGroup("g", [ValueError(1)]),
        KeyboardInterrupt(),
        asyncio.CancelledError("c"),
        SystemExit(3),
        RecursionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_encoding_never_raises_and_is_bounded(error: BaseException) -> None:
    failure = encode_failure(raised(error))
    assert len(failure.traceback.encode()) <= MAX_TRACEBACK
    assert len(failure.message.encode()) <= 4096
    back = decode_failure(failure)
    assert isinstance(back, Exception)  # one that would end the caller's process comes as RemoteError


def test_arguments_that_cannot_travel_leave_the_text() -> None:
    back = decode_failure(encode_failure(ValueError("bad", object())))
    assert type(back) is ValueError
    assert "bad" in str(back)


@pytest.mark.parametrize(
    "name", ["builtins.print", "builtins.dict", "os.system", "nowhere.Error", "", "builtins.", "json.JSONDecodeError"]
)
def test_other_names_become_remote_errors(name: str) -> None:
    back = decode_failure(Failure(type=name, message="m", value=b"\x01garbage"))
    assert isinstance(back, RemoteError)


def test_a_constructor_that_does_not_take_its_arguments_is_not_called() -> None:
    error = raised(json.JSONDecodeError("msg", "doc", 0))
    back = decode_failure(encode_failure(error), modules=["json"])
    assert isinstance(back, RemoteError | json.JSONDecodeError)


def group(*errors: Exception) -> ExceptionGroup[Exception]:
    try:
        raise ExceptionGroup("some failed", errors)
    except ExceptionGroup as raised:
        return raised


class OwnGroup(ExceptionGroup[Exception]):
    pass


def test_a_group_comes_back_with_its_exceptions_so_that_except_star_finds_them() -> None:
    failure = encode_failure(group(ValueError("a", 1), group(KeyError("b"), OSError(2, "gone", "file"))))
    caught: list[Any] = []
    try:
        raise decode_failure(failure)
    except* ValueError as values:
        caught += [one.args for one in values.exceptions]
    except* (KeyError, OSError) as others:
        (inner,) = others.exceptions
        assert isinstance(inner, ExceptionGroup)
        caught += [type(one) for one in inner.exceptions]
    assert caught == [("a", 1), KeyError, FileNotFoundError]
    assert failure.message == "some failed (2 sub-exceptions)"


def test_a_group_of_an_own_class_comes_back_as_itself_where_the_class_is_known() -> None:
    failure = encode_failure(OwnGroup("mine", [ValueError("x")]))
    known = decode_failure(failure, modules=[__name__])
    assert type(known) is OwnGroup
    assert (known.message, [str(one) for one in known.exceptions]) == ("mine", ["x"])
    assert type(decode_failure(failure)) is ExceptionGroup


def test_what_is_no_exception_in_a_group_comes_back_as_a_remote_error() -> None:
    error = decode_failure(encode_failure(BaseExceptionGroup("both", [KeyboardInterrupt(), ValueError("x")])))
    assert isinstance(error, ExceptionGroup)
    assert [type(one) for one in error.exceptions] == [RemoteError, ValueError]


def test_a_group_of_very_many_stays_small() -> None:
    many = [ValueError("x" * 100_000) for _ in range(300)]
    failure = encode_failure(group(*many, group(*many)))
    assert len(msgspec.msgpack.encode(failure)) < 200_000
    deep: Exception = ValueError("deep")
    for _ in range(200):
        deep = ExceptionGroup("level", [deep, ValueError("x" * 5000)])
    assert len(msgspec.msgpack.encode(encode_failure(deep))) < 200_000
