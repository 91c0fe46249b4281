"""Many triggers in one go: any number of items, a bounded number of them under way. It orders nothing anew."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from itertools import islice
from typing import Final, TypeVar

from longshore.core.message import MAX_ITEMS

T = TypeVar("T")
R = TypeVar("R")

CHUNKS_UNDER_WAY: Final = 4


async def each(items: Iterable[T] | AsyncIterable[T], act: Callable[[T], Awaitable[R]]) -> list[R | BaseException]:
    """What `act` gave for each item, in order; where it raised, the exception.

    Items are drawn a thousand at a time, and only as fast as they are dealt with.
    """
    found: list[R | BaseException] = []
    under_way: deque[asyncio.Future[list[R | BaseException]]] = deque()
    try:
        async for chunk in _chunks(items):
            under_way.append(asyncio.gather(*(act(item) for item in chunk), return_exceptions=True))
            if len(under_way) == CHUNKS_UNDER_WAY:
                found += await under_way[0]
                under_way.popleft()
        while under_way:
            found += await under_way[0]
            under_way.popleft()
    finally:
        for rest in under_way:
            rest.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
    return found


async def _chunks(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[list[T]]:
    if isinstance(items, AsyncIterable):
        chunk: list[T] = []
        async for item in items:
            chunk.append(item)
            if len(chunk) == MAX_ITEMS:
                yield chunk
                chunk = []
        if chunk:
            yield chunk
        return
    iterator = iter(items)
    while chunk := list(islice(iterator, MAX_ITEMS)):
        yield chunk
