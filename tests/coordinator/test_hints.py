"""What a run was called with, in a few characters, from the bytes of its input."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pytest

from longshore.coordinator.store.columns import encode_pack
from longshore.coordinator.store.hints import CALL, call_hint, short_error
from longshore.core.envelope import JSON
from longshore.core.message import Failure, Trigger
from longshore.serialization.arguments import encode_arguments
from longshore.serialization.envelope import unpack_commands


@dataclass
class Thing:
    size: int


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ([], {}, ""),
        (["a.txt", 3], {}, "'a.txt', 3"),
        ([None, True, 1.5], {"b": "c"}, "None, True, 1.5, b='c'"),
        ([[1, 2], {"a": 1}], {}, "[1, 2], {'a': 1}"),
        ([PurePosixPath("/tmp/x"), b"ab"], {}, "'/tmp/x', 'YWI='"),
        ([Thing(3), 5, (1, 2), [(1,)]], {}, "…, 5, …, …"),
        (["x" * 100], {}, "'" + "x" * 38 + "…"),
        (["two\nlines"], {}, "'two\\nlines'"),
    ],
)
def test_a_call_is_shown_as_it_would_be_written(args: list[Any], kwargs: dict[str, Any], said: str) -> None:
    shown = call_hint(encode_arguments(args, kwargs).inline())
    assert shown == said
    assert len(shown) <= CALL


def test_a_call_from_another_language_is_read_too() -> None:
    (trigger,) = unpack_commands(b'{"type": "trigger", "routine": "t", "args": ["tea"], "kwargs": {"n": 2}}', JSON)
    assert isinstance(trigger, Trigger)
    assert isinstance(trigger.input, bytes)
    assert call_hint(trigger.input) == "'tea', n=2"


@pytest.mark.parametrize("stored", [None, b"", b"in", b"\xff" * 40, b"\x93\x01\x02\x03", secrets.token_bytes(500)])
def test_what_cannot_be_read_gives_no_hint(stored: bytes | None) -> None:
    assert call_hint(stored) == ""


def test_an_error_is_its_type_and_the_beginning_of_its_message() -> None:
    assert short_error(None) is None
    failure = Failure(type="builtins.ValueError", message="m" * 500, traceback="t" * 5000)
    assert short_error(encode_pack(failure)) == {"type": "builtins.ValueError", "message": "m" * 159 + "…"}
