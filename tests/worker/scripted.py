"""A coordinator that does what a test tells it: it speaks the contract over a real bus and decides nothing by
itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from longshore.broker.bus import Bus, Consumer, Incoming, Outgoing
from longshore.core import envelope
from longshore.core.envelope import Names
from longshore.core.ids import RunId, SessionId
from longshore.core.message import (
    Beat,
    Deliver,
    Delivery,
    Directive,
    Finished,
    Hello,
    JournalPage,
    Ping,
    Report,
    Start,
    Started,
    Value,
    Welcome,
)
from longshore.routines.routine import Routine
from longshore.serialization.arguments import encode_arguments
from longshore.serialization.envelope import pack, unpack_reports
from longshore.serialization.values import decode, encode

Wanted = TypeVar("Wanted")


class ScriptedCoordinator:
    """Takes reports in the order of their numbers, welcomes whoever says Hello (unless told not to), and sends
    directives."""

    def __init__(self, bus: Bus, names: Names) -> None:
        self._bus = bus
        self._names = names
        self.term = 1
        self.welcoming = True
        self.refusal = ""
        self.taken = 0
        self.sent = 0
        self.session = SessionId("")
        self.hellos: list[Hello] = []
        self.beats: list[Beat] = []
        self.reports: list[Any] = []
        self.bodies: list[int] = []  # the numbers of all bodies that came, doubles included
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._consumer: Consumer | None = None
        self._send_lock = asyncio.Lock()

    async def open(self) -> None:
        await self._bus.open(timeout=20)
        self._consumer = await self._bus.consume_private(
            self._names.reports, "reports", self._on_message, self._on_bound, prefetch=1000
        )

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._bus.close()

    def _on_bound(self, number: int) -> None:
        if self.session:
            self.ping(Ping(term=self.term, taken=self.taken, report_queue=number, hello=True))

    def _on_message(self, message: Incoming) -> None:
        session = SessionId(str(message.headers[envelope.SESSION]))
        number = message.headers.get(envelope.NUMBER, 0)
        reports: Sequence[Any] = unpack_reports(message.body)
        if number:
            assert isinstance(number, int)
            self.bodies.append(number)
            if number == self.taken + 1:
                self.taken = number
                self.reports += reports
        else:
            for report in reports:
                self._hear(session, report)
        self._news.set()
        if self._consumer is not None:
            self._consumer.settle(message)

    def _hear(self, session: SessionId, report: Report) -> None:
        if isinstance(report, Beat):
            self.beats.append(report)
        elif isinstance(report, Hello):
            self.session = session
            self.hellos.append(report)
            if self.welcoming:
                self.welcome()
        else:
            self.reports.append(report)

    # ------------------------------------------------------------------------------------------------------- directives

    def welcome(self) -> None:
        self.sent = 0
        self._later([Welcome(term=self.term, taken=self.taken, refused=self.refusal)], 0)

    def ping(self, ping: Ping) -> None:
        self._later([ping], 0)

    def direct(self, *directives: Directive) -> None:
        """Send numbered directives in one body."""
        self.sent += len(directives)
        self._later(directives, self.sent)

    def _later(self, directives: Sequence[Directive], number: int) -> None:
        task = asyncio.create_task(self._publish(directives, number, self.taken))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish(self, directives: Sequence[Directive], number: int, taken: int) -> None:
        headers: dict[str, str | int] = {envelope.TERM: self.term, envelope.TAKEN: taken}
        if number:
            headers[envelope.NUMBER] = number
        (body,) = pack(list(directives))
        async with self._send_lock:
            await self._bus.publish([Outgoing(self._names.workers, self.session, body, headers)], timeout=5)

    def start(self, routine: Routine[..., Any], *args: Any, run: str = "r1", epoch: int = 1, **options: Any) -> Start:
        """A Start for this routine with these arguments; sent with `direct`."""
        options.setdefault("input", encode_arguments(args, {}).inline())
        if routine.kind == "workflow":
            options.setdefault("started_at", datetime.now(UTC))
        return Start(
            run_id=RunId(run),
            epoch=epoch,
            attempt=options.pop("attempt", 1),
            routine=routine.name,
            version=routine.version,
            **options,
        )

    # ------------------------------------------------------------------------------------------------------ what came

    async def until(self, check: Callable[[], Wanted], within: float = 10) -> Wanted:
        """The first true value of `check`, looked at whenever something came."""
        try:
            async with asyncio.timeout(within):
                while not (found := check()):
                    self._news.clear()
                    await self._news.wait()
                return found
        except TimeoutError:
            raise AssertionError(f"it did not come within {within} s; reports so far: {self.reports}") from None

    async def report(self, kind: type[Wanted], run: str = "r1", *, nth: int = 1, within: float = 10) -> Wanted:
        """The nth report of this kind about this run."""
        found = await self.until(lambda: self.all(kind, run)[nth - 1 : nth], within)
        return found[0]

    def all(self, kind: type[Wanted], run: str = "r1") -> list[Wanted]:
        found = [report for report in self.reports if isinstance(report, kind)]
        return [report for report in found if getattr(report, "run_id", "") == run]

    async def hello(self, nth: int = 1, within: float = 10) -> Hello:
        return (await self.until(lambda: self.hellos[nth - 1 : nth], within))[0]

    async def beat(self, check: Callable[[Beat], bool] = lambda _: True, within: float = 10) -> Beat:
        """A Beat from now on that fits."""
        first = len(self.beats)
        return (await self.until(lambda: [beat for beat in self.beats[first:] if check(beat)], within))[0]

    async def finished(self, run: str = "r1", within: float = 10) -> Finished:
        return await self.report(Finished, run, within=within)

    async def started(self, run: str = "r1", within: float = 10) -> Started:
        return await self.report(Started, run, within=within)


def value_of(report: Finished) -> Any:
    """The inline result of a completed run."""
    assert report.how == "completed", report
    assert isinstance(report.result, bytes)
    return decode(report.result)


def inline(value: Any) -> Value:
    return encode(value).inline()


def outcome(seq: int, address: str, value: Any = None, **fields: Any) -> Delivery:
    """A delivery of a call's result."""
    fields.setdefault("status", "COMPLETED")
    fields.setdefault("result", inline(value))
    return Delivery(seq=seq, kind="outcome", address=address, at=datetime.now(UTC), **fields)  # type: ignore[arg-type]


def deliver(run: str, *deliveries: Delivery, epoch: int = 1) -> Deliver:
    return Deliver(RunId(run), epoch, list(deliveries))


def page(run: str, after: int, upto: int, calls: list[Any], deliveries: list[Delivery], **fields: Any) -> JournalPage:
    return JournalPage(RunId(run), fields.pop("epoch", 1), after, upto, calls, deliveries, **fields)
