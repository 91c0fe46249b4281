"""One world per kind of bus: buses to open, and a way to lose their connections."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from longshore.broker.bus import Bus, Consumer, Incoming, Outgoing
from longshore.broker.local import LocalRouter
from longshore.broker.local_socket import SocketBus, serve
from longshore.broker.rabbitmq import RabbitBus
from longshore.core.envelope import Names
from tests.support.proxy import Proxy
from tests.support.rabbit import RabbitElsewhere, RabbitNode
from tests.support.wait import eventually


class World(Protocol):
    """A broker of some kind, in a namespace of its own."""

    names: Names
    user: str

    async def bus(self) -> Bus:
        """A fresh bus, open; closed at the end of the test."""

    def cut(self) -> None:
        """Break every connection at once."""


class RabbitWorld:
    def __init__(self, names: Names, proxy: Proxy, url: str, stack: AsyncExitStack) -> None:
        self.names, self.user = names, "guest"
        self._proxy, self._url, self._stack = proxy, proxy.url(url), stack

    async def bus(self) -> Bus:
        return await opened(RabbitBus(self._url, self.names), self._stack)

    def cut(self) -> None:
        self._proxy.cut()


class DirectWorld:
    def __init__(self, names: Names, router: LocalRouter, stack: AsyncExitStack) -> None:
        self.names, self.user = names, "somebody"
        self._router, self._stack = router, stack

    async def bus(self) -> Bus:
        return await opened(self._router.bus(user=self.user), self._stack)

    def cut(self) -> None:
        self._router.disconnect()


class SocketWorld:
    def __init__(self, names: Names, path: Path, proxyless_server: object, stack: AsyncExitStack) -> None:
        self.names, self.user = names, "local"
        self._path, self._server, self._stack = path, proxyless_server, stack

    async def bus(self) -> Bus:
        return await opened(SocketBus(self._path, self.names), self._stack)

    def cut(self) -> None:
        self._server.disconnect()  # type: ignore[attr-defined]


async def opened(bus: Bus, stack: AsyncExitStack) -> Bus:
    await bus.open(timeout=10)
    stack.push_async_callback(bus.close)
    return bus


@pytest.fixture
def names() -> Names:
    return Names(f"t{secrets.token_hex(4)}")


@pytest.fixture(params=[pytest.param("rabbitmq", marks=pytest.mark.service), "in-process", "socket"])
async def world(request: pytest.FixtureRequest, names: Names) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        if request.param == "rabbitmq":
            broker: RabbitNode | RabbitElsewhere = request.getfixturevalue("rabbit")
            url = broker.vhost()
            proxy = await stack.enter_async_context(Proxy.before(url))
            yield RabbitWorld(names, proxy, url, stack)
        elif request.param == "in-process":
            yield DirectWorld(names, LocalRouter(names), stack)
        else:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ls-"))) / "bus.sock"
            server = await serve(LocalRouter(names), path)
            stack.push_async_callback(server.close)
            yield SocketWorld(names, path, server, stack)


class Inbox:
    """What a consumer gets, and the consumer itself."""

    def __init__(self) -> None:
        self.messages: list[Incoming] = []
        self.bound: list[int] = []
        self._consumer: Consumer | None = None

    @property
    def consumer(self) -> Consumer:
        assert self._consumer is not None
        return self._consumer

    @property
    def bodies(self) -> list[bytes]:
        return [message.body for message in self.messages]

    async def private(self, bus: Bus, exchange: str, key: str, *, prefetch: int = 1000) -> Inbox:
        self._consumer = await bus.consume_private(
            exchange, key, self.messages.append, self.bound.append, prefetch=prefetch
        )
        return self

    async def queue(self, bus: Bus, queue: str, *, prefetch: int = 1000, priority: int = 0) -> Inbox:
        self._consumer = await bus.consume_queue(queue, self.messages.append, prefetch=prefetch, priority=priority)
        return self

    async def has(self, count: int, *, within: float = 15) -> list[Incoming]:
        await eventually(lambda: len(self.messages) >= count, within=within, what=f"{count} messages")
        return self.messages

    def settle_all(self) -> None:
        self.consumer.settle(self.messages[-1])


async def barrier(bus: Bus, names: Names) -> None:
    """Whatever the broker had to deliver to this bus before is there when this is done: a message goes round."""
    inbox = await Inbox().private(bus, names.replies, key := f"barrier-{secrets.token_hex(4)}")
    for _ in range(3):  # another channel may be a little ahead of ours
        [sent] = await bus.publish([Outgoing(names.replies, key, b"round")], timeout=10)
        assert sent.confirmed
    await inbox.has(3)
    await inbox.consumer.close()
    await asyncio.sleep(0)
