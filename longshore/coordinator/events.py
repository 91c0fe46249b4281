"""The events exchange: every change of a run for whoever wants to watch, beside the loop and behind it.

While somebody is bound to the exchange, what is committed is read again from the history and published, on a
connection and in a thread of their own: no run waits for a listener, a slow broker, or one that takes nothing. While
nobody is, nothing is kept and nothing read; a word a second finds out. Bodies are numbered, so that who misses one sees
it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from longshore.broker.bus import Bus, Headers, Outgoing
from longshore.coordinator.store import Store
from longshore.coordinator.store.tail import KEPT, Bodies
from longshore.core.envelope import EVENTS_KEY, JSON, Names
from longshore.core.errors import BrokerUnavailableError, StoreUnavailableError

_log = logging.getLogger("longshore.coordinator")

R = TypeVar("R")
ASK_EVERY: Final = 1.0
"""Seconds between two looks whether anybody listens."""
LOOK_EVERY: Final = 0.1
"""Seconds between two looks for changes, while somebody listens."""
COUNT_EVERY: Final = 100
"""Failures between two looks how much waits."""
PAUSE: Final = 1.0
"""Seconds until what the broker or the store did not do is tried again."""
OPEN_TIMEOUT: Final = 10.0
PUBLISH_TIMEOUT: Final = 10.0
NOTHING: Final = b"[]"
"""What is published to find out whether anybody listens; who gets it is told every change from then on."""


class Events:
    """One coordinator's word to outsiders. `await run()` once, until canceled: it raises nothing else."""

    def __init__(self, make_bus: Callable[[], Bus], names: Names, store: Store) -> None:
        self._make_bus = make_bus
        self._names = names
        self._tail = store.tail
        self._leaving = store.writer.leaving
        self._leaving.wanted = True  # until it is known that nobody listens: who did before a restart misses nothing
        self._heard = False  # somebody is known to listen
        self._anew = False  # there was a time when nobody did, and nothing was kept
        self._at = 0  # the last batch that was passed on
        self._stream = secrets.token_hex(8)
        self._number = 0  # of the last body that was passed on
        self._failed = ""

    async def run(self) -> None:
        """Pass on what is committed, for as long as somebody listens, for ever."""
        with ThreadPoolExecutor(1, thread_name_prefix="events") as thread:
            self._thread = thread
            while True:
                bus = self._make_bus()
                self._failed = ""
                bus.watch(self._on_link)
                try:
                    await bus.open(timeout=OPEN_TIMEOUT)
                    await self._serve(bus)
                except (BrokerUnavailableError, StoreUnavailableError) as error:
                    _log.warning("changes are not published to %s for now: %s", self._names.events, error)
                finally:
                    await bus.close()
                await asyncio.sleep(PAUSE)

    def _on_link(self, change: str) -> None:
        if change.startswith("failed"):
            self._failed = change

    async def _serve(self, bus: Bus) -> None:
        """Until the bus cannot be used any more. What an earlier coordinator left is passed on first."""
        while not self._failed:
            if not self._heard and not await self._is_listening(bus):
                await asyncio.sleep(ASK_EVERY)
                continue
            if not await self._pass_on(bus):
                await asyncio.sleep(LOOK_EVERY)
        raise BrokerUnavailableError(f"the link for events {self._failed}")

    async def _is_listening(self, bus: Bus) -> bool:
        """Ask. What is committed from the moment of asking on is kept: who gets the question misses nothing after
        it."""
        if not self._leaving.wanted:
            if not await self._is_anybody_there(bus):
                return False
            self._at = self._leaving.passed = await self._in_thread(self._tail.newest)
            self._leaving.wanted = True
        headers = self._headers(self._number) | ({"anew": 1} if self._anew else {})
        (sent,) = await bus.publish([self._outgoing(NOTHING, headers)], timeout=PUBLISH_TIMEOUT)
        if sent.returned:
            await self._stop_keeping()
        elif sent.confirmed:
            _log.info("somebody listens to %s: changes are published from here on", self._names.events)
            self._heard, self._anew = True, False
        else:  # nobody knows yet
            await self._give_up_the_oldest()
        return self._heard

    async def _is_anybody_there(self, bus: Bus) -> bool:
        """A word without a number, before anything is kept: while nobody listens it is all that is done."""
        (sent,) = await bus.publish([self._outgoing(NOTHING, {})], timeout=PUBLISH_TIMEOUT)
        return not sent.returned

    async def _stop_keeping(self) -> None:
        self._heard, self._anew = False, True
        self._leaving.wanted = False
        self._leaving.passed = await self._in_thread(self._tail.newest)

    async def _pass_on(self, bus: Bus) -> bool:
        """The next batches; whether there were any."""
        found: list[Bodies] = await self._in_thread(self._tail.after, self._at)
        if not found:
            return False
        bodies = [body for batch in found for body in batch.bodies]
        outgoing = [self._outgoing(body, self._headers(no)) for no, body in enumerate(bodies, self._number + 1)]
        sent = await bus.publish(outgoing, timeout=PUBLISH_TIMEOUT)
        if any(one.returned for one in sent):
            await self._stop_keeping()
            _log.info("nobody listens to %s any more", self._names.events)
        elif all(one.confirmed for one in sent):
            self._number += len(sent)
            self._at = self._leaving.passed = found[-1].batch_no
        else:
            await asyncio.sleep(PAUSE)
            await self._give_up_the_oldest()
        return True

    async def _give_up_the_oldest(self) -> None:
        """What the broker did not take goes again; when very much waits already, the oldest is given up. The number
        that is left out tells listeners."""
        if await self._in_thread(self._tail.behind, self._at) > KEPT:
            newest = await self._in_thread(self._tail.newest)
            _log.error("%s takes nothing: changes of over %d batches are given up", self._names.events, KEPT)
            self._at = self._leaving.passed = newest
            self._number += 1

    def _headers(self, number: int) -> Headers:
        return {"stream": self._stream, "number": number}

    async def _in_thread(self, work: Callable[..., R], *args: Any) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    def _outgoing(self, body: bytes, headers: Headers) -> Outgoing:
        return Outgoing(self._names.events, EVENTS_KEY, body, headers, content_type=JSON)
