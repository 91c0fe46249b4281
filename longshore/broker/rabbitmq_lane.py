"""A channel that is kept open: built, watched, built again when it or its connection ends. It knows no message.

aio-pika's robust channel gives up when a channel cannot be opened again while its connection stays; this one does
not. It never ends by itself; after ten failures in a row on a live connection it says so, once, and goes on trying.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiormq.abc import AbstractChannel, AbstractConnection

from longshore.broker.rabbitmq_link import (
    FAULTS,
    Link,
    canceled_from_outside,
    end_of,
    heed_cancellation,
    jittered,
    told,
)

GIVE_UP_AFTER: Final = 10
"""Failed rebuilds in a row, the connection being up."""
BUILD_WITHIN: Final = 10.0
REBUILD_EVERY: Final = 0.3
CLOSE_WITHIN: Final = 3.0


@dataclass(slots=True, frozen=True)
class Lane:
    """How one channel is made and who is told about it."""

    name: str
    open: Callable[[AbstractConnection], Awaitable[AbstractChannel]]
    """Opens a channel."""
    furnish: Callable[[AbstractChannel], Awaitable[None]]
    """Makes it ready: declares, binds, consumes. Called again for every new channel."""
    on_lost: Callable[[str], None]
    """The channel is gone, with the reason. Also when it was never quite there."""
    on_hopeless: Callable[[str], None]
    """It could not be rebuilt ten times in a row."""


async def keep(lane: Lane, link: Link) -> None:
    """Keep the lane open until canceled."""
    failures = 0
    while True:
        connection = await link.up()
        built, reason = await _one_life(lane, connection)
        heed_cancellation()
        lane.on_lost(reason)
        if built:
            failures = 0
        elif not connection.is_closed:  # a lost connection says nothing of the lane
            failures += 1
        if failures == GIVE_UP_AFTER:
            lane.on_hopeless(f"{lane.name} could not be set up {failures} times in a row: {reason}")
        await asyncio.sleep(jittered(REBUILD_EVERY))


async def _one_life(lane: Lane, connection: AbstractConnection) -> tuple[bool, str]:
    """Build a channel and wait for its end. Whether it was built, and why it ended."""
    channel: AbstractChannel | None = None
    built = False
    try:
        async with asyncio.timeout(BUILD_WITHIN):
            channel = await lane.open(connection)
            ended = _end(channel)
            await lane.furnish(channel)
        heed_cancellation()
        built = True
        return built, await ended
    except FAULTS as error:
        return built, told(error)
    except asyncio.CancelledError:
        if canceled_from_outside():
            raise
        return built, "the channel was closed"
    finally:
        if channel is not None:
            await close(channel)


def _end(channel: AbstractChannel) -> asyncio.Future[str]:
    """Done, with the reason, when the channel closes or the broker cancels its consumer (a deleted queue)."""
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_closing(closing: asyncio.Future[object]) -> None:
        if not ended.done():
            ended.set_result(end_of(closing, "the channel was closed"))

    def on_cancel(_: object) -> None:
        if not ended.done():
            ended.set_result("the broker canceled the consumer")

    channel.closing.add_done_callback(on_closing)
    channel.on_consumer_cancel_callbacks.add(on_cancel)
    return ended


async def close(channel: AbstractChannel) -> None:
    """Close a channel, whatever state it is in."""
    try:
        async with asyncio.timeout(CLOSE_WITHIN):
            await channel.close()
    except FAULTS:
        pass
    except asyncio.CancelledError:
        if canceled_from_outside():
            raise
