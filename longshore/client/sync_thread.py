"""The thread of a client for code without an event loop: its loop, and waits on it that Ctrl-C interrupts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, TypeVar

from longshore.core.errors import UsageError

T = TypeVar("T")

_JOIN_WITHIN: Final = 10.0


class LoopThread:
    """An event loop in a thread, for as long as it is open."""

    def __init__(self) -> None:
        self._ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._serve, name="longshore-client", daemon=True)
        self._thread.start()
        self._loop, self._stopping = self._ready.result(_JOIN_WITHIN)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine gives, run on the loop in the caller's context; an interrupt cancels it."""
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            work.close()
            raise UsageError("a SyncClient cannot be used inside its own on_waiting, nor once it is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop and the thread."""
        with suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_JOIN_WITHIN)

    def _serve(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._wait())

    async def _wait(self) -> None:
        stopping = asyncio.Event()
        self._ready.set_result((asyncio.get_running_loop(), stopping))
        await stopping.wait()


async def following(items: AsyncIterator[T]) -> T | None:
    """The next item; None at the end."""
    return await anext(items, None)


async def ended(items: AsyncIterator[object]) -> None:
    """End an iterator before its end."""
    close = getattr(items, "aclose", None)
    if close is not None:
        await close()
