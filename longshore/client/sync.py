"""The client for code without an event loop: the same verbs, each a wait that Ctrl-C interrupts.

A thread of its own runs the loop; nothing of the caller's code runs there except `on_waiting`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime
from types import ModuleType, TracebackType
from typing import Any, Final, Generic, Self, TypeVar, Unpack, overload
from uuid import UUID

from longshore.client.client import ACCEPT_TIMEOUT, CONNECT_TIMEOUT, Client, Seconds
from longshore.client.conversation import ASK_TIMEOUT
from longshore.client.fields import Fields
from longshore.client.orders import RunOptions
from longshore.client.outside import Completion
from longshore.client.queues import SyncQueueVerbs
from longshore.client.run import Change, Run
from longshore.client.waiting import Why
from longshore.core.errors import UsageError
from longshore.core.ids import RunId
from longshore.routines import Call
from longshore.routines.options import Duration
from longshore.settings import Settings
from longshore.telemetry import Telemetry

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_JOIN_WITHIN: Final = 10.0


class _Thread:
    """An event loop in a thread, for as long as it is open."""

    def __init__(self) -> None:
        self._ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._serve, name="longshore-client", daemon=True)
        self._thread.start()
        self._loop, self._stopping = self._ready.result(_JOIN_WITHIN)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine gives, run on the loop in the caller's context; an interrupt cancels it."""
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            work.close()
            raise UsageError("a SyncClient cannot be used inside its own on_waiting, nor once it is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop and the thread."""
        with suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_JOIN_WITHIN)

    def _serve(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._wait())

    async def _wait(self) -> None:
        stopping = asyncio.Event()
        self._ready.set_result((asyncio.get_running_loop(), stopping))
        await stopping.wait()


class SyncRun(Generic[R_co]):
    """A run, by its id: the verbs of `Run` without await."""

    def __init__(self, thread: _Thread, run: Run[R_co]) -> None:
        self._thread = thread
        self._run = run

    def __repr__(self) -> str:
        return repr(self._run)

    @property
    def id(self) -> RunId:
        """Its id."""
        return self._run.id

    @property
    def routine(self) -> str:
        """What it was triggered as, where that is known here."""
        return self._run.routine

    def status(self) -> str:
        """See Run.status."""
        return self._thread.call(self._run.status())

    def info(self) -> Fields:
        """See Run.info."""
        return self._thread.call(self._run.info())

    def history(self) -> list[Fields]:
        """See Run.history."""
        return self._thread.call(self._run.history())

    def tree(self) -> list[Fields]:
        """See Run.tree."""
        return self._thread.call(self._run.tree())

    def why_waiting(self) -> Fields | None:
        """See Run.why_waiting."""
        return self._thread.call(self._run.why_waiting())

    def result(self, timeout: Duration | None = None) -> R_co:
        """See Run.result."""
        return self._thread.call(self._run.result(timeout))

    def cancel(self, reason: str = "") -> None:
        """See Run.cancel."""
        self._thread.call(self._run.cancel(reason))

    def pause(self, reason: str = "") -> None:
        """See Run.pause."""
        self._thread.call(self._run.pause(reason))

    def resume(self, reason: str = "") -> None:
        """See Run.resume."""
        self._thread.call(self._run.resume(reason))

    def reschedule(self, to: Duration | datetime) -> None:
        """See Run.reschedule."""
        self._thread.call(self._run.reschedule(to))

    def signal(self, name: str, value: Any = None) -> None:
        """See Run.signal."""
        self._thread.call(self._run.signal(name, value))

    def fork(self, *, at: str, version: str | None = None, fork_id: str | UUID | None = None) -> SyncRun[R_co]:
        """See Run.fork."""
        return SyncRun(self._thread, self._thread.call(self._run.fork(at=at, version=version, fork_id=fork_id)))

    def watch(self) -> Iterator[Change]:
        """See Run.watch."""
        changes = self._run.watch()
        try:
            while (change := self._thread.call(_next(changes))) is not None:
                yield change
        finally:
            with suppress(UsageError):  # the client was closed before its iterator was
                self._thread.call(_end(changes))


async def _next(changes: AsyncIterator[Change]) -> Change | None:
    return await anext(changes, None)


async def _end(changes: AsyncIterator[Change]) -> None:
    close = getattr(changes, "aclose", None)
    if close is not None:
        await close()


class SyncClient(SyncQueueVerbs):
    """`with SyncClient() as client:` has the verbs of Client without await."""

    def __init__(
        self,
        *,
        broker_url: str | None = None,
        settings: Settings | None = None,
        modules: Iterable[str | ModuleType] = (),
        on_waiting: Callable[[Run[Any], Why], None] | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._client: Client = Client(
            broker_url=broker_url,
            settings=settings,
            modules=modules,
            on_waiting=on_waiting,
            connect_timeout=connect_timeout,
            telemetry=telemetry,
        )
        self._thread: _Thread | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """See Client.open."""
        if self._thread is not None:
            raise UsageError("this client is open already")
        thread = _Thread()
        try:
            thread.call(self._client.open())
        except BaseException:
            thread.close()
            raise
        self._thread = thread

    def close(self) -> None:
        """See Client.close."""
        thread, self._thread = self._thread, None
        if thread is not None:
            try:
                thread.call(self._client.close())
            finally:
                thread.close()

    @overload
    def trigger(
        self, what: Call[R], *, run_id: str | UUID | None = None, timeout: Seconds = ..., **options: Unpack[RunOptions]
    ) -> SyncRun[R]: ...

    @overload
    def trigger(
        self,
        what: str,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        run_id: str | UUID | None = None,
        timeout: Seconds = ...,
        **options: Unpack[RunOptions],
    ) -> SyncRun[Any]: ...

    def trigger(self, what: Any, *, timeout: Seconds = ACCEPT_TIMEOUT, **given: Any) -> SyncRun[Any]:
        """See Client.trigger."""
        thread = self._opened()
        return SyncRun(thread, thread.call(self._client.trigger(what, timeout=timeout, **given)))

    @overload
    def run(
        self,
        what: Call[R],
        *,
        run_id: str | UUID | None = None,
        timeout: Seconds = None,
        accept_timeout: Seconds = ...,
        **options: Unpack[RunOptions],
    ) -> R: ...

    @overload
    def run(
        self,
        what: str,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        run_id: str | UUID | None = None,
        timeout: Seconds = None,
        accept_timeout: Seconds = ...,
        **options: Unpack[RunOptions],
    ) -> Any: ...

    def run(self, what: Any, **given: Any) -> Any:
        """See Client.run."""
        return self._opened().call(self._client.run(what, **given))

    def trigger_many(
        self,
        calls: Iterable[Call[R]],
        *,
        timeout: Seconds = ACCEPT_TIMEOUT,
        return_exceptions: bool = False,
        **options: Unpack[RunOptions],
    ) -> list[SyncRun[R]]:
        """See Client.trigger_many. The calls are drawn in the client's thread."""
        thread = self._opened()
        found = thread.call(
            self._client.trigger_many(calls, timeout=timeout, return_exceptions=return_exceptions, **options)
        )
        return [SyncRun(thread, one) if isinstance(one, Run) else one for one in found]

    def handle(self, run_id: str | UUID) -> SyncRun[Any]:
        """See Client.handle."""
        return SyncRun(self._opened(), self._client.handle(run_id))

    def runs(
        self,
        *,
        status: str | None = None,
        routine: str | None = None,
        tag: str | None = None,
        queue: str | None = None,
        concurrency_key: str | None = None,
        limit: int = 50,
    ) -> list[Fields]:
        """See Client.runs."""
        wanted = self._client.runs(
            status=status, routine=routine, tag=tag, queue=queue, concurrency_key=concurrency_key, limit=limit
        )
        return self._opened().call(wanted)

    def resume(self, run_id: str | UUID, *, reason: str = "") -> None:
        """See Client.resume."""
        self._opened().call(self._client.resume(run_id, reason=reason))

    def signal(self, run_id: str | UUID, name: str, value: Any = None) -> None:
        """See Run.signal."""
        self._opened().call(self._client.signal(run_id, name, value))

    def fork(
        self, run_id: str | UUID, *, at: str, version: str | None = None, fork_id: str | UUID | None = None
    ) -> SyncRun[Any]:
        """See Run.fork."""
        return self.handle(run_id).fork(at=at, version=version, fork_id=fork_id)

    def complete_token(self, token: str, value: Any = None, *, error: str | BaseException | None = None) -> Completion:
        """See Client.complete_token."""
        return self._opened().call(self._client.complete_token(token, value, error=error))

    def workers(self) -> list[Fields]:
        """See Client.workers."""
        return self._opened().call(self._client.workers())

    def drain_worker(
        self,
        worker_id: str = "",
        *,
        pool: str | None = None,
        host: str | None = None,
        version: str | None = None,
        grace: Duration | None = None,
    ) -> list[Fields]:
        """See Client.drain_worker."""
        work = self._client.drain_worker(worker_id, pool=pool, host=host, version=version, grace=grace)
        return self._opened().call(work)

    def dead(self, *, limit: int = 50) -> list[Fields]:
        """See Client.dead."""
        return self._opened().call(self._client.dead(limit=limit))

    def dead_letter(self, letter_id: int) -> Fields:
        """See Client.dead_letter."""
        return self._opened().call(self._client.dead_letter(letter_id))

    def ask(self, what: str, *, run_ids: Sequence[str] = (), timeout: float = ASK_TIMEOUT, **params: Any) -> Any:
        """See Client.ask."""
        return self._opened().call(self._client.ask(what, run_ids=run_ids, timeout=timeout, **params))

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return self._opened().call(work)

    def _opened(self) -> _Thread:
        if self._thread is None:
            raise UsageError("this client is not open: write `with SyncClient() as client:`")
        return self._thread
