"""`longshore dev`, `coordinator`, `worker`: the commands that stay. They start what the assembly puts together."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from longshore.cli.options import AsJson, Modules, Pool, Slots
from longshore.cli.screen import Screen
from longshore.core.errors import UsageError

if TYPE_CHECKING:
    from longshore.assembly.crew import Crew

Result = TypeVar("Result")
LogLevel = Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")]
LEVELS = ("debug", "info", "warning", "error")


def dev(
    modules: Modules,
    pool: Pool = "default",
    slots: Slots = 16,
    processes: Annotated[int, typer.Option(min=1, help="How many worker processes.")] = 1,
    log_level: LogLevel = "warning",
    as_json: AsJson = False,
) -> None:
    """Coordinator and worker in this folder, without any service: other terminals just work."""
    from longshore.assembly.crew import Crew

    screen = _screen(as_json, log_level)
    crew = Crew(tuple(modules), pool=pool, slots=slots, processes=processes, log_level=log_level, log_json=as_json)
    _run(lambda: _until_told(_dev(screen, crew)))


async def _dev(screen: Screen, crew: Crew) -> None:
    from longshore.assembly.dev import embedded, open_house
    from longshore.assembly.places import SOCKET

    settings = embedded()
    async with open_house(settings, crew) as house:
        workers = await house.wait_for_workers()
        offers = sorted({offer for worker in workers for offer in worker["offers"]})
        if screen.as_json:
            screen.line({"event": "ready", "broker_url": settings.broker_url, "workers": workers})
        else:
            screen.text(f"ready: {len(workers)} worker process(es), bus at {SOCKET}", style="bold green")
            screen.text("offers " + ", ".join(offers))
            screen.remark("in another terminal, same folder: `longshore trigger ROUTINE --wait`; Ctrl-C ends it here")
        await house.stay(lambda: _say_left(screen))


def _say_left(screen: Screen) -> None:
    if screen.as_json:
        screen.line({"event": "workers_left"})
    else:
        screen.text("the workers have left, as ordered", style="bold")
        screen.remark("start others with `longshore worker MODULE` in this folder; Ctrl-C ends it here")


def coordinator(
    http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where /health/live and /health/ready answer.")
    ] = None,
    log_level: LogLevel = "info",
    as_json: AsJson = False,
) -> None:
    """The part that decides and keeps the ledger. One per namespace."""
    from longshore.assembly.fleet import coordinate
    from longshore.settings import load

    screen = _screen(as_json, log_level)
    settings = load(http_address=http)
    _run(lambda: _until_told(coordinate(settings, lambda: _say_ready(screen, "coordinator"))))


def _say_ready(screen: Screen, who: str) -> None:
    if screen.as_json:
        screen.line({"event": "ready", "part": who})
    else:
        screen.text(f"{who} ready", style="bold green")


def worker(
    modules: Modules,
    pool: Pool = "default",
    slots: Slots = 16,
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many worker processes.", show_default="number of cores")
    ] = None,
    log_level: LogLevel = "info",
    as_json: AsJson = False,
) -> int:
    """Executes the routines of these modules, in supervised processes."""
    from longshore.assembly.crew import Crew, cores
    from longshore.assembly.fleet import employ
    from longshore.settings import load

    _screen(as_json, log_level)
    many = processes or cores()
    crew = Crew(tuple(modules), pool=pool, slots=slots, processes=many, log_level=log_level, log_json=as_json)
    settings = load()
    return _run(lambda: employ(settings, crew))


def _run(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """The work on the fast loop: RabbitMQ's frames cost half of what they cost on asyncio's own. It begins only once
    the loop is there: a Ctrl-C before that leaves nothing that was never awaited."""
    from longshore.worker.loops import new_loop

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(work())


def _screen(as_json: bool, log_level: str) -> Screen:
    from longshore.telemetry import setup_logging

    if log_level not in LEVELS:
        raise UsageError(f"--log-level {log_level!r} is not a level\nuse one of {', '.join(LEVELS)}")
    setup_logging(as_json, log_level)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its steps are no news to who starts a coordinator
    return Screen(as_json=as_json)


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    """The work, ended in order by SIGINT or SIGTERM. Who is told to stop has done its job: no error comes of it."""
    doing = asyncio.ensure_future(work)
    told = False

    def tell() -> None:
        nonlocal told
        told = True
        doing.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, tell)
    try:
        await doing
    except asyncio.CancelledError:
        if not told:
            raise
