"""Routines for the tests of how runs begin, in workers of their own processes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from longshore import CircularWait, RunCanceled, context, define


@define.action(name="mark", version="1.0.0")
def mark(folder: str, name: str) -> str:
    """Leaves a mark for each time it is executed."""
    with (Path(folder) / name).open("a") as file:
        file.write("x\n")
    return name


@define.action(name="fail", version="1.0.0", max_attempts=1)
def fail(text: str) -> None:
    raise ValueError(text)


@define.action(name="hold", version="1.0.0")
def hold(folder: str, name: str) -> str:
    """Says that it has begun, and goes on as soon as the file `go` is there, or the run is canceled."""
    mark.function(folder, f"{name}.begun")
    while not (Path(folder) / "go").exists() and not context.canceled:
        time.sleep(0.005)
    return name


@define.action(name="fail.at.go", version="1.0.0", max_attempts=1)
def fail_at_go(folder: str) -> None:
    hold.function(folder, "failing")
    raise ValueError("at last")


@define.workflow(name="shares", version="1.0.0")
async def shares(folder: str, name: str, key: str) -> str:
    return await hold(folder, name).using(idempotency_key=key)


@define.workflow(name="catches.shared", version="1.0.0")
async def catches(folder: str, key: str) -> list[str]:
    try:
        await fail_at_go(folder).using(idempotency_key=key)
    except ValueError as error:
        return [type(error).__name__, str(error)]
    return []


@define.workflow(name="twice", version="1.0.0")
async def twice(folder: str, name: str) -> list[str]:
    calls = (mark(folder, name).using(idempotency_key="k", idempotency_scope="run") for _ in range(2))
    return list(await asyncio.gather(*calls))


@define.workflow(name="ring", version="1.0.0")
async def ring(keys: list[str], at: int) -> str:
    """Each calls the one whose key is next; who is told that this is a circle waits for a signal, and says so."""
    try:
        return await ring(keys, (at + 1) % len(keys)).using(idempotency_key=keys[(at + 1) % len(keys)])
    except CircularWait as error:
        return f"{await context.wait_for_signal('go on')}{error}"


@define.workflow(name="itself", version="1.0.0", cache=True)
async def itself(number: int) -> str:
    try:
        return await itself(number)
    except RunCanceled as error:
        return type(error.__cause__).__name__


@define.task(name="one", version="1.0.0")
def one(number: int) -> int:
    return number


@define.workflow(name="options", version="1.0.0")
async def options() -> int:
    call = one(1).using(
        delay="200ms",
        ttl="10m",
        deadline="10m",
        timeout="10s",
        max_attempts=2,
        idempotency_key="own",
        idempotency_scope="run",
        idempotency_ttl="1h",
        queue="side",
        concurrency_key="c",
        pool="default",
        priority=5,
        tags=["a", "b"],
        metadata={"n": 1},
        on_parent_end="abandon",
    )
    put_off = one(1).using(debounce={"key": context.run_id, "delay": "100ms", "max_delay": "1s"})
    many = [number async for number in one.map([1], priority=1, tags=["c"], queue="side")]
    return sum(await asyncio.gather(call, put_off)) + sum(many)
