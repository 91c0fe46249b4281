"""The coordinator as a whole: bus, store and ledger put together, the second that passes, the questions answered.

Whoever ends it cancels `run`: the round under way is finished, what is being sent is waited for, nothing is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Final

from longshore.broker.bus import Bus, Consumer
from longshore.coordinator import asks, health, sweeping
from longshore.coordinator.events import Events
from longshore.coordinator.glance import Glance
from longshore.coordinator.inbox import Inbox
from longshore.coordinator.probes import Probes
from longshore.coordinator.rounds import Clock, Rounds, utcnow
from longshore.coordinator.sender import REPORTS_KEY, Letter, Sender
from longshore.coordinator.store import OBJECTS_KEPT, Store, coming
from longshore.coordinator.sweeping import Sweeper
from longshore.core.changes import ReportsBound
from longshore.core.envelope import Names
from longshore.core.errors import BrokerUnavailableError
from longshore.core.ids import SessionId
from longshore.core.ledger import LedgerConfig
from longshore.core.message import Answer, Ask, Welcome
from longshore.payloads import PayloadStore
from longshore.telemetry.spans import Telemetry

_log = logging.getLogger("longshore.coordinator")

OPEN_TIMEOUT: Final = 10.0
STORE_PATIENCE: Final = timedelta(seconds=60)
MARK_EVERY: Final = 1.0
READY_WITHIN: Final = timedelta(seconds=5)
"""How old the owner's row may be in a coordinator that is ready."""
STOP_WITHIN: Final = 10.0
COMMANDS_PREFETCH: Final = 32
REPORTS_PREFETCH: Final = 200
DEAD_PREFETCH: Final = 16
ASKS_WAITING: Final = 1000
COUNTED_AT_ONCE: Final = 2000
"""Runs: a millisecond."""
SWITCH_INTERVAL: Final = 5e-4
"""Seconds a computing thread keeps the interpreter from the writer's thread (5 ms by default)."""


class Coordinator:
    """One coordinator. `await run()` once, from the loop on which the bus lives. `clock` says what time it is for the
    ledger; with `tunes` the interpreter is as a process of its own needs it."""

    def __init__(
        self,
        store_url: str,
        bus: Bus,
        names: Names,
        config: LedgerConfig | None = None,
        *,
        telemetry: Telemetry | None = None,
        payloads: PayloadStore | None = None,
        http_address: tuple[str, int] | None = None,
        store_patience: timedelta = STORE_PATIENCE,
        events_bus: Callable[[], Bus] | None = None,
        objects_kept: timedelta = OBJECTS_KEPT,
        sweep_every: float = sweeping.EVERY,
        clock: Clock = utcnow,
        tunes: bool = True,
    ) -> None:
        self._clock = clock
        self._tunes = tunes
        self._store_url = store_url
        self._bus = bus
        self._names = names
        self._config = config or LedgerConfig()
        self._telemetry = telemetry or Telemetry()
        self._http_address = http_address
        self._patience = store_patience
        self._events_bus = events_bus
        self._payloads = payloads
        self._objects_kept = objects_kept
        self._sweep_every = sweep_every
        self._inbox = Inbox(clock)
        self._consumers: list[Consumer] = []
        self._asks: deque[Ask] = deque()
        self._refusals: list[Letter] = []
        self._asked = asyncio.Event()
        self._ready = asyncio.Event()
        self._rounds: Rounds | None = None
        self._broken = ""
        self._gone = asyncio.Event()

    async def ready(self) -> None:
        """Wait until it takes work."""
        await self._ready.wait()

    def missing(self) -> list[str]:
        """What it lacks to be ready; empty when it is."""
        rounds = self._rounds
        lacking = []
        if rounds is None or rounds.written_at is None or self._clock() - rounds.written_at > READY_WITHIN:
            lacking.append("the owner's row was not written within 5 s: look at the ledger's store")
        if not self._bus.connected:
            lacking.append("the broker is not connected")
        if rounds is None or not rounds.bound:
            lacking.append("the report queue is not bound")
        return lacking

    def glance(self) -> Glance:
        """How it stands: for whoever moves its clock, from the same thread."""
        rounds = self._rounds
        if rounds is None or not self._ready.is_set():
            return Glance(True, frozenset())
        moving = rounds.is_moving or bool(self._asks) or rounds.ledger.is_tidying
        return Glance(moving, frozenset(rounds.ledger.at_work()))

    def coming_at(self) -> datetime | None:
        """When time alone brings the next thing; in the past, if the next tick has it. None: never."""
        if self._rounds is None:
            return None
        found = self._rounds.ledger.coming_at(), coming.coming_at(self._store.reader.connection)
        return min((at for at in found if at is not None), default=None)

    def wake(self) -> None:
        """Its clock was moved: have it look."""
        self._inbox.wake.set()

    # ---------------------------------------------------------------------------------------------------------- life

    async def run(self) -> None:
        """Take work until canceled.

        Raises Fenced (another coordinator took over), StoreUnavailableError, BrokerUnavailableError, SettingsError.
        """
        listener = health.listen(*self._http_address) if self._http_address else None
        with contextlib.ExitStack() as stack:
            if listener is not None:
                stack.callback(listener.close)
            store = Store.open(self._store_url, self._objects_kept)
            stack.callback(store.close)
            self._sender = Sender(self._bus, self._names, store)
            self._store = store
            rounds = Rounds(
                store,
                self._inbox,
                self._sender,
                self._config,
                self._telemetry,
                on_asks=self._take_asks,
                patience=self._patience,
                clock=self._clock,
            )
            term = rounds.begin(f"{socket.gethostname()}:{os.getpid()}")
            _log.info("term %d begins with %d runs", term, rounds.ledger.size)
            self._rounds = rounds
            with _tuned() if self._tunes else contextlib.nullcontext():
                await self._serve(rounds, listener)

    async def _serve(self, rounds: Rounds, listener: socket.socket | None) -> None:
        probes = Probes(self._payloads, passed=self._inbox.put, refused=self._refuse)
        self._inbox.admits = probes.admits
        parts: list[Coroutine[Any, Any, None]] = [rounds.run(), self._pass_seconds(), self._answer_for_ever(rounds)]
        parts.append(self._until_broken())
        if self._events_bus is not None:
            parts.append(Events(self._events_bus, self._names, self._store).run())
        if self._payloads is not None:
            parts.append(self._sweep(self._payloads))
        if listener is not None:
            parts.append(health.serve(listener, self.missing))
        self._bus.watch(self._on_link)
        working: list[asyncio.Task[None]] = []
        try:
            await self._bus.open(timeout=OPEN_TIMEOUT)
            await self._consume(rounds)
            working = [asyncio.create_task(part) for part in parts]
            parts = []
            self._ready.set()
            await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.close()
            await asyncio.shield(asyncio.ensure_future(self._end(rounds, probes, working)))
        for one in working:
            if one.done() and not one.cancelled() and (error := one.exception()) is not None:
                raise error

    async def _consume(self, rounds: Rounds) -> None:
        inbox, names, term = self._inbox, self._names, self._sender.term

        def on_bound(number: int) -> None:
            rounds.bound = number
            inbox.tell(ReportsBound(number))

        inbox.reports.consumer = await self._bus.consume_private(
            names.reports, REPORTS_KEY, inbox.reports.put, on_bound, prefetch=REPORTS_PREFETCH
        )
        self._consumers.append(inbox.reports.consumer)
        for queue, tray, prefetch in (
            (names.commands, inbox.commands, COMMANDS_PREFETCH),
            (names.dead, inbox.dead, DEAD_PREFETCH),
        ):
            tray.consumer = await self._bus.consume_queue(queue, tray.put, prefetch=prefetch, priority=term)
            self._consumers.append(tray.consumer)

    async def _end(self, rounds: Rounds, probes: Probes, working: list[asyncio.Task[None]]) -> None:
        """Finish the round under way, then let go of everything."""
        self._ready.clear()
        if working:
            rounds.stop()
            await asyncio.wait(working[:1], timeout=STOP_WITHIN)
        for one in working:
            one.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        for consumer in self._consumers:
            await consumer.close()
        await probes.close()
        await rounds.close()
        await self._bus.close()

    # ------------------------------------------------------------------------------------------------------- the bus

    def _on_link(self, change: str) -> None:
        _log.info("the bus: %s", change)
        if change.startswith("failed"):
            self._broken = change
            self._gone.set()

    async def _until_broken(self) -> None:
        await self._gone.wait()
        raise BrokerUnavailableError(f"the bus cannot be used any more: {self._broken}")

    async def _pass_seconds(self) -> None:
        """A Mark each second, never catching up."""
        number = 0
        while True:
            await asyncio.sleep(MARK_EVERY)
            number += 1
            await self._sender.mark(number)

    async def _sweep(self, payloads: PayloadStore) -> None:
        inbox = self._inbox
        sweeper = Sweeper(
            self._store.objects,
            payloads,
            read_until=lambda: inbox.read_until,
            removed=inbox.tell,
            every=self._sweep_every,
        )
        await sweeper.run()

    def _refuse(self, session: SessionId, why: str) -> None:
        _log.warning("a worker is refused: %s", why)
        welcome = Welcome(term=self._sender.term, taken=0, refused=why)
        self._refusals.extend(self._sender.alone(session, welcome))
        self._asked.set()

    # ------------------------------------------------------------------------------------------------------ questions

    def _take_asks(self, questions: list[Ask]) -> None:
        self._asks.extend(questions)
        self._asked.set()

    async def _answer_for_ever(self, rounds: Rounds) -> None:
        """Answer what was asked, in a thread of its own, in the order in which it came."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="asks") as thread:
            while True:
                await self._asked.wait()
                self._asked.clear()
                letters, self._refusals = self._refusals, []
                while self._asks:
                    ask = self._asks.popleft()
                    if len(self._asks) > ASKS_WAITING:
                        busy = {"rule": "busy", "text": "too many questions wait: ask again in a while"}
                        answer = Answer(ask_id=ask.ask_id, error=busy)
                    else:
                        memory = await _remembered(rounds, ask, self._clock()) | {"kept": self._config.retention.text}
                        answer = await loop.run_in_executor(thread, asks.answer, ask, self._store.queries, memory)
                    if ask.reply_to:
                        letters += self._sender.answers(ask.reply_to, [answer])
                if letters:
                    await self._sender.send(letters)


async def _remembered(rounds: Rounds, ask: Ask, now: datetime) -> asks.Memory:
    """What the ledger's memory adds to the answer. With very many runs others get their turn meanwhile."""
    memory: asks.Memory = {"now": now, "why": None, "progress": None, "workers": [], "queues": []}
    if ask.what in ("why", "run") and len(ask.run_ids) == 1:
        memory["why"] = rounds.ledger.why(ask.run_ids[0], now)
        memory["progress"] = rounds.ledger.progress(ask.run_ids[0])
    elif ask.what == "workers":
        memory["workers"] = rounds.ledger.workers()
    elif ask.what == "queues":
        counting = rounds.ledger.count_queues()
        for _ in counting.steps(COUNTED_AT_ONCE):
            await asyncio.sleep(0)
        memory["queues"] = counting.rows()
    return memory


@contextlib.contextmanager
def _tuned() -> Iterator[None]:
    """The interpreter as this process needs it: what was loaded is not searched for garbage again and again (200 ms for
    a million runs, measured), and the writer's thread gets its turn."""
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)
        gc.unfreeze()
