"""The embedded default: coordinator and local bus in this process, workers as supervised children on the bus's socket.

User code never runs in this process. It ends in order: workers first, then the coordinator, then the bus.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from longshore.assembly.crew import Crew
from longshore.assembly.fleet import make_coordinator, make_supervisor, ready_or_ended, supervise
from longshore.assembly.places import SOCKET, answers, make_folders, socket_path
from longshore.broker.local import LocalRouter
from longshore.broker.local_socket import serve
from longshore.client import Client, Fields
from longshore.core.envelope import Names
from longshore.core.errors import UnavailableError, UsageError
from longshore.settings import Settings, load
from longshore.telemetry import setup
from longshore.worker.supervisor import Supervisor

READY_WITHIN: Final = 60.0
"""Seconds that coordinator and workers have for their start."""
LOOK_EVERY: Final = 0.05
GRACE: Final = 3.0
"""Seconds a task may go on after Ctrl-C: whoever tries things out does not want to wait."""
USAGE_STATUS: Final = 2


def embedded(folder: Path | None = None) -> Settings:
    """The settings of a house on the local bus. With `folder`, ledger, payloads and socket lie in its `.longshore`."""
    if folder is None:
        return load(broker_url=f"local:{SOCKET}")
    own = folder / SOCKET.parent
    return load(
        broker_url=f"local:{own / SOCKET.name}",
        store_url=f"sqlite:///{own / 'ledger.db'}",
        payload_url=f"file:{own / 'payloads'}",
    )


class House:
    """A running house, as whoever opened it sees it."""

    def __init__(self, settings: Settings, crew: Crew, parts: dict[str, asyncio.Task[Any]]) -> None:
        self._settings = settings
        self._crew = crew
        self._parts = dict(parts)

    async def wait_for_workers(self) -> list[Fields]:
        """Wait until every process of the crew has joined; gives the workers as `workers list` shows them.

        Raises UnavailableError when they do not in time, UsageError when their modules are wrong.
        """
        try:
            async with asyncio.timeout(READY_WITHIN), Client(settings=self._settings) as client:
                while True:
                    self._look()
                    found = [worker for worker in await client.workers() if worker["status"] != "CLOSED"]
                    if len(found) >= self._crew.processes:
                        return found
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            raise UnavailableError(
                f"the workers have not joined within {READY_WITHIN:g} s; see the log above"
            ) from None

    async def stay(self, on_left: Callable[[], None]) -> None:
        """Wait for as long as all parts go on. Raises what ended the first that did not. When the crew has left as it
        was ordered to, `on_left` is told, and the rest goes on for workers from elsewhere."""
        await asyncio.wait(self._parts.values(), return_when=asyncio.FIRST_COMPLETED)
        crew = self._parts["worker"]
        if crew.done() and crew.exception() is None and crew.result() == 0:
            del self._parts["worker"]
            on_left()
            await asyncio.wait(self._parts.values())
        self._look()

    def _look(self) -> None:
        for name, part in self._parts.items():
            if not part.done():
                continue
            if part.result() == USAGE_STATUS:  # or raises what ended it
                modules = ", ".join(self._crew.modules)
                raise UsageError(f"the worker cannot start with {modules}\nits own words are above")
            raise UnavailableError(f"the {name} has ended; see the log above")


@asynccontextmanager
async def open_house(settings: Settings, crew: Crew) -> AsyncIterator[House]:
    """Coordinator, local bus and the crew, for as long as the block takes.

    Raises UsageError when a house is already open at that socket.
    """
    url = settings.broker_url or ""
    path = socket_path(url)
    if answers(path):
        raise UsageError(f"a `longshore dev` already runs here ({path})\nuse it, end it, or go to another folder")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_folders(settings)
    router = LocalRouter(Names(settings.namespace))
    server = await serve(router, path)
    telemetry = setup("longshore-coordinator", f"{socket.gethostname()}:{os.getpid()}")
    coordinator = make_coordinator(
        settings, router.bus(user="coordinator"), telemetry, events_bus=lambda: router.bus(user="events")
    )
    parts: dict[str, asyncio.Task[Any]] = {"coordinator": asyncio.create_task(coordinator.run())}
    try:
        async with asyncio.timeout(READY_WITHIN):
            await ready_or_ended(coordinator.ready(), parts["coordinator"])
        crew = replace(crew, grace=GRACE, settings={"broker_url": url, "payload_url": settings.payload_url})
        supervisor = make_supervisor(settings, crew)
        parts["worker"] = asyncio.create_task(supervise(supervisor))
        try:
            yield House(settings, crew, parts)
        finally:
            await _dismiss(supervisor, parts["worker"])
    finally:
        parts["coordinator"].cancel()
        await asyncio.gather(parts["coordinator"], return_exceptions=True)
        await server.close()
        await asyncio.to_thread(telemetry.close)


async def _dismiss(supervisor: Supervisor, working: asyncio.Task[Any]) -> None:
    """Let the workers leave; a second order to stop kills them."""
    supervisor.stop()
    try:
        await asyncio.shield(asyncio.gather(working, return_exceptions=True))
    except asyncio.CancelledError:
        supervisor.stop()
        await asyncio.gather(working, return_exceptions=True)
        raise
