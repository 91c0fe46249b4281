"""The client for code without an event loop: the same verbs, each a wait that Ctrl-C interrupts.

A thread of its own runs the loop; nothing of the caller's code runs there except `on_waiting`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import ModuleType, TracebackType
from typing import Any, Self, TypeVar, Unpack, overload
from uuid import UUID

from longshore.client.client import ACCEPT_TIMEOUT, CONNECT_TIMEOUT, Client, Seconds
from longshore.client.conversation import ASK_TIMEOUT
from longshore.client.events import EventVerbs
from longshore.client.fields import Fields
from longshore.client.looking import LookVerbs
from longshore.client.many_verbs import ManyVerbs
from longshore.client.orders import RunOptions
from longshore.client.outside import Completion
from longshore.client.queues import SyncQueueVerbs
from longshore.client.run import Run
from longshore.client.schedules import SyncSchedules
from longshore.client.sync_events import SyncEventVerbs
from longshore.client.sync_looking import SyncLookVerbs
from longshore.client.sync_many import SyncManyVerbs
from longshore.client.sync_run import SyncRun
from longshore.client.sync_thread import LoopThread
from longshore.client.waiting import Why
from longshore.core.errors import UsageError
from longshore.routines import Call, Routine
from longshore.routines.options import Duration
from longshore.settings import Settings
from longshore.telemetry import Telemetry

T = TypeVar("T")
R = TypeVar("R")


class SyncClient(SyncQueueVerbs, SyncManyVerbs, SyncEventVerbs, SyncLookVerbs):
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
        self._thread: LoopThread | None = None

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
        thread = LoopThread()
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

    def handle(self, run_id: str | UUID) -> SyncRun[Any]:
        """See Client.handle."""
        return SyncRun(self._opened(), self._client.handle(run_id))

    @property
    def schedules(self) -> SyncSchedules:
        """See Client.schedules."""
        return SyncSchedules(self._opened().call, self._client.schedules)

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

    def reset_idempotency_key(
        self,
        routine: str | Routine[..., Any],
        key: str,
        *,
        run_id: str | UUID | None = None,
        producer: str | None = None,
    ) -> Fields:
        """See Client.reset_idempotency_key."""
        reset = self._client.reset_idempotency_key(routine, key, run_id=run_id, producer=producer)
        return self._opened().call(reset)

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

    def _verbs(self) -> tuple[LoopThread, ManyVerbs]:
        return self._opened(), self._client

    def _looking(self) -> tuple[LoopThread, LookVerbs]:
        return self._opened(), self._client

    def _beside(self) -> tuple[LoopThread, EventVerbs]:
        return self._opened(), self._client

    def _opened(self) -> LoopThread:
        if self._thread is None:
            raise UsageError("this client is not open: write `with SyncClient() as client:`")
        return self._thread
