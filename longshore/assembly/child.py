"""One worker process: `python -m longshore.assembly.child`, started by a supervisor with the word of `Crew.command`.

The settings come through the environment, the session's id too. Exit status: 0 asked to leave, 1 failed, 2 the routines
or the settings are wrong, so that starting again would change nothing.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import importlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import longshore
from longshore.assembly.crew import Crew
from longshore.assembly.parts import cargo, payload_options
from longshore.assembly.places import broker_in_force, is_local
from longshore.broker import connect
from longshore.core.envelope import Names
from longshore.core.errors import DefinitionError, LongshoreError, UsageError
from longshore.core.ids import SessionId
from longshore.routines.catalog import Catalog, collect
from longshore.settings import Settings, load
from longshore.telemetry import semantics, setup, setup_logging
from longshore.worker import SESSION_VARIABLE, Worker, WorkerConfig, new_session
from longshore.worker.config import ADVISES_VARIABLE
from longshore.worker.lifeline import heed_supervisor, say_last_words
from longshore.worker.loops import new_loop
from longshore.worker.supervisor import USAGE_STATUS

YOUNG_OBJECTS: Final = 10_000
"""New objects between two searches for garbage (700 by default; a run brings some twenty)."""

_OWN_CODE: Final = (str(Path(longshore.__file__).parent), importlib.__file__, "<frozen ")
"""How the files begin that import the modules and check what they declare: no place to look for their faults."""

_log = logging.getLogger("longshore.worker")


def main(word: str) -> int:
    """Work until told to leave; gives the exit status."""
    faulthandler.enable()  # a fault leaves its stack in stderr, and so in the evidence of the runs it ends
    crew = Crew.from_word(word)
    setup_logging(crew.log_json, crew.log_level)
    try:
        settings = load(**crew.settings)
        catalog = _collect(crew.modules)
        _spare_what_is_loaded()
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(_work(settings, crew, catalog))
    except UsageError as error:
        return _give_up(str(error))
    except LongshoreError as error:
        _log.error("%s: %s", type(error).__name__, error)
        return 1


def _collect(modules: Sequence[str]) -> Catalog:
    """The routines of these modules. Raises UsageError: what is wrong, then what to do."""
    try:
        catalog = collect(modules)
    except DefinitionError as error:
        raise UsageError("\n".join(filter(None, [str(error), _advice(error.__cause__)]))) from error
    except SystemExit as left:  # a script that does its work when it is imported
        raise UsageError(
            f"one of the modules {', '.join(modules)} ended the process when it was imported (exit status {left.code})"
            '\nput what it does below its definitions under `if __name__ == "__main__":`'
        ) from left
    if not len(catalog):
        raise UsageError(f"no routines in {', '.join(modules)}\ndeclare one with @define.task")
    return catalog


def _advice(cause: BaseException | None) -> str:
    """What to do about a module that cannot be imported."""
    if isinstance(cause, ModuleNotFoundError):
        return (
            f"looked from the folder {os.getcwd()}: start it in the module's own folder, set PYTHONPATH to that folder,"
            f" or install what is missing for {sys.executable}"
        )
    if isinstance(cause, SyntaxError) and cause.filename:
        return f"see {cause.filename}, line {cause.lineno}"
    frames = [] if cause is None else traceback.extract_tb(cause.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_OWN_CODE)]
    return f"see {own[-1].filename}, line {own[-1].lineno}" if own else ""


def _give_up(words: str) -> int:
    """Say why starting again would change nothing: to the supervisor if there is one, else in the log."""
    if not say_last_words(words):
        _log.error("%s", words)
    return USAGE_STATUS


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
        advises=os.environ.get(ADVISES_VARIABLE) != "0",
        store=payload_options(settings),
        max_hanging=settings.max_hanging,
        suspend_after=settings.suspend_after,
        pump_limit=settings.pump_limit,
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
    if ended.code == USAGE_STATUS:
        return _give_up(f"worker {worker.worker_id} ended: {ended.reason}")
    if ended.code:
        _log.error("worker %s ended: %s", worker.worker_id, ended.reason)
    return ended.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
