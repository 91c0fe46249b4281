"""One routine over many items: a window of calls under way, whose results come in the order of the items.

It takes an item when there is room for its call, never earlier, and holds no more results than the window is long: a
hundred thousand items cost what a hundred cost. It starts no task of its own, so it replays as the code around it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar

from longshore.core.errors import UsageError

T = TypeVar("T")

CONCURRENCY: Final = 100
AHEAD: Final = 2
"""How many items, times `concurrency`, may be begun before their results are taken."""


def check_concurrency(value: object) -> int:
    """How many calls may be under way. Raises UsageError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"map(concurrency={value!r}): how many calls are under way is a whole number from 1")
    return value


async def results(
    items: Iterator[T], begin: Callable[[T], Awaitable[Any]], concurrency: int, *, return_exceptions: bool
) -> AsyncGenerator[Any, None]:
    """The results of `begin(item)` in the order of the items, at most `concurrency` of them under way.

    A failure ends it as soon as it is known, or takes its result's place with `return_exceptions`. However it ends,
    calls still under way are canceled. What `items` itself raises is raised, always.
    """
    window = _Window(concurrency, ends_early=not return_exceptions)
    try:
        while True:
            window.fill(items, begin)
            if not window.calls:
                return
            if window.calls[0].done():
                call = window.take()
                yield (call.exception() or call.result()) if return_exceptions else call.result()
            else:
                await window.change()
            window.check()
    finally:
        window.close()


class _Window:
    """The calls begun whose results were not taken yet, in the order of their items."""

    def __init__(self, concurrency: int, *, ends_early: bool) -> None:
        self.calls: deque[asyncio.Future[Any]] = deque()
        self._concurrency = concurrency
        self._ends_early = ends_early
        self._under_way: set[asyncio.Future[Any]] = set()
        self._more = True
        self._failed: BaseException | None = None
        self._waiting: asyncio.Future[None] | None = None

    def fill(self, items: Iterator[T], begin: Callable[[T], Awaitable[Any]]) -> None:
        """Begin calls while there are items and room."""
        while self._more and len(self._under_way) < self._concurrency and len(self.calls) < AHEAD * self._concurrency:
            try:
                item = next(items)
            except StopIteration:
                self._more = False
            else:
                self._begin(begin, item)

    def _begin(self, begin: Callable[[T], Awaitable[Any]], item: T) -> None:
        call: asyncio.Future[Any]
        try:
            call = asyncio.ensure_future(begin(item))
        except Exception as error:  # an item that does not fit is a failure like another
            if self._ends_early:
                raise
            call = asyncio.get_running_loop().create_future()
            call.set_exception(error)
        self.calls.append(call)
        self._under_way.add(call)
        call.add_done_callback(self._ended)

    def take(self) -> asyncio.Future[Any]:
        """The first one, which has ended."""
        call = self.calls.popleft()
        self._under_way.discard(call)  # its callback may still be on its way
        return call

    def _ended(self, call: asyncio.Future[Any]) -> None:
        self._under_way.discard(call)
        if not call.cancelled():
            self._failed = self._failed or call.exception()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def change(self) -> None:
        """Until one of them has ended."""
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    def check(self) -> None:
        """Raise what ended one of them, if that ends all."""
        if self._ends_early and self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """Cancel what is under way; what came of the others is nobody's concern any more."""
        for call in self.calls:
            if not call.cancel() and not call.cancelled():
                call.exception()
