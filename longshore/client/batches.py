"""Many triggers in one go: any number of items, a bounded number of them under way, their order kept.

All of them are one batch, which the ledger knows: kept open while items come, sealed with their count, or given up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from longshore.client.conversation import Conversation
from longshore.core.errors import LongshoreError, NotYetAccepted, Rejected, UsageError
from longshore.core.message import MAX_ITEMS, AbortBatch, OpenBatch, SealBatch
from longshore.routines import Call

_log = logging.getLogger("longshore.client")

T = TypeVar("T")
R = TypeVar("R")

WINDOW: Final = 8 * MAX_ITEMS
"""So many items are under way at most."""
GROUP: Final = MAX_ITEMS
"""So much room is waited for before more are drawn: one at a time they would leave in bodies, and be committed in
transactions, of a few."""
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
    if not isinstance(items, Iterable | AsyncIterable) or isinstance(items, str | bytes | Call):
        raise UsageError(f"{items!r} is no list or generator of calls: write trigger_many(train(d) for d in many)")
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
        """How many more fit in; 0 as long as it is not a group of them."""
        under_way = len(self._under_way)
        return WINDOW - under_way if under_way <= WINDOW - GROUP else 0

    @property
    def is_empty(self) -> bool:
        """Whether none is under way."""
        return not self._under_way

    async def first(self) -> R | BaseException:
        """What the first one gives; it is waited for."""
        if not self._under_way[0][0].done():
            await asyncio.wait((self._under_way[0][0],))
        return self._take()

    def add(self, *items: T) -> None:
        """Begin with some more."""
        self._under_way += [(asyncio.ensure_future(self._acted(item)), item) for item in items]

    def _take(self) -> R | BaseException:
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
        while not window.is_empty:
            found = await window.first()
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


class Source(Generic[T, R]):
    """Draws from an asynchronous source, in a task of its own, as long as there is room."""

    def __init__(self, items: AsyncIterable[T], window: Window[T, R]) -> None:
        self._items = items
        self._window = window
        self._taken = asyncio.Event()
        self._drawn = asyncio.Event()
        self.over = False
        """Whether no more come."""

    async def draw(self) -> None:
        """Until there are no more. Raises what drawing raised."""
        room = WINDOW
        try:
            async for item in self._items:
                self._window.add(item)
                self._drawn.set()
                room = room - 1 or await self._room()
        finally:
            self.over = True
            self._drawn.set()

    async def _room(self) -> int:
        while not (room := self._window.room):
            self._taken.clear()
            await self._taken.wait()
        return room

    def taken(self) -> None:
        """An item has left the window."""
        if self._window.room:
            self._taken.set()

    async def more(self) -> None:
        """Wait until an item was drawn, or no more come."""
        self._drawn.clear()
        await self._drawn.wait()


async def _of_source(items: AsyncIterable[T], window: Window[T, R]) -> AsyncGenerator[R | BaseException, None]:
    source = Source(items, window)
    drawing = asyncio.ensure_future(source.draw())
    try:
        while not (source.over and window.is_empty):
            if window.is_empty:
                await source.more()
                continue
            found = await window.first()
            source.taken()
            yield found
        await drawing
    finally:
        await window.dismiss(drawing)


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
                await self._talk.order(AbortBatch(self.id, f"given up when {self.came} handles were taken: {why}"))


def _forget(item: object) -> None:
    """A call that was drawn and never started: nobody is to be warned about it."""
    if isinstance(item, Call):
        item.close()
