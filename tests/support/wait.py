"""The one way in which tests wait for something that nobody announces: poll with a deadline. It never just sleeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

_FIRST = 0.001
_LONGEST = 0.05


@overload
async def eventually(check: Callable[[], Awaitable[T]], *, within: float, what: str = "") -> T: ...


@overload
async def eventually(check: Callable[[], T], *, within: float, what: str = "") -> T: ...


async def eventually(check: Callable[[], Any], *, within: float, what: str = "") -> Any:
    """The first true value of `check` (a function or coroutine function); AssertionError after `within` seconds."""
    deadline, pause = time.monotonic() + within, _FIRST
    while True:
        value = check()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(_complaint(check, what, within, value))
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST)


def eventually_sync(check: Callable[[], T], *, within: float, what: str = "") -> T:
    """The same for code without a loop."""
    deadline, pause = time.monotonic() + within, _FIRST
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(_complaint(check, what, within, value))
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST)


def _complaint(check: Callable[..., object], what: str, within: float, value: object) -> str:
    name = what or getattr(check, "__qualname__", repr(check))
    return f"{name} did not come true within {within:g} s; last value: {value!r}"
