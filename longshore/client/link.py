"""A client's link to the ledger: the shell around the book of pending answers (`pending.py`).

It binds the client's reply queue, publishes commands in batches and hands replies to who waits for them. A batch leaves
at once while the line is idle and grows while publishes are under way. It makes no asyncio task per run, and decides
nothing about a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from longshore.broker.bus import Bus, Consumer, Incoming, Outgoing, Sent
from longshore.client.crowd import Crowd
from longshore.client.pending import Book, Errand, Question
from longshore.core.envelope import EVENTS_KEY, Names
from longshore.core.errors import BrokerUnavailableError, DecodeError, EncodingError, LongshoreError, UnavailableError
from longshore.core.ids import ClientId, RunId
from longshore.core.message import MAX_BODY, MAX_ITEMS, Ask, Message, Trigger
from longshore.serialization.envelope import pack, unpack_replies

_log = logging.getLogger(__name__)

Waiter = asyncio.Future[Any]
"""Gets the reply, an Unanswered, or an exception."""

TRIGGER_KEY: Final = "trigger"
COMMAND_KEY: Final = "command"
CROWDED: Final = MAX_ITEMS
"""With so many commands unsent, callers wait for their turn before they make another."""
UNDER_WAY: Final = 4
"""Publishes under way at most; what comes meanwhile grows the next batch."""
PUBLISH_TIMEOUT: Final = 10.0
PAUSE: Final = 0.2
"""Seconds before a publish that the broker did not take is tried again while the link is up."""
PREFETCH: Final = 100
FLUSH_WITHIN: Final = 5.0
EVENTS_PREFETCH: Final = 20
EVENTS_KEPT: Final = 1000
"""Bodies of events that wait for a slow reader."""


class Unanswered:
    """Nobody answered in time. `sent`: it was handed to the broker; `confirmed`: the broker has it."""

    __slots__ = ("confirmed", "sent")

    def __init__(self, errand: Errand[Waiter]) -> None:
        self.sent = errand.sent
        self.confirmed = errand.confirmed


class Link:
    """One client's conversation with the coordinator, whoever that is, over one bus."""

    def __init__(
        self, bus: Bus, names: Names, client_id: ClientId, on_sent: Callable[[Sequence[Errand[Waiter]]], None]
    ) -> None:
        self.client_id = client_id
        self.book: Book[Waiter] = Book()
        self._bus = bus
        self._names = names
        self._on_sent = on_sent
        self._outbound: deque[Errand[Waiter]] = deque()
        self._crowd = Crowd()
        self._outcomes: dict[RunId, None] = {}  # to be asked for, in order
        self._inbox: deque[Incoming] = deque()
        self._consumer: Consumer | None = None
        self._flights: set[asyncio.Task[None]] = set()
        self._first_bound = asyncio.Event()
        self._bound = 0
        self._scheduled = False
        self._resting: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.broken: LongshoreError | None = None
        """Why nothing can be sent any more; None as long as it can."""

    async def open(self, *, timeout: float) -> None:
        """Connect and bind the reply queue. Raises BrokerUnavailableError when that takes longer than `timeout` s."""
        self._loop = asyncio.get_running_loop()
        began = self._loop.time()
        self._bus.watch(self._on_link)
        try:
            await self._bus.open(timeout=timeout)
            async with asyncio.timeout_at(began + timeout):
                self._consumer = await self._bus.consume_private(
                    self._names.replies, self.client_id, self._on_message, self._on_bound, prefetch=PREFETCH
                )
                await self._first_bound.wait()
        except TimeoutError:
            await self._bus.close()
            raise BrokerUnavailableError(f"the broker did not give a reply queue within {timeout:g} s") from None
        except BaseException:
            await self._bus.close()
            raise

    async def close(self) -> None:
        """Send what is under way (bounded), tell who still waits that the client is closed, disconnect."""
        if self._flights:
            await asyncio.wait(self._flights, timeout=FLUSH_WITHIN)
        self._break(UnavailableError("the client was closed while this was waited for; the run goes on"))
        for flight in list(self._flights):
            flight.cancel()
        await asyncio.gather(*self._flights, return_exceptions=True)
        for timer in (self._timer, self._resting):
            if timer is not None:
                timer.cancel()
        if self._consumer is not None:
            await self._consumer.close()
        await self._bus.close()

    async def listen(self, on_message: Callable[[Incoming], None], on_bound: Callable[[int], None]) -> Consumer:
        """Consume the events exchange through a queue that gives up the oldest when nobody reads. `on_bound` is told
        each time there is a fresh one."""
        return await self._bus.consume_private(
            self._names.events, EVENTS_KEY, on_message, on_bound, prefetch=EVENTS_PREFETCH, limit=EVENTS_KEPT
        )

    # ------------------------------------------------------------------------------------------------- what is asked

    @property
    def crowded(self) -> bool:
        """Whether a caller ought to wait for its turn before it makes a trigger."""
        return len(self._outbound) >= CROWDED or bool(self._crowd)

    async def turn(self, within: float) -> float:
        """Wait for one's turn, at most so many seconds; gives how many it took."""
        self._check()
        return await self._crowd.turn(within)

    def trigger(self, message: Trigger, timeout: float, span: object = None) -> Errand[Waiter]:
        """Send a trigger. Its waiter gets Accepted, Rejected, the final RunChanged, or Unanswered after `timeout` s."""
        self._check()
        loop = self._loop
        waiter = loop.create_future()
        errand = self.book.trigger(message, waiter, loop.time(), timeout)
        errand.span = span
        self._post(errand)
        return errand

    def question(self, message: Question, timeout: float) -> Errand[Waiter]:
        """Send a question. Its waiter gets the Answer, or Unanswered after `timeout` seconds."""
        self._check()
        waiter = self._loop.create_future()
        errand = self.book.question(message, waiter, self._loop.time(), timeout)
        self._post(errand)
        return errand

    def outcome(self, run_id: RunId, routine: str = "") -> Waiter:
        """Wait for how a run ends: the future gets its final RunChanged (status "" if there is no such run)."""
        self._check()
        waiter = self._loop.create_future()
        self.book.await_outcome(run_id, waiter, self._loop.time(), routine)
        self.ask_outcomes((run_id,))
        return waiter

    def ask_outcomes(self, run_ids: Sequence[RunId]) -> None:
        """Ask how these runs ended, or to be told when they do."""
        if run_ids:
            self._outcomes.update(dict.fromkeys(run_ids))
            self._schedule()

    def ask_stale(self) -> None:
        """Ask again for outcomes that have been waited for long; to be called now and then."""
        self.ask_outcomes(self.book.stale(self._loop.time()))

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken

    # ------------------------------------------------------------------------------------------------- sending

    def _post(self, errand: Errand[Waiter]) -> None:
        errand.queued = True
        self._outbound.append(errand)
        if not self._scheduled:
            self._schedule()
        if self._timer is None or errand.deadline < self._timer.when():
            self._set_timer()

    def _schedule(self) -> None:
        """Flush soon, unless that is arranged already or somebody else will arrange it when the line is free."""
        if not self._scheduled and self._resting is None and len(self._flights) < UNDER_WAY:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if not self._bus.connected or self._bus.blocked or not self._bound or self.broken:
            return  # the link tells when this changes
        while len(self._flights) < UNDER_WAY and (self._outbound or self._outcomes):
            flight = self._loop.create_task(self._send(*self._next_batch()))
            self._flights.add(flight)
            flight.add_done_callback(self._landed)
        if self._crowd:
            self._crowd.admit(CROWDED - len(self._outbound))
            self._schedule()  # those whose turn it is may have nothing to send: canceled, or with a bad argument

    def _next_batch(self) -> tuple[list[Errand[Waiter]], list[Outgoing]]:
        triggers: list[Errand[Waiter]] = []
        others: list[Errand[Waiter]] = []
        outbound = self._outbound
        room = MAX_BODY  # about one body: what takes long to send would otherwise fail, and be sent again, as a whole
        while outbound and room > 0 and len(triggers) + len(others) < MAX_ITEMS:
            errand = outbound.popleft()
            message = errand.message
            if errand.over:
                continue
            if type(message) is Trigger:
                triggers.append(errand)
                room -= len(message.input) if type(message.input) is bytes else 0
            else:
                others.append(errand)
        errands = triggers + others
        outgoing = self._outgoing(TRIGGER_KEY, self._packed(triggers)) if triggers else []
        if others:
            outgoing += self._outgoing(COMMAND_KEY, self._packed(others))
        if self._outcomes:
            outgoing += self._outgoing(COMMAND_KEY, pack([self._ask_for_outcomes()]))
        return errands, outgoing

    def _ask_for_outcomes(self) -> Ask:
        asked = list(self._outcomes)[:MAX_ITEMS]
        for run_id in asked:
            del self._outcomes[run_id]
        return Ask(what="outcome", ask_id="", reply_to=self.client_id, run_ids=asked)

    def _packed(self, errands: list[Errand[Waiter]]) -> list[bytes]:
        messages: list[Message] = [errand.message for errand in errands]
        try:
            return pack(messages)
        except EncodingError:
            return pack([errand.message for errand in errands if self._fits(errand)])

    def _fits(self, errand: Errand[Waiter]) -> bool:
        try:
            return bool(pack([errand.message]))
        except EncodingError as error:
            self.book.abandon(errand)
            _fail(errand.waiter, error)
            return False

    def _outgoing(self, key: str, bodies: list[bytes]) -> list[Outgoing]:
        return [Outgoing(self._names.commands, key, body, durable=True) for body in bodies]

    async def _send(self, errands: list[Errand[Waiter]], outgoing: list[Outgoing]) -> None:
        if not outgoing:
            return
        for errand in errands:
            errand.sent = True
        bound = self._bound
        failure = _failure(await self._bus.publish(outgoing, timeout=PUBLISH_TIMEOUT))
        if failure:
            _log.info("%d commands were not taken by the broker (%s): sending them again", len(errands), failure)
            self._put_back(errands)
            self._rest()
            return
        for errand in errands:
            errand.confirmed = True
            errand.queued = False
        self._on_sent(errands)
        if bound != self._bound:  # a new reply queue since: answers may have gone to the old one
            self._put_back(errands)

    def _put_back(self, errands: list[Errand[Waiter]]) -> None:
        left = [errand for errand in errands if not errand.over]
        for errand in left:
            errand.queued = True
        self._outbound.extendleft(reversed(left))

    def _rest(self) -> None:
        if self._resting is None:
            self._resting = self._loop.call_later(PAUSE, self._rested)

    def _rested(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        self._schedule()

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        if not flight.cancelled() and (error := flight.exception()) is not None:
            _log.error("sending commands failed unexpectedly", exc_info=error)
            self._break(BrokerUnavailableError(f"sending commands failed: {error}"))
        elif self._outbound or self._outcomes or self._crowd:
            self._schedule()

    # ------------------------------------------------------------------------------------------------- the world

    def _on_link(self, change: str) -> None:
        if change.startswith("failed"):
            self._break(BrokerUnavailableError(f"the link to the broker {change}"))
        elif change in ("connected", "unblocked"):
            self._rested()

    def _on_bound(self, number: int) -> None:
        self._bound = number
        self._first_bound.set()
        again = self.book.again(self._loop.time())
        for errand in again.errands:
            self._post(errand)
        self._outcomes.update(dict.fromkeys(again.outcomes))
        self._rested()

    def _on_message(self, message: Incoming) -> None:
        if not self._inbox:
            self._loop.call_soon(self._read_inbox)
        self._inbox.append(message)

    def _read_inbox(self) -> None:
        inbox = self._inbox
        if not inbox:
            return
        last = inbox[-1]
        while inbox:
            self._read(inbox.popleft())
        if self._consumer is not None:
            self._consumer.settle(last)

    def _read(self, message: Incoming) -> None:
        try:
            replies = unpack_replies(message.body)
        except DecodeError as error:
            _log.warning("a reply of %d bytes cannot be read and is dropped: %s", len(message.body), error)
            return
        for waiter, reply in self.book.take(replies):
            if not waiter.done():
                waiter.set_result(reply)

    # ------------------------------------------------------------------------------------------------- giving up

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        at = self.book.next_deadline()
        self._timer = None if at is None or at == float("inf") else self._loop.call_at(at, self._expire)

    def _expire(self) -> None:
        for errand in self.book.overdue(self._loop.time()):
            if not errand.waiter.done():
                errand.waiter.set_result(Unanswered(errand))
        self._timer = None
        self._set_timer()

    def _break(self, error: LongshoreError) -> None:
        if self.broken is None:
            self.broken = error
            for waiter in self.book.clear():
                _fail(waiter, error)
            self._crowd.dissolve()


def _fail(waiter: Waiter, error: Exception) -> None:
    with contextlib.suppress(asyncio.InvalidStateError):
        waiter.set_exception(error)


def _failure(sent: Sequence[Sent]) -> str:
    """Why one of these publishes did not work; empty if all did."""
    for one in sent:
        if not one.confirmed:
            return one.failed or "nobody is bound to that key"
    return ""
