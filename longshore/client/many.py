"""Handles of many runs: a batch by its name, and the runs that one call has started. They hold no state of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, TypeVar

from longshore.client.bulks import BulkHandle, bulk_of
from longshore.client.conversation import Conversation
from longshore.client.fields import Fields, row, rows
from longshore.client.orders import seconds
from longshore.client.run import Run
from longshore.core.batches import ABORTED, OPEN
from longshore.core.bulks import CANCEL
from longshore.core.errors import BatchAborted, UnavailableError
from longshore.routines.options import Duration

R = TypeVar("R")

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


class Started(list[Run[R]]):
    """The handles of a batch's runs, in the order of its items; `batch_id` names the batch."""

    def __init__(self, runs: Iterable[Run[R]], batch_id: str) -> None:
        super().__init__(runs)
        self.batch_id = batch_id


class Batch:
    """A batch, by its id."""

    __slots__ = ("_conversation", "id")

    def __init__(self, conversation: Conversation, batch_id: str) -> None:
        self._conversation = conversation
        self.id = batch_id

    def __repr__(self) -> str:
        return f"<batch {self.id}>"

    async def info(self) -> Fields:
        """Its fields: `status` (open, sealed, aborted), `reason`, how many `items` its sender says there are (write
        `info["items"]`: that name is a dict's own), how many `runs` they began, `existing` and `refused`; of the runs
        how many are `unfinished`, and `statuses`: how many stand where. Raises Rejected (`unknown_batch`)."""
        return row(await self._conversation.ask("batch", batch_id=self.id))

    async def runs(self, *, status: str | None = None, limit: int = 50) -> list[Fields]:
        """Its newest runs, as plain fields."""
        return rows(await self._conversation.ask("runs", batch_id=self.id, status=status, limit=limit))

    async def cancel(self, reason: str = "") -> BulkHandle:
        """Cancel all of its runs that have not ended, as one bulk order. While it is open more may come."""
        order = bulk_of(CANCEL, {"batch_id": self.id}, reason, None)
        await self._conversation.order(order)
        return BulkHandle(self._conversation, order.bulk_id)

    async def wait(self, timeout: Duration | None = None) -> Fields:
        """Its fields once it is sealed and all of its runs have ended, however each of them did.

        Raises BatchAborted as soon as it is aborted, TimeoutError when the wait ends first, Rejected
        (`unknown_batch`). Waits over every restart of a coordinator.
        """
        patience, pause = seconds(timeout), FIRST_PAUSE
        try:
            async with asyncio.timeout(patience):
                while (info := await self._look()) is None:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE)
                return info
        except TimeoutError:
            raise TimeoutError(f"{self!r} has not ended within {patience:g} s; it goes on") from None

    async def _look(self) -> Fields | None:
        try:
            info = await self.info()
        except UnavailableError:
            if self._conversation.over:
                raise
            return None
        if info.status == ABORTED:
            text = f"batch {self.id} is aborted: {info.reason}; the {info.runs} runs it has begun go on"
            raise BatchAborted(text, batch_id=self.id, info=info)
        return None if info.status == OPEN or info.unfinished else info
