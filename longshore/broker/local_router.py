"""The local bus's middle: exchanges, bindings, queues, sessions. Pure: frames in, frames out; no clock, no socket, no
loop.

It means the same as RabbitMQ for what Longshore asks, with one difference: a publish to the command exchange is
confirmed when a consumer has settled it, because nothing here outlives the process. It never writes to a disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

from longshore.broker.local_frames import (
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
    Reject,
    Returned,
    Settle,
    Welcome,
)
from longshore.broker.local_queue import Held, Outlet, Queue
from longshore.core.envelope import Names

COMMAND_KEYS: Final = ("trigger", "command")


class Exchange:
    """Where messages are routed by key: exactly (`direct`), by pattern (`topic`), or to everyone (`fanout`)."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._bindings: dict[str, list[Queue]] = {}
        self._patterns: dict[str, re.Pattern[str]] = {}

    def bind(self, queue: Queue, key: str) -> None:
        """Route what has this key (or fits this pattern) to the queue."""
        self._bindings.setdefault(key, []).append(queue)
        if self._kind == "topic":
            self._patterns[key] = topic_pattern(key)

    def unbind(self, queue: Queue, key: str) -> None:
        """No longer."""
        bound = self._bindings.get(key, [])
        if queue in bound:
            bound.remove(queue)
        if not bound:
            self._bindings.pop(key, None)
            self._patterns.pop(key, None)

    def route(self, key: str) -> Sequence[Queue]:
        """The queues that a message with this key goes to, each once."""
        if self._kind == "direct":
            return self._bindings.get(key, ())
        found: dict[str, Queue] = {}
        for bound, queues in self._bindings.items():
            if self._kind == "fanout" or self._patterns[bound].fullmatch(f"{key}."):
                found.update((queue.name, queue) for queue in queues)
        return list(found.values())


class Router:
    """Everything that sessions share."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.orders = count(1)
        self.dead = Queue(names.dead)
        self.commands = Queue(names.commands, self._dead_letter)
        self.queues = {queue.name: queue for queue in (self.commands, self.dead)}
        self.exchanges = {
            names.dead: Exchange("fanout"),
            names.commands: Exchange("direct"),
            names.reports: Exchange("direct"),
            names.workers: Exchange("direct"),
            names.replies: Exchange("direct"),
            names.events: Exchange("topic"),
        }
        self.exchanges[names.dead].bind(self.dead, "")
        for key in COMMAND_KEYS:
            self.exchanges[names.commands].bind(self.commands, key)
        self._private = count(1)

    def private_queue(self, exchange: str, key: str, limit: int = 0) -> Queue:
        """A fresh queue, bound."""
        queue = Queue(f"{exchange}.{next(self._private)}", limit=limit)
        self.exchanges[exchange].bind(queue, key)
        return queue

    def _dead_letter(self, message: Held) -> None:
        dead = Held(
            next(self.orders), self.names.dead, message.key, message.body, message.headers, message.content_type,
            message.message_id, message.correlation_id, message.reply_to, message.user_id, False, None,
        )  # fmt: skip
        self.dead.put(dead)


class Session:
    """One connected bus, as the router sees it. `wake` is called when there is something to `drain`."""

    def __init__(self, router: Router, user: str, wake: Callable[[], None]) -> None:
        self._router = router
        self._user = user
        self._wake = wake
        self._out: list[FromRouter] = []
        self._confirmed: list[int] = []
        self._outlets: dict[int, tuple[Outlet, Queue, Callable[[], None]]] = {}
        self._welcome = False
        self._ended = False

    def take(self, frames: Sequence[FromBus]) -> None:
        """Do what the bus asks."""
        for frame in frames:
            if self._ended:
                return
            self._take_one(frame)

    def drain(self) -> list[FromRouter]:
        """What the bus is to be told."""
        out, self._out = self._out, []
        if self._confirmed:
            out.append(Confirmed(self._confirmed))
            self._confirmed = []
        return out

    def end(self) -> None:
        """The connection is gone: private queues die, what was not settled goes back."""
        if self._ended:
            return
        self._ended = True
        for number in list(self._outlets):
            self._cancel(number)
        self._out, self._confirmed = [], []

    def _take_one(self, frame: FromBus) -> None:
        if isinstance(frame, Hello):
            self._hello(frame)
        elif not self._welcome:
            self.end()
            self._tell(Welcome(refused="the first word on a local bus is Hello"))
        elif isinstance(frame, Publish):
            self._publish(frame)
        elif isinstance(frame, Settle):
            if frame.consumer in self._outlets:
                outlet, queue, _ = self._outlets[frame.consumer]
                queue.settle(outlet, frame.tag)
        elif isinstance(frame, Reject):
            if frame.consumer in self._outlets:
                outlet, queue, _ = self._outlets[frame.consumer]
                queue.reject(outlet, frame.tag)
        elif isinstance(frame, Consume):
            self._consume(frame)
        else:
            self._cancel(frame.consumer)

    def _hello(self, frame: Hello) -> None:
        served = self._router.names.namespace
        refused = ""
        if frame.namespace != served:
            refused = f"this local bus serves the namespace {served!r}, not {frame.namespace!r}"
        elif frame.version != VERSION:
            refused = f"this local bus speaks version {VERSION}, not {frame.version}; use one version of Longshore"
        self._welcome = not refused
        self._tell(Welcome(refused))

    def _publish(self, frame: Publish) -> None:
        router = self._router
        exchange = router.exchanges.get(frame.exchange)
        if exchange is None:
            self._tell(Refused(frame.number, f"there is no exchange {frame.exchange!r}"))
            return
        queues = exchange.route(frame.key)
        for queue in queues:
            settled = (lambda: self._confirm(frame.number)) if queue is router.commands else None
            queue.put(self._held(frame, settled))
        if not queues and frame.mandatory:
            self._tell(Returned(frame.number))
        elif router.commands not in queues:
            self._confirm(frame.number)

    def _held(self, frame: Publish, settled: Callable[[], None] | None) -> Held:
        return Held(
            next(self._router.orders), frame.exchange, frame.key, frame.body, frame.headers, frame.content_type,
            frame.message_id, frame.correlation_id, frame.reply_to, self._user, False, settled,
        )  # fmt: skip

    def _consume(self, frame: Consume) -> None:
        number, router = frame.consumer, self._router
        self._cancel(number)

        def deliver(tag: int, held: Held) -> None:
            self._tell(Deliver(
                number, tag, held.exchange, held.key, held.body, held.headers, held.content_type, held.message_id,
                held.correlation_id, held.reply_to, held.user_id, held.redelivered,
            ))  # fmt: skip

        unknown = frame.queue not in router.queues if frame.queue else frame.exchange not in router.exchanges
        if unknown:
            self._tell(Consuming(number, refused=f"there is no {frame.queue or frame.exchange!r} on this bus"))
            return
        outlet = Outlet(deliver, frame.prefetch, frame.priority)
        if frame.queue:
            queue = router.queues[frame.queue]
            self._outlets[number] = (outlet, queue, lambda: queue.leave(outlet))
        else:
            queue = router.private_queue(frame.exchange, frame.key, frame.limit)
            exchange = router.exchanges[frame.exchange]
            self._outlets[number] = (outlet, queue, lambda: exchange.unbind(queue, frame.key))
        self._tell(Consuming(number))
        queue.join(outlet)

    def _cancel(self, consumer: int) -> None:
        known = self._outlets.pop(consumer, None)
        if known is not None:
            known[2]()

    def _confirm(self, number: int) -> None:
        if not self._ended:
            self._confirmed.append(number)
            self._wake()

    def _tell(self, frame: FromRouter) -> None:
        if not self._ended or isinstance(frame, Welcome):
            self._out.append(frame)
            self._wake()


def topic_pattern(pattern: str) -> re.Pattern[str]:
    """The expression that a key and one more dot fit: `*` is one word, `#` is any number of words, also none.

    Source: AMQP 0-9-1, section 3.1.3.3.
    """
    return re.compile("".join(_WILDCARDS.get(word) or re.escape(word) + r"\." for word in pattern.split(".")))


_WILDCARDS: Final = {"*": r"[^.]*\.", "#": r"(?:[^.]*\.)*"}
