"""A fleet for tests: coordinator, worker and client in this process, with a clock that the test moves.

    async with fleet(shop) as f:
        run = await f.client.trigger(shop.order("tea"), delay="1h")
        await f.jump("1h")
        assert await run.result() == "sent"

The parts are the real ones, on a local bus, with a ledger and payloads in a folder that goes with the fleet: no socket,
no other process, no setting of the machine but those given. Time goes on as always, and `jump` passes it: delays,
retries, timers, ttl, deadlines, schedules, debounces and retention come about in their order. What is measured goes by
the real clock: the lease of a worker, the timeout of an attempt, `heartbeat_timeout`, and what code itself reads from
`datetime.now` (a workflow's `context.now` is the fleet's).
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType, TracebackType
from typing import Any, Final, Self

from longshore.assembly.fleet import make_coordinator, ready_or_ended
from longshore.assembly.parts import cargo, payload_options
from longshore.assembly.places import make_folders
from longshore.broker.local import LocalRouter
from longshore.client import Client
from longshore.coordinator.service import Coordinator
from longshore.core.durations import duration
from longshore.core.envelope import Names
from longshore.core.errors import UnavailableError, UsageError
from longshore.core.ids import RunId
from longshore.routines.catalog import Catalog, collect
from longshore.routines.reach import allow_own
from longshore.routines.routine import Routine
from longshore.settings import Settings, load
from longshore.telemetry import Telemetry
from longshore.testing.clock import JumpingClock
from longshore.worker import Worker, WorkerConfig
from longshore.worker.config import Exit

PATIENCE: Final = 5.0
READY_WITHIN: Final = 20.0
LEAVE_WITHIN: Final = 10.0
LOOK_EVERY: Final = 0.002

What = str | ModuleType | Routine[..., Any]


class fleet:
    """`async with fleet(shop, other.routine) as f:` for the routines of modules (or their names), or single ones.

    `pool` and `slots` are the worker's. `patience`: for how many real seconds a jump waits for code that is at work,
    each time something was due; what takes longer goes on while time passes. `settings` are those of `Settings` by
    name, for instance retention="1d". Raises UsageError for routines with isolation="process", DefinitionError,
    SettingsError.
    """

    def __init__(
        self, *what: What, pool: str = "default", slots: int = 16, patience: float = PATIENCE, **settings: Any
    ) -> None:
        self._catalog = _catalog(what)
        self._pool = pool
        self._slots = slots
        self._patience = patience
        self._given = settings
        self._clock = JumpingClock()
        self._left: frozenset[tuple[RunId, int]] = frozenset()
        self._stack = AsyncExitStack()
        self._coordinator: Coordinator
        self._parts: list[asyncio.Task[Any]] = []
        self.client: Client
        """A client of this fleet, open while the block lasts."""

    @property
    def now(self) -> datetime:
        """The fleet's time."""
        return self._clock()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="longshore-")))
            settings = self._settings(folder)
            make_folders(settings)
            names = Names(settings.namespace)
            router = LocalRouter(names)
            coordinator = self._coordinator = make_coordinator(
                settings,
                router.bus(user="coordinator"),
                Telemetry(),
                events_bus=lambda: router.bus(user="events"),
                clock=self._clock,
                tunes=False,
            )
            coordinating = self._start(stack, coordinator.run(), None)
            await ready_or_ended(coordinator.ready(), coordinating)
            worker = self._worker(router, names, settings)
            self._start(stack, worker.run(), worker.leave)
            known = [sys.modules[name] for name in self._catalog.modules if name in sys.modules]
            client = Client(settings=settings, modules=known, bus=router.bus(), telemetry=Telemetry())
            self.client = await stack.enter_async_context(client)
            await self._joined()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        self._parts.clear()

    async def jump(self, length: str | float | timedelta) -> None:
        """Let so much time pass: `"1h"`, seconds or a timedelta. What is due meanwhile comes about in its order, each
        when the one before has had its consequences."""
        target = self.now + duration(length)
        await self.settle()
        while (at := self._coordinator.coming_at()) is not None and at <= target:
            await self._move_to(at)
        await self._move_to(target)

    async def settle(self) -> None:
        """Wait until nothing moves: all that has been ordered and is due has been done, but for code that is at work
        for longer than the fleet's patience. No time passes but that which this takes."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        while True:
            self._look()
            glance = self._coordinator.glance()
            if not glance.moving and glance.at_work <= self._left:
                return
            if loop.time() > until:
                self._left = glance.at_work
                return
            await asyncio.sleep(LOOK_EVERY)

    async def _move_to(self, at: datetime) -> None:
        self._clock.move_to(at)
        self._coordinator.wake()
        await self.settle()

    # ------------------------------------------------------------------------------------------------------ the parts

    def _settings(self, folder: Path) -> Settings:
        own: dict[str, Any] = {
            "namespace": f"test-{secrets.token_hex(4)}",
            "broker_url": "local:in-this-process",
            "store_url": f"sqlite:///{folder / 'ledger.db'}",
            "payload_url": f"file:{folder / 'payloads'}",
        }
        taken = own.keys() & self._given.keys()
        if taken:
            raise UsageError(f"fleet({min(taken)}=...): a fleet for tests has its own")
        return load(**own, **self._given)

    def _worker(self, router: LocalRouter, names: Names, settings: Settings) -> Worker:
        config = WorkerConfig(
            pool=self._pool,
            slots=self._slots,
            project=settings.project,
            heartbeat=settings.heartbeat,
            store=payload_options(settings),
            max_hanging=settings.max_hanging,
            suspend_after=settings.suspend_after,
            pump_limit=settings.pump_limit,
            advises=False,
            clock=self._clock,
        )
        return Worker(router.bus(user="worker"), names, self._catalog, cargo(settings), Telemetry(), config)

    def _start(
        self, stack: AsyncExitStack, work: Coroutine[Any, Any, Any], leave: Callable[[], None] | None
    ) -> asyncio.Task[Any]:
        """A part that goes on until the fleet is left, and is then asked to leave or canceled."""
        part = asyncio.create_task(work)
        self._parts.append(part)

        async def end() -> None:
            if leave is not None and not part.done():
                leave()
                await asyncio.wait([part], timeout=LEAVE_WITHIN)
            part.cancel()
            await asyncio.gather(part, return_exceptions=True)

        stack.push_async_callback(end)
        return part

    async def _joined(self) -> None:
        try:
            async with asyncio.timeout(READY_WITHIN):
                while not await self.client.workers():
                    self._look()
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            raise UnavailableError(
                f"the worker of a fleet for tests has not joined within {READY_WITHIN:g} s"
            ) from None

    def _look(self) -> None:
        """Raise what ended a part."""
        for part in self._parts:
            if part.done():
                ended = part.result()
                why = ended.reason if isinstance(ended, Exit) else "it was stopped"
                raise UnavailableError(f"a part of the fleet has ended: {why}")


def _catalog(what: tuple[What, ...]) -> Catalog:
    collected = collect([one for one in what if not isinstance(one, Routine)])
    routines = [*collected, *(one for one in what if isinstance(one, Routine))]
    apart = [routine.id for routine in routines if routine.policy.isolation == "process"]
    if apart:
        raise UsageError(f"{apart[0]} has isolation='process', and a fleet for tests starts no processes")
    if not routines:
        raise UsageError("a fleet needs routines: fleet(module), fleet('module') or fleet(routine, ...)")
    names = dict.fromkeys([*collected.modules, *(one.__module__ for one in routines)])
    catalog = Catalog(routines, modules=names)
    catalog.hooks.update(collected.hooks)
    allow_own(catalog)
    return catalog
