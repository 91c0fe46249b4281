"""Conditions on runs, as they are typed: for lists of runs, and for orders that are for many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer

from longshore.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Which:
    """Which runs: those that fit everything that is given. A field has the name that the client gives its condition."""

    status: Annotated[list[str] | None, typer.Option(help="Runs with this status, e.g. QUEUED. Repeatable.")] = None
    routine: Annotated[str | None, typer.Option(help="Runs of this routine: its name, or name@version.")] = None
    tag: Annotated[str | None, typer.Option(help="Runs with this tag.")] = None
    queue: Annotated[str | None, typer.Option(help="Runs of this queue.")] = None
    concurrency_key: Annotated[str | None, typer.Option("--key", help="Runs with this concurrency key.")] = None
    batch_id: Annotated[str | None, typer.Option("--batch", help="Runs of this batch.")] = None
    parent_id: Annotated[str | None, typer.Option("--parent", help="Sub-routines of this run.")] = None
    created_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="Created then or later, e.g. 2026-01-31T08:00Z.")
    ] = None
    created_before: Annotated[str | None, typer.Option(metavar="TIME", help="Created before then.")] = None

    def conditions(self) -> dict[str, Any]:
        """The ones that were typed, as the client takes them; empty without any. Raises UsageError for a time that is
        none."""
        texts = ("routine", "tag", "queue", "concurrency_key", "batch_id", "parent_id")
        found: dict[str, Any] = {"status": self.status or None} | {name: getattr(self, name) for name in texts}
        found["created_after"] = _moment("created-after", self.created_after)
        found["created_before"] = _moment("created-before", self.created_before)
        return {name: value for name, value in found.items() if value is not None}


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.utcoffset() is None:
        raise UsageError(
            f"--{option} {text!r} is no time with its zone\nwrite for example `--{option} 2026-01-31T08:00Z`"
        )
    return at
