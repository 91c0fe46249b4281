"""The client on a real RabbitMQ, with a TCP proxy between the two that cuts, refuses and swallows."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from longshore.broker import Outgoing, connect
from longshore.broker.bus import Headers
from longshore.client import Client
from longshore.core.envelope import EVENTS_KEY, JSON, Names
from longshore.core.errors import BrokerUnavailableError, NotYetAccepted
from longshore.routines import define
from longshore.settings import load
from longshore.telemetry import Telemetry
from tests.client.conftest import add as plain_add
from tests.client.scripted import Scripted
from tests.support.proxy import Proxy
from tests.support.rabbit import RabbitElsewhere, RabbitNode
from tests.support.wait import eventually

Broker = RabbitNode | RabbitElsewhere


@define.task(name="add", version="1.0.0")
def add(x: int, y: int = 1) -> int:
    return x + y


@define.action(name="slow", version="1.0.0")
def slow() -> Any:
    return 1


@pytest.fixture
def names() -> Names:
    return Names(f"client-{secrets.token_hex(4)}")


@pytest.fixture
def url(rabbit: Broker) -> str:
    return rabbit.vhost()


@pytest.fixture
async def coordinator(url: str, names: Names) -> AsyncIterator[Scripted]:
    async with Scripted(connect(url, names), names, add=plain_add) as coordinator:
        yield coordinator


@pytest.fixture
async def proxy(url: str) -> AsyncIterator[Proxy]:
    async with Proxy.before(url) as proxy:
        yield proxy


@pytest.fixture
async def client(url: str, names: Names, coordinator: Scripted, proxy: Proxy, tmp_path: Path) -> AsyncIterator[Client]:
    settings = load(namespace=names.namespace, broker_url=proxy.url(url), payload_url=f"file:{tmp_path / 'payloads'}")
    async with Client(settings=settings, telemetry=Telemetry()) as client:
        yield client
        proxy.pass_on()


async def test_runs_go_there_and_back_in_batches(client: Client, coordinator: Scripted) -> None:
    assert await asyncio.gather(*(client.run(add(i)) for i in range(3000))) == [i + 1 for i in range(3000)]
    assert len(coordinator.bodies) < 100


async def test_a_broker_nobody_listens_at_is_named_within_the_timeout(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        settings = load(broker_url=f"amqp://guest:secret@127.0.0.1:{port}/", payload_url=f"file:{tmp_path}")
        began = time.monotonic()
        with pytest.raises(BrokerUnavailableError, match=f"127.0.0.1:{port}") as caught:
            await Client(settings=settings, connect_timeout=1).open()
    assert time.monotonic() - began < 3 and "secret" not in str(caught.value)


async def test_a_trigger_while_the_broker_is_away_fails_in_time_and_may_be_repeated(
    client: Client, coordinator: Scripted, proxy: Proxy
) -> None:
    proxy.refuse()
    await eventually(lambda: not client._opened().link._bus.connected, within=10)
    began = time.monotonic()
    with pytest.raises(BrokerUnavailableError) as caught:
        await client.trigger(add(1), timeout=0.5)
    assert time.monotonic() - began < 2
    assert caught.value.run_id and not caught.value.may_have_been_sent
    with pytest.raises(BrokerUnavailableError):
        await client.run(add(2), timeout=0.3)
    with pytest.raises(BrokerUnavailableError):
        await client.ask("workers", timeout=0.3)
    proxy.pass_on()
    run = await client.trigger(add(1), run_id=caught.value.run_id)
    assert await run.result() == 2
    assert {trigger.run_id for trigger in coordinator.triggers} == {run.id}


async def test_a_trigger_into_a_black_hole_may_have_been_sent(
    client: Client, coordinator: Scripted, proxy: Proxy
) -> None:
    proxy.swallow()
    with pytest.raises(BrokerUnavailableError) as caught:
        await client.trigger(add(1), timeout=0.5)
    assert caught.value.may_have_been_sent
    proxy.pass_on()
    run = await client.trigger(add(1), run_id=caught.value.run_id)
    assert await run.result() == 2 and len(coordinator.statuses) == 1


async def test_a_trigger_confirmed_without_a_coordinator_waits_in_the_broker(
    client: Client, coordinator: Scripted
) -> None:
    await coordinator.stop_listening()
    with pytest.raises(NotYetAccepted) as caught:
        await client.trigger(add(1), timeout=0.5)
    waiting = asyncio.create_task(caught.value.run.result())
    await coordinator.listen()
    assert await waiting == 2


async def test_a_connection_cut_in_the_middle_loses_and_doubles_nothing(
    client: Client, coordinator: Scripted, proxy: Proxy
) -> None:
    waiting = [asyncio.create_task(client.run(add(i))) for i in range(1000)]
    await eventually(lambda: coordinator.bodies, within=10)
    proxy.cut()
    waiting += [asyncio.create_task(client.run(add(i))) for i in range(1000, 2000)]
    assert await asyncio.gather(*waiting) == [i + 1 for i in range(2000)]
    assert len(coordinator.statuses) == 2000


async def test_an_outcome_that_came_back_unread_is_asked_for_after_the_reconnect(
    client: Client, coordinator: Scripted, proxy: Proxy, names: Names
) -> None:
    waiting = asyncio.create_task(client.run(slow()))
    await eventually(lambda: coordinator.watchers, within=10)
    run_id, keys = next(iter(coordinator.watchers.items()))
    proxy.refuse()
    reply = Outgoing(names.replies, next(iter(keys)), b"\x90")

    async def returned() -> bool:
        return (await coordinator.bus.publish([reply], timeout=5))[0].returned

    await eventually(returned, within=10)
    await coordinator.finish(run_id, "kept")  # nobody is there to read it
    proxy.pass_on()
    assert await waiting == "kept"


async def test_a_listener_whose_link_is_cut_is_told_that_it_missed_something_and_hears_on(
    client: Client, coordinator: Scripted, proxy: Proxy, names: Names
) -> None:
    heard: list[Any] = []

    async def listen() -> None:
        async for change in client.events(routine="add"):
            heard.append((change.run_id, change.gap))  # noqa: PERF401 - it never ends

    async def told(number: int) -> bool:
        body = [{"run_id": f"r{number}", "routine": "add", "version": "1", "to_status": "QUEUED", "root_id": ""}]
        headers: Headers = {"stream": "s", "number": number}
        event = Outgoing(names.events, EVENTS_KEY, json.dumps(body).encode(), headers, content_type=JSON)
        (sent,) = await coordinator.bus.publish([event], timeout=10)
        return sent.confirmed

    listening = asyncio.create_task(listen())
    try:
        await eventually(lambda: told(1), within=20, what="the listener being bound")
        await eventually(lambda: heard == [("r1", False)], within=20)
        proxy.refuse()
        await told(2)
        await told(3)
        proxy.pass_on()
        await eventually(lambda: heard[-1] == ("", True), within=30, what="the gap")
        await eventually(lambda: told(4), within=20)
        await eventually(lambda: heard == [("r1", False), ("", True), ("r4", False)], within=20, what=str(heard))
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
