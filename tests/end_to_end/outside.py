"""Workflows that wait for something from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from longshore import TokenExpired, TokenFailed, context, define


@define.action(name="hand_over", version="1.0.0")
def hand_over(folder: str, token: str) -> None:
    """Writes the token down for whoever is to complete it."""
    with (Path(folder) / "token").open("a") as file:
        file.write(f"{token}\n")


@define.workflow(name="approval", version="1.0.0")
async def approval() -> Any:
    return await context.wait_for_signal("approved")


@define.workflow(name="collects", version="1.0.0")
async def collects(count: int) -> list[Any]:
    """First `go`, then so many items, whenever they came."""
    await context.wait_for_signal("go")
    items = [await context.wait_for_signal("item") for _ in range(count)]
    both = await asyncio.gather(context.wait_for_signal("left"), context.wait_for_signal("right"))
    return [*items, *both]


@define.workflow(name="paid", version="1.0.0")
async def paid(folder: str, timeout: float | None = None) -> Any:
    token = await context.create_token(timeout)
    await hand_over(folder, token)
    try:
        return await context.wait_for_token(token)
    except TokenExpired:
        return "expired"
    except TokenFailed as error:
        return f"failed: {error}"


@define.workflow(name="waits_until", version="1.0.0")
async def waits_until(seconds: float) -> tuple[datetime, datetime]:
    at = context.now + timedelta(seconds=seconds)
    await context.wait_until(at)
    return at, context.now


@define.action(name="misuses", version="1.0.0", max_attempts=1)
async def misuses(what: str) -> None:
    wait: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "wait_until": lambda: context.wait_until(datetime.now().astimezone()),
        "wait_for_signal": lambda: context.wait_for_signal("a"),
        "create_token": context.create_token,
        "wait_for_token": lambda: context.wait_for_token("a"),
    }
    await wait[what]()
