"""One worker process: `python -m longshore.assembly.child`, started by a supervisor with the word of `Crew.command`.

The settings come through the environment, the session's id too. Exit status: 0 asked to leave, 1 failed, 2 the routines
or the settings are wrong, so that starting again would change nothing.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from datetime import timedelta
from typing import Final

from longshore.assembly.crew import Crew
from longshore.assembly.parts import cargo, payload_options
from longshore.assembly.places import broker_in_force, is_local
from longshore.broker import connect
from longshore.core.envelope import Names
from longshore.core.errors import LongshoreError, UsageError
from longshore.core.ids import SessionId
from longshore.routines.catalog import Catalog, collect
from longshore.settings import Settings, load
from longshore.telemetry import semantics, setup, setup_logging
from longshore.worker import SESSION_VARIABLE, Worker, WorkerConfig, new_session
from longshore.worker.loops import new_loop
from longshore.worker.supervisor import heed_supervisor

YOUNG_OBJECTS: Final = 10_000
"""New objects between two searches for garbage (700 by default; a run brings some twenty)."""

_log = logging.getLogger("longshore.worker")


def main(word: str) -> int:
    """Work until told to leave; gives the exit status."""
    crew = Crew.from_word(word)
    setup_logging(crew.log_json, crew.log_level)
    try:
        settings = load(**crew.settings)
        catalog = collect(crew.modules)
        if not len(catalog):
            raise UsageError(f"no routines in {', '.join(crew.modules)}: declare one with @define.task")
        _spare_what_is_loaded()
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(_work(settings, crew, catalog))
    except UsageError as error:
        _log.error("%s", error)
        return 2
    except LongshoreError as error:
        _log.error("%s: %s", type(error).__name__, error)
        return 1


def _spare_what_is_loaded() -> None:
    """Modules and routines stay: the garbage collector need not search them for each few hundred new objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


async def _work(settings: Settings, crew: Crew, catalog: Catalog) -> int:
    names, broker = Names(settings.namespace), broker_in_force(settings)
    session = SessionId(os.environ.get(SESSION_VARIABLE, "")) or new_session()
    config = WorkerConfig(
        pool=crew.pool,
        slots=crew.slots,
        project=settings.project,
        heartbeat=settings.heartbeat,
        grace=timedelta(seconds=crew.grace),
        session=session,
        store=payload_options(settings),
        messaging_system=semantics.SYSTEM_LOCAL if is_local(broker) else semantics.SYSTEM_RABBITMQ,
    )
    telemetry = setup("longshore-worker", session[:8])
    worker = Worker(connect(broker, names), names, catalog, cargo(settings), telemetry, config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.drain)
    heed_supervisor(worker.drain)
    try:
        ended = await worker.run()
    finally:
        await asyncio.to_thread(telemetry.close)
    if ended.code:
        _log.error("worker %s ended: %s", worker.worker_id, ended.reason)
    return ended.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
