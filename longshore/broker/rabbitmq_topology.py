"""What Longshore declares on RabbitMQ: exchanges, the command queue, the dead-letter queue. It never deletes any.

Declarations are fixed for a major version: the type, and where dead letters go. Everything tunable is a policy of the
broker's administrator, because declaring a queue again with another argument fails.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiormq.abc import AbstractChannel, AbstractConnection, ArgumentsType
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from longshore.core.envelope import Names

COMMAND_KEYS: Final = ("trigger", "command")
"""The routing keys under which the command queue is bound."""


async def declare(connection: AbstractConnection, names: Names) -> None:
    """Make sure that everything is there.

    What exists is only looked at, which needs no permission: a user of little privilege can work where somebody has
    declared before. The events exchange is declared last, so that where it exists all the rest, bindings included,
    was made.
    """
    if not await _exists(connection, names):
        await _on_own_channel(connection, lambda channel: _make(channel, names))


async def _exists(connection: AbstractConnection, names: Names) -> bool:
    async def look(channel: AbstractChannel) -> None:
        for exchange, kind in _exchanges(names):
            await channel.exchange_declare(exchange, exchange_type=kind, passive=True)
        for queue in (names.dead, names.commands):
            await channel.queue_declare(queue, passive=True)

    try:
        await _on_own_channel(connection, look)
    except ChannelNotFoundEntity:
        return False
    return True


async def _make(channel: AbstractChannel, names: Names) -> None:
    *exchanges, events = _exchanges(names)
    try:
        for exchange, kind in exchanges:
            await channel.exchange_declare(exchange, exchange_type=kind, durable=True)
        await channel.queue_declare(names.dead, durable=True, arguments={"x-queue-type": "quorum"})
        await channel.queue_bind(names.dead, names.dead)
        await channel.queue_declare(names.commands, durable=True, arguments=_command_arguments(names))
        for key in COMMAND_KEYS:
            await channel.queue_bind(names.commands, names.commands, key)
        await channel.exchange_declare(events[0], exchange_type=events[1], durable=True)
    except ChannelAccessRefused as error:
        advice = "this user may not declare what is missing; start a coordinator with a user who may, once"
        raise ChannelAccessRefused(f"{' '.join(map(str, error.args))} ({advice})") from error


def _exchanges(names: Names) -> list[tuple[str, str]]:
    return [
        (names.dead, "fanout"),  # dead letters keep their routing keys, whatever they were
        (names.commands, "direct"),
        (names.reports, "direct"),
        (names.workers, "direct"),
        (names.replies, "direct"),
        (names.events, "topic"),
    ]


def _command_arguments(names: Names) -> ArgumentsType:
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": names.dead,
        "x-dead-letter-strategy": "at-least-once",  # which needs the next line
        "x-overflow": "reject-publish",
    }


async def _on_own_channel(connection: AbstractConnection, work: Callable[[AbstractChannel], Awaitable[None]]) -> None:
    """Do the work on a channel of its own: a declaration that fails closes the channel it was made on."""
    channel = await connection.channel(publisher_confirms=False)
    try:
        await work(channel)
    finally:
        await channel.close()
