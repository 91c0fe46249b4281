"""The loop of DESIGN 5: take what is there, read, decide, commit, send, settle.

It decides nothing itself. While batches commit in the writer's thread the next ones are decided, unless those need
facts which are just being written; nothing is sent before it is committed, and when a commit fails what was decided
after it is void. What the ledger cannot decide is dead-lettered; when the store does not
answer nothing is taken, and nothing that was taken is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

from longshore.coordinator import calendar, decoding, notices, placements
from longshore.coordinator.bodies import Inputs, fill
from longshore.coordinator.commits import Commits, Decided
from longshore.coordinator.depending import depends
from longshore.coordinator.flights import Flights, Resends
from longshore.coordinator.inbox import Batch, Inbox
from longshore.coordinator.sender import Sender
from longshore.coordinator.store import Prepared, Store, StoreConflict
from longshore.core.changes import Changes, Facts, Inbound, Needs, ReportsBound, Snapshot
from longshore.core.errors import LongshoreError, StoreUnavailableError
from longshore.core.ledger import Ledger, LedgerConfig
from longshore.core.message import Ask
from longshore.telemetry.spans import Telemetry

_log = logging.getLogger("longshore.coordinator")

OWNER_EVERY: Final = timedelta(seconds=1)
"""The owner's row is written at least so often."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
TICKS_FAILED: Final = 5
"""So many ticks in a row that raise end the coordinator: going on would only look like working."""


class Undecided(Exception):
    """The ledger raised, or what it decided contradicts the store: the ledger in memory is not to be trusted."""


def utcnow() -> datetime:
    """The shell's clock."""
    return datetime.now(UTC)


Clock = Callable[[], datetime]
"""What time it is: an aware instant in UTC."""


class Rounds:
    """The ledger in force, and the way of each batch through it."""

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        sender: Sender,
        config: LedgerConfig,
        telemetry: Telemetry,
        *,
        on_asks: Callable[[list[Ask]], None],
        patience: timedelta,
        clock: Clock = utcnow,
    ) -> None:
        self._clock = clock
        self._store = store
        self._inbox = inbox
        self._sender = sender
        self._config = config
        self._telemetry = telemetry
        self._on_asks = on_asks
        self._patience = patience
        self._inputs = Inputs()
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="ledger-writer")
        self._flights = Flights(sender, inbox.tell)
        self._batch_no = 0  # the last one that was numbered
        self._commits = Commits(self._write, self._conclude, inbox.wake.set)
        self._failed_ticks = 0
        self._failing_since: datetime | None = None
        self._pause = FIRST_PAUSE
        self._resends = Resends()
        self.bound = 0
        self.stopping = False
        self.written_at: datetime | None = None
        self.tick_at = self._clock()
        self.ledger: Ledger

    @property
    def is_moving(self) -> bool:
        """Whether anything is being decided, written or sent, or is to be at once."""
        news = self._inbox.wake.is_set() or self.tick_at <= self._clock()
        return news or bool(self._commits.under_way) or self._flights.landed < self._flights.departed

    # -------------------------------------------------------------------------------------------------------- ledgers

    def begin(self, holder: str) -> int:
        """Take the term and load the ledger; gives the term. Raises StoreUnavailableError."""
        now = self._clock()
        self._install(self._store.load(holder, now), now)
        self.written_at = now
        return self._sender.term

    def _install(self, snapshot: Snapshot, now: datetime) -> None:
        self.ledger = Ledger(self._config, snapshot, now)
        self._sender.restart(snapshot.term)
        self._inputs.clear()
        self._batch_no = self._store.batch_no
        self._resends = Resends(self._store.published_batch, -(-len(snapshot.unsent) // self._config.group))
        self.tick_at = now

    async def _reload(self) -> None:
        """What is stored is what is true. Every session is asked to open again."""
        now = self._clock()
        loop = asyncio.get_running_loop()
        self._install(await loop.run_in_executor(self._writing, self._store.reload, now), now)
        if self.bound:
            self._inbox.tell(ReportsBound(self.bound))

    # ------------------------------------------------------------------------------------------------------- the loop

    async def run(self) -> None:
        """Round after round, until `stop`. Raises Fenced, or StoreUnavailableError when the patience is over."""
        inbox = self._inbox
        while not self.stopping:
            if self._commits.error is not None:
                await self._arrive()
            batch = inbox.take()
            if batch.inbound or batch.asks:
                await self._take(batch)
            if self._clock() >= self.tick_at:
                await self._arrive()
                await self._tick()
            if not inbox.wake.is_set() and not self.stopping:
                await self._rest()
        await self._arrive()
        await self._flights.emptied()
        with contextlib.suppress(StoreUnavailableError):  # what was published: nothing goes twice after an orderly stop
            self._commits.put(Decided(None, Changes(), self._prepare(Changes(), self._clock(), always=True)))
            await self._commits.emptied()

    async def _rest(self) -> None:
        """Until something comes, or the next tick is due."""
        wait = (self.tick_at - self._clock()).total_seconds()
        if wait <= 0:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._inbox.wake.wait()

    def stop(self) -> None:
        """End after the round under way."""
        self.stopping = True
        self._inbox.wake.set()

    async def close(self) -> None:
        """Give up what is still being sent, and end the writer's thread. Twice is harmless."""
        await self._commits.close()
        await self._flights.close()
        await asyncio.to_thread(self._writing.shutdown)

    # --------------------------------------------------------------------------------------------------------- rounds

    async def _take(self, batch: Batch) -> None:
        """Decide a batch while those before it are committed, and have it committed in its turn."""
        if not batch.inbound:
            await self._arrive()
            await self._flights.depart((), batch, self._batch_no)
            self._answer(batch)
            return
        await self._commits.room()
        needs = self.ledger.needs(batch.inbound)
        if self._commits.error is not None or any(depends(needs, one.changes) for one in self._commits.under_way):
            await self._arrive()
            needs = self.ledger.needs(batch.inbound)
        now = self._clock()
        try:
            changes = self._decide(batch.inbound, needs, now)
            decided = Decided(batch, changes, self._prepare(changes, now))
        except Undecided:
            await self._arrive()
            await self._one_by_one(batch)
        except StoreUnavailableError as error:
            await self._arrive()
            await self._endure(error)
            await self._take_alone(batch)
        else:
            self._commits.put(decided)

    async def _arrive(self) -> None:
        """Wait for the commits under way; what could not be committed is taken again."""
        try:
            await self._commits.emptied()
        except StoreUnavailableError as error:
            lost = self._commits.take_back()
            await self._endure(error)
        except StoreConflict as error:
            lost = self._commits.take_back()
            _log.error("a batch contradicts the store, the ledger is loaded again: %s", error)
            await self._reload_patiently()
        else:
            return
        for one in lost:
            if one.batch is not None:
                await self._take_alone(one.batch)

    async def _take_alone(self, batch: Batch) -> None:
        """Everything of a batch, whatever is in it and whatever the store does."""
        try:
            await self._persist(batch.inbound, batch)
        except Undecided:
            await self._one_by_one(batch)

    def _answer(self, batch: Batch) -> None:
        if batch.asks:
            self._on_asks(batch.asks)

    async def _persist(self, inbound: Sequence[Inbound], batch: Batch | None) -> None:
        """Decide and commit, again and again while the store does not answer. Raises Undecided."""
        while True:
            try:
                await self._round(inbound, batch)
                return
            except StoreUnavailableError as error:
                await self._endure(error)

    async def _endure(self, error: StoreUnavailableError) -> None:
        """Wait, longer each time, and load again. Raises StoreUnavailableError when nothing could be written for too
        long."""
        if self._failing_since is None:
            self._failing_since, self._pause = self._clock(), FIRST_PAUSE
        _log.error("nothing is taken: %s", error)
        while True:
            if self._clock() - self._failing_since > self._patience:
                text = f"nothing could be written for {self._patience.total_seconds():g} s: {error}"
                raise StoreUnavailableError(text) from error
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            try:
                await self._reload()
            except StoreUnavailableError as again:
                error = again
            else:
                return

    async def _round(self, inbound: Sequence[Inbound], batch: Batch | None) -> None:
        now = self._clock()
        changes = self._decide(inbound, None, now)
        await self._commit(Decided(batch, changes, self._prepare(changes, now)))

    async def _commit(self, decided: Decided) -> None:
        """Commit and conclude one batch while nothing else is under way. Raises Undecided, StoreUnavailableError."""
        self._commits.put(decided)
        try:
            await self._commits.emptied()
        except StoreConflict as error:
            self._commits.take_back()
            raise Undecided from error
        except StoreUnavailableError:
            self._commits.take_back()
            raise

    def _decide(self, inbound: Sequence[Inbound], needs: Needs | None, now: datetime) -> Changes:
        """Raises Undecided, StoreUnavailableError."""
        try:
            facts = self._read(needs or self.ledger.needs(inbound), now)
            changes = self.ledger.receive(inbound, facts, now, os.urandom)
        except StoreUnavailableError:
            raise
        except Exception as error:
            raise Undecided from error
        self.tick_at = min(self.tick_at, self.ledger.next_tick_at(now))
        return changes

    def _read(self, needs: Needs, now: datetime) -> Facts:
        """What the store knows, and the calendar. Raises StoreUnavailableError."""
        facts = self._store.reader.read(needs, now)
        if needs.schedules.any:
            calendar.fill(facts, needs, now)
        return facts

    def _prepare(self, changes: Changes, now: datetime, *, always: bool = False) -> Prepared:
        """The batch as rows, before the ledger goes on; without any, nothing is to be written. Raises Undecided."""
        due = self.written_at is None or now - self.written_at >= OWNER_EVERY
        number = self._batch_no
        try:
            if always or due or changes.is_durable():
                self._batch_no = number = number + 1
                prepared = self._store.writer.prepare(changes, number, now)
            else:
                prepared = Prepared(number, now, None)
        except Exception as error:
            raise Undecided from error
        if self._telemetry.enabled:
            placements.record(self._telemetry, changes, now)
        return prepared

    def _write(self, group: Sequence[Prepared]) -> asyncio.Future[None]:
        """Begin to commit, in the writer's thread."""
        published = self._resends.published(self._flights)
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._writing, self._store.writer.write, group, published)

    async def _conclude(self, decided: Decided) -> None:
        """It is committed: have it sent, then its questions."""
        batch, changes, prepared = decided
        if prepared.steps is not None:
            self._failing_since = None
            self.written_at = prepared.now
        notices.tell(changes)
        self._inputs.keep(changes)
        fill(changes, self._inputs, self._store)
        await self._flights.depart(self._sender.letters(changes), batch, prepared.batch_no)
        if batch is not None:
            self._answer(batch)

    async def _tick(self) -> None:
        now = self._clock()
        try:
            facts = self._read(self.ledger.tick_needs(now), now)
            changes = self._decide_tick(facts, now)
            self.tick_at = min(now + OWNER_EVERY, self.ledger.next_tick_at(now))
            await self._commit(Decided(None, changes, self._prepare(changes, now)))
            self._resends.ticked(self._flights)
            self._failed_ticks = 0
        except StoreUnavailableError as error:
            await self._endure(error)
        except Undecided as error:
            self._failed_ticks += 1
            _log.error("a tick failed, the ledger is loaded again", exc_info=error.__cause__)
            if self._failed_ticks >= TICKS_FAILED:
                text = f"the ledger's tick failed {TICKS_FAILED} times in a row: {error.__cause__}"
                raise LongshoreError(text) from error
            await self._reload_patiently()
            self.tick_at = now + OWNER_EVERY

    def _decide_tick(self, facts: Facts, now: datetime) -> Changes:
        try:
            return self.ledger.tick(facts, now, os.urandom)
        except Exception as error:
            raise Undecided from error

    # --------------------------------------------------------------------------------------------------------- poison

    async def _one_by_one(self, batch: Batch) -> None:
        """Find the message that cannot be decided: the others go on, that one becomes a dead letter."""
        await self._reload_patiently()
        for whole in batch.inbound:
            for part in _parts(whole):
                await self._one(part)
        await self._flights.depart((), batch, self._batch_no)
        self._answer(batch)

    async def _one(self, inbound: Inbound) -> None:
        try:
            await self._persist([inbound], None)
        except Undecided as undecided:
            cause = undecided.__cause__ or undecided
            text = "".join(traceback.format_exception(cause))
            _log.error("a message cannot be decided and is dead-lettered: %s", cause)
            await self._reload_patiently()
            await self._persist([decoding.internal(decoding.poison(inbound, cause, text))], None)

    async def _reload_patiently(self) -> None:
        try:
            await self._reload()
        except StoreUnavailableError as error:
            await self._endure(error)


def _parts(inbound: Inbound) -> list[Inbound]:
    """Single messages, where they may be taken apart: a numbered body counts as a whole."""
    if inbound.session or len(inbound.messages) < 2:
        return [inbound]
    return [Inbound(messages=[one], actor=inbound.actor) for one in inbound.messages]
