"""Schedules through real parts on RabbitMQ: each kind of routine is told its tick, runs are found by their schedule."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from longshore import Client, Rejected, SyncClient
from longshore.client import Run
from tests.end_to_end import timed
from tests.end_to_end.house import House
from tests.support.wait import eventually

MODULE = timed.__name__


async def first_run(client: Client, schedule: str) -> Run[Any]:
    """The first run of a schedule."""

    async def found() -> list[Any]:
        return await client.runs(schedule=schedule)

    return client.handle((await eventually(found, within=20, what=f"a run of {schedule}"))[-1].run_id)


@pytest.mark.parametrize(
    ("routine", "given", "wanted"),
    [
        (timed.task, {"kwargs": {"city": "Bern"}}, ["Bern", True, "timed.task"]),
        (
            timed.apart,
            {},
            [["last_timestamp", "schedule_id", "timestamp", "timezone", "upcoming"], 5, True],
        ),
        (timed.flow, {}, [True, True, None]),
        (timed.again, {}, ["timed.again", 2]),
    ],
    ids=["thread", "process", "workflow", "second attempt"],
)
async def test_whatever_is_started_is_told_its_tick(client: Client, routine: Any, given: Any, wanted: Any) -> None:
    made = await client.schedules.create(routine, every="1s", tags=["timed"], **given)
    assert made.created and made.schedule_id == routine.name
    try:
        run = await first_run(client, routine.name)
        assert await run.result(timeout=30) == wanted
        info = await run.info()
        assert (info.schedule_id, info.tags, info.version) == (routine.name, ["timed"], "1.0.0")
        assert (await run.history())[0].actor == f"schedule {routine.name}"
    finally:
        await client.schedules.delete(routine.name)
    with pytest.raises(Rejected, match="there is no schedule"):
        await client.schedules.get(routine.name)


async def test_what_no_schedule_started_has_no_tick_and_what_is_run_again_has_the_same(client: Client) -> None:
    assert await client.run(timed.plain(), timeout=20) is None
    await client.schedules.create(timed.plain, id="once", every="1s")
    run = await first_run(client, "once")
    await client.schedules.delete("once")
    tick = await run.result(timeout=20)
    assert tick.schedule_id == "once"
    again = await run.rerun()
    assert await again.result(timeout=20) == tick
    assert again.id not in [one.run_id for one in await client.runs(schedule="once")]


async def test_a_scheduled_task_is_executed_each_time_although_tasks_are_cached(client: Client) -> None:
    await client.schedules.create(timed.task, id="cached", every="1s", kwargs={"city": "Rome", "schedule": None})

    async def several() -> list[Any]:
        return (await client.runs(schedule="cached", status="COMPLETED"))[2:]

    await eventually(several, within=30, what="three runs")
    await client.schedules.delete("cached")
    assert not any(one.cached for one in await client.runs(schedule="cached"))


async def test_the_plain_client_has_the_same_verbs(house: House) -> None:
    with SyncClient(settings=house.settings(), telemetry=None) as client:
        made = client.schedules.create("timed.plain", id="sync", cron="30 2 * * *", timezone="America/New_York")
        assert made.cron == "30 2 * * *"
        assert client.schedules.pause("sync").paused
        assert not client.schedules.resume("sync").paused
        assert client.schedules.get("sync").timezone == "America/New_York"
        assert [one.schedule_id for one in client.schedules.list(routine="timed.plain")] == ["sync"]
        ticks = client.schedules.next("sync", 3)
        assert len(ticks) == 3 and ticks[1] - ticks[0] >= timedelta(hours=23)
        assert datetime.fromisoformat(client.schedules.get("sync").next_at) == ticks[0]
        client.schedules.delete("sync")
        assert client.schedules.list() == []
        assert client.runs(schedule="sync") == []
