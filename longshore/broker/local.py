"""The local bus: the protocol `Bus` without RabbitMQ, in one process or over a socket. It keeps nothing beyond its
process.

`LocalRouter` is the middle, `LocalBus` one link to it. A link reaches the router through a port: directly on the same
loop (`router.bus()`), or over a socket (`local_socket`). Reconnecting, publishing and consuming are the same code for
both.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Final, Protocol

from longshore.broker.bus import Consumer, Incoming, Outgoing, Sent
from longshore.broker.local_consumer import CONSUME_WITHIN, LocalConsumer
from longshore.broker.local_frames import (
    LARGEST_BODY,
    VERSION,
    Confirmed,
    Consume,
    Consuming,
    Deliver,
    FromBus,
    FromRouter,
    Hello,
    Publish,
    Refused,
    Returned,
    Welcome,
)
from longshore.broker.local_router import Router, Session
from longshore.broker.pipeline import CLOSED, Pending, Pipeline
from longshore.broker.watching import Watchers
from longshore.core.envelope import Names
from longshore.core.errors import BrokerUnavailableError

CONNECT_WITHIN: Final = 5.0
RECONNECT_EVERY: Final = 0.5
FLUSH_WITHIN: Final = 5.0


class Port(Protocol):
    """A way to a router."""

    def send(self, frames: list[FromBus]) -> None:
        """Pass these on; on a port that is closed or lost: no effect."""

    def close(self) -> None:
        """Hang up; nothing is heard from it any more."""


class Ear(Protocol):
    """What a port tells about."""

    def hear(self, frames: list[FromRouter]) -> None:
        """Frames came."""

    def lost(self, reason: str) -> None:
        """The port is gone, not by `close`."""


Dial = Callable[[Ear], Awaitable[Port]]
"""Opens a port. Raises OSError when there is nobody."""


class LocalBus:
    """One link to a local router. Satisfies the protocol `Bus`."""

    def __init__(self, dial: Dial, names: Names, address: str) -> None:
        self._dial = dial
        self._names = names
        self._address = address
        self._watchers = Watchers()
        self._pipeline = Pipeline(self._send, self._why_not)
        self._under_way: dict[int, Pending] = {}
        self._numbers = count(1)
        self._lanes = count(1)
        self._consumers: dict[int, LocalConsumer] = {}
        self._line: _Line | None = None
        self._trouble = "not connected yet"
        self._ready = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self, *, timeout: float) -> None:
        """See `Bus.open`."""
        self._closed = False
        self._watchers.unmute()
        self._keeping = asyncio.get_running_loop().create_task(self._keep())
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            trouble = self._trouble
            await self.close()
            raise BrokerUnavailableError(
                f"the local bus at {self._address} could not be reached within {timeout:g} s: {trouble}. "
                "Check that `longshore dev` runs in this folder, or set LONGSHORE_BROKER_URL."
            ) from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """See `Bus.close`."""
        if self._closed:
            return
        self._closed = True
        self._watchers.mute()
        for consumer in list(self._consumers.values()):
            await consumer.close()
        if self._line is not None:
            await self._pipeline.drain(FLUSH_WITHIN)
        self._pipeline.fail_all(CLOSED)
        self._under_way.clear()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        self._ready.clear()

    @property
    def connected(self) -> bool:
        """See `Bus.connected`."""
        return self._ready.is_set() and not self._closed

    @property
    def blocked(self) -> bool:
        """Never: a local router has no alarms."""
        return False

    async def publish(self, messages: Sequence[Outgoing], *, timeout: float) -> list[Sent]:
        """See `Bus.publish`. While the link is down, publishes wait for it, up to their timeout."""
        if self._closed:
            return [Sent(failed=CLOSED) for _ in messages]
        return await self._pipeline.publish(messages, timeout)

    async def consume_queue(
        self, queue: str, on_message: Callable[[Incoming], None], *, prefetch: int, priority: int = 0
    ) -> Consumer:
        """See `Bus.consume_queue`."""
        wish = Consume(next(self._numbers), queue, "", "", prefetch, priority)
        return await self._consume(wish, on_message, None)

    async def consume_private(
        self,
        exchange: str,
        key: str,
        on_message: Callable[[Incoming], None],
        on_bound: Callable[[int], None],
        *,
        prefetch: int,
        limit: int = 0,
    ) -> Consumer:
        """See `Bus.consume_private`."""
        wish = Consume(next(self._numbers), "", exchange, key, prefetch, 0, limit)
        return await self._consume(wish, on_message, on_bound)

    def watch(self, on_change: Callable[[str], None]) -> None:
        """See `Bus.watch`."""
        self._watchers.add(on_change)

    async def _consume(
        self, wish: Consume, on_message: Callable[[Incoming], None], on_bound: Callable[[int], None] | None
    ) -> Consumer:
        consumer = LocalConsumer(wish, on_message, on_bound, self._say, self._consumers)
        self._consumers[wish.consumer] = consumer
        if self.connected:
            self._say(wish)
        await consumer.wait_ready(CONSUME_WITHIN)
        return consumer

    # ----------------------------------------------------------------------------------------------------- the link

    async def _keep(self) -> None:
        """Connect, and again after every loss, until canceled."""
        try:
            while True:
                self._down(await self._live())
                await asyncio.sleep(RECONNECT_EVERY * random.uniform(0.5, 1.5))
        finally:
            self._down(CLOSED)

    async def _live(self) -> str:
        """One life of the link, up to the reason of its end."""
        line = _Line(self)
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                line.port = await self._dial(line)
                line.say(Hello(self._names.namespace, VERSION))
                line.flush()
                refused = await line.welcome
            if refused:
                return refused
            self._up(line)
            return await line.end
        except TimeoutError:
            return "no answer in time"
        except OSError as error:
            return error.strerror or str(error)
        finally:
            line.close()

    def _up(self, line: _Line) -> None:
        self._line, self._trouble = line, ""
        self._ready.set()
        for consumer in self._consumers.values():
            line.say(consumer.wish)
        self._watchers.link(up=True, trouble="")
        self._pipeline.pump()

    def _down(self, reason: str) -> None:
        self._line, self._trouble = None, reason
        self._ready.clear()
        self._under_way.clear()
        for consumer in self._consumers.values():
            consumer.lost()
        self._pipeline.lost(f"connection lost before the confirm: {reason}")
        self._watchers.link(up=False, trouble=reason)

    def _why_not(self) -> str:
        return "" if self._line is not None else f"not connected to the local bus at {self._address}: {self._trouble}"

    def _say(self, frame: FromBus) -> None:
        if self._line is not None:
            self._line.say(frame)

    # ------------------------------------------------------------------------------------------------ publishing

    def _send(self, group: list[Pending]) -> None:
        for pending in group:
            message = pending.message
            if pending.size > LARGEST_BODY:
                text = f"a body of {pending.size} bytes is over the largest of {LARGEST_BODY}"
                self._pipeline.resolve(pending, Sent(failed=text))
                continue
            number = next(self._numbers)
            self._under_way[number] = pending
            self._say(Publish(
                number, message.exchange, message.key, message.body, message.headers, message.content_type,
                message.message_id, message.correlation_id, message.reply_to, message.mandatory,
            ))  # fmt: skip

    def hear(self, frames: list[FromRouter]) -> None:
        """The router has spoken."""
        for frame in frames:
            if isinstance(frame, Deliver):
                consumer = self._consumers.get(frame.consumer)
                if consumer is not None:
                    consumer.deliver(frame)
            elif isinstance(frame, Confirmed):
                for number in frame.numbers:
                    self._settle(number, Sent(confirmed=True))
            elif isinstance(frame, Returned):
                self._settle(frame.number, Sent(returned=True))
            elif isinstance(frame, Refused):
                self._settle(frame.number, Sent(failed=frame.reason))
            elif isinstance(frame, Consuming):
                self._placed(frame)
        self._pipeline.pump()

    def _settle(self, number: int, outcome: Sent) -> None:
        pending = self._under_way.pop(number, None)
        if pending is not None:
            self._pipeline.resolve(pending, outcome)

    def _placed(self, frame: Consuming) -> None:
        consumer = self._consumers.get(frame.consumer)
        if frame.refused:
            self._watchers.failed(frame.refused)
        elif consumer is not None:
            consumer.placed(next(self._lanes))


class _Line:
    """One connection of a bus: gathers what is said in one turn of the loop, passes on what is heard."""

    def __init__(self, bus: LocalBus) -> None:
        loop = asyncio.get_running_loop()
        self.port: Port | None = None
        self.welcome: asyncio.Future[str] = loop.create_future()
        self.end: asyncio.Future[str] = loop.create_future()
        self._bus = bus
        self._loop = loop
        self._out: list[FromBus] = []

    def say(self, frame: FromBus) -> None:
        """Send this, together with whatever else is said in this turn."""
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(frame)

    def flush(self) -> None:
        """Send what was said."""
        out, self._out = self._out, []
        if out and self.port is not None:
            self.port.send(out)

    def hear(self, frames: list[FromRouter]) -> None:
        """See `Ear.hear`."""
        if not self.welcome.done():
            first, *frames = frames
            self.welcome.set_result(first.refused if isinstance(first, Welcome) else "not a local bus")
        if frames and not self.end.done():
            self._bus.hear(frames)

    def lost(self, reason: str) -> None:
        """See `Ear.lost`."""
        if not self.welcome.done():
            self.welcome.set_result(reason)
        if not self.end.done():
            self.end.set_result(reason)

    def close(self) -> None:
        """Say what is left to say, then hang up."""
        self.flush()
        if not self.end.done():
            self.end.set_result(CLOSED)
        port, self.port = self.port, None
        if port is not None:
            port.close()


class LocalRouter:
    """The middle of a local bus. Buses made by `bus` live on the loop that uses them, which must be one for all."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.router = Router(names)
        self._ports: set[_DirectPort] = set()

    def bus(self, *, user: str = "local") -> LocalBus:
        """A bus in this process. `user` is what its messages carry as `user_id`."""

        async def dial(ear: Ear) -> Port:
            return _DirectPort(self.router, user, ear, self._ports)

        return LocalBus(dial, self.names, "this process")

    def disconnect(self) -> None:
        """Drop the connection of every bus in this process; they come back by themselves."""
        for port in list(self._ports):
            port.drop("the router dropped the connection")


class _DirectPort:
    """A port to a router on the same loop. Frames are handed over as they are, a turn of the loop later."""

    def __init__(self, router: Router, user: str, ear: Ear, ports: set[_DirectPort]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ear = ear
        self._session = Session(router, user, self._wake)
        self._woken = False
        self._ports = ports
        ports.add(self)

    def send(self, frames: list[FromBus]) -> None:
        """See `Port.send`."""
        self._session.take(frames)

    def close(self) -> None:
        """See `Port.close`."""
        self._ports.discard(self)
        self._session.end()

    def drop(self, reason: str) -> None:
        """End it from the router's side."""
        self.close()
        self._ear.lost(reason)

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        self._woken = False
        frames = self._session.drain()
        if frames:
            self._ear.hear(frames)
