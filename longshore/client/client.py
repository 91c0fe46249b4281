"""The client: trigger, wait, look, cancel. It keeps no state of its own beyond what is waited for right now."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType, TracebackType
from typing import Any, Final, Self, TypeVar, Unpack, overload
from uuid import UUID

from longshore.broker import connect
from longshore.broker.bus import Bus
from longshore.client.accepting import accepted, refusal, turn, within
from longshore.client.batches import Keeper
from longshore.client.conversation import ASK_TIMEOUT, Conversation
from longshore.client.events import EventVerbs
from longshore.client.fields import Fields, row, rows
from longshore.client.fleet import drain
from longshore.client.keys import KeyVerbs
from longshore.client.link import Link
from longshore.client.looking import LookVerbs
from longshore.client.many_verbs import ManyVerbs
from longshore.client.modules import module_name, module_of
from longshore.client.orders import Order, OrderBook, RunOptions, patience
from longshore.client.outside import Completion
from longshore.client.places import broker_in_force, cargo_of
from longshore.client.queues import QueueVerbs
from longshore.client.run import Run
from longshore.client.schedules import Schedules
from longshore.client.tracing import Tracing
from longshore.client.waiting import Impatience, Why
from longshore.core.envelope import Names
from longshore.core.errors import UsageError
from longshore.core.ids import ClientId, RunId, is_run_id
from longshore.core.message import RunChanged, Trigger
from longshore.payloads import AsyncCargo
from longshore.routines import Call
from longshore.routines.options import Duration
from longshore.serialization.values import Encoded
from longshore.settings import Settings, load
from longshore.telemetry import Telemetry, semantics, setup

R = TypeVar("R")

_log = logging.getLogger(__name__)

ACCEPT_TIMEOUT: Final = 10.0
CONNECT_TIMEOUT: Final = 10.0
LOOK_EVERY: Final = 1.0
_LOOK_TIMEOUT: Final = 5.0

Seconds = float | timedelta | None
OnWaiting = Callable[[Run[Any], Why], None]


@dataclass(slots=True)
class _Open:
    """The parts of a client that is open."""

    link: Link
    talk: Conversation
    orders: OrderBook
    cargo: AsyncCargo
    telemetry: Telemetry
    keeper: Keeper
    tending: asyncio.Task[None]


class Client(QueueVerbs, ManyVerbs, EventVerbs, KeyVerbs, LookVerbs):
    """`async with Client() as client:` talks to the coordinator that the settings lead to.

    `modules` are those whose exceptions come back as their own class (names or modules). `on_waiting(run, why)` is
    called when a wait has lasted 5 s, with the reason (it is logged as well). `bus` is a link of one's own instead of
    `broker_url`.
    """

    def __init__(
        self,
        *,
        broker_url: str | None = None,
        settings: Settings | None = None,
        modules: Iterable[str | ModuleType] = (),
        on_waiting: OnWaiting | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        telemetry: Telemetry | None = None,
        bus: Bus | None = None,
    ) -> None:
        self._broker_url = broker_url
        self._settings = settings
        self._modules = tuple(modules)
        self._on_waiting = on_waiting
        self._connect_timeout = connect_timeout
        self._telemetry = telemetry
        self._bus = bus
        self._parts: _Open | None = None
        self.id = ClientId(secrets.token_hex(16))

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect. Raises SettingsError, and BrokerUnavailableError when the broker does not answer in time."""
        if self._parts is not None:
            raise UsageError("this client is open already")
        settings = self._settings or load(broker_url=self._broker_url)
        if self._settings is not None and self._broker_url is not None:
            settings = self._settings.model_copy(update={"broker_url": self._broker_url})
        modules = [module_name(module) for module in self._modules]
        names = Names(settings.namespace)
        url = "local:" if self._bus is not None else broker_in_force(settings)
        bus = self._bus if self._bus is not None else connect(url, names)
        telemetry = self._telemetry or setup("longshore-client", self.id[:8])
        system = semantics.SYSTEM_RABBITMQ if url.startswith("amqp") else semantics.SYSTEM_LOCAL
        tracing = Tracing(telemetry, names.commands, system, self.id)
        cargo = cargo_of(settings)
        link = Link(bus, names, self.id, tracing.sent)
        talk = Conversation(link, cargo, tracing, modules)
        try:
            await link.open(timeout=self._connect_timeout)
        except BaseException:
            await cargo.close()
            await self._close_telemetry(telemetry)
            raise
        keeper = Keeper(talk)
        tending = asyncio.create_task(self._tend(link, talk, keeper), name="longshore-client")
        orders = OrderBook(cargo, settings.project, self.id)
        self._parts = _Open(link, talk, orders, cargo, telemetry, keeper, tending)

    async def close(self) -> None:
        """Send what is under way and disconnect; open waits raise UnavailableError. Twice is harmless."""
        parts, self._parts = self._parts, None
        if parts is None:
            return
        parts.tending.cancel()
        (ended,) = await asyncio.gather(parts.tending, return_exceptions=True)
        if isinstance(ended, Exception):
            _log.error("asking again and looking why runs wait had ended", exc_info=ended)
        await parts.link.close()
        await parts.cargo.close()
        await self._close_telemetry(parts.telemetry)

    async def _close_telemetry(self, telemetry: Telemetry) -> None:
        if self._telemetry is None and telemetry.enabled:
            await asyncio.to_thread(telemetry.close)

    # ------------------------------------------------------------------------------------------------- triggers

    @overload
    async def trigger(
        self, what: Call[R], *, run_id: str | UUID | None = None, timeout: Seconds = ..., **options: Unpack[RunOptions]
    ) -> Run[R]: ...

    @overload
    async def trigger(
        self,
        what: str,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        run_id: str | UUID | None = None,
        timeout: Seconds = ...,
        **options: Unpack[RunOptions],
    ) -> Run[Any]: ...

    async def trigger(
        self,
        what: Call[Any] | str,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        run_id: str | UUID | None = None,
        timeout: Seconds = ACCEPT_TIMEOUT,
        **options: Unpack[RunOptions],
    ) -> Run[Any]:
        """Start a run: of a call, or of `"name"` or `"name@version"` with `args` and `kwargs`.

        The same `run_id` again is the same run. Returns when the ledger has it; `timeout` is how long to wait for that
        (the time of an attempt is `attempt_timeout`). Raises BrokerUnavailableError (with `run_id` and
        `may_have_been_sent`), NotYetAccepted (with `run`), Rejected (with `rule`), UsageError.
        """
        parts = self._opened()
        limit = patience("timeout", timeout)
        if parts.link.crowded:
            limit, _ = await turn(parts.link, limit, None)
        trigger = await parts.orders.trigger(Order(what, args, kwargs, run_id), options, "accepted")
        return await accepted(parts.talk, trigger, limit, module_of(what), own_id=run_id is not None)

    async def forward(self, trigger: Trigger, value: bytes, *, timeout: Seconds = ACCEPT_TIMEOUT) -> Run[Any]:
        """Send a trigger that was made somewhere else (an outbox keeps them), with its input. Raises as `trigger`, and
        PayloadUnavailable."""
        parts = self._opened()
        limit = patience("timeout", timeout)
        laden = await parts.orders.laden(trigger, Encoded(len(value), [value]))
        return await accepted(parts.talk, laden, limit, "")

    @overload
    async def run(
        self,
        what: Call[R],
        *,
        run_id: str | UUID | None = None,
        timeout: Seconds = None,
        accept_timeout: Seconds = ...,
        **options: Unpack[RunOptions],
    ) -> R: ...

    @overload
    async def run(
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

    async def run(
        self,
        what: Call[Any] | str,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        run_id: str | UUID | None = None,
        timeout: Seconds = None,
        accept_timeout: Seconds = ACCEPT_TIMEOUT,
        **options: Unpack[RunOptions],
    ) -> Any:
        """Start a run and give its result.

        Raises as `trigger` (within `accept_timeout`) and as `Run.result`; TimeoutError when `timeout` ends first, and
        the run goes on then.
        """
        parts = self._opened()
        limit = patience("timeout", timeout)
        accept = patience("accept_timeout", accept_timeout)
        if parts.link.crowded:
            accept, limit = await turn(parts.link, accept, limit)
        trigger = await parts.orders.trigger(Order(what, args, kwargs, run_id), options, "outcome")
        module = module_of(what)
        del what, args, kwargs  # the arguments are encoded: while this waits nothing of it holds them
        errand = parts.talk.begin(trigger, accept)
        try:
            answer = await (errand.waiter if limit is None else within(errand.waiter, limit))
        except (TimeoutError, asyncio.CancelledError) as error:
            raise parts.talk.given_up(errand, error, limit) from None
        reply = parts.talk.reply(errand, answer, accept)
        if type(reply) is RunChanged:
            return await parts.talk.value(reply, trigger.routine, module)
        raise refusal(reply, Run(parts.talk, trigger.run_id, trigger.routine, module), accept)

    def _talking(self) -> tuple[Conversation, Keeper]:
        parts = self._opened()
        return parts.talk, parts.keeper

    async def _start(self, order: Order, timeout: Seconds, options: RunOptions) -> Run[Any]:
        what: Any = order.what
        more: Any = options
        if isinstance(what, str):
            more = {**options, "args": order.args, "kwargs": order.kwargs}
        run: Run[Any] = await self.trigger(what, run_id=order.run_id, timeout=timeout, **more)
        return run

    # ------------------------------------------------------------------------------------------------- looking

    def handle(self, run_id: str | UUID) -> Run[Any]:
        """A handle of a run that was triggered somewhere else. Nothing is asked yet."""
        text = str(run_id)
        if not is_run_id(text):
            raise UsageError(f"{text!r} is no run id: a UUID in canonical form (36 characters, lower case)")
        return Run(self._opened().talk, RunId(text))

    @property
    def schedules(self) -> Schedules:
        """Schedules: create, list, get, pause, resume, delete, next."""
        return Schedules(self._opened().talk)

    async def resume(self, run_id: str | UUID, *, reason: str = "") -> None:
        """See Run.resume."""
        await self.handle(run_id).resume(reason)

    async def signal(self, run_id: str | UUID, name: str, value: Any = None) -> None:
        """See Run.signal."""
        await self.handle(run_id).signal(name, value)

    async def fork(
        self, run_id: str | UUID, *, at: str, version: str | None = None, fork_id: str | UUID | None = None
    ) -> Run[Any]:
        """See Run.fork."""
        return await self.handle(run_id).fork(at=at, version=version, fork_id=fork_id)

    async def complete_token(
        self, token: str, value: Any = None, *, error: str | BaseException | None = None
    ) -> Completion:
        """Give the workflow that made this token what it waits for: a value, or an `error` that it gets as TokenFailed.

        The first completion counts; another is a no-op, whose Completion is false and says why, as is one after the end
        of the run. Raises Rejected (`unknown_token`, `expired_token`).
        """
        return await self._opened().talk.complete_token(token, value, error)

    async def workers(self) -> list[Fields]:
        """The workers, as plain fields."""
        return rows(await self.ask("workers"))

    async def drain_worker(
        self,
        worker_id: str = "",
        *,
        pool: str | None = None,
        host: str | None = None,
        version: str | None = None,
        grace: Duration | None = None,
    ) -> list[Fields]:
        """Have a worker process take nothing new, hand back, finish and leave; or all that fit a pool, a host, a
        version they offer (`"1.0.0"`, `"name@1.0.0"`). Gives who was told. Its supervisor does not start it again.

        `grace` is how long what executes may go on; told again, it may be another one. Raises Rejected
        (`unknown_worker`).
        """
        return await drain(self._opened().talk, worker_id, pool, host, version, grace)

    async def dead(self, *, limit: int = 50) -> list[Fields]:
        """The newest messages nobody could read or decide, the newest first."""
        return rows(await self.ask("dead", limit=limit))

    async def dead_letter(self, letter_id: int) -> Fields:
        """One of them, whole."""
        return row(await self.ask("dead_letter", id=letter_id))

    async def ask(self, what: str, *, run_ids: Sequence[str] = (), timeout: float = ASK_TIMEOUT, **params: Any) -> Any:
        """The coordinator's answer to any question, as plain data.

        Raises Rejected when it refuses the question, BrokerUnavailableError or UnavailableError when nobody answers.
        """
        return await self._opened().talk.ask(what, [RunId(one) for one in run_ids], timeout=timeout, **params)

    # ------------------------------------------------------------------------------------------------- inside

    def _linked(self) -> Link:
        return self._opened().link

    def _opened(self) -> _Open:
        if self._parts is None:
            raise UsageError("this client is not open: write `async with Client() as client:`")
        return self._parts

    def _project(self) -> str:
        return self._opened().orders.project

    def _talk(self) -> Conversation:
        return self._opened().talk

    async def _tend(self, link: Link, talk: Conversation, keeper: Keeper) -> None:
        loop = asyncio.get_running_loop()

        async def fields(run_id: RunId) -> dict[str, Any]:
            found: dict[str, Any] = await talk.ask("run", [run_id], timeout=_LOOK_TIMEOUT)
            return found

        def tell(run_id: RunId, routine: str, reason: Why) -> None:
            if self._on_waiting is not None:
                loop.call_soon(self._on_waiting, Run(talk, run_id, routine), reason)

        impatience = Impatience(link.book, fields, tell)
        while True:
            await asyncio.sleep(LOOK_EVERY)
            link.ask_stale()
            keeper.keep(loop.time())
            await impatience.look(loop.time())
