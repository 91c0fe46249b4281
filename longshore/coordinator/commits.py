"""Decided batches on their way into the store: what waits while a commit is under way is committed together with the
next one, and concluded in the order in which it was decided. It decides nothing, and after an error it does nothing:
what was decided since is void, and is handed back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from longshore.coordinator.inbox import Batch
from longshore.coordinator.store import Prepared
from longshore.core.changes import Changes

UNDER_WAY: Final = 3
"""Batches decided and not concluded at most: more would only be memory."""


class Decided(NamedTuple):
    """A batch, what the ledger made of it, and its rows."""

    batch: Batch | None
    changes: Changes
    prepared: Prepared


class Commits:
    """The way of decided batches. `write` begins a commit, `conclude` is awaited for each batch that is committed,
    `failed` tells that something went wrong."""

    def __init__(
        self,
        write: Callable[[Sequence[Prepared]], asyncio.Future[None]],
        conclude: Callable[[Decided], Awaitable[None]],
        failed: Callable[[], None],
    ) -> None:
        self._write = write
        self._conclude = conclude
        self._failed = failed
        self._under_way: deque[Decided] = deque()
        self._waiting: list[Decided] = []
        self._writing: asyncio.Future[None] | None = None
        self._committed: deque[Decided] = deque()
        self._concluding: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self.error: BaseException | None = None

    @property
    def under_way(self) -> Sequence[Decided]:
        """What was put and is not concluded, in order."""
        return self._under_way

    def put(self, decided: Decided) -> None:
        """Have it committed, at once if the writer is free; nobody waits for it here."""
        self._under_way.append(decided)
        self._waiting.append(decided)
        self._begin()

    async def room(self) -> None:
        """Wait until another batch may be put, or something went wrong."""
        while len(self._under_way) >= UNDER_WAY and self.error is None:
            await self._move()

    async def emptied(self) -> None:
        """Wait until everything is concluded. Raises what went wrong, once nothing is under way any more."""
        while self._under_way and self.error is None:
            await self._move()
        if self.error is not None:
            await self._quiet()
            raise self.error

    def take_back(self) -> list[Decided]:
        """What is void after an error, in order; from here on batches may be put again."""
        lost = list(self._under_way)
        self._under_way.clear()
        self._waiting.clear()
        self._committed.clear()
        self.error = None
        return lost

    async def close(self) -> None:
        """Give up what is under way. Twice is harmless."""
        self.error = self.error or asyncio.CancelledError()
        if self._concluding is not None:
            self._concluding.cancel()
        await self._quiet()

    async def _move(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    async def _quiet(self) -> None:
        """Until neither the thread nor a conclusion does anything for us."""
        for one in (self._writing, self._concluding):
            if one is not None:
                await asyncio.wait([one])

    # ------------------------------------------------------------------------------------------------------ the way

    def _begin(self) -> None:
        if self._writing is not None or not self._waiting or self.error is not None:
            return
        group, self._waiting = self._waiting, []
        durable = [one.prepared for one in group if one.prepared.steps is not None]
        if not durable:
            self._go_on(group)
            return
        self._writing = self._write(durable)
        self._writing.add_done_callback(lambda written: self._written(group, written))

    def _written(self, group: list[Decided], written: asyncio.Future[None]) -> None:
        self._writing = None
        error = asyncio.CancelledError() if written.cancelled() else written.exception()
        if error is not None:
            self._fail(error)
            return
        self._go_on(group)
        self._begin()  # the next commit does not wait for this one's messages

    def _go_on(self, group: list[Decided]) -> None:
        self._committed.extend(group)
        if self._concluding is None and self.error is None:
            self._concluding = asyncio.get_running_loop().create_task(self._conclude_all())
            self._concluding.add_done_callback(self._concluded)

    async def _conclude_all(self) -> None:
        while self._committed and self.error is None:
            await self._conclude(self._committed.popleft())
            self._under_way.popleft()
            self._moved.set()

    def _concluded(self, task: asyncio.Task[None]) -> None:
        self._concluding = None
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)
        elif self._committed:
            self._go_on([])

    def _fail(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
            self._failed()
        self._moved.set()
