"""Connections of a sync or an async engine, used alike: what may block runs where it does not block the loop.

It knows no table.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from longshore.core.errors import UsageError

P = ParamSpec("P")
T = TypeVar("T")


class Opened(ABC):
    """A connection with its transaction, which ends with it unless it is committed."""

    @abstractmethod
    async def run(self, act: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function gives for this connection. It ends what it begins itself, by a commit or a rollback: a lock
        held from one call to the next would be held for as long as the loop has something else to do."""


class Connections(ABC):
    """Opens them."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[Opened]:
        """A connection for the block."""


def connections(engine: Engine | AsyncEngine) -> Connections:
    """Those of this engine. Raises UsageError for anything else."""
    if isinstance(engine, AsyncEngine):
        return _Async(engine)
    if isinstance(engine, Engine):
        return _Sync(engine)
    raise UsageError(f"{engine!r} is no engine: give SQLAlchemy's create_engine(...) or create_async_engine(...)")


class _SyncOpened(Opened):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def run(self, act: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(act, self._connection, *args, **kwargs)


class _Sync(Connections):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Opened]:
        connection = await asyncio.to_thread(self._engine.connect)
        try:
            yield _SyncOpened(connection)
        finally:
            await asyncio.to_thread(connection.close)


class _AsyncOpened(Opened):
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def run(self, act: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        found: Any = await self._connection.run_sync(act, *args, **kwargs)
        return found  # type: ignore[no-any-return]  # what `act` gives


class _Async(Connections):
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Opened]:
        async with self._engine.connect() as connection:
            yield _AsyncOpened(connection)
