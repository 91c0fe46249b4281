"""Workflows that are no good, and such as only look it: read by the lint's tests, never run. `# !` is what is found."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import random as dice
import socket
import subprocess
import threading
import time
import uuid
from datetime import UTC, date, datetime
from datetime import datetime as dt
from pathlib import Path
from random import choice as pick
from time import perf_counter
from typing import Any

from longshore import context, define

stamp = datetime.now
generator = random.Random(7)


@define.task(name="lint.task", version="1.0.0")
def task(*given: Any) -> Any:
    return time.time(), random.random(), open(os.environ["HOME"]), given


@define.workflow(name="clock", version="1.0.0")
async def clock() -> Any:
    return [
        datetime.now(UTC),  # ! context.now
        dt.now(UTC),  # ! context.now
        dt.utcnow(),  # noqa: DTZ003 # ! context.now
        dt.today(),  # noqa: DTZ002 # ! context.now
        date.today(),  # noqa: DTZ011 # ! context.now
        stamp(),  # ! context.now
        time.time(),  # ! context.now
        time.monotonic(),  # ! measure inside a task
        perf_counter(),  # ! measure inside a task
        [time.time_ns],  # ! context.now
        context.now,
        datetime(2026, 1, 1, tzinfo=UTC),
        asyncio.get_running_loop().time(),
    ]


@define.workflow(name="chance", version="1.0.0")
async def chance() -> Any:
    import secrets
    from uuid import uuid4 as new_id

    deck = [1, 2, 3]
    random.shuffle(deck)  # ! context.random
    return [
        dice.random(),  # ! context.random
        pick(deck),  # ! context.random
        random.Random(),  # ! context.random
        uuid.uuid4(),  # ! context.uuid4()
        uuid.uuid1(),  # ! context.uuid4()
        new_id(),  # ! context.uuid4()
        os.urandom(8),  # ! for a secret
        secrets.token_hex(),  # ! for a secret
        random.Random(3).random(),
        generator.random(),
        uuid.uuid5(uuid.NAMESPACE_DNS, "a"),
        context.random.choice(deck),
        context.uuid4(),
    ]


@define.workflow(name="order", version="1.0.0")
async def order(names: list[str]) -> Any:
    for name in {"a", "b"}:  # noqa: PLC0208 # ! sorted(...)
        await task(name)
    for name in set(names):  # ! sorted(...)
        await task(name)
    wanted = {name.lower() for name in names}
    wanted |= {"c"}
    for name in wanted - {"d"}:  # ! sorted(...)
        await task(name)
    await asyncio.gather(*{task(name) for name in names})  # ! sorted(...)
    listed = list(frozenset(names))  # ! sorted(...)
    joined = ",".join({f"{name}!" for name in names})  # ! sorted(...)
    first = [await task(name) for name in set(names)]  # ! sorted(...)
    one = wanted.pop()  # ! sorted(...)
    return listed, joined, first, one


@define.workflow(name="in_order", version="1.0.0")
async def in_order(names: list[str]) -> Any:
    for name in sorted(set(names)):
        await task(name)
    for number in {1, 2, 3}:  # noqa: PLC0208
        await task(number)
    for number in set(range(4)):
        await task(number)
    pending = {asyncio.create_task(task(name)) for name in names}
    for one in pending:
        await one
    known = set(names)
    known = names  # type: ignore[assignment]
    for name in known:
        await task(name)
    return len(set(names)), max(len(name) for name in {*names}), "a" in set(names), {len(n) for n in set(names)}


@define.workflow(name="world", version="1.0.0")
async def world(path: Path) -> Any:
    loop = asyncio.get_running_loop()
    threading.Thread(target=print).start()  # ! @define.task
    subprocess.run(["true"], check=True)  # ! @define.task
    socket.create_connection(("localhost", 1))  # ! @define.task
    await asyncio.to_thread(print)  # ! @define.task
    asyncio.run(asyncio.sleep(0))  # ! `await` on the coroutine
    await loop.run_in_executor(None, print)  # ! @define.task
    time.sleep(1)  # ! await asyncio.sleep
    input()  # ! an argument of the workflow
    Path("a").read_text()  # ! @define.task
    try:
        return (
            os.environ["HOME"],  # ! an argument of the workflow
            os.getenv("HOME"),  # ! an argument of the workflow
            open("a"),  # ! @define.task
            Path("a").with_suffix(".b"),
            path.name,
            os.path.join("a", "b"),
        )
    except subprocess.CalledProcessError:
        return None


def helper() -> float:
    return deeper()


@functools.cache
def deeper() -> float:
    return time.time()  # ! context.now


def uncalled() -> float:
    return time.time()


@define.workflow(name="by_way", version="1.0.0")
async def by_way() -> Any:
    def inner(time: Any) -> Any:
        return time.time(), dice.random()  # ! context.random

    return helper(), inner(context), await task(), task.function  # the plain function: its lines, too


@define.workflow(name="marked", version="1.0.0")
async def marked(names: set[str]) -> Any:
    print(  # noqa: T201
        time.time(),  # longshore: deterministic
    )
    # longshore: deterministic (for the log only)
    began = perf_counter()
    for name in set(names):  # longshore: deterministic
        await task(name)
    return began


@define.workflow(name="marked_whole", version="1.0.0")
async def marked_whole() -> Any:  # longshore: deterministic
    return time.time(), random.random()


@define.workflow(name="shadowed", version="1.0.0")
async def shadowed(time: Any, random: Any, open: Any) -> Any:
    uuid = context
    return time.time(), random.random(), open("a"), uuid.uuid4()
