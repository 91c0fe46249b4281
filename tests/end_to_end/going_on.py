"""Workflows that go on as other generations, and children that go on without their parents."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from longshore import RunError, context, define


@define.action(name="note", version="1.0.0")
async def note(folder: str, text: str) -> str:
    with (Path(folder) / "notes").open("a") as file:
        file.write(f"{text}\n")
    return text


@define.action(name="await.go", version="1.0.0")
async def await_go(folder: str, name: str) -> str:
    (Path(folder) / f"{name}.begun").touch()
    while not (Path(folder) / "go").exists():
        await asyncio.sleep(0.01)
    return name


@define.workflow(name="counts", version="1.0.0")
async def counts(folder: str, upto: int, number: int = 0, data: bytes = b"") -> list[int]:
    """One generation per number; what it is given grows or not, and what it leaves open is canceled."""
    await note(folder, str(number))
    if number < upto:
        context.continue_as(folder, upto, number=number + 1, data=data)
    return [number, len(data)]


@define.workflow(name="gathers", version="1.0.0")
async def gathers(wanted: int, found: list[str] | None = None) -> list[str]:
    """One signal a generation; those that nobody has taken wait for the next one."""
    items = [*(found or []), await context.wait_for_signal("item")]
    if len(items) < wanted:
        context.continue_as(wanted, found=items)
    return items


@define.workflow(name="misfits", version="1.0.0")
async def misfits(number: int) -> None:
    context.continue_as("a text", number)


@define.workflow(name="leaves", version="1.0.0")
async def leaves(folder: str, how: str) -> str:
    """Ends, one way or another, while two children are under way: one of them is to go on."""
    stays = asyncio.ensure_future(await_go(folder, "stays").using(on_parent_end="abandon"))
    goes = asyncio.ensure_future(await_go(folder, "goes"))
    await note(folder, "begun")
    del stays, goes
    match how:
        case "fails":
            raise ValueError("it fails")
        case "waits":
            await asyncio.Event().wait()
        case "continues":
            context.continue_as(folder, "again")
        case "again":
            return "as another generation"
    return "early"


# ------------------------------------------------------------------------------------------------ how children end


@define.action(name="dies", version="1.0.0", isolation="process", on_crash="fail")
def dies() -> None:
    os._exit(9)


@define.action(name="naps", version="1.0.0")
async def naps() -> None:
    await asyncio.sleep(3600)


@define.action(name="fails", version="1.0.0", max_attempts=1)
def fails() -> None:
    raise ValueError("it fails")


@define.action(name="measures", version="1.0.0")
def measures(data: bytes) -> int:
    return len(data)


@define.workflow(name="hears", version="1.0.0")
async def hears(how: str) -> list[Any]:
    """How a child's end reaches its parent."""
    calls: dict[str, Any] = {
        "CRASHED": dies,
        "TIMED_OUT": lambda: naps().using(timeout=0.2),
        "EXPIRED": lambda: naps().using(ttl=0.2, pool="nowhere"),
        "CANCELED": naps,
        "SYSTEM_FAILURE": lambda: measures(bytes(100_000)).using(delay=0.7),
        "FAILED": fails,
    }
    try:
        await calls[how]()
    except RunError as error:
        return [type(error).__name__, error.status, error.run_id, str(error)]
    except ValueError as error:
        return [type(error).__name__, "FAILED", "", str(error)]
    return []
