"""Values and replies as JSON for programs that are not Python. It constructs no user's class.

What JSON has stays as it is. What it lacks is `{"$type", "value"}`: tuple, set, bytes (base64), datetime, dataclass and
others; a claim check is `{"$ref": {...}}`.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

import msgspec

from longshore.core.errors import DecodeError
from longshore.core.message import Accepted, Answer, ClaimCheck, Failure, Rejected, Reply, Value
from longshore.serialization import arrays
from longshore.serialization.parts import Parts
from longshore.serialization.registry import DATACLASS, ENUM, MODEL
from longshore.serialization.values import decode

_INT64: Final = 1 << 63


def pack_plain(replies: Sequence[Reply]) -> list[bytes]:
    """Each reply as a JSON body of its own, in order: `run_id`, `status`, and `result` or `error`."""
    return [msgspec.json.encode(_reply(reply)) for reply in replies]


def plain(value: Value) -> Any:
    """A value as data that JSON has. Raises DecodeError."""
    if isinstance(value, ClaimCheck):
        return {"$ref": msgspec.to_builtins(value)}
    return _plain(decode(value, build=Parts))


def _reply(reply: Reply) -> dict[str, Any]:
    if isinstance(reply, Answer):
        return (
            {"ask_id": reply.ask_id, "error": reply.error}
            if reply.error
            else {"ask_id": reply.ask_id, "data": reply.data}
        )
    if isinstance(reply, Rejected):
        error = {"type": "Rejected", "rule": reply.rule, "message": reply.text}
        return {"run_id": reply.run_id, "status": "REJECTED", "error": error}
    if isinstance(reply, Accepted):
        return {"run_id": reply.run_id, "status": reply.status}
    outcome: dict[str, Any] = {"run_id": reply.run_id, "status": reply.status}
    if reply.error is not None:
        outcome["error"] = plain_failure(reply.error)
    elif reply.result is not None:
        outcome["result"] = _readable(reply.result)
    return outcome


def _readable(value: Value) -> Any:
    try:
        return plain(value)
    except DecodeError as error:
        return _typed("unreadable", str(error))


def plain_failure(failure: Failure) -> dict[str, str]:
    """A failure as `type`, `message`, `traceback`."""
    return {"type": failure.type, "message": failure.message, "traceback": failure.traceback}


def _typed(name: str, value: Any) -> dict[str, Any]:
    return {"$type": name, "value": value}


def _plain(value: Any) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if -_INT64 <= value < _INT64 else _typed("int", str(hex(value)))
    if kind is float:
        return value if math.isfinite(value) else _typed("float", str(value))
    if kind is list:
        return [_plain(item) for item in value]
    if kind is dict:
        return _plain_dict(value)
    if kind in (tuple, set, frozenset):
        return _typed(kind.__name__, [_plain(item) for item in value])
    if kind is Parts:
        return _object(value)
    if isinstance(value, PurePath):
        return _typed("path", str(value))
    name, convert = _LEAVES[kind]
    return _typed(name, convert(value))


def _plain_dict(value: dict[Any, Any]) -> Any:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: _plain(item) for key, item in value.items()}
    return _typed("dict", [[_plain(key), _plain(item)] for key, item in value.items()])


def _object(parts: Parts) -> Any:
    head = parts.head if isinstance(parts.head, list) else [parts.head]
    name = str(head[0]) if head else ""
    if parts.tag == arrays.ARRAY and len(head) == 4 and parts.items:
        _, description, shape, order = head
        data = b64encode(bytes(parts.items[0])).decode()
        return _typed("numpy.ndarray", {"dtype": description, "shape": shape, "order": order, "data": data})
    if parts.tag == DATACLASS:
        return _typed(name, {str(field): _plain(item) for field, item in zip(head[1:], parts.items, strict=False)})
    if parts.tag == ENUM and len(head) == 2:
        return _typed(name, _plain(head[1]))
    if parts.tag == MODEL or len(parts.items) == 1:
        return _typed(name, _plain(parts.items[0]) if parts.items else None)
    return _typed(name, [_plain(item) for item in parts.items])


def _base64(value: bytes | bytearray | memoryview) -> str:
    return b64encode(value).decode()


_LEAVES: Final[dict[type, tuple[str, Callable[[Any], Any]]]] = {
    bytes: ("bytes", _base64),
    bytearray: ("bytearray", _base64),
    memoryview: ("bytes", _base64),
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("timedelta", timedelta.total_seconds),
    UUID: ("uuid", str),
    Decimal: ("decimal", str),
    complex: ("complex", lambda value: [_plain(value.real), _plain(value.imag)]),
}
