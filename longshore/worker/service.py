"""One worker process: the session on the bus's loop, the executors beside it, and the way out.

This loop never runs user code: whatever routines do, beats go on. It decides nothing about a run: it carries
directives to executors and what they tell back to the coordinator.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import platform
import socket
import threading
from collections.abc import Sequence
from typing import Final

from longshore.broker.bus import Bus
from longshore.core.envelope import Names
from longshore.core.errors import UsageError
from longshore.core.ids import WorkerId
from longshore.core.message import (
    Abandon,
    Beat,
    CancelRun,
    ClaimCheck,
    Commands,
    Deliver,
    Directive,
    Drain,
    Hello,
    JournalPage,
    Released,
    Report,
    RunHooks,
    Start,
    Warn,
)
from longshore.payloads.cargo import Cargo, write_probe
from longshore.routines.catalog import Catalog
from longshore.telemetry.spans import Telemetry
from longshore.worker import advice, hooking, loops, processes, spans, threads
from longshore.worker.attempt import WORKFLOW, Attempt, by_kind
from longshore.worker.bench import Bench
from longshore.worker.config import Exit, WorkerConfig
from longshore.worker.desk import Desk, Executor, Note, log
from longshore.worker.grace import Grace
from longshore.worker.limits import Limits
from longshore.worker.roster import Roster, clock
from longshore.worker.session import Session
from longshore.worker.slots import Slots
from longshore.worker.tray import Tray
from longshore.worker.workflows import WorkflowHost

BEGUN_AFTER: Final = 0.02
"""Seconds after which a body that runs on is reported as started, in a message of its own."""
LOOK_EVERY: Final = 0.25
"""Seconds between two looks for runs that have waited too long, and for the time of attempts."""


class Worker:
    """See the module. `await run()` once; `drain()` and `leave()` from signal callbacks on the same loop."""

    def __init__(
        self, bus: Bus, names: Names, catalog: Catalog, cargo: Cargo, telemetry: Telemetry, config: WorkerConfig
    ) -> None:
        self._bus = bus
        self._catalog = catalog
        self._cargo = cargo
        self._telemetry = telemetry
        self._config = config
        self._line = spans.Line(config.messaging_system, names.reports)
        self.worker_id = WorkerId(f"{socket.gethostname()}-{os.getpid()}-{config.session[:4]}")
        self._session = Session(bus, names, config.session, self, heartbeat=config.heartbeat.total_seconds())
        self._slots: Slots[Attempt] = Slots(config.slots, (loops.KIND, threads.KIND, processes.KIND))
        self._limits = Limits(lambda attempt: self._executors[attempt.kind].interrupt(attempt), self._give_up)
        self._roster = Roster(self._limits.begin, self._on_said, self._on_ended, self._on_freed)
        self._probe: ClaimCheck | None = None
        self._draining = asyncio.Event()
        self._leaving = asyncio.Event()
        self._grace = Grace(config.grace)
        self._executors: dict[str, Executor] = {}
        self._failed = asyncio.Event()
        self._moved = asyncio.Event()  # an attempt has ended, or the grace is over: for who waits in a drain
        self._exit = Exit(0, "drained")
        self._look: asyncio.TimerHandle | None = None

    async def run(self) -> Exit:
        """Work until told to leave. Raises BrokerUnavailableError, PayloadUnavailable or another LongshoreError at the
        start."""
        apart = [routine.id for routine in self._catalog if routine.policy.isolation == processes.KIND]
        if apart and not self._config.store:
            raise UsageError(
                f"{apart[0]} runs in child processes, which open the payload store themselves: give config.store"
            )
        self._loop = asyncio.get_running_loop()
        self._bus.watch(self._on_link)
        await self._bus.open(timeout=self._config.open_timeout.total_seconds())
        try:
            self._probe = await asyncio.to_thread(self._prepare)
            self._build()
            return await self._work()
        finally:
            await asyncio.shield(asyncio.to_thread(self._close_executors))
            await self._bus.close()

    def drain(self) -> None:
        """Take nothing new, hand back, finish within the grace period, leave. Again, a second later or more: all goes
        back at once. (Sooner it is the same order twice: by whoever stops all processes, and by our supervisor.)"""
        self._draining.set()
        if self._grace.is_over_by_order(clock()):
            self.leave()

    def leave(self) -> None:
        """Hand everything back now, and leave."""
        self._draining.set()
        self._leaving.set()
        self._moved.set()

    # ---------------------------------------------------------------------------------------------------- the life

    def _build(self) -> None:
        self._tray: Tray[Note] = Tray(self._loop, self._session.poke)
        self._desk = Desk(
            Bench(self._cargo, self._config.project, self._config.clock), self._slots, self._tray, self._telemetry
        )
        self._elsewhere = hooking.Elsewhere(self._catalog, self._tray)
        self._host = WorkflowHost(self._desk, self._config)
        self._apart = processes.ProcessExecutor(
            self._desk,
            self._catalog.modules,
            store=self._config.store,
            inline_limit=self._cargo.inline_limit,
            project=self._config.project,
        )
        executors: dict[str, Executor] = {
            loops.KIND: loops.LoopExecutor(self._desk),
            threads.KIND: threads.ThreadExecutor(self._desk),
            processes.KIND: self._apart,
            WORKFLOW: self._host,
        }
        self._desk.executors = self._executors = executors

    def _prepare(self) -> ClaimCheck:
        """What blocks before anything runs: a library that the first arguments would wait for, advice, the probe."""
        importlib.import_module("pydantic")
        advice.give(self._catalog, self._config)
        return write_probe(self._cargo.store, self.worker_id)

    async def _work(self) -> Exit:
        talking = asyncio.create_task(self._session.run())
        looking = asyncio.create_task(self._look_for_ever())
        draining = asyncio.create_task(self._draining.wait())
        failed = asyncio.create_task(self._failed.wait())
        background = (talking, looking, draining, failed)
        try:
            await asyncio.wait(background, return_when=asyncio.FIRST_COMPLETED)
            if draining.done() and not talking.done() and not failed.done():
                leaving = asyncio.create_task(self._leave())
                await asyncio.wait((leaving, talking, failed), return_when=asyncio.FIRST_COMPLETED)
                leaving.cancel()
                await asyncio.gather(leaving, return_exceptions=True)
        finally:
            for one in background:
                one.cancel()
            ends = await asyncio.gather(*background, return_exceptions=True)
        if self._session.outbox.refused:
            return Exit(2, f"the coordinator refused this worker: {self._session.outbox.refused}")
        for end in ends:
            if isinstance(end, Exception):
                raise end
        return self._exit

    def _close_executors(self) -> None:
        for executor in self._executors.values():
            executor.close()

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._host.look()
            self._apart.look()
            now = clock()
            late = self._slots.overdue(now)
            for attempt in late:
                self._release(attempt)
            self._limits.look(now)
            if late:
                self._session.poke()
            if 0 < self._slots.total <= self._slots.stuck and not self._draining.is_set():
                log.error(
                    "all %d slots are held by code that outlived its timeout: this worker leaves", self._slots.total
                )
                self._exit = Exit(1, "all slots are stuck")
                self.drain()

    def _on_link(self, change: str) -> None:
        if change.startswith("failed"):
            self._exit = Exit(1, f"the bus cannot be used: {change}")
            self._failed.set()

    # -------------------------------------------------------------------------------------------------- the way out

    async def _leave(self) -> None:
        """Hand back what has not started, put workflows away, wait for tasks, hand back what outlives the grace, say
        Bye."""
        log.info("draining: %d runs held", len(self._roster.unended()))
        for attempt in [*self._roster.wary(), *self._slots.close()]:
            self._release(attempt)
        self._host.put_all_away()
        self._session.poke()
        await self._grace.wait(self._ended_or_told())
        for attempt in self._roster.unended():
            self._roster.report_end(attempt, Released(attempt.run_id, attempt.epoch, lost=attempt.began_at is not None))
            self._executors[attempt.kind].interrupt(attempt)
        self._session.poke()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.farewell.total_seconds()):
                await self._session.emptied()
                await self._session.say_bye()

    async def _ended_or_told(self) -> None:
        while self._roster.unended() and not self._leaving.is_set():
            self._moved.clear()
            await self._moved.wait()

    # ------------------------------------------------------------------------------------------- what the session asks

    def hello(self) -> Hello:
        """See Staff."""
        return Hello(
            worker_id=self.worker_id,
            pool=self._config.pool,
            slots=self._config.slots,
            offers=self._catalog.offers(),
            held=self._roster.held(),
            host=socket.gethostname(),
            pid=os.getpid(),
            python=".".join(platform.python_version_tuple()[:2]),
            probe=self._probe,
            draining=self._draining.is_set(),
            taken=self._session.outbox.taken,
        )

    def beat(self, directives: int) -> Beat:
        """See Staff."""
        return Beat(directives, self._slots.stuck, self._roster.digest(), self._draining.is_set())

    def gather(self) -> list[Report]:
        """See Staff."""
        notes = self._tray.take()
        if notes:
            self._roster.take_notes(notes)
        reports = self._roster.gather(clock())
        if self._roster.waits and self._look is None:
            self._look = self._loop.call_later(BEGUN_AFTER, self._look_again)
        return reports

    def _look_again(self) -> None:
        self._look = None
        self._session.poke()

    def numbered(self, number: int) -> None:
        """See Staff."""
        self._roster.numbered(number)

    def arrived(self, numbers: range) -> None:
        """See Staff."""
        self._begin(self._roster.arrived(numbers))

    def taken(self, number: int) -> None:
        """See Staff."""
        self._roster.taken(number)
        self._begin(self._roster.arrived(range(number + 1)))

    # ------------------------------------------------------------------------------------------------- the directives

    def carry_out(self, directives: Sequence[Directive]) -> None:
        """See Staff."""
        starting: list[Attempt] = []
        for directive in directives:
            match directive:
                case Start():
                    if (attempt := self._admit(directive)) is not None:
                        starting.append(attempt)
                case Deliver() | JournalPage():
                    self._begin(starting)  # it may be among them
                    if (held := self._roster.find(directive.run_id, directive.epoch)) is not None:
                        self._host.tell(held, directive)
                case CancelRun():
                    self._begin(starting)
                    self._cancel(directive)
                case Abandon():
                    self._begin(starting)
                    self._abandon(directive)
                case RunHooks():
                    self._elsewhere.run(directive)
                case Drain():
                    self._grace.change(directive.grace_ms)
                    self._draining.set()
                case Warn():
                    log.warning("run %s: %s", directive.run_id, directive.text, extra={"run_id": directive.run_id})
        self._begin(starting)

    def _begin(self, starting: list[Attempt]) -> None:
        for kind, attempts in by_kind(starting).items():
            if kind == WORKFLOW:
                self._host.take(attempts)
            elif self._slots.add(kind, attempts, clock()):
                self._executors[kind].wake()
        starting.clear()

    def _admit(self, start: Start) -> Attempt | None:
        held = self._roster.attempts.get(start.run_id)
        if held is not None:
            if held.epoch >= start.epoch:
                return None
            self._drop(held)
        routine = self._catalog.find(start.routine, start.version)
        if routine is None:
            self._roster.refuse(start, self.worker_id, self._catalog.near(start.routine))
            return None
        attempt = self._roster.admit(start, routine)
        attempt.hooks = self._catalog.hooks.get(routine.id)
        if self._draining.is_set():
            self._release(attempt)
            return None
        if start.wary:
            self._roster.tell(attempt)
        return attempt if attempt.kind == WORKFLOW or not start.wary else None

    def _cancel(self, order: CancelRun) -> None:
        attempt = self._roster.find(order.run_id, order.epoch)
        if attempt is None:
            return
        attempt.canceled = order.reason
        if attempt.kind != WORKFLOW:  # its code hears of it by delivery, at the same place in a replay
            attempt.context.canceled = True
        if self._withdraw(attempt):
            self._release(attempt)
        else:
            self._executors[attempt.kind].interrupt(attempt)

    def _abandon(self, order: Abandon) -> None:
        held = self._roster.attempts.get(order.run_id)
        if held is not None and held.epoch <= order.epoch:
            self._drop(held)

    def _drop(self, attempt: Attempt) -> None:
        """Hold it no longer; what still runs of it is ended if that can be done, and keeps its slot until then."""
        ended = attempt.reported
        self._roster.forget(attempt)
        if self._withdraw(attempt) or ended:
            return
        attempt.context.canceled = True
        attempt.context.silent = True
        self._stick(attempt)
        self._executors[attempt.kind].interrupt(attempt)

    def _withdraw(self, attempt: Attempt) -> bool:
        return self._roster.withdraw(attempt) or self._slots.withdraw(attempt)

    def _release(self, attempt: Attempt) -> None:
        self._roster.report_end(attempt, Released(attempt.run_id, attempt.epoch))

    def _stick(self, attempt: Attempt) -> None:
        if attempt.kind != WORKFLOW:
            attempt.stuck = True
            self._slots.stick()

    # ------------------------------------------------------------------------------------------- what the roster tells

    def _give_up(self, attempt: Attempt) -> None:
        """It is over its time and does not stop: it is reported and keeps its slot."""
        report = attempt.settled or self._desk.bench.overdue(attempt)
        if attempt.hooks is not None and attempt.settled is None:
            due = hooking.due_after(attempt, report)
            threading.Thread(target=hooking.run, args=(attempt, due), name="longshore-hooks", daemon=True).start()
        self._roster.report_end(attempt, report)
        self._stick(attempt)
        self._session.poke()

    def _on_said(self, attempt: Attempt, report: Report) -> None:
        if self._telemetry.enabled and attempt.span and isinstance(report, Commands):
            spans.record_calls(self._telemetry, self._line, attempt, report)

    def _on_ended(self, attempt: Attempt, report: Report) -> None:
        if self._telemetry.enabled and attempt.span:
            spans.record(self._telemetry, self._line, self.worker_id, attempt, report)
        self._moved.set()

    def _on_freed(self, attempt: Attempt) -> None:
        self._slots.unstick()
