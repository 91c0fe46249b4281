"""The parts of a fleet, each for a process of its own: a coordinator, and a crew of workers under a supervisor."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from longshore.assembly.crew import Crew
from longshore.assembly.parts import payload_store
from longshore.assembly.places import FOLDER, SOCKET, answers, broker_in_force, is_local, ledger_file, make_folders
from longshore.broker import Bus, connect
from longshore.coordinator.rounds import Clock, utcnow
from longshore.coordinator.service import Coordinator
from longshore.core.envelope import Names
from longshore.core.errors import UsageError
from longshore.core.keeping import keep_of
from longshore.core.ledger import LedgerConfig
from longshore.settings import Settings, host_and_port
from longshore.telemetry import Telemetry, setup
from longshore.worker.supervisor import Supervisor

MARK: Final = timedelta(seconds=1)


async def coordinate(settings: Settings, on_ready: Callable[[], None]) -> None:
    """A coordinator on the broker in force, until canceled. `on_ready` is called once it decides."""
    _refuse_beside_dev(settings)
    make_folders(settings)
    telemetry = setup("longshore-coordinator", f"{socket.gethostname()}:{os.getpid()}")
    url, names = broker_in_force(settings), Names(settings.namespace)
    coordinator = make_coordinator(
        settings,
        connect(url, names),
        telemetry,
        http_address=host_and_port(settings.http_address),
        events_bus=lambda: connect(url, names),
    )
    running = asyncio.create_task(coordinator.run())
    try:
        await ready_or_ended(coordinator.ready(), running)
        on_ready()
        await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(telemetry.close)


def _refuse_beside_dev(settings: Settings) -> None:
    """A `longshore dev` that runs in this folder is the coordinator of its bus and its ledger: a second one would take
    the ledger away from it."""
    ledger = ledger_file(settings)
    shared = is_local(broker_in_force(settings)) or (ledger is not None and ledger.parent == FOLDER)
    if shared and answers(SOCKET):
        raise UsageError(
            f"a `longshore dev` runs here ({SOCKET}) and is this folder's coordinator\n"
            "use it, end it, or go to another folder"
        )


def make_coordinator(
    settings: Settings,
    bus: Bus,
    telemetry: Telemetry | None = None,
    *,
    http_address: tuple[str, int] | None = None,
    events_bus: Callable[[], Bus] | None = None,
    clock: Clock = utcnow,
    tunes: bool = True,
) -> Coordinator:
    """A coordinator on this bus; nothing is opened yet. Its health is told at `http_address`, if one is given, and
    changes of runs to whoever listens over a bus of their own. `clock` and `tunes`: see Coordinator."""
    return Coordinator(
        settings.store_url,
        bus,
        Names(settings.namespace),
        _rules(settings),
        telemetry=telemetry,
        payloads=payload_store(settings),
        http_address=http_address,
        store_patience=settings.store_patience,
        events_bus=events_bus if settings.events else None,
        objects_kept=settings.payload_grace,
        clock=clock,
        tunes=tunes,
    )


def _rules(settings: Settings) -> LedgerConfig:
    """How the ledger judges, by the settings. Silence is counted in Marks, a second each. The local bus lives and dies
    with its coordinator, and who lives is back on it at once: there is nothing to settle first."""
    lost = _marks(settings.lease)
    settling = 0 if is_local(settings.broker_url or "") else lost
    return LedgerConfig(
        unresponsive_marks=_marks(settings.unresponsive_after),
        lost_marks=lost,
        settling_marks=settling,
        event_path=settings.event_path,
        retention=keep_of(settings.retention),
    )


def _marks(length: timedelta) -> int:
    return max(1, math.ceil(length / MARK))


async def ready_or_ended(ready: Coroutine[Any, Any, None], running: asyncio.Task[Any]) -> None:
    """Wait for a part's readiness. Raises what ended it before."""
    waiting = asyncio.ensure_future(ready)
    try:
        await asyncio.wait([waiting, running], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            await running
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def employ(settings: Settings, crew: Crew) -> int:
    """The crew's processes under a supervisor, until told to leave: the exit status. A second signal kills them."""
    if not settings.broker_url:
        crew = replace(crew, settings={**crew.settings, "broker_url": broker_in_force(settings)})
    supervisor = make_supervisor(settings, crew)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.stop)
    return await supervise(supervisor)


async def supervise(supervisor: Supervisor) -> int:
    """The supervisor's work. Raises UsageError in a child's own words when none of them can start."""
    status = await supervisor.run()
    if supervisor.last_words:
        raise UsageError(supervisor.last_words)
    return status


def make_supervisor(settings: Settings, crew: Crew) -> Supervisor:
    """A supervisor of that crew on the broker in force."""
    names = Names(settings.namespace)
    return Supervisor(crew.command(), crew.processes, connect(broker_in_force(settings), names), names)
