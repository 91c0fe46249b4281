"""A worker and a scripted coordinator on one bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from longshore.broker.bus import Bus
from longshore.broker.local import LocalRouter
from longshore.core.envelope import Names
from longshore.payloads import Cargo, open_store
from longshore.routines.catalog import Catalog, collect
from longshore.routines.routine import Routine
from longshore.telemetry import Telemetry
from longshore.worker import Exit, Worker, WorkerConfig
from tests.worker import routines
from tests.worker.scripted import ScriptedCoordinator

BusMaker = Callable[[str], Bus]
NAMES = Names("test")


class Site:
    """A worker under test, its coordinator, and the worker's end."""

    def __init__(
        self, worker: Worker, coordinator: ScriptedCoordinator, running: asyncio.Task[Exit], cargo: Cargo
    ) -> None:
        self.worker = worker
        self.coordinator = coordinator
        self.running = running
        self.cargo = cargo

    async def exit(self, within: float = 10) -> Exit:
        """How the worker ended, once it has."""
        return await asyncio.wait_for(asyncio.shield(self.running), within)


SiteMaker = Callable[..., Any]


@pytest.fixture
def buses() -> BusMaker:
    """Makes buses of the same local router."""
    router = LocalRouter(NAMES)
    return lambda user: router.bus(user=user)


@pytest.fixture
def catalog() -> Catalog:
    return collect([routines])


@pytest.fixture(autouse=True)
def fresh_doors() -> Iterator[None]:
    routines.gates.clear()
    routines.seen.clear()
    yield
    for gate in routines.gates.values():
        gate.set()


@pytest.fixture
def sites(buses: BusMaker, catalog: Catalog, tmp_path: Path) -> SiteMaker:
    """`async with sites(slots=2) as site`: a worker that said Hello and was welcomed (unless `welcoming=False`)."""

    @asynccontextmanager
    async def make(
        *,
        welcoming: bool = True,
        telemetry: Telemetry | None = None,
        bus: Bus | None = None,
        coordinator_bus: Bus | None = None,
        routines: Sequence[Routine[..., Any]] = (),
        **options: Any,
    ) -> AsyncIterator[Site]:
        store = {"url": f"file:{tmp_path / 'payloads'}"}
        cargo = Cargo(open_store(**store))
        options.setdefault("heartbeat", timedelta(milliseconds=100))
        options.setdefault("grace", timedelta(seconds=5))
        options.setdefault("farewell", timedelta(seconds=1))
        config = WorkerConfig(store=store, **options)
        async with AsyncExitStack() as stack:
            coordinator = ScriptedCoordinator(coordinator_bus or buses("coordinator"), NAMES)
            coordinator.welcoming = welcoming
            await coordinator.open()
            stack.push_async_callback(coordinator.close)
            offered = Catalog(routines) if routines else catalog
            worker = Worker(bus or buses("worker"), NAMES, offered, cargo, telemetry or Telemetry(), config)
            running = asyncio.create_task(worker.run())
            stack.push_async_callback(_end, worker, running)
            await coordinator.hello()
            yield Site(worker, coordinator, running, cargo)

    return make


async def _end(worker: Worker, running: asyncio.Task[Exit]) -> None:
    for gate in routines.gates.values():
        gate.set()
    if not running.done():
        worker.leave()
    await asyncio.wait([running], timeout=15)
    if not running.done():
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        raise AssertionError("the worker did not leave within 15 s")
