"""What the client gave, as plain fields: the names are API.md's. Pure; nothing is asked here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from longshore.cli.screen import seconds


def as_fields(thing: Any) -> dict[str, Any]:
    """The named fields of a row, whatever holds them."""
    if isinstance(thing, Mapping):
        return dict(thing)
    fields: dict[str, Any] = msgspec.structs.asdict(thing) if isinstance(thing, msgspec.Struct) else vars(thing)
    return fields


def time_of(value: Any) -> datetime | None:
    """A time, given as such or as RFC 3339 text."""
    if not value:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    at: datetime = value if value.tzinfo else value.replace(tzinfo=UTC)
    return at


def routine_id(run: Mapping[str, Any]) -> str:
    """`name@version`, or the name alone where no version is known yet."""
    return f"{run['routine']}@{run['version']}" if run.get("version") else str(run["routine"])


def took(run: Mapping[str, Any]) -> str:
    """From creation to end, in words; empty before the end."""
    begin, end = time_of(run.get("created_at")), time_of(run.get("finished_at"))
    return seconds((end - begin).total_seconds()) if begin and end else ""


def first_line(text: str | None) -> str:
    """The first line that says something."""
    return next(iter((text or "").strip().splitlines()), "").rstrip()


def cut(text: str, longest: int) -> str:
    """The text, or its beginning and `…`."""
    return text if len(text) <= longest else text[: longest - 1].rstrip(" …") + "…"


def crashes_text(evidence: Any) -> str:
    """The crashes of a run, one after another, each with the end of what its process wrote to stderr."""
    parts = []
    for one in map(as_fields, evidence or ()):
        parts.append(f"{one['at']} on {one['worker_id']}, attempt {one['attempt']}: {one['reason']}")
        parts += [f"    {line}" for line in str(one.get("stderr") or "").splitlines()]
    return "\n".join(parts)


def why_text(why: Any) -> str:
    """The reason a run waits, on one line."""
    if not why or isinstance(why, str):
        return why or ""
    facts = as_fields(why)
    said = str(facts.get("text") or facts.get("kind"))
    holders = [str(holder) for holder in facts.get("holders") or [] if str(holder) not in said]
    more = f" ({', '.join(holders[:3])}{', …' if len(holders) > 3 else ''})" if holders else ""
    return f"{said}{more}"
