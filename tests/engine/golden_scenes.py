"""Scenes of plain asyncio code, each of one subject, whose addresses every supported Python must give alike."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any

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


async def waited(call: Ask) -> None:
    racers = [asyncio.create_task(call(f"racer {number}")) for number in range(5)]
    done, pending = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
    for one in done:
        await call("won by " + one.result())
    for one in pending:
        one.cancel()
        await call(f"lost {racers.index(one)}")
    failing = [asyncio.create_task(call(tag)) for tag in ("!a", "b", "c")]
    done, pending = await asyncio.wait(failing, return_when=asyncio.FIRST_EXCEPTION)
    await call(f"{sorted(failing.index(one) for one in done)} and {len(pending)}")
    await asyncio.gather(*failing, return_exceptions=True)

    async def slow() -> str:
        await asyncio.sleep(30)
        return await call("slow")

    sleeping = asyncio.create_task(slow())
    done, pending = await asyncio.wait([sleeping], timeout=3)
    await call(f"{len(done)} in time")
    await call(await sleeping)


async def timed(call: Ask) -> None:
    async with asyncio.timeout(None) as limit:
        await call("a")
        limit.reschedule(asyncio.get_running_loop().time() + 50)
        await call("b")
    for length in (0, -1, 2):
        try:
            async with asyncio.timeout(60), asyncio.timeout(length):
                await asyncio.gather(call(f"in {length}"), asyncio.sleep(5))
        except TimeoutError:
            await call(f"late {length}")
    try:
        await asyncio.wait_for(asyncio.gather(asyncio.sleep(9), asyncio.sleep(8)), 4)
    except TimeoutError:
        await call("gather late")
    async with asyncio.timeout_at(asyncio.get_running_loop().time() + 7):
        await call("c")
    await asyncio.wait_for(call("d"), None)
    await asyncio.wait_for(asyncio.create_task(call("e")), 5)

    async def stubborn() -> str:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await call("clean up")
            raise
        return ""

    try:
        await asyncio.wait_for(stubborn(), 6)
    except TimeoutError:
        await call("after the clean up")


async def failed(call: Ask) -> None:
    try:
        await call("!alone")
    except RuntimeError:
        await call("caught")
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(call("one"))
            group.create_task(call("!two"))
            group.create_task(call("three"))
            await asyncio.sleep(20)
    except* RuntimeError as errors:
        await call(f"group of {len(errors.exceptions)}")
    try:
        await asyncio.gather(call("x"), call("!y"), call("z"))
    except RuntimeError:
        await call("gather failed")
    await call(f"{len(await asyncio.gather(call('!p'), call('q'), return_exceptions=True))} outcomes")
    for one in asyncio.as_completed([call("!s"), call("t"), call("!u")]):
        try:
            await call("then " + await one)
        except RuntimeError as error:
            await call(f"then {error}")


async def canceled(call: Ask) -> None:
    async def work(tag: str) -> str:
        try:
            return await call(tag)
        except asyncio.CancelledError:
            await asyncio.shield(call(f"{tag} shielded"))
            raise
        finally:
            await call(f"{tag} finally")

    one, two, never = (asyncio.create_task(work(tag)) for tag in ("one", "two", "never"))
    never.cancel()
    await call("first")
    two.cancel()
    await asyncio.wait([one, two, never])
    outer = asyncio.ensure_future(asyncio.shield(asyncio.create_task(work("inner"))))
    await asyncio.sleep(0)
    outer.cancel()
    await asyncio.wait([outer])
    me = asyncio.current_task()
    assert me is not None
    asyncio.get_running_loop().call_soon(me.cancel)
    try:
        await call("interrupted")
    except asyncio.CancelledError:
        me.uncancel()
        await call("goes on")
    async with asyncio.TaskGroup() as group:
        inside = group.create_task(work("inside"))
        await asyncio.sleep(0)
        inside.cancel()


async def signaled(call: Ask) -> None:
    event, condition, barrier = asyncio.Event(), asyncio.Condition(), asyncio.Barrier(3)
    lock, semaphore = asyncio.Lock(), asyncio.BoundedSemaphore(2)
    ready: list[int] = []

    async def waits(number: int) -> None:
        await event.wait()
        await call(f"event {number}")
        async with condition:
            await condition.wait_for(lambda: len(ready) > number)
            await call(f"condition {number}")
        place = await barrier.wait()
        await call(f"barrier {number} {place}")
        async with semaphore, lock:
            await call(f"lock {number}")

    waiting = [asyncio.create_task(waits(number)) for number in range(3)]
    await call("begin")
    event.set()
    for number in range(3):
        await call(f"notify {number}")
        async with condition:
            ready.append(number)
            condition.notify_all()
    await asyncio.gather(*waiting)


async def hurried(call: Ask) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    taken: list[list[int]] = [[], [], []]
    for number in range(12):
        queue.put_nowait(number)

    async def works(number: int) -> None:
        while len(taken[number]) < 3 * (number + 1) and not queue.empty():
            taken[number].append(await asyncio.wait_for(queue.get(), 5 + number))  # it is there: no call between
            if number == 1:
                await asyncio.sleep(0)
        await call(f"{number} took {taken[number]}")

    await asyncio.gather(*map(works, range(3)))
    try:
        await asyncio.wait_for(asyncio.wait_for(queue.get(), 3), 2)
    except TimeoutError:
        await call("none left")


async def lined_up(call: Ask) -> None:
    best: asyncio.PriorityQueue[tuple[int, str]] = asyncio.PriorityQueue(maxsize=2)
    last: asyncio.LifoQueue[str] = asyncio.LifoQueue()

    async def puts() -> None:
        for number in (3, 1, 2, 0):
            await best.put((number, await call(f"put {number}")))

    async def takes() -> None:
        for _ in range(4):
            _, tag = await best.get()
            last.put_nowait(await call(f"took {tag}"))

    async with asyncio.TaskGroup() as group:
        group.create_task(puts())
        group.create_task(takes())
    while not last.empty():
        await call(await last.get())
    try:
        async with asyncio.timeout(5):
            await last.get()
    except TimeoutError:
        await call("empty")


async def generated_more(call: Ask) -> None:
    @contextlib.asynccontextmanager
    async def opened(tag: str) -> AsyncIterator[str]:
        await call(f"open {tag}")
        try:
            yield tag
        except RuntimeError:
            await call(f"failed {tag}")
        finally:
            await call(f"close {tag}")

    async def numbers() -> AsyncGenerator[int, str]:
        try:
            for number in range(9):
                sent = yield number
                await call(f"sent {sent}")
        except ValueError:
            yield -1
        finally:
            await call("numbers closed")

    async with opened("a"), contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(opened("b"))
        await call("!inside")
    generator = numbers()
    await anext(generator)
    await generator.asend("x")
    await generator.athrow(ValueError())
    await generator.aclose()
    values = [await call(f"{number}") async for number in numbers() if number < 2]
    await asyncio.gather(*(call(f"again {value}") for value in values))
    dropped = numbers()
    await anext(dropped)
    del dropped
    await call("after the drop")


async def called_back(call: Ask) -> None:
    made: list[asyncio.Task[str]] = []
    loop = asyncio.get_running_loop()
    loop.call_later(4, lambda: made.append(loop.create_task(call("from a timer"))))
    loop.call_soon(lambda: made.append(asyncio.ensure_future(call("from a callback"))))
    one = asyncio.create_task(call("one"))
    one.add_done_callback(lambda _: made.append(loop.create_task(call("from the end of one"))))
    never = loop.call_later(2, made.clear)
    await asyncio.sleep(1)
    never.cancel()
    await asyncio.sleep(5)
    await asyncio.gather(*made)


SCENES: list[Scene] = [
    in_turn, gathered, limited, grouped, completed, queued, generated,
    waited, timed, failed, canceled, signaled, hurried, lined_up, generated_more, called_back,
]  # fmt: skip
