"""What a client says of queues: who waits in them, their limits, pausing them. It decides nothing; the ledger does."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, Protocol, TypeVar

from msgspec import UNSET, UnsetType

from longshore.client.fields import Fields, row, rows
from longshore.core.errors import Rejected, UsageError
from longshore.core.message import LimitQueue, Order, PauseQueue, ResumeQueue
from longshore.core.queues import problem_of

T = TypeVar("T")
Limit = int | UnsetType | None
"""A number, None to lift the limit, nothing to leave it as it is."""
PAGE: Final = 1000
_DONE_ALREADY: Final = frozenset({"already_paused", "not_paused"})


class Talk(Protocol):
    """As much of a conversation as is needed here."""

    async def ask(self, what: str, *, after: str | None, limit: int) -> Any: ...
    async def order(self, order: Order) -> Any: ...


class QueueVerbs:
    """The verbs of a client that are about queues."""

    __slots__ = ()

    def _talk(self) -> Talk:
        raise NotImplementedError

    async def queues(self) -> list[Fields]:
        """Every queue that has a limit, is offered, or holds runs; by name.

        Fields: name, queued, executing, limit, key_limit, rate, max_size, paused, paused_at, oldest_at. `*` is the
        whole namespace; it is there while it has a limit.
        """
        found: list[Fields] = []
        while True:
            page = await self._talk().ask("queues", after=found[-1]["name"] if found else None, limit=PAGE)
            found += rows(page)
            if len(page) < PAGE:
                return found

    async def limit_queue(
        self,
        queue: str,
        *,
        limit: Limit = UNSET,
        key_limit: Limit = UNSET,
        rate: str | UnsetType | None = UNSET,
        max_size: Limit = UNSET,
        create: bool = False,
    ) -> Fields:
        """Set limits of a queue, from now on: runs that execute at once (0: none), of each concurrency key too, starts
        per period (`"10/1m"`), runs that wait for their first start.

        What is left out stays, None lifts it. `"*"` is the whole namespace: it has a limit and a rate. `create` is for
        a queue that no run and no routine names yet. Gives the rule as it is now. Raises UsageError for a value that
        is out of range, Rejected (`unknown_queue`).
        """
        order = LimitQueue(_named(queue), limit, key_limit, rate, max_size, bool(create))
        for name in ("limit", "key_limit", "max_size"):
            _check_whole(name, getattr(order, name))
        if not isinstance(rate, str | UnsetType | None):
            raise UsageError(f"rate={rate!r} is no text: write for example rate='10/1m', or None for no rate")
        problem = problem_of(order)
        if problem is not None:
            raise UsageError(f"limit_queue({queue!r}): {problem[1]}")
        return row(await self._talk().order(order))

    async def pause_queue(self, queue: str, *, create: bool = False) -> Fields:
        """Start nothing more from a queue, or from any (`"*"`): what executes ends, workflows that have waited go on.
        Twice is harmless. `create` as in `limit_queue`. Gives the rule. Raises Rejected (`unknown_queue`)."""
        return await self._settled(PauseQueue(_named(queue), bool(create)))

    async def resume_queue(self, queue: str) -> Fields:
        """Let a paused queue go on. Twice is harmless. Gives the rule. Raises Rejected (`unknown_queue`)."""
        return await self._settled(ResumeQueue(_named(queue)))

    async def _settled(self, order: PauseQueue | ResumeQueue) -> Fields:
        """An order may come twice where an answer was lost: it is done then, too."""
        try:
            return row(await self._talk().order(order))
        except Rejected as refused:
            found = [one for one in await self.queues() if one["name"] == order.queue]
            if refused.rule not in _DONE_ALREADY or not found:
                raise
            return found[0]


class SyncQueueVerbs:
    """The same without await."""

    __slots__ = ()
    _client: QueueVerbs

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        raise NotImplementedError

    def queues(self) -> list[Fields]:
        """See Client.queues."""
        return self._call(self._client.queues())

    def limit_queue(
        self,
        queue: str,
        *,
        limit: Limit = UNSET,
        key_limit: Limit = UNSET,
        rate: str | UnsetType | None = UNSET,
        max_size: Limit = UNSET,
        create: bool = False,
    ) -> Fields:
        """See Client.limit_queue."""
        order = self._client.limit_queue(
            queue, limit=limit, key_limit=key_limit, rate=rate, max_size=max_size, create=create
        )
        return self._call(order)

    def pause_queue(self, queue: str, *, create: bool = False) -> Fields:
        """See Client.pause_queue."""
        return self._call(self._client.pause_queue(queue, create=create))

    def resume_queue(self, queue: str) -> Fields:
        """See Client.resume_queue."""
        return self._call(self._client.resume_queue(queue))


def _named(queue: str) -> str:
    if not isinstance(queue, str) or not queue:
        raise UsageError(f"queue={queue!r} is no queue's name: a text of at least one character, or '*' for all")
    return queue


def _check_whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | UnsetType | None):
        raise UsageError(f"{name}={value!r} is no whole number: give one, or None for no limit")
