"""What every bus promises, said once for RabbitMQ, the in-process bus and the socket bus."""

from __future__ import annotations

import asyncio

import pytest

from longshore.broker.bus import Outgoing
from longshore.broker.pipeline import IN_FLIGHT
from tests.broker.conftest import Inbox, World, barrier
from tests.broker.letters import CONFIRMED, RETURNED, commands, numbered
from tests.support.wait import eventually

# --------------------------------------------------------------------------------------------------------- publishing


async def test_what_is_published_arrives_as_it_was(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().private(bus, world.names.replies, "me")
    message = Outgoing(
        world.names.replies, "me", b"\x00\xffbody", {"name": "välue", "small": 7, "negative": -3, "large": 2**40},
        content_type="application/json", message_id="id-1", correlation_id="c-1", reply_to="r-1",
    )  # fmt: skip
    assert await bus.publish([message], timeout=10) == [CONFIRMED]
    [got] = await inbox.has(1)
    assert (got.exchange, got.key, got.body) == (world.names.replies, "me", b"\x00\xffbody")
    assert got.headers == message.headers
    assert (got.content_type, got.message_id, got.correlation_id, got.reply_to) == (
        "application/json", "id-1", "c-1", "r-1",
    )  # fmt: skip
    assert got.user_id == world.user
    assert not got.redelivered


async def test_what_was_left_empty_arrives_empty(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().private(bus, world.names.replies, "me")
    await bus.publish([Outgoing(world.names.replies, "me", b"")], timeout=10)
    [got] = await inbox.has(1)
    assert (got.body, got.headers, got.message_id, got.correlation_id, got.reply_to) == (b"", {}, "", "", "")


@pytest.mark.parametrize("size", [0, 1, 131_063, 131_064, 131_065, 1024 * 1024])
async def test_bodies_of_every_size_pass(world: World, size: int) -> None:
    bus = await world.bus()
    inbox = await Inbox().private(bus, world.names.replies, "me")
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert await bus.publish([Outgoing(world.names.replies, "me", body)] * 3, timeout=20) == [CONFIRMED] * 3
    assert [got.body == body for got in await inbox.has(3)] == [True] * 3


async def test_five_thousand_in_one_batch_arrive_in_order(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().private(bus, world.names.replies, "me", prefetch=0)
    sent = await bus.publish(numbered(world.names.replies, "me", 5_000), timeout=60)
    assert sent == [CONFIRMED] * 5_000
    await inbox.has(5_000)
    assert inbox.bodies == [str(number).encode() for number in range(5_000)]


async def test_each_publisher_keeps_its_order(world: World) -> None:
    reader, one, two = await world.bus(), await world.bus(), await world.bus()
    inbox = await Inbox().private(reader, world.names.replies, "me", prefetch=0)

    async def several(bus_number: int) -> None:
        bus = (one, two)[bus_number]
        batches = [numbered(world.names.replies, "me", 100, f"{bus_number}-{batch}-") for batch in range(5)]
        await asyncio.gather(*(bus.publish(batch, timeout=30) for batch in batches))

    await asyncio.gather(several(0), several(1))
    await inbox.has(1_000)
    for publisher in (b"0-", b"1-"):
        got = [body for body in inbox.bodies if body.startswith(publisher)]
        assert got == [publisher + f"{batch}-{number}".encode() for batch in range(5) for number in range(100)]


async def test_no_messages_are_published_at_once(world: World) -> None:
    bus = await world.bus()
    assert await bus.publish([], timeout=1) == []


async def test_a_message_that_nobody_is_bound_for_is_returned(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().private(bus, world.names.replies, "me")
    batch = [
        Outgoing(world.names.replies, "me", b"1"),
        Outgoing(world.names.replies, "nobody", b"2"),
        Outgoing(world.names.replies, "me", b"3"),
        Outgoing(world.names.replies, "nobody", b"4", mandatory=False),
    ]
    assert await bus.publish(batch, timeout=10) == [CONFIRMED, RETURNED, CONFIRMED, CONFIRMED]
    await inbox.has(2)
    assert inbox.bodies == [b"1", b"3"]


async def test_returns_are_told_apart_even_when_message_ids_are_equal(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().private(bus, world.names.replies, "me")
    keys = ["me", "nobody", "me", "nobody", "me"] * 20
    sent = await bus.publish([Outgoing(world.names.replies, key, b"x", message_id="same") for key in keys], timeout=10)
    assert sent == [CONFIRMED if key == "me" else RETURNED for key in keys]
    assert {got.message_id for got in await inbox.has(60)} == {"same"}


async def test_a_message_for_an_exchange_that_is_not_there_fails_and_the_bus_goes_on(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().private(bus, world.names.replies, "me")
    [sent] = await bus.publish([Outgoing("no-such-exchange", "me", b"x")], timeout=10)
    assert sent.failed
    assert not sent.confirmed
    assert not sent.returned
    assert await bus.publish([Outgoing(world.names.replies, "me", b"y")], timeout=10) == [CONFIRMED]
    await inbox.has(1)


async def test_a_canceled_publish_harms_nobody(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().private(bus, world.names.replies, "me", prefetch=0)
    mixed = [Outgoing(world.names.replies, ("me", "nobody")[n % 2], f"a{n}".encode()) for n in range(3 * IN_FLIGHT)]
    doomed = asyncio.create_task(bus.publish(mixed, timeout=30))
    await inbox.has(1)
    doomed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doomed
    sent = await bus.publish(numbered(world.names.replies, "me", 100, "b"), timeout=30)
    assert sent == [CONFIRMED] * 100
    await eventually(lambda: b"b99" in inbox.bodies, within=10)
    firsts = [body for body in inbox.bodies if body.startswith(b"a")]
    assert firsts == [f"a{2 * n}".encode() for n in range(len(firsts))], "a prefix arrived, in order"
    assert [body for body in inbox.bodies if body.startswith(b"b")] == [f"b{n}".encode() for n in range(100)]
    assert inbox.bound == [1], "the consumer was never disturbed"


async def test_events_are_routed_by_pattern(world: World) -> None:
    bus = await world.bus()
    patterns = ["run.*", "run.#", "#", "*.completed", "run.x.completed"]
    inboxes = [await Inbox().private(bus, world.names.events, pattern) for pattern in patterns]
    for key in ("run", "run.completed", "run.x.completed", "worker.completed"):
        await bus.publish([Outgoing(world.names.events, key, key.encode(), mandatory=False)], timeout=10)
    await inboxes[2].has(4)
    await barrier(bus, world.names)
    assert [b" ".join(inbox.bodies) for inbox in inboxes] == [
        b"run.completed",
        b"run run.completed run.x.completed",
        b"run run.completed run.x.completed worker.completed",
        b"run.completed worker.completed",
        b"run.x.completed",
    ]


async def test_everyone_bound_to_a_key_gets_the_message(world: World) -> None:
    bus, other = await world.bus(), await world.bus()
    inboxes = [await Inbox().private(owner, world.names.workers, "both") for owner in (bus, other)]
    assert await bus.publish([Outgoing(world.names.workers, "both", b"x")], timeout=10) == [CONFIRMED]
    for inbox in inboxes:
        await inbox.has(1)


# ---------------------------------------------------------------------------------------------------------- consuming


async def test_no_more_than_the_prefetch_is_delivered(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().private(bus, world.names.workers, "me", prefetch=3)
    await bus.publish(numbered(world.names.workers, "me", 10), timeout=10)
    await inbox.has(3)
    await barrier(bus, world.names)
    assert inbox.bodies == [b"0", b"1", b"2"]
    inbox.consumer.settle(inbox.messages[1])
    await inbox.has(5)
    await barrier(bus, world.names)
    assert inbox.bodies == [b"0", b"1", b"2", b"3", b"4"]
    inbox.settle_all()
    await inbox.has(8)


async def test_what_was_not_settled_comes_again_in_order_after_closing(world: World) -> None:
    bus = await world.bus()
    first = await Inbox().queue(bus, world.names.commands)
    publishing = asyncio.create_task(bus.publish(commands(world, 10), timeout=30))
    await first.has(10)
    assert not any(message.redelivered for message in first.messages)
    first.consumer.settle(first.messages[3])
    await first.consumer.close()
    second = await Inbox().queue(bus, world.names.commands)
    await second.has(6)
    assert [(message.body, message.redelivered) for message in second.messages] == [
        (str(number).encode(), True) for number in range(4, 10)
    ]
    second.settle_all()
    assert await publishing == [CONFIRMED] * 10


async def test_what_was_not_settled_comes_again_after_a_lost_connection(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().queue(bus, world.names.commands)
    publishing = asyncio.create_task(bus.publish(commands(world, 3), timeout=30))
    await inbox.has(3)
    world.cut()
    await inbox.has(6)
    assert inbox.bodies == [b"0", b"1", b"2"] * 2
    assert [message.redelivered for message in inbox.messages] == [False] * 3 + [True] * 3
    inbox.settle_all()
    await publishing


async def test_settling_a_message_of_a_lost_connection_does_nothing(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().queue(bus, world.names.commands)
    publishing = asyncio.create_task(bus.publish(commands(world, 3), timeout=30))
    await inbox.has(3)
    world.cut()
    await inbox.has(6)
    old, new = inbox.messages[2], inbox.messages[5]
    assert old.lane != new.lane
    inbox.consumer.settle(old)
    inbox.consumer.reject(old)
    await inbox.consumer.close()
    again = await Inbox().queue(bus, world.names.commands)
    await again.has(3)
    assert again.bodies == [b"0", b"1", b"2"]
    again.settle_all()
    await publishing


async def test_settling_twice_or_after_a_rejection_leaves_the_consumer_in_peace(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().queue(bus, world.names.commands)
    publishing = asyncio.create_task(bus.publish(commands(world, 6), timeout=30))
    zero, one, two, three, four, five = await inbox.has(6)
    consumer = inbox.consumer
    consumer.settle(one)
    consumer.settle(one)
    consumer.settle(zero)
    consumer.reject(zero)
    consumer.reject(three)
    consumer.reject(three)
    consumer.settle(three)  # two is left below it
    consumer.reject(four)
    consumer.settle(four)  # nothing is left below it
    consumer.settle(five)
    consumer.reject(two)
    assert await publishing == [CONFIRMED] * 6
    more = asyncio.create_task(bus.publish(commands(world, 1), timeout=30))
    await inbox.has(7)
    inbox.settle_all()
    assert await more == [CONFIRMED]
    assert {message.lane for message in inbox.messages} == {zero.lane}
    await consumer.close()
    dead = await Inbox().queue(bus, world.names.dead)
    await dead.has(2)
    await barrier(bus, world.names)
    assert dead.bodies == [b"3", b"4"]
    dead.settle_all()


async def test_a_rejected_command_lies_in_the_dead_letter_queue(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().queue(bus, world.names.commands)
    bad = Outgoing(world.names.commands, "command", b"bad", {"n": 1}, message_id="m", correlation_id="c", durable=True)
    publishing = asyncio.create_task(bus.publish([bad], timeout=30))
    [got] = await inbox.has(1)
    inbox.consumer.reject(got)
    assert await publishing == [CONFIRMED]
    dead = await Inbox().queue(bus, world.names.dead)
    [letter] = await dead.has(1)
    assert (letter.key, letter.body, letter.headers["n"]) == ("command", b"bad", 1)
    assert (letter.message_id, letter.correlation_id) == ("m", "c")
    dead.settle_all()


async def test_dead_letters_can_be_published(world: World) -> None:
    bus = await world.bus()
    dead = await Inbox().queue(bus, world.names.dead)
    letter = Outgoing(world.names.dead, "any key", b"why", durable=True)
    assert await bus.publish([letter], timeout=10) == [CONFIRMED]
    await dead.has(1)
    dead.settle_all()


async def test_a_consumer_of_higher_priority_is_served_first(world: World) -> None:
    bus = await world.bus()
    low = await Inbox().queue(bus, world.names.commands, prefetch=1000)
    high = await Inbox().queue(bus, world.names.commands, prefetch=2, priority=5)
    publishing = asyncio.create_task(bus.publish(commands(world, 5), timeout=30))
    await high.has(2)
    await low.has(3)
    assert (high.bodies, low.bodies) == ([b"0", b"1"], [b"2", b"3", b"4"])
    high.settle_all()
    low.settle_all()
    assert await publishing == [CONFIRMED] * 5


async def test_a_closed_consumer_gets_nothing_more(world: World) -> None:
    bus = await world.bus()
    inbox = await Inbox().private(bus, world.names.workers, "me")
    await bus.publish(numbered(world.names.workers, "me", 1), timeout=10)
    await inbox.has(1)
    await inbox.consumer.close()
    await inbox.consumer.close()
    inbox.settle_all()

    async def is_returned() -> bool:
        return await bus.publish(numbered(world.names.workers, "me", 1), timeout=10) == [RETURNED]

    await eventually(is_returned, within=5)
    assert len(inbox.messages) == 1
