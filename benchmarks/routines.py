"""The routines that the benchmarks call: next to nothing, so that what is measured is Longshore."""

from __future__ import annotations

import asyncio
import itertools

from longshore import define


@define.action(name="bench.noop", version="1.0.0")
async def noop(number: int, text: str) -> int:
    """Gives its number back."""
    return number


@define.task(name="bench.cached", version="1.0.0", isolation="loop")
async def cached(number: int, text: str) -> int:
    """The same, cached by default."""
    return number


@define.action(name="bench.wait", version="1.0.0")
async def wait(seconds: float, text: str) -> float:
    """Holds a slot for a while."""
    await asyncio.sleep(seconds)
    return seconds


@define.workflow(name="bench.three_steps", version="1.0.0")
async def three_steps(number: int) -> int:
    """Three calls, one after another."""
    for _ in range(3):
        number = await noop(number + 1, "")
    return number


@define.workflow(name="bench.gather", version="1.0.0")
async def gather(count: int) -> int:
    """All at once; gives how many came back right."""
    results = await asyncio.gather(*(noop(number, "") for number in range(count)))
    return sum(result == number for number, result in enumerate(results))


@define.workflow(name="bench.map", version="1.0.0")
async def maps(count: int) -> int:
    """One call for each number, a hundred under way; gives how many came back right and in order."""
    right = 0
    async for result in noop.map(range(count), itertools.repeat("")):
        right += result == right
    return right


@define.workflow(name="bench.gather_texts", version="1.0.0")
async def gather_texts(count: int, size: int) -> int:
    """All at once, each with a text of so many characters; gives how many came back right."""
    results = await asyncio.gather(*(noop(number, f"{number:0{size}}") for number in range(count)))
    return sum(result == number for number, result in enumerate(results))


@define.workflow(name="bench.sleeps", version="1.0.0")
async def sleeps(number: int) -> int:
    """Waits for a month."""
    await asyncio.sleep(30 * 86_400)
    return number


@define.workflow(name="bench.waits_for_nobody", version="1.0.0")
async def waits_for_nobody(number: int) -> int:
    """Waits for a routine in a pool that nobody is in."""
    return await noop(number, "").using(pool="nobody")
