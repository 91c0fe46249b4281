"""The parts of a fleet, each for a process of its own: a coordinator, and a crew of workers under a supervisor."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace

from longshore.assembly.crew import Crew
from longshore.assembly.places import broker_in_force
from longshore.broker import connect
from longshore.core.envelope import Names
from longshore.settings import Settings
from longshore.worker.supervisor import Supervisor


async def employ(settings: Settings, crew: Crew) -> int:
    """The crew's processes under a supervisor, until told to leave: the exit status. A second signal kills them."""
    if not settings.broker_url:
        crew = replace(crew, settings={**crew.settings, "broker_url": broker_in_force(settings)})
    supervisor = make_supervisor(settings, crew)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.stop)
    return await supervisor.run()


def make_supervisor(settings: Settings, crew: Crew) -> Supervisor:
    """A supervisor of that crew on the broker in force."""
    names = Names(settings.namespace)
    return Supervisor(crew.command(), crew.processes, connect(broker_in_force(settings), names), names)
