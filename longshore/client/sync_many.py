"""The verbs about many runs for code without an event loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar, Unpack

from longshore.client.bulks import BulkHandle, Which
from longshore.client.fields import Fields
from longshore.client.many import Batch, Started
from longshore.client.many_verbs import ACCEPT_TIMEOUT, ManyVerbs, Seconds
from longshore.client.orders import Order, RunOptions
from longshore.client.run import Run
from longshore.client.sync_run import SyncRun
from longshore.client.sync_thread import LoopThread, ended, following
from longshore.core.errors import UsageError
from longshore.routines import Call
from longshore.routines.options import Duration

R = TypeVar("R")


class SyncBatch:
    """A batch, by its id: the verbs of `Batch` without await."""

    def __init__(self, thread: LoopThread, batch: Batch) -> None:
        self._thread = thread
        self._batch = batch

    def __repr__(self) -> str:
        return repr(self._batch)

    @property
    def id(self) -> str:
        """Its id."""
        return self._batch.id

    def info(self) -> Fields:
        """See Batch.info."""
        return self._thread.call(self._batch.info())

    def runs(self, *, status: str | None = None, limit: int = 50) -> list[Fields]:
        """See Batch.runs."""
        return self._thread.call(self._batch.runs(status=status, limit=limit))

    def cancel(self, reason: str = "") -> SyncBulk:
        """See Batch.cancel."""
        return SyncBulk(self._thread, self._thread.call(self._batch.cancel(reason)))

    def wait(self, timeout: Duration | None = None) -> Fields:
        """See Batch.wait."""
        return self._thread.call(self._batch.wait(timeout))


class SyncBulk:
    """A bulk order, by its id: the verbs of `BulkHandle` without await."""

    def __init__(self, thread: LoopThread, bulk: BulkHandle) -> None:
        self._thread = thread
        self._bulk = bulk

    def __repr__(self) -> str:
        return repr(self._bulk)

    @property
    def id(self) -> str:
        """Its id."""
        return self._bulk.id

    def progress(self) -> Fields:
        """See BulkHandle.progress."""
        return self._thread.call(self._bulk.progress())

    def wait(self, timeout: Duration | None = None) -> Fields:
        """See BulkHandle.wait."""
        return self._thread.call(self._bulk.wait(timeout))

    def abort(self) -> Fields:
        """See BulkHandle.abort."""
        return self._thread.call(self._bulk.abort())


class SyncStarted(list[SyncRun[R]]):
    """See Started."""

    def __init__(self, runs: Iterable[SyncRun[R]], batch_id: str) -> None:
        super().__init__(runs)
        self.batch_id = batch_id


class SyncManyVerbs(ABC):
    """See ManyVerbs."""

    @abstractmethod
    def _verbs(self) -> tuple[LoopThread, ManyVerbs]:
        """The parts of a client that is open."""

    def trigger_many(
        self,
        calls: Iterable[Call[R] | Order],
        *,
        timeout: Seconds = ACCEPT_TIMEOUT,
        return_exceptions: bool = False,
        **options: Unpack[RunOptions],
    ) -> SyncStarted[R]:
        """See Client.trigger_many. The calls are drawn in the client's thread."""
        thread, verbs = self._verbs()
        work = verbs.trigger_many(calls, timeout=timeout, return_exceptions=return_exceptions, **options)
        started: Started[R] = thread.call(work)
        return SyncStarted([_sync(thread, one) for one in started], started.batch_id)

    def trigger_stream(
        self,
        calls: Iterable[Call[R] | Order],
        *,
        timeout: Seconds = ACCEPT_TIMEOUT,
        return_exceptions: bool = False,
        **options: Unpack[RunOptions],
    ) -> Iterator[SyncRun[R]]:
        """See Client.trigger_stream. The calls are drawn in the client's thread."""
        thread, verbs = self._verbs()
        runs = verbs.trigger_stream(calls, timeout=timeout, return_exceptions=return_exceptions, **options)
        try:
            while (run := thread.call(following(runs))) is not None:
                yield _sync(thread, run)
        finally:
            with suppress(UsageError):  # the client was closed before its iterator was
                thread.call(ended(runs))

    def batch(self, batch_id: str) -> SyncBatch:
        """See Client.batch."""
        thread, verbs = self._verbs()
        return SyncBatch(thread, verbs.batch(batch_id))

    def batches(self, *, status: str | None = None, limit: int = 50) -> list[Fields]:
        """See Client.batches."""
        thread, verbs = self._verbs()
        return thread.call(verbs.batches(status=status, limit=limit))

    def cancel_runs(self, *, reason: str = "", bulk_id: str | None = None, **which: Unpack[Which]) -> SyncBulk:
        """See Client.cancel_runs."""
        thread, verbs = self._verbs()
        return SyncBulk(thread, thread.call(verbs.cancel_runs(reason=reason, bulk_id=bulk_id, **which)))

    def rerun_runs(self, *, reason: str = "", bulk_id: str | None = None, **which: Unpack[Which]) -> SyncBulk:
        """See Client.rerun_runs."""
        thread, verbs = self._verbs()
        return SyncBulk(thread, thread.call(verbs.rerun_runs(reason=reason, bulk_id=bulk_id, **which)))

    def bulk(self, bulk_id: str) -> SyncBulk:
        """See Client.bulk."""
        thread, verbs = self._verbs()
        return SyncBulk(thread, verbs.bulk(bulk_id))

    def bulks(self, *, limit: int = 50) -> list[Fields]:
        """See Client.bulks."""
        thread, verbs = self._verbs()
        return thread.call(verbs.bulks(limit=limit))


def _sync(thread: LoopThread, one: Any) -> Any:
    return SyncRun(thread, one) if isinstance(one, Run) else one
