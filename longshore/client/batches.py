"""Many triggers in one go: any number of items, a bounded number of them under way, their order kept.

All of them are one batch, which the ledger knows: kept open while items come, sealed with their count, or given up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from longshore.client.conversation import Conversation
from longshore.core.errors import LongshoreError, NotYetAccepted, Rejected
from longshore.core.message import MAX_ITEMS, AbortBatch, OpenBatch, SealBatch
from longshore.routines import Call

_log = logging.getLogger("longshore.client")

T = TypeVar("T")
R = TypeVar("R")

WINDOW: Final = 4 * MAX_ITEMS
"""So many items are under way at most."""
KEEP_EVERY: Final = 15.0
"""Seconds after which the ledger is told again that a batch is still being sent."""
GIVE_UP_WITHIN: Final = 2.0
FAILURES_KEPT: Final = 1000


# ---------------------------------------------------------------------------------------------------------- in order


def in_order(
    items: Iterable[T] | AsyncIterable[T],
    act: Callable[[T], Awaitable[R]],
    forget: Callable[[T], None] = lambda item: None,
) -> AsyncGenerator[R | BaseException, None]:
    """What `act` gives for each item, in order; where it raises, the exception.

    Items are drawn only as fast as they are dealt with and taken. Where drawing fails, that is raised once all that
    was drawn before has been given. `forget` gets the items that were drawn in vain.
    """
    window: Window[T, R] = Window(act, forget)
    if isinstance(items, AsyncIterable):
        return _of_source(items, window)
    return _of_iterable(items, window)


class Window(Generic[T, R]):
    """The items under way, in order."""

    def __init__(self, act: Callable[[T], Awaitable[R]], forget: Callable[[T], None]) -> None:
        self._act = act
        self._forget = forget
        self._under_way: deque[tuple[asyncio.Task[R], T]] = deque()

    @property
    def room(self) -> int:
        """How many more fit in."""
        return WINDOW - len(self._under_way)

    @property
    def head(self) -> list[asyncio.Task[R]]:
        """The first of them; nothing if there is none."""
        return [self._under_way[0][0]] if self._under_way else []

    def add(self, *items: T) -> None:
        """Begin with some more."""
        self._under_way += [(asyncio.ensure_future(self._acted(item)), item) for item in items]

    def take(self) -> R | BaseException:
        """What the first one, which is done, has given."""
        done, _ = self._under_way.popleft()
        if done.cancelled():
            return asyncio.CancelledError()
        error = done.exception()
        return done.result() if error is None else error

    async def dismiss(self, *others: asyncio.Task[Any]) -> None:
        """Give all of them up."""
        left = [*self._under_way]
        for task in (*others, *(task for task, _ in left)):
            task.cancel()
        await asyncio.gather(*others, *(task for task, _ in left), return_exceptions=True)
        for _, item in left:
            self._forget(item)

    async def _acted(self, item: T) -> R:
        return await self._act(item)


async def _of_iterable(items: Iterable[T], window: Window[T, R]) -> AsyncGenerator[R | BaseException, None]:
    iterator = iter(items)
    broken = _draw(iterator, window)
    try:
        while head := window.head:
            await asyncio.wait(head)
            found = window.take()
            broken = broken or _draw(iterator, window)
            yield found
    finally:
        await window.dismiss()
    if broken is not None:
        raise broken


def _draw(iterator: Iterator[T], window: Window[T, R]) -> Exception | None:
    """Fill the window; gives what the iterator raised."""
    try:
        for item in islice(iterator, window.room):
            window.add(item)
    except Exception as error:  # noqa: BLE001 - the caller's own generator: raised to the caller in its turn
        return error
    return None


async def _of_source(items: AsyncIterable[T], window: Window[T, R]) -> AsyncGenerator[R | BaseException, None]:
    source = aiter(items)
    broken: BaseException | None = None
    drawing: asyncio.Task[tuple[T, ...]] | None = asyncio.ensure_future(_next(source))
    try:
        while window.head or drawing is not None:
            waited: list[asyncio.Task[Any]] = [*window.head]
            if drawing is not None and window.room:
                waited.append(drawing)
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if drawing is not None and drawing.done() and window.room:
                broken = drawing.exception()
                drawn = () if broken is not None else drawing.result()
                window.add(*drawn)
                drawing = asyncio.ensure_future(_next(source)) if drawn else None
            while (head := window.head) and head[0].done():
                yield window.take()
    finally:
        await window.dismiss(*([] if drawing is None else [drawing]))
    if broken is not None:
        raise broken


async def _next(source: AsyncIterator[T]) -> tuple[T, ...]:
    """The next item, alone; nothing at the end."""
    try:
        return (await anext(source),)
    except StopAsyncIteration:
        return ()


# ---------------------------------------------------------------------------------------------------------- a batch


class Keeper:
    """The batches that are being sent. It says now and then that their sender lives."""

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk
        self._said: dict[str, float] = {}

    def begin(self, batch_id: str, now: float) -> None:
        """This one is being sent from now on."""
        self._said[batch_id] = now

    def end(self, batch_id: str) -> None:
        """This one is not sent any more."""
        self._said.pop(batch_id, None)

    def keep(self, now: float) -> None:
        """Say it of those for which it is due."""
        for batch_id, said in self._said.items():
            if said + KEEP_EVERY <= now:
                self._said[batch_id] = now
                self._talk.tell(OpenBatch(batch_id))


class Sending:
    """One batch on its way."""

    def __init__(self, talk: Conversation, keeper: Keeper, batch_id: str) -> None:
        self._talk = talk
        self._keeper = keeper
        self.id = batch_id
        self.drawn = 0
        self.came = 0
        self.failed = 0
        self.failures: list[Exception] = []
        """The first of them."""

    async def each(
        self, items: Iterable[T] | AsyncIterable[T], act: Callable[[T], Awaitable[R]]
    ) -> AsyncGenerator[R | BaseException, None]:
        """What became of each item, in order; at the end the batch is sealed. Who stops before leaves it aborted."""
        self._keeper.begin(self.id, asyncio.get_running_loop().time())
        try:
            async with aclosing(in_order(items, act, _forget)) as founds:
                async for found in founds:
                    self._count(found)
                    yield found
            await self._seal()
        except BaseException as error:
            await self._give_up(error)
            raise
        finally:
            self._keeper.end(self.id)

    def group(self) -> ExceptionGroup[Exception] | None:
        """All failures in one; None if there is none."""
        if not self.failed:
            return None
        more = f" (the first {FAILURES_KEPT} are shown)" if self.failed > FAILURES_KEPT else ""
        text = f"{self.failed} of {self.drawn} triggers failed; the others run{more}"
        return ExceptionGroup(text, self.failures)

    def _count(self, found: object) -> None:
        self.drawn += 1
        if not isinstance(found, BaseException) or isinstance(found, NotYetAccepted | Rejected):
            self.came += 1  # the ledger has it, or will
        if isinstance(found, Exception):
            self.failed += 1
            if len(self.failures) < FAILURES_KEPT:
                self.failures.append(found)

    async def _seal(self) -> None:
        if not self.came:
            return
        try:
            await self._talk.order(SealBatch(self.id, self.came))
        except Rejected:
            raise
        except LongshoreError as error:
            _log.warning("batch %s was sent whole, but nobody answered that it is sealed: %s", self.id, error)

    async def _give_up(self, error: BaseException | None) -> None:
        """Tell the ledger that no more come; where it cannot be told, it sees it by the silence."""
        if not self.came:
            return
        why = "its sender stopped" if error is None or isinstance(error, GeneratorExit) else type(error).__name__
        with suppress(LongshoreError, TimeoutError):
            async with asyncio.timeout(GIVE_UP_WITHIN):
                await self._talk.order(AbortBatch(self.id, f"given up after {self.came} items: {why}"))


def _forget(item: object) -> None:
    """A call that was drawn and never started: nobody is to be warned about it."""
    if isinstance(item, Call):
        item.close()
