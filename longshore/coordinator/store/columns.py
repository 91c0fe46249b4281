"""How single values stand in a column: times as microseconds, claim checks as JSON, failures as MessagePack."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from longshore.core import instants
from longshore.core.care import Care
from longshore.core.ids import Address, RunId
from longshore.core.message import CallRow, ClaimCheck, Failure, Offer, Value

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
micros: Final = instants.micros

encode_json: Final = msgspec.json.Encoder().encode
encode_pack: Final = msgspec.msgpack.Encoder().encode
_check: Final = msgspec.json.Decoder(ClaimCheck)
_failure: Final = msgspec.msgpack.Decoder(Failure)
_offers: Final = msgspec.msgpack.Decoder(list[Offer])
_care: Final = msgspec.json.Decoder(Care)
_cuts: Final = msgspec.json.Decoder(list[tuple[int, int]])
_ids: Final = msgspec.msgpack.Decoder(list[str])


def moment(stored: int) -> datetime | None:
    """The time again; None for none."""
    return None if not stored else _START + timedelta(microseconds=stored)


def moment_of(stored: int) -> datetime:
    """A time that is always there."""
    return _START + timedelta(microseconds=stored)


class Micros(dict[datetime | None, int]):
    """`micros` with a memory for one batch: most of its times are the same object."""

    def __init__(self) -> None:
        self[None] = 0

    def __missing__(self, at: datetime) -> int:
        value = self[at] = micros(at)
        return value


def value_of(inline: bytes | None, ref: str) -> Value | None:
    """A value from its two columns."""
    return _check.decode(ref) if ref else inline


def failure_of(stored: bytes | None) -> Failure | None:
    """A failure from its column."""
    return None if stored is None else _failure.decode(stored)


def offers_of(stored: bytes) -> list[Offer]:
    """A worker's offers from their column."""
    return _offers.decode(stored)


def cuts_of(stored: str) -> list[tuple[int, int]]:
    """The cuts of a fork of forks from their column."""
    return _cuts.decode(stored) if stored else []


def care_of(stored: str) -> Care | None:
    """What is kept of a run that needs care, from its column."""
    return _care.decode(stored) if stored else None


def ids_of(stored: bytes) -> list[str]:
    """A packed list of ids."""
    return _ids.decode(stored)


def text_of(value: Any) -> str:
    """Plain data as JSON text."""
    return encode_json(value).decode()


def ref_of(check: ClaimCheck) -> str:
    """A claim check as JSON text."""
    return encode_json(check).decode()


def names(text: str) -> tuple[str, ...]:
    """The names of columns, written as one text."""
    return tuple(text.split())


def call_of(row: Any) -> CallRow:
    """A call or wait, from the columns of its row."""
    address, kind, name, digest, asked_seq, child_id, place, closed = row
    return CallRow(
        address=Address(address),
        kind=kind,
        name=name,
        digest=digest,
        asked_seq=asked_seq,
        child_id=RunId(child_id),
        place=place,
        closed=bool(closed),
    )
