"""The local bus over a unix socket: a server beside a router, and the bus that connects to it. It never listens on a
network.

Who may open the socket file (mode 0600: the same user) is trusted as `local`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from pathlib import Path
from typing import Final, cast

from longshore.broker.local import Ear, LocalBus, LocalRouter, Port
from longshore.broker.local_frames import FromBus, FromRouter, Unpacker, from_bus, from_router, pack
from longshore.broker.local_router import Router, Session
from longshore.core.envelope import Names
from longshore.core.errors import BrokerUnavailableError, DecodeError

USER: Final = "local"

_OWNER_ONLY: Final = 0o600
_KNOCK: Final = 1.0
_LONGEST_PATH: Final = 107
"""Bytes; the kernel's limit for a unix socket."""


class SocketBus(LocalBus):
    """A bus over the socket at `path`."""

    def __init__(self, path: str | Path, names: Names) -> None:
        async def dial(ear: Ear) -> Port:
            loop = asyncio.get_running_loop()
            _, port = await loop.create_unix_connection(lambda: _BusEnd(ear), str(path))
            return port

        super().__init__(dial, names, str(path))


async def serve(router: LocalRouter, path: str | Path) -> SocketServer:
    """Listen at `path` (mode 0600; a stale socket file is replaced) until `close`.

    Raises BrokerUnavailableError when somebody else serves that path, or it cannot be made.
    """
    path = Path(path)
    listener = _listen(path)
    server = SocketServer(path, router.router)
    try:
        await server.start(listener)
    except BaseException:
        listener.close()
        raise
    return server


class SocketServer:
    """A listening local bus."""

    def __init__(self, path: Path, router: Router) -> None:
        self._path = path
        self._router = router
        self._server: asyncio.AbstractServer | None = None
        self._ends: set[_RouterEnd] = set()

    async def start(self, listener: socket.socket) -> None:
        """Take connections."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _RouterEnd(self._router, self._ends), sock=listener)

    def disconnect(self) -> None:
        """Drop every connection; buses come back by themselves."""
        for end in list(self._ends):
            end.drop()

    async def close(self) -> None:
        """Stop listening, drop every connection, remove the file. Twice is harmless."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        self.disconnect()
        await server.wait_closed()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


class _BusEnd(asyncio.Protocol):
    """The bus's end of a connection: a port."""

    def __init__(self, ear: Ear) -> None:
        self._ear: Ear | None = ear
        self._transport: asyncio.Transport | None = None
        self._unpacker: Unpacker[FromRouter] = Unpacker(from_router)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        try:
            frames = self._unpacker.feed(data)
        except DecodeError as error:
            self._end(str(error))
            return
        if frames and self._ear is not None:
            self._ear.hear(frames)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(str(error) if error is not None else "the other side closed the connection")

    def send(self, frames: list[FromBus]) -> None:
        """See `Port.send`."""
        if self._transport is not None and not self._transport.is_closing():
            for written in pack(frames):
                self._transport.write(written)

    def close(self) -> None:
        """See `Port.close`. What was written before still arrives."""
        self._ear = None
        if self._transport is not None:
            self._transport.close()

    def _end(self, reason: str) -> None:
        ear, self._ear = self._ear, None
        if self._transport is not None:
            self._transport.close()
        if ear is not None:
            ear.lost(reason)


class _RouterEnd(asyncio.Protocol):
    """The router's end of a connection: a session."""

    def __init__(self, router: Router, ends: set[_RouterEnd]) -> None:
        self._session = Session(router, USER, self._wake)
        self._transport: asyncio.Transport | None = None
        self._unpacker: Unpacker[FromBus] = Unpacker(from_bus)
        self._ends = ends
        self._loop = asyncio.get_running_loop()
        self._woken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._ends.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._session.take(self._unpacker.feed(data))
        except DecodeError:
            self.drop()  # nothing that it says can be understood any more

    def connection_lost(self, error: Exception | None) -> None:
        self._ends.discard(self)
        self._session.end()

    def drop(self) -> None:
        """Cut the connection."""
        self._session.end()
        if self._transport is not None:
            self._transport.abort()

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        self._woken = False
        frames = self._session.drain()
        if frames and self._transport is not None and not self._transport.is_closing():
            for written in pack(frames):
                self._transport.write(written)


def _listen(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise BrokerUnavailableError(
            f"the path {path} is too long for a socket ({_LONGEST_PATH} bytes); start in a folder nearer to the root"
        )
    if _is_socket(path):
        if _answers(path):
            raise BrokerUnavailableError(f"{path} is served already: a `longshore dev` runs in this folder")
        path.unlink(missing_ok=True)  # left behind by a process that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(_OWNER_ONLY)  # nobody can connect before `listen`
        listener.setblocking(False)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise BrokerUnavailableError(f"no socket can be made at {path}: {error.strerror}") from error
    return listener


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return False


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(_KNOCK)
        try:
            knock.connect(str(path))
        except OSError:
            return False
    return True
