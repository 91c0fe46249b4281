"""Large checkpoints of coroutines: encoded where they are made, stored beside the loop, one at a time for each attempt.

It holds up neither the loop nor the attempt; of those that wait, only the newest is stored. It lives on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from longshore.core.errors import LongshoreError
from longshore.serialization.values import Encoded
from longshore.worker.attempt import Attempt
from longshore.worker.desk import Desk, log

SETTLE_WITHIN: Final = 60.0
"""Seconds that a failed attempt waits for its last checkpoint to be stored."""


class Keeping:
    """See the module. `aside` runs a function in a thread."""

    def __init__(self, desk: Desk, aside: Callable[..., Awaitable[Any]]) -> None:
        self._desk = desk
        self._aside = aside
        self._newest: dict[Attempt, Encoded | None] = {}  # of those with one under way; None: none waits
        self._tasks: dict[Attempt, asyncio.Task[None]] = {}

    def keep(self, attempt: Attempt, value: Any) -> None:
        """See `Context.checkpoint`. Raises EncodingError."""
        frozen = self._desk.bench.freeze(value)
        if attempt in self._tasks:
            self._newest[attempt] = Encoded(len(frozen), [frozen]) if isinstance(frozen, bytes) else frozen
            attempt.show_life()
        elif isinstance(frozen, bytes):
            self._desk.saved(attempt, None if frozen == attempt.saved else frozen)
        else:
            self._newest[attempt] = frozen
            self._tasks[attempt] = asyncio.get_running_loop().create_task(self._store(attempt))

    async def settle(self, attempt: Attempt) -> None:
        """Wait until what it kept last is stored."""
        task = self._tasks.get(attempt)
        if task is not None:
            await asyncio.wait([task], timeout=SETTLE_WITHIN)

    async def _store(self, attempt: Attempt) -> None:
        try:
            while (encoded := self._newest[attempt]) is not None:
                self._newest[attempt] = None
                try:
                    kept = await self._aside(self._desk.bench.keep_encoded, attempt, encoded)
                except LongshoreError as error:
                    log.warning("a checkpoint of run %s is not kept: %s", attempt.run_id, error)
                    continue
                if self._newest[attempt] is None and not attempt.reported:
                    self._desk.saved(attempt, kept)
        finally:
            del self._newest[attempt], self._tasks[attempt]
