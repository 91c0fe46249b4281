"""Objects of runs that are gone are taken out of the payload store, some at a time, beside everything else.

What may go stands in the ledger's store until it is gone, so a crash or a store that is away loses nothing. It decides
nothing, and it never takes an object that a run names, nor one that an unread command might.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final

from longshore.coordinator.store.objects import Doomed, Objects
from longshore.core.changes import ObjectsRemoved
from longshore.core.errors import PayloadUnavailable, ProtocolError, StoreUnavailableError
from longshore.payloads import PayloadStore

_log = logging.getLogger("longshore.coordinator")

EVERY: Final = 10.0
"""Seconds between two looks."""
AT_ONCE: Final = 200
THREADS: Final = 4
START: Final = (0, "")


class Sweeper:
    """Removes objects that may go. `read_until` says until when every command is read (None: nobody knows yet)."""

    def __init__(
        self,
        objects: Objects,
        payloads: PayloadStore,
        *,
        read_until: Callable[[], datetime | None],
        removed: Callable[[ObjectsRemoved], None],
        every: float = EVERY,
    ) -> None:
        self._objects = objects
        self._payloads = payloads
        self._read_until = read_until
        self._removed = removed
        self._every = every
        self._away = False

    async def run(self) -> None:
        """Look again and again, until canceled."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "sweeper") as reading, ThreadPoolExecutor(THREADS, "sweeper") as removing:
            while True:
                await asyncio.sleep(self._every)
                until = self._read_until()
                after = START
                while until is not None:
                    try:
                        found = await loop.run_in_executor(reading, self._objects.doomed, until, after, AT_ONCE)
                    except StoreUnavailableError as error:
                        _log.warning("objects stay for now: %s", error)
                        break
                    if not found or not await self._remove(removing, found):
                        break
                    after = found[-1].at, found[-1].key

    async def _remove(self, threads: ThreadPoolExecutor, found: Sequence[Doomed]) -> bool:
        """Remove these. False: the payload store does not answer, what is left is tried again later."""
        loop = asyncio.get_running_loop()
        asked = [loop.run_in_executor(threads, self._remove_one, one) for one in found]
        errors = await asyncio.gather(*asked)
        gone = [one.key for one, error in zip(found, errors, strict=True) if error is None]
        if gone:
            self._removed(ObjectsRemoved(gone))
        away = [error for error in errors if error is not None]
        if away and not self._away:
            _log.warning("%d objects of deleted runs stay for now: %s", len(away), away[0])
        self._away = bool(away)
        return not away

    def _remove_one(self, one: Doomed) -> PayloadUnavailable | None:
        if one.named:
            return None  # it may go again when who names it is gone
        try:
            self._payloads.delete(one.key)
        except PayloadUnavailable as error:
            return error
        except ProtocolError:  # a key that no store has: nothing lies there
            _log.warning("%r is no key of the payload store", one.key)
        return None
