"""Many triggers at once, and what becomes of them when the line is cut."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from longshore.broker.local import LocalRouter
from longshore.client import Client, Run
from longshore.core.errors import (
    EncodingError,
    UnavailableError,
    UsageError,
)
from tests.client.conftest import NewClient
from tests.client.routines import add, slow
from tests.client.scripted import Scripted
from tests.support.wait import eventually


async def test_many_are_triggered_in_batches_and_their_order_kept(client: Client, coordinator: Scripted) -> None:
    runs = await client.trigger_many(add(i) for i in range(2500))
    assert max(coordinator.bodies) <= 1000 and len(coordinator.bodies) < 60
    assert [run.id for run in runs] == [trigger.run_id for trigger in coordinator.triggers]
    results = await asyncio.gather(*(run.result() for run in runs))
    assert results == [i + 1 for i in range(2500)]


async def test_batches_over_one_mebibyte_are_split(client: Client, coordinator: Scripted) -> None:
    runs = await client.trigger_many(slow(b"x" * 60_000) for _ in range(50))
    assert len(runs) == 50 and max(coordinator.bodies) <= 17


@pytest.mark.parametrize("what", [5, "add", None])
async def test_what_is_no_list_of_calls_is_refused_by_its_name(client: Client, what: Any) -> None:
    with pytest.raises(UsageError, match="is no list or generator of calls"):
        await client.trigger_many(what)


async def test_a_bad_item_of_a_batch_fails_alone(client: Client, coordinator: Scripted) -> None:
    def calls() -> list[object]:
        return [add(1), slow(object()), add(2)]

    with pytest.raises(ExceptionGroup, match="1 of 3 triggers failed") as caught:
        await client.trigger_many(calls())  # type: ignore[arg-type]
    assert isinstance(caught.value.exceptions[0], EncodingError)
    found: list[Any] = await client.trigger_many(calls(), return_exceptions=True)  # type: ignore[arg-type]
    assert [type(one) for one in found] == [Run, EncodingError, Run]
    assert len(coordinator.triggers) == 4


async def test_a_message_that_cannot_travel_fails_alone_in_its_batch(client: Client) -> None:
    results = await asyncio.gather(
        client.run(add(1)),
        client.run("add", args=[1], metadata={"number": 1 << 70}),
        client.run(add(2)),
        return_exceptions=True,
    )
    assert results[0] == 2 and isinstance(results[1], UsageError) and results[2] == 3


async def test_a_client_that_closes_tells_who_still_waits(coordinator: Scripted, new_client: NewClient) -> None:
    client = new_client()
    async with client:
        waiting = asyncio.create_task(client.run(slow()))
        await eventually(lambda: coordinator.triggers, within=5)
    with pytest.raises(UnavailableError, match="the client was closed"):
        await waiting
    with pytest.raises(UsageError, match="async with Client"):
        await client.workers()
    await client.close()


async def test_answers_lost_with_the_connection_are_asked_for_again(
    client: Client, coordinator: Scripted, router: LocalRouter
) -> None:
    run = await client.trigger(slow())
    waits = [asyncio.create_task(client.run(slow())), asyncio.create_task(run.result())]
    await eventually(lambda: len(coordinator.watchers) == 2, within=5)
    coordinator.watchers.clear()
    router.disconnect()
    await eventually(lambda: len(coordinator.watchers) == 2, within=10)
    for one in list(coordinator.watchers):
        await coordinator.finish(one, "found")
    assert await asyncio.gather(*waits) == ["found", "found"]


async def test_a_trigger_survives_a_connection_lost_in_the_middle(
    client: Client, coordinator: Scripted, router: LocalRouter
) -> None:
    coordinator.silent = True
    waiting = [asyncio.create_task(client.run(add(i))) for i in range(50)]
    await eventually(lambda: len(coordinator.triggers) == 50, within=5)
    coordinator.silent = False
    router.disconnect()
    assert await asyncio.gather(*waiting) == [i + 1 for i in range(50)]


async def test_after_five_seconds_of_waiting_the_reason_is_told(
    coordinator: Scripted, new_client: NewClient, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[str, str]] = []
    reason = {"kind": "version", "text": "nobody offers slow; near: slower"}
    coordinator.answers["run"] = lambda ask: {"status": "PENDING_VERSION", "why_waiting": reason}
    async with new_client(on_waiting=lambda run, why: told.append((run.routine, why["text"]))) as client:
        waiting = asyncio.create_task(client.run(slow()))
        await eventually(lambda: told, within=10)
        assert told == [("slow@1.0.0", "nobody offers slow; near: slower")]
        await coordinator.finish(coordinator.triggers[0].run_id, 1)
        await waiting
    assert "still waiting after 5 s: nobody offers slow" in caplog.text
