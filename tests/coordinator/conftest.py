"""A store to write to, and coordinators with scripted peers on a real bus."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from longshore.broker import Bus, connect
from longshore.broker.local import LocalRouter
from longshore.client import Client
from longshore.coordinator import Coordinator
from longshore.coordinator.store import Store
from longshore.core.changes import Changes, Snapshot
from longshore.core.envelope import Names
from longshore.settings import load
from longshore.telemetry import Telemetry
from tests.coordinator.peers import Caller, Worker
from tests.coordinator.rows import NOW
from tests.support.rabbit import RabbitElsewhere, RabbitNode
from tests.support.wait import eventually

NAMES = Names(f"coordinator-{secrets.token_hex(4)}")


class Book:
    """A store with its batch numbers counted."""

    def __init__(self, url: str) -> None:
        self.store = Store.open(url)
        self.snapshot: Snapshot = self.store.load("test", NOW)
        self.batch = self.store.batch_no

    def commit(self, *several: Changes, published: int = 0) -> None:
        for changes in several:
            self.batch += 1
            self.store.writer.commit(changes, self.batch, published, NOW)


@pytest.fixture
def open_book(tmp_path: Path) -> Iterator[Callable[[], Book]]:
    """Opens the same store, each time as a new coordinator."""
    books: list[Book] = []

    def again() -> Book:
        books.append(Book(f"sqlite:///{tmp_path}/ledger.db"))
        return books[-1]

    yield again
    for book in books:
        book.store.close()


@pytest.fixture
def book(open_book: Callable[[], Book]) -> Book:
    return open_book()


class Site:
    """Coordinators, scripted workers and clients on one broker, over one store."""

    def __init__(self, make_bus: Callable[[str], Bus], folder: Path, stack: AsyncExitStack) -> None:
        self.names = NAMES
        self.folder = folder
        self.store_file = folder / "ledger.db"
        self._make_bus = make_bus
        self._stack = stack

    async def coordinator(self, **more: Any) -> asyncio.Task[None]:
        """A coordinator that takes work."""
        coordinator = Coordinator(f"sqlite:///{self.store_file}", self._make_bus("coordinator"), NAMES, **more)
        running = asyncio.create_task(coordinator.run())
        self._stack.push_async_callback(stop, running)
        ready = asyncio.create_task(coordinator.ready())
        await asyncio.wait([ready, running], timeout=20, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            await running
        self.missing = coordinator.missing
        return running

    def new_bus(self, user: str) -> Bus:
        """A bus that is not open yet."""
        return self._make_bus(user)

    async def bus(self, user: str) -> Bus:
        bus = self._make_bus(user)
        await bus.open(timeout=20)
        self._stack.push_async_callback(bus.close)
        return bus

    async def worker(self) -> Worker:
        return Worker(await self.bus("worker"), NAMES)

    async def caller(self) -> Caller:
        caller = Caller(await self.bus("client"), NAMES)
        await caller.listen(NAMES.replies)
        return caller

    def rows(self, query: str) -> list[Any]:
        """Rows as they are on disk."""
        connection = sqlite3.connect(self.store_file)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    async def rows_of(self, table: str, count: int) -> None:
        """Wait until there are so many rows."""
        await eventually(lambda: self.rows(f"SELECT COUNT(*) FROM {table}") == [(count,)], within=20, what=table)


async def stop(running: asyncio.Task[None]) -> None:
    """Cancel it and wait until it has ended."""
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Everything on the local bus."""
    router = LocalRouter(NAMES)
    async with AsyncExitStack() as stack:
        yield Site(lambda user: router.bus(user=user), tmp_path, stack)


@pytest.fixture
async def rabbit_site(rabbit: RabbitNode | RabbitElsewhere, tmp_path: Path) -> AsyncIterator[Site]:
    """Everything on RabbitMQ."""
    url = rabbit.vhost()
    async with AsyncExitStack() as stack:
        yield Site(lambda user: connect(url, NAMES), tmp_path, stack)


@pytest.fixture
async def client(site: Site, tmp_path: Path) -> AsyncIterator[Client]:
    """A client of the site on the local bus; it may be there before any coordinator."""
    settings = load(
        payload_url=f"file:{tmp_path / 'payloads'}", broker_url="local:unused.sock", namespace=NAMES.namespace
    )
    async with Client(settings=settings, bus=site.new_bus("client"), telemetry=Telemetry()) as client:
        yield client
