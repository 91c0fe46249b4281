"""A small TCP proxy for tests: passes bytes on, until it is told to delay, cut, swallow or half-open them."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit, urlunsplit

_CHUNK: Final = 65536


class Proxy:
    """`async with Proxy(host, port) as proxy:` listens on 127.0.0.1:`proxy.port` and passes everything on."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.accepted = 0
        """How many connections it has taken so far."""
        self.delay = 0.0
        """Seconds that every chunk waits, each way."""
        self._target = (host, port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._server: asyncio.Server | None = None
        self._pairs: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @classmethod
    def before(cls, url: str) -> Proxy:
        """A proxy before the server that the URL names."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        return cls(parts.hostname, parts.port or 5672)

    def url(self, url: str) -> str:
        """The URL with the proxy's address instead of the server's."""
        parts = urlsplit(url)
        user = f"{parts.username}:{parts.password}@" if parts.username else ""
        return urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{self.port}"))

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.pass_on()
        for pair in list(self._pairs):
            pair.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection at once (RST, not an orderly end)."""
        for writer in list(self._writers):
            writer.transport.abort()

    def refuse(self) -> None:
        """Cut what is open and reset every new connection."""
        self._refusing = True
        self.cut()

    def swallow(self) -> None:
        """A black hole: connections stay open and new ones are taken, but no byte passes either way."""
        self._flowing.clear()

    def pass_on(self) -> None:
        """Back to normal."""
        self._refusing = False
        self._flowing.set()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        pair = asyncio.current_task()
        assert pair is not None
        self._pairs.add(pair)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._join(reader, writer)
        self._pairs.discard(pair)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        pair = {writer, there_writer}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, there_writer))
                group.create_task(self._pump(there_reader, writer))
        finally:
            self._writers -= pair
            for end in pair:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._flowing.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()
