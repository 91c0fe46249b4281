"""Leaf values that MessagePack lacks, as extensions: big integers, times, UUID, Decimal, paths. It knows no containers.

An aware datetime keeps its instant, offset and, for a `ZoneInfo`, its zone; any other tzinfo becomes its fixed offset.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from msgpack import ExtType

INTEGER: Final = 1
DATETIME: Final = 2
DATE: Final = 3
TIME: Final = 4
TIMEDELTA: Final = 5
IDENTIFIER: Final = 6
DECIMAL: Final = 7
PATH: Final = 8
COMPLEX: Final = 9
MARK: Final = 10

_INTERVAL: Final = struct.Struct(">iii")
_COMPLEX: Final = struct.Struct(">dd")
_NATIVE_PATH: Final = type(Path())


def _write_integer(value: int) -> ExtType:
    return ExtType(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _read_integer(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _write_moment(value: datetime | time) -> bytes:
    zone = value.tzinfo
    key = zone.key if isinstance(zone, ZoneInfo) and zone.key else ""
    text = value.replace(tzinfo=None).isoformat() if key else value.isoformat()
    return f"{text}|{key}|{value.fold}".encode() if key or value.fold else text.encode()


def _read_moment(cls: type[datetime] | type[time], data: bytes) -> datetime | time:
    text, _, rest = data.decode().partition("|")
    value = cls.fromisoformat(text)
    if not rest:
        return value
    key, _, fold = rest.partition("|")
    return value.replace(tzinfo=ZoneInfo(key) if key else value.tzinfo, fold=int(fold))


def _write_interval(value: timedelta) -> ExtType:
    return ExtType(TIMEDELTA, _INTERVAL.pack(value.days, value.seconds, value.microseconds))


def _read_interval(data: bytes) -> timedelta:
    days, seconds, microseconds = _INTERVAL.unpack(data)
    return timedelta(days, seconds, microseconds)


_FLAVOURS: Final[dict[bytes, type[PurePath]]] = {b"n": Path, b"p": PurePosixPath, b"w": PureWindowsPath}


def _write_path(flavour: bytes) -> Callable[[PurePath], ExtType]:
    return lambda value: ExtType(PATH, flavour + os.fsencode(str(value)))


def _read_path(data: bytes) -> PurePath:
    return _FLAVOURS[data[:1]](os.fsdecode(data[1:]))


def _write_complex(value: complex) -> ExtType:
    return ExtType(COMPLEX, _COMPLEX.pack(value.real, value.imag))


WRITERS: Final[dict[type, Callable[[Any], ExtType]]] = {
    datetime: lambda value: ExtType(DATETIME, _write_moment(value)),
    date: lambda value: ExtType(DATE, value.isoformat().encode()),
    time: lambda value: ExtType(TIME, _write_moment(value)),
    timedelta: _write_interval,
    UUID: lambda value: ExtType(IDENTIFIER, value.bytes),
    Decimal: lambda value: ExtType(DECIMAL, str(value).encode()),
    complex: _write_complex,
    _NATIVE_PATH: _write_path(b"n"),
    PurePosixPath: _write_path(b"p"),
    PureWindowsPath: _write_path(b"w"),
    int: _write_integer,  # the packer asks only for those over 64 bits
}
"""By exact type: the leaf as an extension."""

_READERS: Final[dict[int, Callable[[bytes], Any]]] = {
    INTEGER: _read_integer,
    DATETIME: lambda data: _read_moment(datetime, data),
    DATE: lambda data: date.fromisoformat(data.decode()),
    TIME: lambda data: _read_moment(time, data),
    TIMEDELTA: _read_interval,
    IDENTIFIER: lambda data: UUID(bytes=data),
    DECIMAL: lambda data: Decimal(data.decode()),
    PATH: _read_path,
    COMPLEX: lambda data: complex(*_COMPLEX.unpack(data)),
}


def read(code: int, data: bytes) -> Any:
    """The leaf in an extension. Raises ValueError for an unknown code, and what the leaf's type raises for bad data."""
    reader = _READERS.get(code)
    if reader is None:
        raise ValueError(f"extension {code} is unknown")
    return reader(bytes(data))
