"""The client's verbs about many runs: batches, started in one go or as a stream. What they stand on is the client's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from datetime import timedelta
from typing import Any, Final, TypeVar, Unpack

from longshore.client.batches import Keeper, Sending
from longshore.client.bulks import BulkHandle, Which, bulk_of
from longshore.client.conversation import Conversation
from longshore.client.fields import Fields, rows
from longshore.client.many import Batch, Started
from longshore.client.orders import Order, RunOptions, batch_id_of, new_batch_id
from longshore.client.run import Run
from longshore.core.bulks import CANCEL, RERUN
from longshore.routines import Call

R = TypeVar("R")

ACCEPT_TIMEOUT: Final = 10.0
Seconds = float | timedelta | None


class ManyVerbs(ABC):
    """What a client can do with many runs."""

    @abstractmethod
    def _talking(self) -> tuple[Conversation, Keeper]:
        """The parts of a client that is open."""

    @abstractmethod
    async def _start(self, order: Order, timeout: Seconds, options: RunOptions) -> Run[Any]:
        """Start one run."""

    async def trigger_many(
        self,
        calls: Iterable[Call[R] | Order] | AsyncIterable[Call[R] | Order],
        *,
        timeout: Seconds = ACCEPT_TIMEOUT,
        return_exceptions: bool = False,
        **options: Unpack[RunOptions],
    ) -> Started[R]:
        """Start many runs as one batch; their handles in the order of the calls. Calls are drawn as fast as they are
        accepted; an Order names a routine instead. `batch_id` names the batch (else it gets a new name).

        A bad item fails alone. With `return_exceptions` its exception stands in its place; without, an ExceptionGroup
        of the failures is raised once every other run has been accepted. What ends the call before that (the caller's
        own generator, a cancel) leaves the batch aborted; the runs that have begun go on.
        """
        sending, act = self._sending(timeout, options)
        async with aclosing(sending.each(calls, act)) as each:
            found: list[Any] = [one async for one in each]
        if not return_exceptions and (group := sending.group()) is not None:
            raise group
        return Started(found, sending.id)

    async def trigger_stream(
        self,
        calls: Iterable[Call[R] | Order] | AsyncIterable[Call[R] | Order],
        *,
        timeout: Seconds = ACCEPT_TIMEOUT,
        return_exceptions: bool = False,
        **options: Unpack[RunOptions],
    ) -> AsyncGenerator[Run[R], None]:
        """As `trigger_many`, without bound: each handle as it is accepted, in order, and nothing of it kept. Calls are
        drawn, and their runs begin, up to 8,000 ahead of what was taken: who stops taking stops the drawing there.
        Who leaves the loop leaves the batch aborted; the runs that have begun go on."""
        sending, act = self._sending(timeout, options)
        async with aclosing(sending.each(calls, act)) as each:
            async for one in each:
                run: Any = one
                if return_exceptions or not isinstance(one, BaseException):
                    yield run
        if not return_exceptions and (group := sending.group()) is not None:
            raise group

    def batch(self, batch_id: str) -> Batch:
        """A handle of a batch. Nothing is asked yet."""
        talk, _ = self._talking()
        return Batch(talk, batch_id_of(batch_id))

    async def batches(self, *, status: str | None = None, limit: int = 50) -> list[Fields]:
        """The newest batches, as plain fields, the newest first."""
        talk, _ = self._talking()
        return rows(await talk.ask("batches", status=status, limit=limit))

    async def cancel_runs(self, *, reason: str = "", bulk_id: str | None = None, **which: Unpack[Which]) -> BulkHandle:
        """Cancel all runs that fit, as they are now, group by group: a handle to look, wait and abort with.

        `which` are conditions that all must fit: status (one or several), routine (its name, or name@version), version,
        tag, queue, concurrency_key, batch_id, parent_id, created_after, created_before; `all=True` alone means every
        run. The same `bulk_id` again is the same order. Raises UsageError.
        """
        talk, _ = self._talking()
        order = bulk_of(CANCEL, which, reason, bulk_id)
        await talk.order(order)
        return BulkHandle(talk, order.bulk_id)

    async def rerun_runs(self, *, reason: str = "", bulk_id: str | None = None, **which: Unpack[Which]) -> BulkHandle:
        """Run again all runs that have ended and fit, each as a new run with the same input and options (see
        `Run.rerun`). Conditions, handle and errors as `cancel_runs`."""
        talk, _ = self._talking()
        order = bulk_of(RERUN, which, reason, bulk_id)
        await talk.order(order)
        return BulkHandle(talk, order.bulk_id)

    def bulk(self, bulk_id: str) -> BulkHandle:
        """A handle of a bulk order. Nothing is asked yet."""
        talk, _ = self._talking()
        return BulkHandle(talk, bulk_id)

    async def bulks(self, *, limit: int = 50) -> list[Fields]:
        """The newest bulk orders, as plain fields, the newest first."""
        talk, _ = self._talking()
        return rows(await talk.ask("bulks", limit=limit))

    def _sending(self, timeout: Seconds, options: RunOptions) -> tuple[Sending, Callable[[Any], Awaitable[Run[Any]]]]:
        """A batch to be sent, and what is done with each of its items."""
        given: RunOptions = {**options, "batch_id": batch_id_of(options.get("batch_id") or new_batch_id())}

        async def start(item: Call[Any] | Order | Exception) -> Run[Any]:
            if isinstance(item, Exception):  # of an item that could not even be made
                raise item
            return await self._start(item if isinstance(item, Order) else Order(item), timeout, given)

        return Sending(*self._talking(), given["batch_id"]), start
