"""Random workflows for the replay fuzz: plain asyncio code, shaped by a seed and by the results it is given."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from typing import Any

from longshore import TokenExpired, context, define


@define.action(name="step", version="1.0.0")
async def step(tag: str, number: int = 0) -> int:
    return number


@define.action(name="may_fail", version="1.0.0")
async def may_fail(tag: str, number: int) -> int:
    return number


class Scene:
    """One random workflow; a fresh object is made for every execution, and only its seed and the results decide."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.trace: list[Any] = []
        self.semaphore = asyncio.Semaphore(2)
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.lock = asyncio.Lock()
        self.event = asyncio.Event()

    async def run(self) -> list[Any]:
        """The workflow."""
        try:
            await self.node("r", 0)
        except asyncio.CancelledError:
            self.trace.append("canceled")
            await step("clean up")
        return self.trace

    async def node(self, tag: str, depth: int) -> None:
        chance = random.Random(f"{self.seed} {tag}")
        acts = ([*DEEP, *SHALLOW], [*SHALLOW, *DEEP], SHALLOW)[min(depth, 2)]
        for number in range(chance.randrange(2, 6) if depth == 0 else chance.randrange(1, 4)):
            act = chance.choice(acts)
            await act(self, f"{tag}.{number}", depth)

    # -------------------------------------------------------------------------------------------------- simple waits

    async def calls(self, tag: str, _depth: int) -> None:
        value = await step(tag)
        self.trace.append((tag, value))
        if value % 3 == 0:
            await step("extra", value)

    async def retries(self, tag: str, _depth: int) -> None:
        for number in range(3):
            try:
                await may_fail(tag, number)
            except RuntimeError:
                self.trace.append((tag, number, "failed"))
            else:
                return

    async def times_out(self, tag: str, _depth: int) -> None:
        try:
            async with asyncio.timeout(5):
                self.trace.append((tag, await step(tag)))
        except TimeoutError:
            self.trace.append((tag, "too late"))

    async def waits_for(self, tag: str, depth: int) -> None:
        try:
            await asyncio.wait_for(self.node(tag, depth + 2), 7.25)
        except TimeoutError:
            self.trace.append((tag, "too late"))

    async def sleeps(self, tag: str, _depth: int) -> None:
        async with self.semaphore:
            await asyncio.sleep(1)
            await step(tag)
        self.trace.append((tag, asyncio.get_running_loop().time()))

    async def shares(self, tag: str, _depth: int) -> None:
        self.queue.put_nowait(tag)
        got = await self.queue.get()
        async with self.lock:
            await step(got)

    async def draws(self, tag: str, _depth: int) -> None:
        if context.patch(f"change-{len(tag) % 7}"):
            self.trace.append((tag, await step(str(context.uuid4()), context.random.randrange(100))))
        self.trace.append((tag, context.now.isoformat(), context.random.random()))

    async def generates(self, tag: str, _depth: int) -> None:
        async def numbers() -> AsyncIterator[int]:
            try:
                for number in range(3):
                    yield await step(tag, number)
            finally:
                self.trace.append((tag, "closed"))

        async for value in numbers():
            if value % 2:
                break

    # -------------------------------------------------------------------------------------------------- from outside

    async def hears(self, tag: str, _depth: int) -> None:
        try:
            async with asyncio.timeout(3):
                self.trace.append((tag, await context.wait_for_signal("loud")))
        except TimeoutError:
            self.trace.append((tag, "silence"))

    async def hears_all(self, tag: str, _depth: int) -> None:
        heard = await asyncio.gather(*(context.wait_for_signal(name) for name in ("loud", "soft", "loud")))
        self.trace.append((tag, heard))

    async def is_paid(self, tag: str, _depth: int) -> None:
        token = await context.create_token(timeout=5 if len(tag) % 2 else None)
        waiter = asyncio.create_task(context.wait_for_token(token))
        await step(tag)
        try:
            self.trace.append((tag, await waiter, await context.wait_for_token(token)))
        except TokenExpired:
            self.trace.append((tag, "expired"))

    async def until(self, tag: str, _depth: int) -> None:
        await context.wait_until(context.now + timedelta(seconds=len(tag) % 4))
        self.trace.append((tag, context.now.isoformat()))

    # -------------------------------------------------------------------------------------------------- many at once

    async def gathers(self, tag: str, depth: int) -> None:
        count = 1 + len(tag) % 3
        await asyncio.gather(*(self.node(f"{tag}-{one}", depth + 1) for one in range(count)))

    async def groups(self, tag: str, depth: int) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for one in range(3):
                    group.create_task(self.node(f"{tag}-{one}", depth + 1))
                group.create_task(may_fail(tag, 9))  # one failure cancels the others
        except* RuntimeError:
            self.trace.append((tag, "the group failed"))

    async def races(self, tag: str, _depth: int) -> None:
        racers = [asyncio.create_task(step(tag, one)) for one in range(4)]
        done, pending = await asyncio.wait(set(racers), return_when=asyncio.FIRST_COMPLETED)
        self.trace.append((tag, [racers.index(one) for one in done]))
        for one in pending:  # a set of asyncio tasks
            one.cancel()
            await step(f"{tag} lost", racers.index(one))

    async def takes_as_completed(self, tag: str, _depth: int) -> None:
        for one in asyncio.as_completed([step(tag, number) for number in range(4)]):
            self.trace.append((tag, await one))
            await step(f"{tag} then")

    async def maps(self, tag: str, _depth: int) -> None:
        width, collects = 1 + len(tag) % 3, len(tag) % 2 > 0
        numbers = range(6)
        try:
            async for value in may_fail.map([tag] * 9, numbers, concurrency=width, return_exceptions=collects):
                self.trace.append((tag, str(value)))
                if value == 42:
                    break
                if not collects:
                    await step(f"{tag} took", value)
        except RuntimeError:
            self.trace.append((tag, "one of them failed"))

    async def shields(self, tag: str, _depth: int) -> None:
        inner = asyncio.ensure_future(step(tag))
        try:
            await asyncio.wait_for(asyncio.shield(inner), 3)
        except TimeoutError:
            self.trace.append((tag, "went on", await inner))

    async def signals(self, tag: str, depth: int) -> None:
        event = asyncio.Event()

        async def sets() -> None:
            await step(tag)
            event.set()

        setter = asyncio.create_task(sets())
        await asyncio.gather(event.wait(), self.node(tag, depth + 1))
        await setter


Act = Callable[[Scene, str, int], Coroutine[Any, Any, None]]
SHALLOW: list[Act] = [
    Scene.calls, Scene.calls, Scene.retries, Scene.times_out, Scene.sleeps, Scene.shares, Scene.generates, Scene.draws,
    Scene.hears, Scene.hears_all, Scene.is_paid, Scene.until, Scene.maps,
]  # fmt: skip
DEEP: list[Act] = [
    Scene.waits_for, Scene.gathers, Scene.gathers, Scene.groups, Scene.races, Scene.takes_as_completed, Scene.shields,
    Scene.signals,
]  # fmt: skip


def workflow(seed: int) -> Callable[[], Coroutine[Any, Any, list[Any]]]:
    """The workflow of this seed, as an execution starts it."""
    return lambda: Scene(seed).run()
