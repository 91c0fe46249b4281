"""A fleet for tests: real parts in one process, and time that passes when the test says so."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from longshore import RunExpired, RunSystemFailure, RunTimedOut, UsageError, context, define
from longshore.testing import fleet
from tests.support.wait import eventually

SAID: list[Any] = []
GATE = threading.Event()
DAY = timedelta(days=1)
SOON = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    SAID.clear()
    GATE.clear()
    yield
    GATE.set()


@define.action(name="f.say", version="1.0.0")
def say(word: str) -> str:
    SAID.append(word)
    return word


@define.action(name="f.flaky", version="1.0.0", retry_first="1h", retry_max="1h")
async def flaky(failures: int) -> int:
    SAID.append(context.attempt)
    if context.attempt <= failures:
        raise ValueError(f"attempt {context.attempt}")
    return context.attempt


@define.action(name="f.held", version="1.0.0", max_attempts=1)
def held() -> int:
    SAID.append("begun")
    GATE.wait(20)
    return context.attempt


@define.workflow(name="f.month", version="1.0.0")
async def month(days: int) -> timedelta:
    begun = context.now
    for _ in range(days):
        await asyncio.sleep(86400)
    return context.now - begun


@define.workflow(name="f.race", version="1.0.0")
async def race() -> list[str]:
    found = []
    async with asyncio.timeout(3 * 3600):
        found.append(await say("at once"))
        found.append(await say("later").using(delay="2h"))
        try:
            found.append(await say("too late").using(delay="2h"))
        except asyncio.CancelledError:
            found.append("over")
            return found
    return found


@define.action(name="f.tick", version="1.0.0")
def tick() -> None:
    assert context.schedule is not None
    SAID.append(context.schedule.timestamp)


@define.action(name="f.apart", version="1.0.0", isolation="process")
def apart() -> None: ...


ALL = (say, flaky, held, month, race, tick)


async def test_delays_and_retries_come_about_in_their_order() -> None:
    async with fleet(*ALL) as f:
        runs = [await f.client.trigger(say(str(hours)), delay=f"{hours}h") for hours in (5, 3, 1)]
        flaking = await f.client.trigger(flaky(2))
        await f.jump("30m")
        assert SAID == [1]
        assert [await run.status() for run in (*runs, flaking)] == ["DELAYED"] * 3 + ["RETRYING"]
        await f.jump("10h")
        assert [one for one in SAID if isinstance(one, str)] == ["1", "3", "5"]
        assert await flaking.result() == 3
        times = [row["at"] for row in await runs[0].history()]
        assert times == sorted(times)
        info = await runs[0].info()
    asked, begun = (datetime.fromisoformat(info[name]) for name in ("created_at", "started_at"))
    assert timedelta(0) <= begun - asked - timedelta(hours=5) < SOON


async def test_a_workflow_sleeps_for_thirty_days() -> None:
    async with fleet(month) as f:
        run = await f.client.trigger(month(30))
        await f.jump("29d")
        assert await run.status() == "HANGING"
        await f.jump("1d")
        slept = await run.result()
    assert timedelta(0) <= slept - 30 * DAY < SOON


async def test_a_workflow_that_is_put_away_is_woken() -> None:
    async with fleet(month, max_hanging=1) as f:
        runs = [await f.client.trigger(month(3)) for _ in range(3)]

        async def are_put_away() -> bool:
            return sorted([await run.status() for run in runs]) == ["HANGING", "SUSPENDED", "SUSPENDED"]

        await eventually(are_put_away, within=10, what="two that are put away")
        await f.jump("3d")
        for run in runs:
            assert timedelta(0) <= await run.result() - 3 * DAY < SOON
        assert [await run.status() for run in runs] == ["COMPLETED"] * 3


async def test_a_timer_goes_before_a_call_that_begins_later() -> None:
    async with fleet(*ALL) as f:
        run = await f.client.trigger(race())
        await f.jump("1d")
        assert await run.result() == ["at once", "later", "over"]
    assert SAID == ["at once", "later"]


async def test_time_that_is_over_ends_runs() -> None:
    async with fleet(*ALL) as f:
        expires = await f.client.trigger(say("x"), delay="2h", ttl="1h")
        sleeps = await f.client.trigger(month(9), deadline="1d")
        nobody = await f.client.trigger("f.nobody", version_deadline="2d")
        await f.jump("3d")
        for run, error in ((expires, RunExpired), (sleeps, RunTimedOut), (nobody, RunSystemFailure)):
            with pytest.raises(error):
                await run.result(timeout=5)


async def test_a_schedule_ticks_for_three_days() -> None:
    async with fleet(tick) as f:
        await f.client.schedules.create(tick, cron="0 */6 * * *")
        begun = f.now
        await f.jump("3d")
        assert 3 * DAY <= f.now - begun < 3 * DAY + SOON
        assert len(SAID) == 12
        assert sorted(SAID) == SAID
        assert {after - before for before, after in pairwise(SAID)} == {timedelta(hours=6)}
        assert all(timedelta(0) < at - begun <= 3 * DAY + SOON for at in SAID)


async def test_a_debounce_is_over_in_its_time() -> None:
    async with fleet(*ALL) as f:
        for word in ("first", "second"):
            await f.client.trigger(say(word), debounce={"key": "k", "delay": "10m"})
            await f.jump("9m")
        assert SAID == []
        await f.jump("1m")
        assert SAID == ["second"]


async def test_what_has_ended_goes_when_its_time_is_over() -> None:
    async with fleet(*ALL, retention="2d") as f:
        old = await f.client.trigger(say("old"))
        await f.jump("1d")
        young = await f.client.trigger(say("young"))
        await f.jump("30h")
        assert [run["run_id"] for run in await f.client.runs()] == [young.id]
        assert old.id != young.id


async def test_a_jump_takes_no_worker_for_lost() -> None:
    async with fleet(*ALL, patience=0.2) as f:
        run = await f.client.trigger(held())
        await eventually(lambda: "begun" in SAID, within=10, what="a body that goes on")
        late = await f.client.trigger(say("late"), delay="5h")
        await f.jump("10d")
        assert await run.status() == "EXECUTING"
        assert await late.result() == "late"
        assert [worker["status"] for worker in await f.client.workers()] == ["WORKING"]
        GATE.set()
        assert await run.result() == 1
        assert (await run.info())["crashes"] == 0


async def test_two_fleets_in_one_process_do_not_meet() -> None:
    async with fleet(say) as one, fleet(flaky, month) as other:
        await one.jump("1d")
        assert one.now - other.now > 0.9 * DAY
        here = await one.client.trigger(say("here"))
        there = await other.client.trigger(month(1))
        lost = await other.client.trigger("f.say", args=["x"])
        await other.jump("2m")
        assert await here.result() == "here"
        assert [run["run_id"] for run in await one.client.runs()] == [here.id]
        assert await lost.status() == "PENDING_VERSION"
        assert await there.status() == "HANGING"
    assert SAID == ["here"]


async def test_a_module_is_taken_with_all_its_routines() -> None:
    module = ModuleType("f_module")
    module.say = say  # type: ignore[attr-defined]
    async with fleet(module) as f:
        assert await f.client.run(say("word")) == "word"


async def test_nothing_is_left_of_a_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    threads, tasks, switching = set(threading.enumerate()), asyncio.all_tasks(), sys.getswitchinterval()

    def left() -> list[threading.Thread]:
        new = [thread for thread in threading.enumerate() if thread not in threads]
        return [thread for thread in new if not thread.name.startswith("asyncio")]  # of the test's own loop

    with pytest.raises(ZeroDivisionError):
        async with fleet(*ALL) as f:
            assert list(tmp_path.iterdir())
            assert left()
            await f.client.trigger(month(2))
            await f.client.trigger(say("x"), delay="1d")
            await f.client.run(flaky(0))
            raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    assert asyncio.all_tasks() == tasks
    assert sys.getswitchinterval() == switching
    await eventually(lambda: not left(), within=5, what="the end of every thread")


@pytest.mark.parametrize(
    ("what", "settings", "said"),
    [
        ((), {}, "a fleet needs routines"),
        ((apart,), {}, "f.apart@1.0.0 has isolation='process'"),
        ((say,), {"broker_url": "amqp://x"}, r"fleet\(broker_url=...\)"),
    ],
)
async def test_what_makes_no_fleet_is_refused(what: Any, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        async with fleet(*what, **settings):
            raise AssertionError
