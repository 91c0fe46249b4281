"""The Bus protocol: what Longshore asks of RabbitMQ, and of the local bus. It knows nothing of runs.

One `Bus` is one process's link to the broker. It connects in the background, reconnects for ever, and rebuilds every
consumer and private queue after a loss. Callbacks run on the bus's event loop and must only enqueue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Headers = dict[str, str | int]


@dataclass(slots=True)
class Outgoing:
    """A message to publish. `exchange` and `key` route it; `durable` asks for persistence."""

    exchange: str
    key: str
    body: bytes
    headers: Headers = field(default_factory=dict)
    content_type: str = "application/vnd.msgpack"
    message_id: str = ""
    correlation_id: str = ""
    reply_to: str = ""
    durable: bool = False
    mandatory: bool = True


@dataclass(slots=True)
class Incoming:
    """A message that arrived. `tag` is settled through the consumer it came from; `lane` numbers that consumer's
    channel, so that a tag from a channel that died is never settled on its successor."""

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
    tag: int
    lane: int


class Consumer(Protocol):
    """A running consumer."""

    def settle(self, upto: Incoming) -> None:
        """Acknowledge everything up to and including this message (`multiple`). A message of a dead channel: no
        effect."""

    def reject(self, message: Incoming) -> None:
        """Dead-letter this one message."""

    async def close(self) -> None:
        """Stop consuming; what was not settled goes back to the queue."""


@dataclass(slots=True)
class Sent:
    """What became of a publish: exactly one is true for each. `returned`: nobody is bound to that key. `failed`: not
    confirmed (connection lost, nacked, timed out): it may or may not have arrived."""

    confirmed: bool = False
    returned: bool = False
    failed: str = ""


class Bus(Protocol):
    """One link to a broker. All methods are called on the loop that opened it."""

    async def open(self, *, timeout: float) -> None:
        """Connect and declare the topology (exchanges, command queue, dead-letter queue).

        Raises BrokerUnavailableError when that did not work within `timeout` seconds.
        """

    async def close(self) -> None:
        """Flush what is under way (bounded), then disconnect. Twice is harmless."""

    @property
    def connected(self) -> bool:
        """Whether the link is up right now."""

    @property
    def blocked(self) -> bool:
        """Whether the broker currently refuses publishes (memory or disk alarm)."""

    async def publish(self, messages: Sequence[Outgoing], *, timeout: float) -> list[Sent]:
        """Publish all, pipelined, and wait for their confirms: one `Sent` per message, in order. Never raises for the
        world's faults; cancellation is safe. Confirms under way are bounded."""

    async def consume_queue(
        self, queue: str, on_message: Callable[[Incoming], None], *, prefetch: int, priority: int = 0
    ) -> Consumer:
        """Consume a durable queue of the topology, for ever, over every reconnect. The callback only enqueues."""

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
        """Bind a fresh exclusive queue to `exchange` under `key` and consume it. It dies with the connection; after a
        reconnect a new one is bound. `on_bound(n)` is told each time one is in place (n = 1, 2, ...), before any
        of its messages. With a `limit` the queue holds so many messages at most, and gives up the oldest."""

    def watch(self, on_change: Callable[[str], None]) -> None:
        """Be told of `connected`, `lost: reason`, `blocked: reason`, `unblocked`, `failed: reason` (the last:
        channels could not be rebuilt N times; the process should end with that reason)."""
