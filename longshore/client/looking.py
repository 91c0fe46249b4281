"""The client's verbs to look at many runs: lists, page by page, and what a bulk order would be about. It keeps
nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, TypedDict, Unpack

from longshore.client.bulks import Which, bulk_of, filter_of
from longshore.client.conversation import Conversation
from longshore.client.fields import Fields, row, rows
from longshore.core.bulks import said_filter
from longshore.core.errors import UsageError

PAGE: Final = 1000
"""Rows at once, at most: an answer must fit one message."""
FIRST: Final = 10


class Listing(TypedDict, total=False):
    """Which runs a list is of: those that fit everything given. What is None is no condition."""

    status: str | Sequence[str] | None
    routine: str | None
    version: str | None
    tag: str | None
    queue: str | None
    concurrency_key: str | None
    batch_id: str | None
    parent_id: str | None
    schedule: str | None
    created_after: datetime | None
    created_before: datetime | None


class Listed(list[Fields]):
    """Rows; `next_cursor` leads to those behind them: `client.runs(..., cursor=page.next_cursor)`; None: no more."""

    def __init__(self, rows: Iterable[Fields] = (), next_cursor: int | None = None) -> None:
        super().__init__(rows)
        self.next_cursor = next_cursor


class LookVerbs:
    """The verbs of a client that look at many runs."""

    __slots__ = ()

    def _talk(self) -> Conversation:
        raise NotImplementedError

    async def runs(self, *, limit: int = 50, cursor: int | None = None, **which: Unpack[Listing]) -> Listed:
        """The newest runs that fit, as plain fields, the newest first: at most `limit`, however many that is.

        `which` are conditions that all must fit: status (one or several), routine (its name, or name@version), version,
        tag, queue, concurrency_key, batch_id, parent_id, schedule, created_after, created_before. `cursor` is the
        `next_cursor` of the page before. Raises UsageError, Rejected (`status`, `limit`, ...).
        """
        wanted, found = _params(which), Listed()
        while True:
            page = rows(
                await self._talk().ask("runs", limit=min(limit - len(found), PAGE), cursor=cursor or None, **wanted)
            )
            found += page
            if len(page) < min(limit - len(found) + len(page), PAGE):
                return found
            found.next_cursor = cursor = page[-1].get("no")
            if len(found) >= limit:
                return found

    async def each_run(self, **which: Unpack[Listing]) -> AsyncGenerator[Fields, None]:
        """Every run that fits, the newest first, drawn as it is taken. Conditions and errors as `runs`; runs that come
        meanwhile are not among them."""
        cursor: int | None = None
        while True:
            page = await self.runs(limit=PAGE, cursor=cursor, **which)
            for one in page:
                yield one
            if page.next_cursor is None:
                return
            cursor = page.next_cursor

    async def preview_runs(self, what: str, *, first: int = FIRST, **which: Unpack[Which]) -> Fields:
        """What a bulk order ("cancel" or "rerun") with these conditions would be about now; nothing is ordered.

        Gives `fits`, how many runs (None: over 100,000), and the `first` of them under `runs`, the oldest first. What
        the order would then do with each run is decided when its turn comes. Raises UsageError.
        """
        wanted = bulk_of(what, which, "", None).filter
        found = row(await self._talk().ask("bulk_preview", order=what, filter=said_filter(wanted), limit=first))
        found["runs"] = rows(found["runs"])
        return found


def _params(which: Listing) -> dict[str, Any]:
    """The conditions as they are asked. What is None or empty is none."""
    given: dict[str, Any] = {name: value for name, value in which.items() if value not in (None, "", [], ())}
    if "all" in given:
        raise UsageError("a list has no condition 'all': without any it is of every run")
    schedule = given.pop("schedule", None)
    wanted = said_filter(filter_of(given))  # type: ignore[arg-type]  # it checks every name and value
    if "status" in wanted:
        wanted["status"] = ",".join(wanted["status"])
    return wanted | ({"schedule": schedule} if schedule else {})
