"""What comes with a question: its parameters, each read and checked, and the refusal that names one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from longshore.core.errors import LongshoreError
from longshore.core.ids import is_run_id
from longshore.core.message import Ask
from longshore.core.run import Status

LONGEST: Final = 1000
LONGEST_TEXT: Final = 256
_STATUSES: Final = frozenset(status.value for status in Status)


class Refused(LongshoreError):
    """The question cannot be answered; `rule` says why."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(text)
        self.rule = rule


def one_run(ask: Ask) -> str:
    """The run that is asked for. Raises Refused unless it is one."""
    if len(ask.run_ids) != 1:
        raise Refused("run_ids", f"`{ask.what}` is asked of one run, not of {len(ask.run_ids)}")
    return ask.run_ids[0]


def limit(ask: Ask, usual: int) -> int:
    """How many rows at most, from 1 to 1,000. Raises Refused."""
    found = whole(ask, "limit", usual)
    if not 1 <= found <= LONGEST:
        raise Refused("limit", f"limit is {found}; it must be from 1 to {LONGEST}")
    return found


def whole(ask: Ask, name: str, usual: int) -> int:
    """A whole number. Raises Refused."""
    value = ask.params.get(name, usual)
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise Refused(name, f"`{name}` must be a whole number, not {value!r}")
    return value


def text(given: dict[str, Any], name: str) -> str:
    """A text, "" where there is none. Raises Refused."""
    value = given.get(name) or ""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise Refused(name, f"`{name}` must be a text of at most {LONGEST_TEXT} characters")
    return value


def run_id(given: dict[str, Any], name: str) -> str:
    """The id of a run, "" where there is none. Raises Refused."""
    value = text(given, name)
    if value and not is_run_id(value):
        raise Refused(name, f"`{name}` is {value!r}, which is no run id: a UUID in canonical form (36 characters)")
    return value


def statuses(given: dict[str, Any]) -> list[str]:
    """The statuses under `status`: a list of them, or a text with commas. Raises Refused."""
    value = given.get("status") or []
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise Refused("status", f"`status` must be a status or a list of them, not {value!r}")
    found = [one.strip().upper() for one in value]
    for one in found:
        if one not in _STATUSES:
            raise Refused("status", f"{one[:64]!r} is no status; there are {', '.join(sorted(_STATUSES))}")
    return list(dict.fromkeys(found))


def moment(given: dict[str, Any], name: str) -> datetime | None:
    """A time with its zone, None where there is none. Raises Refused."""
    value = given.get(name)
    if value is None or value == "":
        return None
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        at = None
    if at is None or at.utcoffset() is None:
        raise Refused(name, f"`{name}` is {value!r}; a time with its zone is written 2026-01-31T08:00:00Z")
    return at
