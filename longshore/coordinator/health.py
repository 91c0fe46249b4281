"""Health over HTTP: `/health/live` says that the loop turns, `/health/ready` that work is being taken, or what is
missing. It changes nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

from longshore.core.errors import SettingsError

Missing = Callable[[], list[str]]
"""What is missing, in words; nothing when ready."""


def application(missing: Missing) -> Any:
    """The ASGI application."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> JSONResponse:
        lacking = missing()
        body = {"status": "not ready" if lacking else "ready", "missing": lacking}
        return JSONResponse(body, status_code=503 if lacking else 200)

    return Starlette(routes=[Route("/health/live", live), Route("/health/ready", ready)])


def listen(host: str, port: int) -> socket.socket:
    """A socket there. Raises SettingsError naming the setting."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(100)
    except OSError as error:
        listener.close()
        advice = "choose another address, or stop what listens there"
        raise SettingsError("LONGSHORE_HTTP_ADDRESS", f"{host}:{port}: {error.strerror}; {advice}") from None
    return listener


async def serve(listener: socket.socket, missing: Missing) -> None:
    """Answer until canceled."""
    import uvicorn

    class Quiet(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # signals are the process's matter

    config = uvicorn.Config(application(missing), log_config=None, access_log=False, lifespan="off")
    server = Quiet(config)
    try:
        await server.serve(sockets=[listener])
    finally:  # a canceled server leaves all of this open, and uvloop does not end over it where warnings are errors
        for accepting in getattr(server, "servers", ()):
            accepting.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        listener.close()
