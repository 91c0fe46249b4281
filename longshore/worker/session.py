"""The worker's conversation with the coordinator: the shell around `core/outbox.py`.

It consumes the session's private queue, says Hello and Beat, and publishes reports in batches: a batch leaves at once
while fewer than two are under way, and grows while they are. It never executes anything and never decides what is
reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from longshore.broker.bus import Bus, Consumer, Headers, Incoming, Outgoing, Sent
from longshore.core import envelope
from longshore.core.envelope import Names
from longshore.core.errors import DecodeError, EncodingError
from longshore.core.ids import SessionId
from longshore.core.message import Beat, Bye, Commands, Directive, Failure, Finished, Hello, Message, Report
from longshore.core.outbox import Outbox, Phase
from longshore.serialization.envelope import pack, unpack_directives

_log = logging.getLogger(__name__)

REPORTS_KEY: Final = "reports"
UNDER_WAY: Final = 2
"""Publishes under way at most; what comes meanwhile grows the next batch."""
PUBLISH_TIMEOUT: Final = 10.0
GREETING_TIMEOUT: Final = 1.0
PREFETCH: Final = 100
LOOK_EVERY: Final = 0.25
"""Seconds between two looks at whether Hello is due."""


class Staff(Protocol):
    """Who the session speaks for: all are called on the bus's loop."""

    def hello(self) -> Hello:
        """What is offered and held now."""

    def beat(self, directives: int) -> Beat:
        """How it goes; `directives` is the last one taken."""

    def gather(self) -> list[Report]:
        """What is to be reported, in order; it counts as handed over."""

    def numbered(self, number: int) -> None:
        """What was gathered last ends with the report body of this number."""

    def arrived(self, numbers: range) -> None:
        """The broker has the report bodies of these numbers."""

    def taken(self, number: int) -> None:
        """The ledger has every report body up to this one."""

    def carry_out(self, directives: Sequence[Directive]) -> None:
        """Do this, in order."""


class Session:
    """One session over one bus, for as long as `run` runs."""

    def __init__(self, bus: Bus, names: Names, session: SessionId, staff: Staff, *, heartbeat: float) -> None:
        self.outbox = Outbox()
        self._bus = bus
        self._names = names
        self._id = session
        self._staff = staff
        self._heartbeat = heartbeat
        self._inbox: deque[Incoming] = deque()
        self._consumer: Consumer | None = None
        self._group: asyncio.TaskGroup | None = None
        self._under_way = 0
        self._taken = 0
        self._look = asyncio.Event()
        self._progress = asyncio.Event()  # set at every step forward, for who waits for the outbox to become empty

    async def run(self) -> None:
        """Hold the conversation until canceled, or until the coordinator refuses (`outbox.refused`)."""
        self._bus.watch(self._on_link)
        self._consumer = await self._bus.consume_private(
            self._names.workers, self._id, self._on_message, self._on_bound, prefetch=PREFETCH
        )
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                beating = group.create_task(self._beat_for_ever())
                await self._greet()
                beating.cancel()
        finally:
            self._group = None
            await self._consumer.close()

    def poke(self) -> None:
        """There may be something to send. On the bus's loop; never blocks."""
        if self._group is None or self.outbox.phase is not Phase.OPEN:
            return
        while self._under_way < UNDER_WAY:
            reports = self._staff.gather()
            if reports:
                self._staff.numbered(self.outbox.keep(_packed(reports)))
            unsent = self.outbox.unsent(self._now())
            if not unsent:
                return
            self._under_way += 1
            numbers = range(unsent[0][0], unsent[-1][0] + 1)
            self._group.create_task(self._send([self._outgoing(body, number) for number, body in unsent], numbers))

    async def emptied(self) -> None:
        """Wait until the ledger has every report. It is asked by Hello once all is sent."""
        while self.outbox.kept or self.outbox.phase is not Phase.OPEN:
            if self.outbox.phase is Phase.OPEN and not self._under_way:
                self.outbox.doubted()
                self._look.set()
            self._progress.clear()
            await self._progress.wait()

    async def say_bye(self) -> None:
        """End the session, once everything is sent."""
        self.outbox.keep(pack([Bye()]))
        self.poke()
        while self._under_way:
            self._progress.clear()
            await self._progress.wait()

    # ------------------------------------------------------------------------------------------------- the link

    def _on_link(self, change: str) -> None:
        if change.startswith(("lost", "failed")):
            self.outbox.lost()

    def _on_bound(self, number: int) -> None:
        self.outbox.bound()
        self._look.set()

    def _on_message(self, message: Incoming) -> None:
        if not self._inbox:
            asyncio.get_running_loop().call_soon(self._read_inbox)
        self._inbox.append(message)

    def _read_inbox(self) -> None:
        if not self._inbox:
            return
        last, before = self._inbox[-1], self.outbox.phase
        while self._inbox:
            self._read(self._inbox.popleft())
        if self._consumer is not None:
            self._consumer.settle(last)
        if self.outbox.taken > self._taken:
            self._taken = self.outbox.taken
            self._staff.taken(self._taken)
        self._progress.set()
        if before is Phase.OPENING and self.outbox.phase is Phase.OPEN:
            _log.info("ready: the coordinator knows this worker")
        if self.outbox.phase is Phase.OPENING or self.outbox.refused:
            self._look.set()
        self.poke()

    def _read(self, message: Incoming) -> None:
        try:
            directives = unpack_directives(message.body)
        except DecodeError as error:
            _log.warning("a directive body of %d bytes cannot be read (%s): asking again", len(message.body), error)
            self.outbox.doubted()
            return
        headers = message.headers
        todo = self.outbox.receive(
            directives,
            number=_number(headers, envelope.NUMBER),
            term=_number(headers, envelope.TERM),
            taken=_number(headers, envelope.TAKEN),
            now=self._now(),
        )
        if todo:
            self._staff.carry_out(todo)

    # ---------------------------------------------------------------------------------------------- what is said

    async def _greet(self) -> None:
        while not self.outbox.refused:
            if self.outbox.hello_due(self._now()):
                await self._say(self._staff.hello(), GREETING_TIMEOUT)
            self._look.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._look.wait()

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat)
            self.poke()  # what is over and not sent would differ from what the ledger has when it sees the Beat
            if self.outbox.phase is Phase.OPEN:
                sent = await self._say(self._staff.beat(self.outbox.directives), self._heartbeat)
                if sent is not None and not sent.confirmed:
                    self._doubt(sent)

    async def _say(self, message: Message, timeout: float) -> Sent | None:
        bodies = pack([message])
        sent = await self._bus.publish([self._outgoing(body, 0) for body in bodies], timeout=timeout)
        return sent[-1] if sent else None

    async def _send(self, messages: list[Outgoing], numbers: range) -> None:
        try:
            for sent in await self._bus.publish(messages, timeout=PUBLISH_TIMEOUT):
                if not sent.confirmed:
                    self._doubt(sent)
                    break
            else:
                self._staff.arrived(numbers)
        finally:
            self._under_way -= 1
            self._progress.set()
        self.poke()

    def _doubt(self, sent: Sent) -> None:
        _log.info("a report was not taken (%s): saying Hello", sent.failed or "no coordinator listens")
        self.outbox.doubted()
        self._look.set()

    def _outgoing(self, body: bytes, number: int) -> Outgoing:
        headers: Headers = {envelope.SESSION: self._id}
        if number:
            headers[envelope.NUMBER] = number
        return Outgoing(self._names.reports, REPORTS_KEY, body, headers)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _packed(reports: list[Report]) -> list[bytes]:
    try:
        return pack(reports)
    except EncodingError:
        return pack([report if _fits(report) else _instead(report) for report in reports])


def _fits(report: Report) -> bool:
    try:
        return bool(pack([report]))
    except EncodingError as error:
        _log.error("a report cannot be sent: %s", error)
        return False


def _instead(report: Report) -> Report:
    """What is said in place of a report that cannot travel: its run must not wait for it for ever."""
    failure = Failure(
        "longshore.core.errors.EncodingError", f"the worker's {type(report).__name__} report cannot travel"
    )
    if isinstance(report, Finished | Commands):
        return Finished(report.run_id, report.epoch, "system_failure", report.at, error=failure, retry=False)
    return Beat()


def _number(headers: Headers, name: str) -> int:
    value = headers.get(name, 0)
    return value if isinstance(value, int) else 0
