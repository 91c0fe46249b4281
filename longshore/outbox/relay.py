"""The relay: sends what was committed to an outbox, in its order, and forgets a row when the ledger has its run.

It may die at any point: a row is deleted only after its run was accepted, and the same run id again is the same run. On
PostgreSQL and MySQL the rows are locked while they are sent, so that several relays share them; on SQLite several do
the same work twice, which changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, NamedTuple, Protocol, Self

import msgspec
from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from longshore.core.errors import UnavailableError, UsageError
from longshore.core.message import Trigger
from longshore.outbox.connections import Connections, connections
from longshore.outbox.table import OutboxTable, waiting_of

_log = logging.getLogger("longshore.outbox")

POLL: Final = 1.0
BATCH: Final = 500
MOST: Final = 1000
ACCEPT_WITHIN: Final = 10.0
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 30.0


class Sends(Protocol):
    """As much of a Client as is needed here."""

    async def forward(self, trigger: Trigger, value: bytes, *, timeout: float) -> Any: ...


class OutboxRelay:
    """`async with OutboxRelay(engine, client, outbox):` sends in the background until the block ends; `await run()`
    does so until `stop()`.

    `engine` is an Engine or AsyncEngine of the database the outbox is in; `poll` is how many seconds pass at most until
    what another process committed is seen, `batch` how many rows are sent at a time. What the ledger refuses by a rule
    stays in the table, with the reason in its column `rejected`, and is logged.
    """

    def __init__(
        self,
        engine: Engine | AsyncEngine,
        client: Sends,
        outbox: OutboxTable,
        *,
        poll: float = POLL,
        batch: int = BATCH,
    ) -> None:
        if not 0.01 <= poll <= 3600:
            raise UsageError(f"poll={poll!r}: seconds from 0.01 to 3600")
        if not 1 <= batch <= MOST:
            raise UsageError(f"batch={batch!r}: a number of rows from 1 to {MOST}")
        self._connections: Connections = connections(engine)
        self._locks = engine.dialect.name != "sqlite"
        self._client = client
        self._outbox = outbox
        self._poll = poll
        self._batch = batch
        self._running: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._pause = poll
        self.sent = 0
        """How many rows it has sent, and the ledger has."""

    async def __aenter__(self) -> Self:
        self._stopping = False
        self._running = asyncio.create_task(self.run(), name="longshore-outbox")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running, self._running = self._running, None
        self.stop()
        if running is not None:
            await running

    def stop(self) -> None:
        """End after the batch under way."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Send until `stop`. A database or a broker that is away is tried again, later each time (at most 30 s)."""
        loop = asyncio.get_running_loop()
        listener = self._outbox.listen(lambda: self._nudged(loop))
        while not self._stopping:
            self._wake.clear()
            if await self._round() < self._batch:
                await self._rest()
        del listener

    async def send(self) -> int:
        """Send one batch, if there is any; gives how many rows were dealt with.

        Raises SQLAlchemy's errors, and UnavailableError when some could not be sent: those wait.
        """
        async with self._connections.open() as connection:
            rows = await connection.run(self._take)
            outcomes = await asyncio.gather(*(self._forward(row) for row in rows), return_exceptions=True)
            found = _sorted(rows, outcomes)
            if found.done or found.rejected:
                await connection.run(self._settle, found)
        self.sent += len(found.done)
        if found.broken is not None:
            raise found.broken
        return len(rows)

    # ------------------------------------------------------------------------------------------------------ inside

    async def _round(self) -> int:
        try:
            dealt = await self.send()
        except (SQLAlchemyError, UnavailableError, OSError) as error:
            self._pause = min(max(self._pause, FIRST_PAUSE) * 2, LONGEST_PAUSE)
            _log.warning("%r: trying again in %g s: %s", self._outbox, self._pause, error)
            return 0
        self._pause = self._poll
        return dealt

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await self._wake.wait()

    def _nudged(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # that loop is closed: the relay has gone with it
            loop.call_soon_threadsafe(self._wake.set)

    async def _forward(self, row: Any) -> None:
        waiting = waiting_of(row)
        await self._client.forward(waiting.trigger, waiting.value, timeout=ACCEPT_WITHIN)

    def _take(self, connection: Connection) -> Sequence[Any]:
        """The next rows; where the database can, nobody else gets them until this transaction ends. Where it cannot,
        nothing is held while they are sent."""
        table = self._outbox.table
        wanted = select(table).where(table.c.rejected == "").order_by(table.c.no).limit(self._batch)
        if self._locks:
            return connection.execute(wanted.with_for_update(skip_locked=True)).all()
        rows = connection.execute(wanted).all()
        connection.rollback()
        return rows

    def _settle(self, connection: Connection, found: Sorted) -> None:
        """Write what became of them and commit, in one go: on SQLite the user's own writes wait for it."""
        table = self._outbox.table
        if found.done:
            connection.execute(delete(table).where(table.c.no.in_(found.done)))
        for no, reason in found.rejected:
            connection.execute(update(table).where(table.c.no == no).values(rejected=reason))
        connection.commit()


class Sorted(NamedTuple):
    """What became of the rows of a batch: sent, refused for good, or (the first error) to be tried again."""

    done: list[int]
    rejected: list[tuple[int, str]]
    broken: BaseException | None


def _sorted(rows: Sequence[Any], outcomes: Sequence[BaseException | None]) -> Sorted:
    done: list[int] = []
    rejected: list[tuple[int, str]] = []
    broken: BaseException | None = None
    for row, outcome in zip(rows, outcomes, strict=True):
        if outcome is None:
            done.append(row.no)
        elif isinstance(outcome, UsageError | msgspec.DecodeError):
            _log.error("run %s of the outbox is refused and stays there: %s", row.run_id, outcome)
            rejected.append((row.no, str(outcome)))
        else:
            broken = broken or outcome
    return Sorted(done, rejected, broken)
