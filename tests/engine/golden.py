"""Addresses as every supported Python must give them. Needs only the standard library: run by each interpreter found.

As a program it prints the addresses of all scenes as JSON.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from longshore.engine.loop import DurableTimer, WorkflowLoop, WorkflowTask


class Recorder:
    """An owner that writes down what is asked, with the scene's own tags, and answers in the order asked."""

    def __init__(self) -> None:
        self.loop = WorkflowLoop(self)
        self.asked: dict[str, str] = {}
        self.open: dict[str, asyncio.Future[Any] | DurableTimer] = {}

    async def call(self, tag: str) -> str:
        address = self.loop.scope().next_address()
        self.asked[address] = tag
        future: asyncio.Future[Any] = self.loop.create_future()
        self.open[address] = future
        await future
        return tag

    def timer_asked(self, timer: DurableTimer) -> None:
        timer.address = self.loop.scope().next_address()
        self.asked[timer.address] = f"timer {timer.microseconds}"
        self.open[timer.address] = timer

    def timer_canceled(self, timer: DurableTimer) -> None:
        self.open.pop(timer.address, None)

    def failure_lost(self, context: dict[str, Any]) -> None:
        raise AssertionError(context)

    def play(self, scene: Scene) -> dict[str, str]:
        """Run the scene to its end; calls are answered oldest first, a timer fires when nothing else is open."""
        main = self.loop.start(scene(self.call), contextvars.copy_context())
        self.loop.pump()
        while self.open and not main.done():
            calls = [address for address, one in self.open.items() if isinstance(one, asyncio.Future)]
            address = (calls or list(self.open))[0]
            waiting = self.open.pop(address)
            if isinstance(waiting, asyncio.Future):
                if not waiting.done():
                    waiting.set_result(None)
            else:
                self.loop.clock = waiting.when()
                self.loop.fire(waiting)
            self.loop.pump()
        self.loop.put_away()
        main.result()
        assert isinstance(main, WorkflowTask)
        return self.asked


Ask = Callable[[str], Coroutine[Any, Any, str]]
Scene = Callable[[Ask], Coroutine[Any, Any, Any]]


async def in_turn(call: Ask) -> None:
    await call("a")
    await asyncio.sleep(1.5)
    await asyncio.sleep(0)
    await call("b")


async def gathered(call: Ask) -> None:
    async def two(tag: str) -> None:
        await call(tag + "1")
        await call(tag + "2")

    await asyncio.gather(two("a"), two("b"), call("c"))
    await call("d")


async def limited(call: Ask) -> None:
    async def nested(tag: str) -> None:
        await asyncio.wait_for(call(tag), 5)
        await asyncio.gather(call(tag + "x"), call(tag + "y"))

    await asyncio.wait_for(call("a"), 10)
    await asyncio.wait_for(nested("n"), 20)
    async with asyncio.timeout(7):
        await call("b")
    try:
        await asyncio.wait_for(call("never"), 0)
    except TimeoutError:
        await call("after")
    await asyncio.gather(call("c"))


async def grouped(call: Ask) -> None:
    async with asyncio.TaskGroup() as group:
        for tag in "abc":
            group.create_task(call(tag))
    await asyncio.shield(call("d"))
    pending = {asyncio.create_task(call(tag)) for tag in "efghijklm"}
    for number, one in enumerate([asyncio.create_task(call(f"{number}")) for number, _ in enumerate(pending)]):
        assert await one == f"{number}"
    done, _ = await asyncio.wait(pending)
    for one in done:  # the order of a set of tasks
        await call("saw " + one.result())


async def completed(call: Ask) -> None:
    for one in asyncio.as_completed([call(tag) for tag in "abcdefghij"]):
        await call("then " + await one)
    for one in asyncio.as_completed([call(tag) for tag in "kl"], timeout=9):
        await one


async def queued(call: Ask) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    semaphore = asyncio.Semaphore(2)

    async def work() -> None:
        while True:
            number = await asyncio.wait_for(queue.get(), 60)
            async with semaphore:
                await call(f"item {number}")
            queue.task_done()

    workers = [asyncio.create_task(work()) for _ in range(3)]
    for number in range(7):
        queue.put_nowait(number)
    await queue.join()
    for one in workers:
        one.cancel()
    await call("joined")


async def generated(call: Ask) -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(3):
                await call(f"before {number}")
                yield number
        finally:
            await call("closed")

    async for number in numbers():
        if number == 1:
            break
    await call("after")


SCENES: list[Scene] = [in_turn, gathered, limited, grouped, completed, queued, generated]


def addresses() -> dict[str, dict[str, str]]:
    """Scene to address to tag, in the order asked."""
    return {scene.__name__: Recorder().play(scene) for scene in SCENES}


if __name__ == "__main__":
    print(json.dumps(addresses()))  # noqa: T201 - its only way to answer
