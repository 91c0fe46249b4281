"""What a run was called with and how it failed, in a few words: so that siblings can be told apart in a list.

It reads only what is short and inline, constructs no user's class and fetches nothing.
"""

from __future__ import annotations

from typing import Any, Final

from longshore.coordinator.store.columns import failure_of
from longshore.core.errors import DecodeError
from longshore.serialization.plain import plain

SHORT_INPUT: Final = 2048
"""Bytes of an input that is worth reading for a hint; longer ones are not even loaded."""
CALL: Final = 40
TEXT: Final = 160
_LEFT_OUT: Final = "…"
_SCALARS: Final = (str, int, float, bool)


def call_hint(stored: bytes | None) -> str:
    """The arguments as they would be written, at most 40 characters; `…` for what is no plain value."""
    if not stored:
        return ""
    try:
        value = plain(bytes(stored))
    except DecodeError:
        return ""
    match value:
        case [list(args), dict(kwargs)]:
            said = [_written(one) for one in args] + [f"{name}={_written(one)}" for name, one in kwargs.items()]
            return cut(", ".join(said), CALL)
    return ""


def _written(value: Any) -> str:
    match value:
        case {"$type": _, "value": inner, **rest} if not rest:  # a path, a date, an enum: what JSON lacks
            return repr(inner) if isinstance(inner, _SCALARS) else _LEFT_OUT
        case None | str() | int() | float():
            return repr(value)
        case list() | dict():
            text = repr(value)
            return _LEFT_OUT if "'$type'" in text else text
    return _LEFT_OUT


def short_error(stored: bytes | None) -> dict[str, str] | None:
    """The type and the message's beginning of a failure; None for none."""
    failure = failure_of(stored)
    return None if failure is None else {"type": failure.type, "message": cut(failure.message, TEXT)}


def cut(text: str, longest: int) -> str:
    """The text, or its beginning and `…`."""
    return text if len(text) <= longest else text[: longest - 1] + _LEFT_OUT
