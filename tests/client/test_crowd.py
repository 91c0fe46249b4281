"""Callers who wait for their turn: in order, never too late, and the canceled ones take no turn."""

from __future__ import annotations

import asyncio

from longshore.client import Client
from longshore.client.crowd import FOR_EVER, Crowd
from longshore.client.link import CROWDED
from longshore.core.errors import BrokerUnavailableError, EncodingError
from longshore.serialization.arguments import decode_arguments
from tests.client.scripted import Scripted


async def _entering(crowd: Crowd, count: int, within: float = FOR_EVER) -> list[asyncio.Task[float]]:
    waiting = [asyncio.create_task(crowd.turn(within)) for _ in range(count)]
    await asyncio.sleep(0)
    return waiting


async def test_turns_come_in_the_order_of_the_callers() -> None:
    crowd = Crowd()
    waiting = await _entering(crowd, 5)
    crowd.admit(2)
    await asyncio.sleep(0)
    assert [one.done() for one in waiting] == [True, True, False, False, False]
    crowd.dissolve()
    await asyncio.gather(*waiting)
    assert not crowd


async def test_a_canceled_caller_takes_nobodys_turn() -> None:
    crowd = Crowd()
    first, second, third = await _entering(crowd, 3)
    first.cancel()
    await asyncio.sleep(0)
    crowd.admit(1)
    await asyncio.sleep(0)
    assert (second.done(), third.done()) == (True, False)
    crowd.dissolve()
    await third


async def test_at_the_first_deadline_all_go_on() -> None:
    crowd = Crowd()
    patient = await _entering(crowd, 2, 60)
    hasty = await _entering(crowd, 1, 0.05)
    took = await asyncio.wait_for(asyncio.gather(*patient, *hasty), 5)
    assert all(0.04 < seconds < 5 for seconds in took)
    assert not crowd


async def test_many_at_once_keep_their_order(client: Client, coordinator: Scripted) -> None:
    count = 4 * CROWDED
    results = await asyncio.gather(*(client.run("add", args=[number, 1]) for number in range(count)))
    assert results == [number + 1 for number in range(count)]
    assert [decode_arguments(one.input).args[0] for one in coordinator.triggers] == list(range(count))  # type: ignore[arg-type]


async def test_nobody_in_a_crowd_waits_longer_than_it_said(client: Client, coordinator: Scripted) -> None:
    await coordinator.stop_listening()  # the local bus confirms what the coordinator has taken
    loop = asyncio.get_running_loop()
    begun = loop.time()
    several = (client.trigger("add", args=[number, 1], timeout=0.5) for number in range(8 * CROWDED))
    found = await asyncio.gather(*several, return_exceptions=True)
    assert {type(one) for one in found} == {BrokerUnavailableError}
    assert loop.time() - begun < 10
    await coordinator.listen()
    assert await client.run("add", args=[1, 1]) == 2


async def test_a_crowd_that_has_nothing_to_send_after_all_keeps_nobody_waiting(
    client: Client, coordinator: Scripted
) -> None:
    good = (client.run("add", args=[number, 1]) for number in range(CROWDED))
    bad = (client.run("add", args=[object()]) for _ in range(3 * CROWDED))
    last = client.run("add", args=[1, 1])
    found = await asyncio.wait_for(asyncio.gather(*good, *bad, last, return_exceptions=True), 5)
    assert found[-1] == 2
    assert {type(one) for one in found[CROWDED:-1]} == {EncodingError}


async def test_a_canceled_crowd_leaves_nobody_behind_it_waiting(client: Client, coordinator: Scripted) -> None:
    crowd = [asyncio.create_task(client.run("add", args=[number, 1])) for number in range(4 * CROWDED)]
    await asyncio.sleep(0)
    for one in crowd:
        one.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    assert await asyncio.wait_for(client.run("add", args=[1, 1]), 5) == 2
