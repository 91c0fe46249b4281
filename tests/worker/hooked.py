"""Routines with hooks; a module, so that child processes can import it. What hooks see goes to a file, line by line."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

from longshore import AbortRun, Hooks, Outcome, context, define

PLACE = "HOOKED_LINES"


def write(line: str) -> None:
    file = os.open(os.environ[PLACE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def note(moment: str) -> Callable[..., None]:
    def hook(here: Any, outcome: Outcome) -> None:
        error = type(outcome.error).__name__ if outcome.error is not None else "-"
        write(f"{moment} {outcome.status} {outcome.result!r} {error} attempt {here.attempt}")

    return hook


def note_async(moment: str) -> Callable[..., Any]:
    plain = note(moment)

    async def hook(here: Any, outcome: Outcome) -> None:
        await asyncio.sleep(0)
        plain(here, outcome)

    return hook


def breaks(here: Any, outcome: Outcome) -> None:
    raise ZeroDivisionError("a hook of little use")


async def breaks_async(here: Any, outcome: Outcome) -> None:
    raise ZeroDivisionError("a hook of little use")


def around(here: Any, call: Callable[[], Any]) -> Any:
    write(f"before {here.run_id}")
    try:
        return call()
    finally:
        write("after")


async def around_async(here: Any, call: Callable[[], Any]) -> Any:
    write(f"before {here.run_id}")
    try:
        return await call()
    finally:
        write("after")


def broken_before(here: Any, call: Callable[[], Any]) -> Any:
    raise ZeroDivisionError("before")


def broken_after(here: Any, call: Callable[[], Any]) -> Any:
    call()
    raise ZeroDivisionError("after")


def broken_while_failing(here: Any, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except ValueError as error:
        raise ZeroDivisionError("instead") from error


def aborts(here: Any, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except ValueError as error:
        raise AbortRun("no further") from error


def doubles(here: Any, call: Callable[[], Any]) -> Any:
    return 2 * call()


everywhere = Hooks(on_complete=note("everywhere"))

OWN: dict[str, Any] = {
    "version": "1.0.0",
    "max_attempts": 2,
    "on_start": [breaks, note("start")],
    "on_success": [note_async("success"), breaks_async],
    "on_failure": [breaks, note("failure")],
    "on_cancel": note("cancel"),
    "on_complete": note_async("complete"),
}


def _do(what: str) -> Any:
    write("body")
    match what:
        case "fail":
            raise ValueError("as asked")
        case "stop":
            while not context.canceled:
                time.sleep(0.005)
            return "stopped"
        case "hang":
            time.sleep(3)
    return what


@define.action(name="in.thread", middleware=around, **OWN)
def in_thread(what: str) -> Any:
    return _do(what)


@define.action(name="on.loop", middleware=around_async, **OWN)
async def on_loop(what: str) -> Any:
    if what == "stop":
        write("body")
        await asyncio.sleep(30)
    return _do(what)


@define.action(name="in.process", middleware=around, isolation="process", **OWN)
def in_process(what: str) -> Any:
    return _do(what)


@define.workflow(name="flows", middleware=around_async, **OWN)
async def flows(what: str) -> Any:
    if what == "fail":
        raise ValueError("as asked")
    if what == "stop":
        await asyncio.sleep(3600)
    return what


@define.action(name="before", version="1.0.0", middleware=broken_before)
def before() -> int:
    return 7


@define.action(name="after", version="1.0.0", middleware=[broken_after, broken_after])
def after() -> int:
    return 7


@define.action(name="while", version="1.0.0", middleware=broken_while_failing)
def while_failing() -> int:
    raise ValueError("the body's own")


@define.action(name="aborting", version="1.0.0", middleware=[aborts, doubles])
def aborting(what: int) -> int:
    if not what:
        raise ValueError("the body's own")
    return what
