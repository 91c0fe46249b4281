"""kill -9 of the coordinator, a broker that is not there, a disk that is full."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from longshore.core.errors import BrokerUnavailableError
from longshore.core.ids import is_run_id
from tests.chaos.conftest import NewFleet, SmallDisk
from tests.chaos.routines import note, pair, thread_note
from tests.chaos.story import end_well, say, start_crowd
from tests.support.fleet import Fleet, Part
from tests.support.wait import eventually

NEW_QUEUE = 2.0
"""Seconds. RabbitMQ 3.10 never serves a quorum queue again that it made less than a second before it was killed."""


async def test_a_coordinator_killed_in_the_middle_of_a_thousand_runs_goes_on_where_it_was(fleet: Fleet) -> None:
    fleet.start_coordinator()
    fleet.start_workers(processes=2)
    folder = str(fleet.folder)
    async with fleet.client() as client:
        calls = [(note if value % 2 else thread_note)(folder, value, 0.1) for value in range(1000)]
        crowd = await start_crowd(client, fleet, calls, [2 * value for value in range(1000)])
        flows = await start_crowd(client, fleet, [pair(folder, v, 0.1) for v in range(10)], [4 * v for v in range(10)])
        for reached in (200, 500):
            await crowd.reach(reached)
            assert fleet.coordinator is not None
            await kill_and_restart(fleet, fleet.coordinator)
        counted = await end_well(crowd, flows, within=40)
    assert max(counted.values()) == 1, "nobody died but the coordinator: each body is executed once"
    assert fleet.rows.crashes() == {}


async def kill_and_restart(fleet: Fleet, coordinator: Part) -> None:
    coordinator.kill()
    killed_at = time.time()
    await asyncio.to_thread(fleet.wait_ready, fleet.start_coordinator(ready=False))
    ready_after = time.time() - killed_at
    rows = await eventually(lambda: fleet.rows.rows(since=killed_at), within=10, what="the first row of the new one")
    say(test="coordinator", ready_after=ready_after, first_row_after=rows[0].at - killed_at)


async def test_a_broker_that_is_not_there_is_a_clear_error_with_the_run_id_within_the_timeout(
    new_fleet: NewFleet,
) -> None:
    fleet = new_fleet()
    async with fleet.client() as client:
        fleet.start_coordinator()
        await asyncio.sleep(NEW_QUEUE)
        fleet.rabbit.kill()
        try:
            began = time.monotonic()
            with pytest.raises(BrokerUnavailableError) as caught:
                await client.trigger(note(str(fleet.folder), 1, 0.0), timeout=2.0)
            assert time.monotonic() - began < 3.5
            assert is_run_id(str(caught.value.run_id))
        finally:
            await asyncio.to_thread(fleet.rabbit.start)
        fleet.start_workers()
        run = await client.trigger(note(str(fleet.folder), 1, 0.0), run_id=caught.value.run_id, timeout=30)
        assert run.id == caught.value.run_id and await run.result(timeout=20) == 2
    fleet.rows.check([run.id])


async def test_nobody_at_the_brokers_address_is_said_within_the_timeout(new_fleet: NewFleet) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        fleet = new_fleet(broker_url=f"amqp://guest:guest@127.0.0.1:{taken.getsockname()[1]}/")
        began = time.monotonic()
        with pytest.raises(BrokerUnavailableError, match=r"127\.0\.0\.1"):
            await fleet.client(connect_timeout=1.0).open()
        assert time.monotonic() - began < 3


async def test_a_full_disk_stops_the_coordinator_and_nothing_is_lost_when_there_is_room_again(
    fleet: Fleet, small_disk: SmallDisk
) -> None:
    small_disk.under(fleet)
    coordinator = fleet.start_coordinator()
    small_disk.holds(coordinator)
    fleet.start_workers(processes=1)
    folder = str(fleet.folder)
    async with fleet.client() as client:
        crowd = await start_crowd(
            client, fleet, [note(folder, v, 0.1) for v in range(300)], [2 * v for v in range(300)]
        )
        await crowd.reach(50)
        small_disk.fill()
        await eventually(lambda: "full" in coordinator.words() or "I/O" in coordinator.words(), within=20)
        triggers = [asyncio.create_task(client.run(note(folder, v, 0.0), accept_timeout=60)) for v in range(200)]
        assert not await answered(triggers), "a full ledger took something"
        assert coordinator.alive
        small_disk.free()
        assert await asyncio.gather(*triggers) == [2 * v for v in range(200)]
        counted = await end_well(crowd, within=40)
    assert max(counted.values()) == 1 and coordinator.alive


async def answered(triggers: list[asyncio.Task[int]]) -> int:
    done, _ = await asyncio.wait(triggers, timeout=2, return_when=asyncio.FIRST_COMPLETED)
    return len(done)


async def test_a_coordinator_whose_disk_stays_full_ends_with_an_error_and_loses_nothing(
    fleet: Fleet, small_disk: SmallDisk
) -> None:
    small_disk.under(fleet)
    coordinator = fleet.start_coordinator(LONGSHORE_STORE_PATIENCE="3s")
    small_disk.holds(coordinator)
    folder = str(fleet.folder)
    async with fleet.client() as client:
        accepted = await start_crowd(
            client, fleet, [note(folder, v, 0.0) for v in range(50)], [2 * v for v in range(50)]
        )
        small_disk.fill()
        late = asyncio.create_task(client.run(note(folder, 50, 0.0), accept_timeout=60))
        assert await asyncio.to_thread(coordinator.wait, 20) == 1
        assert "full" in coordinator.words() or "I/O" in coordinator.words()
        small_disk.free()
        again = fleet.start_coordinator(ready=False)
        await asyncio.to_thread(fleet.wait_ready, again)
        fleet.start_workers(ready=False)
        assert await asyncio.wait_for(late, 30) == 100
        await end_well(accepted, within=20)
