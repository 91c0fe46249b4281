"""Whether a worker's payload store is ours, too: the object it wrote is read back before its Hello is taken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from longshore.core.changes import Inbound
from longshore.core.errors import PayloadUnavailable, ProtocolError
from longshore.core.ids import SessionId
from longshore.core.message import ClaimCheck, Hello
from longshore.payloads import PayloadStore, read_probe

_log = logging.getLogger("longshore.coordinator")

REMEMBERED: Final = 10_000
ADVICE: Final = (
    "the coordinator cannot read what this worker wrote to the payload store: both need the same LONGSHORE_PAYLOAD_URL "
    "(a folder only where they share it) and the same S3 endpoint"
)


class Probes:
    """Holds Hellos back until their probe was read. Without a store every Hello passes."""

    def __init__(
        self,
        store: PayloadStore | None,
        *,
        passed: Callable[[Inbound], None],
        refused: Callable[[SessionId, str], None],
    ) -> None:
        self._store = store
        self._passed = passed
        self._refused = refused
        self._known: dict[tuple[SessionId, str], None] = {}
        self._under_way: dict[SessionId, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="probes")

    def admits(self, inbound: Inbound) -> bool:
        """Whether to take this body now. If not it comes through `passed` later, or its session is refused."""
        first = inbound.messages[0]
        if type(first) is not Hello or first.probe is None or self._store is None:
            return True
        key = (inbound.session, first.probe.key)
        if key in self._known:
            return True
        if inbound.session not in self._under_way:
            reading = asyncio.create_task(self._read(self._store, inbound, first.probe))
            self._under_way[inbound.session] = reading
            reading.add_done_callback(lambda _: self._under_way.pop(inbound.session, None))
        return False

    async def _read(self, store: PayloadStore, inbound: Inbound, probe: ClaimCheck) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, read_probe, store, probe)
        except PayloadUnavailable as error:
            _log.warning("a worker has to wait, the payload store does not answer: %s", error)
            return  # it says Hello again in a second
        except ProtocolError as error:
            self._refused(inbound.session, f"{ADVICE} ({error})")
            return
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[inbound.session, probe.key] = None
        self._passed(inbound)

    async def close(self) -> None:
        """Give up what is being read. Twice is harmless."""
        for reading in list(self._under_way.values()):
            reading.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
