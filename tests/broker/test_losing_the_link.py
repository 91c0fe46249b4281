"""Every bus: the link is lost, and comes back."""

from __future__ import annotations

import asyncio

from longshore.broker.bus import Incoming, Outgoing
from tests.broker.conftest import Inbox, World
from tests.broker.letters import CONFIRMED, RETURNED, commands, numbered
from tests.support.wait import eventually


async def test_a_private_queue_dies_with_its_bus(world: World) -> None:
    owner, other = await world.bus(), await world.bus()
    inbox = await Inbox().private(owner, world.names.workers, "session")
    message = Outgoing(world.names.workers, "session", b"x")
    assert await other.publish([message], timeout=10) == [CONFIRMED]
    await inbox.has(1)
    await owner.close()

    async def is_returned() -> bool:
        return await other.publish([message], timeout=10) == [RETURNED]

    await eventually(is_returned, within=5)


async def test_a_private_queue_is_bound_again_after_a_loss(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().private(bus, world.names.workers, "me")
    assert inbox.bound == [1]
    for bound in (2, 3):
        world.cut()
        await eventually(lambda: len(inbox.bound) == bound, within=15)  # noqa: B023  # awaited in this turn
        inbox.messages.clear()
        assert await bus.publish([Outgoing(world.names.workers, "me", b"x")], timeout=15) == [CONFIRMED]
        await inbox.has(1)
    assert inbox.bound == [1, 2, 3]


async def test_on_bound_is_told_before_any_message_of_that_queue(world: World) -> None:
    bus, other = await world.bus(), await world.bus()
    seen: list[str] = []

    async def keep_sending() -> None:
        while "message" not in seen:
            await other.publish([Outgoing(world.names.workers, "me", b"x")], timeout=10)

    sending = asyncio.create_task(keep_sending())
    await bus.consume_private(
        world.names.workers,
        "me",
        lambda _: seen.append("message"),
        lambda number: seen.append(f"bound {number}"),
        prefetch=10,
    )
    await asyncio.wait_for(sending, 20)
    assert seen[0] == "bound 1"


async def test_a_loss_among_ten_thousand_publishes_gives_each_an_outcome_and_loses_no_confirmed_one(
    world: World,
) -> None:
    bus = await world.bus()
    arrived: set[bytes] = set()
    cuts = [100]

    def on_message(message: Incoming) -> None:
        arrived.add(message.body)
        if cuts and len(arrived) >= cuts[0]:
            cuts.clear()
            asyncio.get_running_loop().call_soon(world.cut)
        if len(arrived) % 50 == 0:
            consumer.settle(message)

    consumer = await bus.consume_queue(world.names.commands, on_message, prefetch=500)
    sent = await bus.publish(commands(world, 10_000), timeout=60)  # so many that the consumer cannot be too late
    assert len(sent) == 10_000
    assert all(outcome.confirmed + outcome.returned + bool(outcome.failed) == 1 for outcome in sent)
    failed = [number for number, outcome in enumerate(sent) if outcome.failed]
    assert failed, "the cut came in the middle"
    confirmed = {str(number).encode() for number, outcome in enumerate(sent) if outcome.confirmed}
    await eventually(lambda: confirmed <= arrived, within=20)
    await consumer.close()


async def test_a_publish_after_a_loss_waits_for_the_link_and_arrives(world: World) -> None:
    bus = await world.bus()
    changes: list[str] = []
    bus.watch(changes.append)
    inbox = await Inbox().private(bus, world.names.replies, "me")
    world.cut()
    await eventually(lambda: inbox.bound == [1, 2], within=15)
    assert await bus.publish([Outgoing(world.names.replies, "me", b"x")], timeout=15) == [CONFIRMED]
    await inbox.has(1)
    assert bus.connected
    assert not bus.blocked
    assert changes[0].startswith("lost: ")
    assert changes[-1] == "connected"


async def test_closing_twice_is_harmless_and_ends_everything(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().private(bus, world.names.replies, "me")
    await bus.close()
    await bus.close()
    assert not bus.connected
    [sent] = await bus.publish([Outgoing(world.names.replies, "me", b"x")], timeout=1)
    assert sent.failed == "the bus is closed"
    await inbox.consumer.close()


async def test_closing_waits_for_what_is_under_way(world: World) -> None:
    bus, reader = await world.bus(), await world.bus()
    inbox = await Inbox().private(reader, world.names.replies, "me", prefetch=0)
    publishing = asyncio.create_task(bus.publish(numbered(world.names.replies, "me", 2_000), timeout=30))
    await inbox.has(1)
    await bus.close()
    assert await publishing == [CONFIRMED] * 2_000
    await inbox.has(2_000)
