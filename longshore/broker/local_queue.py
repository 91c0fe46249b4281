"""Queues of the local router: order, prefetch, priorities, redelivery. Pure: no clock, no socket, no loop.

Messages are kept in memory only; what a queue holds is what was published to it and not settled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from longshore.broker.bus import Headers


class Held(msgspec.Struct, gc=False):
    """A message in a queue. `order` is its place among all; `settled` is called once when it is done with."""

    order: int
    exchange: str
    key: str
    body: bytes
    headers: Headers
    content_type: str
    message_id: str
    correlation_id: str
    reply_to: str
    user_id: str
    redelivered: bool
    settled: Callable[[], None] | None


class Outlet:
    """A consumer of a queue, as the queue sees it. Tags count from 1."""

    def __init__(self, deliver: Callable[[int, Held], None], prefetch: int, priority: int) -> None:
        self.priority = priority
        self._deliver = deliver
        self._prefetch = prefetch
        self._tag = 0
        self._unsettled: dict[int, Held] = {}  # in the order of tags

    @property
    def has_room(self) -> bool:
        """Whether one more message may be delivered; a prefetch of 0 knows no bound."""
        return not self._prefetch or len(self._unsettled) < self._prefetch

    def give(self, message: Held) -> None:
        """Deliver it."""
        self._tag += 1
        self._unsettled[self._tag] = message
        self._deliver(self._tag, message)

    def take_upto(self, tag: int) -> list[Held]:
        """Take out what lies up to this tag."""
        if tag >= self._tag:
            taken = list(self._unsettled.values())
            self._unsettled.clear()
            return taken
        return [self._unsettled.pop(first) for first in _while_at_most(self._unsettled, tag)]

    def take(self, tag: int) -> Held | None:
        """Take out this one."""
        return self._unsettled.pop(tag, None)

    def take_all(self) -> list[Held]:
        """Take out everything."""
        return self.take_upto(self._tag)


class Queue:
    """A queue and its consumers."""

    def __init__(self, name: str, on_reject: Callable[[Held], None] | None = None, limit: int = 0) -> None:
        self.name = name
        self._limit = limit
        self._on_reject = on_reject
        self._waiting: deque[Held] = deque()
        self._outlets: list[Outlet] = []  # highest priority first; among equals the one whose turn it is

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Held) -> None:
        """Take a new message."""
        self._waiting.append(message)
        self.dispatch()
        if self._limit and len(self._waiting) > self._limit:
            self._waiting.popleft()  # nobody is told: only what is news to watchers goes into such a queue

    def join(self, outlet: Outlet) -> None:
        """A consumer comes."""
        self._outlets.append(outlet)
        self._in_turn()
        self.dispatch()

    def leave(self, outlet: Outlet) -> None:
        """A consumer goes; what it had not settled is there again, in its old place."""
        if outlet in self._outlets:
            self._outlets.remove(outlet)
        back = outlet.take_all()
        for message in back:
            message.redelivered = True
        if back and self._waiting and back[-1].order > self._waiting[0].order:
            self._waiting = deque(sorted([*back, *self._waiting], key=lambda message: message.order))
        else:
            self._waiting.extendleft(reversed(back))
        self.dispatch()

    def settle(self, outlet: Outlet, tag: int) -> None:
        """Everything up to this tag is done."""
        for message in outlet.take_upto(tag):
            if message.settled is not None:
                message.settled()
        self.dispatch()

    def reject(self, outlet: Outlet, tag: int) -> None:
        """This one is not wanted: dead-letter it, where the queue does that."""
        message = outlet.take(tag)
        if message is None:
            return
        if self._on_reject is not None:
            self._on_reject(message)
        if message.settled is not None:
            message.settled()
        self.dispatch()

    def dispatch(self) -> None:
        """Deliver what can be delivered."""
        while self._waiting:
            outlet = next((outlet for outlet in self._outlets if outlet.has_room), None)
            if outlet is None:
                return
            if len(self._outlets) > 1:
                self._outlets.remove(outlet)
                self._outlets.append(outlet)
                self._in_turn()
            outlet.give(self._waiting.popleft())

    def _in_turn(self) -> None:
        self._outlets.sort(key=lambda outlet: -outlet.priority)  # stable: keeps the turns among equals


def _while_at_most(tags: Iterable[int], last: int) -> list[int]:
    found = []
    for tag in tags:
        if tag > last:
            break
        found.append(tag)
    return found
