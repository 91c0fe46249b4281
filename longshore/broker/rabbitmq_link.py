"""One connection to RabbitMQ that is kept up for ever: connect, notice its end, connect again. It knows no message.

The connection is aio-pika's; its own recovery is not used, because it gives up where we must not (a channel that
cannot be opened again, a declaration that fails during recovery).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import aio_pika
from aiormq.abc import AbstractConnection
from aiormq.exceptions import AMQPError, AuthenticationError, ProbableAuthenticationError
from pamqp.common import FieldTable
from pamqp.exceptions import PAMQPException
from yarl import URL

FAULTS: Final = (AMQPError, PAMQPException, OSError, TimeoutError, EOFError, RuntimeError)
"""What aiormq raises when the world fails; a closed channel or connection is a RuntimeError there."""

HEARTBEAT: Final = 10
"""Seconds; aiormq takes a peer for dead after three of them. `?heartbeat=` in the URL overrides it."""
CONNECT_WITHIN: Final = 10.0
RECONNECT_EVERY: Final = 0.5
CLOSE_WITHIN: Final = 3.0

_BLOCK_CHECK_EVERY: Final = 0.1


class Link:
    """A connection for one purpose. `run` keeps it up; `up` waits for it."""

    def __init__(
        self,
        url: str,
        name: str,
        *,
        prepare: Callable[[AbstractConnection], Awaitable[None]] | None = None,
        on_change: Callable[[], None],
    ) -> None:
        self.trouble = "not connected yet"
        """Why the connection is not up; "" while it is."""
        self.blocked = False
        self.refused = asyncio.Event()
        """Set when the broker did not take user and password."""
        self._url = with_heartbeat(url)
        self._name = name
        self._prepare = prepare
        self._on_change = on_change
        self._connection: aio_pika.Connection | None = None
        self._up = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Whether the connection is up."""
        return self._up.is_set()

    async def up(self) -> AbstractConnection:
        """The connection, as soon as there is one."""
        while True:
            await self._up.wait()
            if self._connection is not None and self._connection.transport is not None:
                return self._connection.transport.connection

    async def run(self) -> None:
        """Connect, and again after every loss, until canceled."""
        try:
            while True:
                self._down(await self._live())
                heed_cancellation()
                await asyncio.sleep(jittered(RECONNECT_EVERY))
        finally:
            self._down("the bus is closed")
            await self._hang_up()

    async def _live(self) -> str:
        """One life of the connection: connect, wait for its end, give the reason."""
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                connection = await self._connect()
                if self._prepare is not None:
                    await self._prepare(connection)
            heed_cancellation()
        except (AuthenticationError, ProbableAuthenticationError) as error:
            self.trouble = told(error)
            self.refused.set()
            await self._hang_up()
            return told(error)
        except FAULTS as error:
            await self._hang_up()
            return told(error)
        except asyncio.CancelledError:
            if canceled_from_outside():
                raise
            return "the connection ended while it was being set up"
        self.trouble = ""
        self.refused.clear()
        self._up.set()
        self._on_change()
        reason = await self._ended(connection)
        self._down(reason)
        await self._hang_up()
        return reason

    async def _connect(self) -> AbstractConnection:
        properties: FieldTable = {"connection_name": self._name}
        self._connection = aio_pika.Connection(URL(self._url), client_properties=properties)
        await self._connection.connect()
        assert self._connection.transport is not None
        return self._connection.transport.connection

    async def _ended(self, connection: AbstractConnection) -> str:
        closing = connection.closing
        while not closing.done():
            self._note_blocked(_is_blocked(connection))
            await asyncio.wait([closing], timeout=_BLOCK_CHECK_EVERY)
        return end_of(closing, "the connection was closed")

    def _note_blocked(self, blocked: bool) -> None:
        if blocked != self.blocked:
            self.blocked = blocked
            self._on_change()

    def _down(self, reason: str) -> None:
        self._up.clear()
        self.blocked = False
        self.trouble = reason
        self._on_change()

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await connection.close()
        except FAULTS:
            pass
        except asyncio.CancelledError:
            if canceled_from_outside():
                raise


def quieten_library() -> None:
    """Keep the library's own words about lost connections out of the log: the bus reports them once, itself."""
    for name in ("aiormq", "aio_pika"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)


def with_heartbeat(url: str) -> str:
    """The URL with our heartbeat, unless it names its own."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query)
    if not any(name == "heartbeat" for name, _ in query):
        query.append(("heartbeat", str(HEARTBEAT)))
    return urlunsplit(parts._replace(query=urlencode(query)))


def address_of(url: str) -> str:
    """Host, port and virtual host, for people: no user, no password."""
    parts = urlsplit(url)
    port = parts.port or (5671 if parts.scheme == "amqps" else 5672)
    return f"{parts.hostname}:{port}{parts.path if parts.path not in ('', '/') else ''}"


def jittered(seconds: float) -> float:
    """The pause, half to one and a half times as long, so that a fleet does not come back at one moment."""
    return seconds * random.uniform(0.5, 1.5)


def told(error: BaseException) -> str:
    """What an error of the library says, in one line."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return " ".join(str(part) for part in error.args if part not in (None, "")) or type(error).__name__


def end_of(closing: asyncio.Future[object], otherwise: str) -> str:
    """Why a channel or connection ended, from its `closing` future."""
    if closing.cancelled():
        return otherwise
    error = closing.exception()
    return otherwise if error is None or isinstance(error, asyncio.CancelledError) else told(error)


def canceled_from_outside() -> bool:
    """Whether this task itself was canceled: aiormq raises CancelledError for channels that end, too."""
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def heed_cancellation() -> None:
    """Raise CancelledError if this task was canceled, also when the library has swallowed it.

    aiormq raises the connection's own failure instead when both come at once, and 3.11's `wait_for` may return a
    result; a loop that only waits for CancelledError would then go on for ever.
    """
    if canceled_from_outside():
        raise asyncio.CancelledError


def _is_blocked(connection: AbstractConnection) -> bool:
    """Whether the broker has sent Connection.Blocked: aiormq tells nobody, but `ready` waits while it lasts."""
    probe = connection.ready().__await__()
    try:
        next(probe)
    except StopIteration:
        return False
    finally:
        probe.close()
    return True
