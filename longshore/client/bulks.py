"""Bulk orders from the client's side: the filter as people write it, and a handle to look, wait and abort with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypedDict

from longshore.client.conversation import Conversation
from longshore.client.fields import Fields, row
from longshore.client.orders import batch_id_of, new_batch_id, seconds
from longshore.client.person import person
from longshore.core.bulks import RUNNING, TEXTS, RunFilter, problem_of
from longshore.core.errors import UnavailableError, UsageError, nearest
from longshore.core.message import AbortBulk, Bulk
from longshore.routines.options import Duration

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


class Which(TypedDict, total=False):
    """Which runs a bulk order is about: those that fit everything given. `all=True` instead: every run."""

    status: str | Sequence[str]
    routine: str
    version: str
    tag: str
    queue: str
    concurrency_key: str
    batch_id: str
    parent_id: str
    created_after: datetime
    created_before: datetime
    all: bool


def filter_of(which: Which) -> RunFilter:
    """The filter as it travels. Raises UsageError naming what is wrong."""
    fields: dict[str, Any] = {}
    for name, value in which.items():
        if value is None:
            continue
        if name == "status":
            fields[name] = _statuses(value)
        elif name in TEXTS:
            fields[name] = _text(name, value)
        elif name in ("created_after", "created_before"):
            fields[name] = _moment(name, value)
        elif name == "all":
            fields[name] = bool(value)
        else:
            meant = nearest(name, list(Which.__annotations__), 1)
            hint = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(Which.__annotations__)}"
            raise UsageError(f"there is no condition {name!r}; {hint}")
    return RunFilter(**fields)


def bulk_of(what: str, which: Which, reason: str, bulk_id: str | None) -> Bulk:
    """The order as it travels, under an id of its own: however often it is sent, it is one. Raises UsageError."""
    wanted = filter_of(which)
    problem = problem_of(what, wanted)
    if problem is not None:
        raise UsageError(problem[1])
    name = new_batch_id() if bulk_id is None else batch_id_of(bulk_id)
    return Bulk(name, what, wanted, reason, person())


def _statuses(value: object) -> list[str]:
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, Sequence) or not all(isinstance(one, str) for one in given):
        raise UsageError(f'status={value!r}: write status="QUEUED" or status=["QUEUED", "RETRYING"]')
    return [one.strip().upper() for one in given]


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"{name}={value!r} is not a text of at least one character")
    return value


def _moment(name: str, value: object) -> datetime:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise UsageError(f"{name}={value!r} is no time with its zone: write datetime(..., tzinfo=UTC)")
    return value.astimezone(UTC)


class BulkHandle:
    """A bulk order, by its id."""

    __slots__ = ("_conversation", "id")

    def __init__(self, conversation: Conversation, bulk_id: str) -> None:
        self._conversation = conversation
        self.id = bulk_id

    def __repr__(self) -> str:
        return f"<bulk order {self.id}>"

    async def progress(self) -> Fields:
        """Its fields: `status` (running, done, aborted), `matched` runs so far, of those `done` and `refused`, how many
        are `left` (None: over 100,000), and `progress` from 0 to 1. Raises Rejected (`unknown_bulk`)."""
        return row(await self._conversation.ask("bulk", bulk_id=self.id))

    async def wait(self, timeout: Duration | None = None) -> Fields:
        """Its fields once it is done or aborted. What it ordered may take longer: a canceled run cleans up first.

        Raises TimeoutError when the wait ends first, and the order goes on.
        """
        patience, pause = seconds(timeout), FIRST_PAUSE
        try:
            async with asyncio.timeout(patience):
                while (found := await self._look()) is None:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE)
                return found
        except TimeoutError:
            raise TimeoutError(f"{self!r} is not done within {patience:g} s; it goes on") from None

    async def abort(self) -> Fields:
        """Go no further; what is done stays done. Raises Rejected (`bulk_done`, `unknown_bulk`)."""
        return row(await self._conversation.order(AbortBulk(self.id)))

    async def _look(self) -> Fields | None:
        try:
            found = await self.progress()
        except UnavailableError:
            if self._conversation.over:
                raise
            return None
        return None if found.status == RUNNING else found
