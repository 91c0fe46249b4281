"""What only RabbitMQ can do to us: alarms, restarts, half-open connections, refused permissions, closed channels."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from longshore.broker import connect
from longshore.broker.bus import Bus, Outgoing, Sent
from longshore.broker.rabbitmq import RabbitBus
from longshore.broker.rabbitmq_link import address_of, with_heartbeat
from longshore.core.envelope import Names
from longshore.core.errors import BrokerUnavailableError
from tests.broker.conftest import Inbox, opened
from tests.support.proxy import Proxy
from tests.support.rabbit import RabbitNode, vhost_of
from tests.support.wait import eventually

CONFIRMED = Sent(confirmed=True)


@pytest.fixture
def url(rabbit_node: RabbitNode) -> str:
    return rabbit_node.vhost()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def proxy(url: str) -> AsyncIterator[Proxy]:
    async with Proxy.before(url) as proxy:
        yield proxy


@pytest.fixture
def alarm(rabbit_node: RabbitNode) -> Iterator[RabbitNode]:
    """The node; whatever memory limit the test sets is undone."""
    yield rabbit_node
    rabbit_node.ctl("set_vm_memory_high_watermark", "0.6")


def reply(names: Names, body: bytes = b"x", key: str = "me") -> Outgoing:
    return Outgoing(names.replies, key, body)


def told(bus: Bus) -> list[str]:
    changes: list[str] = []
    bus.watch(changes.append)
    return changes


async def in_thread(work: object, *arguments: object) -> None:
    await asyncio.to_thread(work, *arguments)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------------------- alarms


async def test_a_blocked_connection_pauses_publishing_and_says_so(
    alarm: RabbitNode, url: str, names: Names, stack: AsyncExitStack
) -> None:
    bus = await opened(RabbitBus(url, names), stack)
    changes = told(bus)
    inbox = await Inbox().private(bus, names.replies, "me")
    await in_thread(alarm.ctl, "set_vm_memory_high_watermark", "absolute", "1000")
    [first] = await bus.publish([reply(names)], timeout=1)  # the one that makes the broker say it
    await eventually(lambda: bus.blocked, within=10)
    assert first.failed
    assert bus.connected
    [second] = await bus.publish([reply(names, b"paused")], timeout=0.5)
    assert "memory or disk alarm" in second.failed
    waiting = asyncio.create_task(bus.publish([reply(names, b"waited")], timeout=60))
    await in_thread(alarm.ctl, "set_vm_memory_high_watermark", "0.6")
    assert await waiting == [CONFIRMED]
    assert not bus.blocked
    await eventually(lambda: b"waited" in inbox.bodies, within=10)
    assert b"paused" not in inbox.bodies, "it was never sent"
    assert inbox.bound == [1], "consuming goes on during an alarm"
    assert [change.partition(":")[0] for change in changes] == ["blocked", "unblocked"]


# ------------------------------------------------------------------------------------------------- the broker goes away


async def test_the_bus_comes_back_after_the_broker_was_stopped(
    rabbit_node: RabbitNode, url: str, names: Names, stack: AsyncExitStack
) -> None:
    bus = await opened(RabbitBus(url, names), stack)
    changes = told(bus)
    inbox = await Inbox().private(bus, names.replies, "me")
    await in_thread(rabbit_node.stop_app)
    await eventually(lambda: not bus.connected, within=10)
    [sent] = await bus.publish([reply(names)], timeout=0.5)
    assert address_of(url) in sent.failed
    assert "guest:guest" not in sent.failed
    await in_thread(rabbit_node.start_app)
    assert await bus.publish([reply(names, b"y", "nobody")], timeout=30) == [Sent(returned=True)]
    await eventually(lambda: inbox.bound == [1, 2], within=30)
    assert await bus.publish([reply(names, b"back")], timeout=30) == [CONFIRMED]
    await inbox.has(1)
    assert [change.partition(":")[0] for change in changes] == ["lost", "connected"]


async def test_confirmed_commands_survive_a_killed_broker(
    rabbit_node: RabbitNode, url: str, names: Names, stack: AsyncExitStack
) -> None:
    bus = await opened(RabbitBus(url, names), stack)
    # RabbitMQ 3.10.8 was seen to lose a quorum queue declared about a second before the kill: let it be stored first
    await in_thread(rabbit_node.stop_app)
    await in_thread(rabbit_node.start_app)
    batch = [Outgoing(names.commands, "trigger", str(number).encode(), durable=True) for number in range(100)]
    assert await bus.publish(batch, timeout=30) == [CONFIRMED] * 100
    await in_thread(rabbit_node.restart)
    inbox = await Inbox().queue(bus, names.commands)
    await inbox.has(100, within=60)
    assert inbox.bodies == [str(number).encode() for number in range(100)]
    inbox.settle_all()


# -------------------------------------------------------------------------------------------------------------- opening


async def test_a_broker_that_is_not_there_is_an_error_within_the_timeout(names: Names) -> None:
    async with Proxy("127.0.0.1", 1) as nobody:
        port = nobody.port  # free again below
    bus = connect(f"amqp://me:secret@127.0.0.1:{port}/v", names)
    started = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match=f"127.0.0.1:{port}/v") as caught:
        await bus.open(timeout=1.2)
    assert 1 < time.monotonic() - started < 3
    assert "secret" not in str(caught.value)
    assert not bus.connected


async def test_a_broker_that_answers_nothing_is_an_error_within_the_timeout(
    url: str, names: Names, proxy: Proxy
) -> None:
    proxy.swallow()
    started = time.monotonic()
    with pytest.raises(BrokerUnavailableError):
        await RabbitBus(proxy.url(url), names).open(timeout=1)
    assert time.monotonic() - started < 6


async def test_a_wrong_password_is_told_at_once(url: str, names: Names) -> None:
    started = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match=r"(?i)login was refused|access.refused"):
        await RabbitBus(url.replace("guest:guest", "guest:wrong"), names).open(timeout=30)
    assert time.monotonic() - started < 10


async def test_refused_openings_always_end(url: str, names: Names) -> None:
    wrong = url.replace("guest:guest", "guest:wrong")
    for _ in range(20):  # a cancellation and a refusal at one moment: the library then swallows the cancellation
        with pytest.raises(BrokerUnavailableError, match="ACCESS_REFUSED"):
            await asyncio.wait_for(RabbitBus(wrong, names).open(timeout=10), 30)


async def test_a_refused_bus_opens_when_the_password_fits(rabbit_node: RabbitNode, url: str, names: Names) -> None:
    every = {"configure": ".*", "write": ".*", "read": ".*"}
    user, _ = await asyncio.to_thread(lambda: rabbit_node.add_user(vhost_of(url), **every))
    bus = RabbitBus(rabbit_node.url(vhost_of(url), user=user, password="later"), names)
    with pytest.raises(BrokerUnavailableError, match="ACCESS_REFUSED"):
        await bus.open(timeout=10)
    await in_thread(rabbit_node.ctl, "change_password", user, "later")
    await bus.open(timeout=10)
    assert bus.connected
    await bus.close()


async def test_a_bus_that_could_not_be_opened_can_be_opened_later(url: str, names: Names, proxy: Proxy) -> None:
    bus = RabbitBus(proxy.url(url), names)
    proxy.refuse()
    with pytest.raises(BrokerUnavailableError):
        await bus.open(timeout=0.5)
    proxy.pass_on()
    await bus.open(timeout=10)
    assert bus.connected
    await bus.close()


async def test_a_cancelled_opening_leaves_nothing_behind(url: str, names: Names, proxy: Proxy) -> None:
    proxy.swallow()
    bus = RabbitBus(proxy.url(url), names)
    opening = asyncio.create_task(bus.open(timeout=30))
    await eventually(lambda: proxy.accepted >= 2, within=5)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if "longshore" in repr(task)]


# ----------------------------------------------------------------------------------------------- channels it closes


async def test_a_channel_that_the_broker_closes_is_built_again(url: str, names: Names, stack: AsyncExitStack) -> None:
    bus = await opened(RabbitBus(url, names), stack)
    inbox = await Inbox().queue(bus, names.commands)
    await bus.publish([Outgoing(names.commands, "trigger", b"x", durable=True)], timeout=10)
    [got] = await inbox.has(1)
    got.tag += 1_000  # never delivered: PRECONDITION_FAILED
    inbox.consumer.settle(got)
    await inbox.has(2)
    assert inbox.messages[1].redelivered
    assert inbox.messages[1].lane != got.lane
    inbox.settle_all()


async def test_a_deleted_queue_is_reported_after_ten_attempts_and_consumed_when_it_is_back(
    rabbit_node: RabbitNode, url: str, names: Names, stack: AsyncExitStack
) -> None:
    bus = await opened(RabbitBus(url, names), stack)
    changes = told(bus)
    inbox = await Inbox().queue(bus, names.commands)
    await in_thread(rabbit_node.ctl, "delete_queue", "-p", vhost_of(url), names.commands)
    await eventually(lambda: changes, within=30)
    assert changes[0].startswith(f"failed: consuming {names.commands} could not be set up 10 times in a row: ")
    assert "no queue" in changes[0]
    await opened(RabbitBus(url, names), stack)  # declares what is missing
    assert await bus.publish([Outgoing(names.commands, "trigger", b"x", durable=True)], timeout=10) == [CONFIRMED]
    await inbox.has(1)
    inbox.settle_all()


async def test_a_private_queue_that_is_deleted_is_bound_again(
    rabbit_node: RabbitNode, url: str, names: Names, stack: AsyncExitStack
) -> None:
    bus = await opened(RabbitBus(url, names), stack)
    inbox = await Inbox().private(bus, names.workers, "me")
    listed = await asyncio.to_thread(rabbit_node.ctl, "list_queues", "-p", vhost_of(url), "name", "--no-table-headers")
    [private] = [name for name in listed.split() if name.startswith(f"{names.workers}.")]
    await in_thread(rabbit_node.ctl, "delete_queue", "-p", vhost_of(url), private)
    await eventually(lambda: inbox.bound == [1, 2], within=10)
    assert await bus.publish([Outgoing(names.workers, "me", b"x")], timeout=10) == [CONFIRMED]
    await inbox.has(1)


async def test_messages_that_cannot_be_encoded_fail_alone(url: str, names: Names, stack: AsyncExitStack) -> None:
    bus = await opened(RabbitBus(url, names), stack)
    await Inbox().private(bus, names.replies, "me")
    batch = [
        reply(names),
        reply(names, key="k" * 300),
        Outgoing(names.replies, "me", b"x", correlation_id="c" * 300),
        Outgoing(names.replies, "me", b"x", {"too large": 2**70}),
        reply(names),
    ]
    sent = await bus.publish(batch, timeout=10)
    assert [outcome.confirmed for outcome in sent] == [True, False, False, False, True]
    assert all("cannot be sent over AMQP" in outcome.failed for outcome in sent[1:4])


# --------------------------------------------------------------------------------------------------------- the network


async def test_a_half_open_connection_is_noticed_by_the_heartbeat(
    url: str, names: Names, proxy: Proxy, stack: AsyncExitStack
) -> None:
    bus = await opened(RabbitBus(proxy.url(url) + "?heartbeat=1", names), stack)
    inbox = await Inbox().private(bus, names.replies, "me")
    proxy.swallow()
    [sent] = await bus.publish([reply(names)], timeout=1)
    assert "not confirmed within 1 s" in sent.failed
    await eventually(lambda: not bus.connected, within=20)
    proxy.pass_on()
    await eventually(lambda: len(inbox.bound) == 2, within=30)
    assert await bus.publish([reply(names, b"back")], timeout=15) == [CONFIRMED]
    await eventually(lambda: b"back" in inbox.bodies, within=10)


async def test_a_slow_network_is_filled_not_waited_for(
    url: str, names: Names, proxy: Proxy, stack: AsyncExitStack
) -> None:
    bus = await opened(RabbitBus(proxy.url(url), names), stack)
    await Inbox().private(bus, names.replies, "me", prefetch=0)
    proxy.delay = 0.05
    started = time.monotonic()
    assert await bus.publish([reply(names)] * 2_000, timeout=60) == [CONFIRMED] * 2_000
    assert time.monotonic() - started < 10, "one by one it would take 200 s"


# --------------------------------------------------------------------------------------------------------- permissions


async def test_a_worker_needs_little_privilege(
    rabbit_node: RabbitNode, url: str, names: Names, stack: AsyncExitStack
) -> None:
    coordinator = await opened(RabbitBus(url, names), stack)
    reports = await Inbox().private(coordinator, names.reports, "reports")
    own = rf"^{names.workers}\.[0-9a-f]+$".replace(".", r"\.", 1)
    user, password = await asyncio.to_thread(
        lambda: rabbit_node.add_user(
            vhost_of(url),
            configure=own,
            write=rf"^({names.reports}|{names.workers}\..*)$",
            read=rf"^{names.workers}(\..*)?$",
        )
    )
    worker = await opened(RabbitBus(rabbit_node.url(vhost_of(url), user=user, password=password), names), stack)
    inbox = await Inbox().private(worker, names.workers, "session")
    assert await coordinator.publish([Outgoing(names.workers, "session", b"start")], timeout=10) == [CONFIRMED]
    await inbox.has(1)
    assert await worker.publish([Outgoing(names.reports, "reports", b"done")], timeout=10) == [CONFIRMED]
    [report] = await reports.has(1)
    assert report.user_id == user
    [forbidden] = await worker.publish([Outgoing(names.commands, "trigger", b"x", durable=True)], timeout=10)
    assert forbidden.failed
    assert await worker.publish([Outgoing(names.reports, "reports", b"more")], timeout=10) == [CONFIRMED]


async def test_without_privilege_and_topology_opening_says_what_to_do(
    rabbit_node: RabbitNode, url: str, names: Names
) -> None:
    user, password = await asyncio.to_thread(
        lambda: rabbit_node.add_user(vhost_of(url), configure="^$", write="^$", read="^$")
    )
    bus = RabbitBus(rabbit_node.url(vhost_of(url), user=user, password=password), names)
    with pytest.raises(BrokerUnavailableError, match="start a coordinator with a user who may"):
        await bus.open(timeout=2)


async def test_the_topology_is_as_designed(
    rabbit_node: RabbitNode, url: str, names: Names, stack: AsyncExitStack
) -> None:
    await opened(RabbitBus(url, names), stack)
    await opened(RabbitBus(url, names), stack)  # again changes nothing

    def listed(*what: str) -> set[str]:
        lines = rabbit_node.ctl(*what, "-p", vhost_of(url), "--no-table-headers").splitlines()
        return {line for line in lines if names.namespace in line}

    queues = await asyncio.to_thread(listed, "list_queues", "name", "type", "durable")
    assert queues == {f"{names.commands}\tquorum\ttrue", f"{names.dead}\tquorum\ttrue"}
    exchanges = await asyncio.to_thread(listed, "list_exchanges", "name", "type", "durable")
    assert exchanges == {
        f"{names.commands}\tdirect\ttrue",
        f"{names.reports}\tdirect\ttrue",
        f"{names.workers}\tdirect\ttrue",
        f"{names.replies}\tdirect\ttrue",
        f"{names.events}\ttopic\ttrue",
        f"{names.dead}\tfanout\ttrue",
    }


async def test_topology_left_half_made_is_completed(
    rabbit_node: RabbitNode, url: str, names: Names, stack: AsyncExitStack
) -> None:
    first = RabbitBus(url, names)
    await first.open(timeout=10)
    await first.close()
    for exchange in (names.events, names.replies):  # as if the first had died before the end
        resource = f'rabbit_misc:r(<<"{vhost_of(url)}">>, exchange, <<"{exchange}">>)'
        await in_thread(rabbit_node.ctl, "eval", f'rabbit_exchange:delete({resource}, false, <<"test">>).')
    bus = await opened(RabbitBus(url, names), stack)
    await Inbox().private(bus, names.replies, "me")
    assert await bus.publish([reply(names)], timeout=10) == [CONFIRMED]


def test_the_heartbeat_is_ours_unless_the_url_names_one() -> None:
    assert with_heartbeat("amqp://h/v") == "amqp://h/v?heartbeat=10"
    assert with_heartbeat("amqp://h/v?heartbeat=3&name=x") == "amqp://h/v?heartbeat=3&name=x"


def test_an_address_shows_no_password() -> None:
    assert address_of("amqp://me:secret@host:1234/v") == "host:1234/v"
    assert address_of("amqps://me:secret@host/") == "host:5671"
