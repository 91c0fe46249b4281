"""Messages for the tests of every bus, and what becomes of them."""

from __future__ import annotations

from longshore.broker.bus import Outgoing, Sent
from tests.broker.conftest import World

CONFIRMED = Sent(confirmed=True)


RETURNED = Sent(returned=True)


def numbered(exchange: str, key: str, count: int, prefix: str = "") -> list[Outgoing]:
    return [Outgoing(exchange, key, f"{prefix}{number}".encode()) for number in range(count)]


def commands(world: World, count: int) -> list[Outgoing]:
    return [Outgoing(world.names.commands, "trigger", str(number).encode(), durable=True) for number in range(count)]
