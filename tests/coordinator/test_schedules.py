"""Schedules on a real coordinator, spoken to by scripted workers and clients."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from longshore.core.message import Answer, Command, CreateSchedule, Start
from longshore.serialization.arguments import encode_arguments
from tests.coordinator.conftest import Site, stop
from tests.coordinator.peers import WITHIN, Caller, Worker, task
from tests.support.wait import eventually


async def order(caller: Caller, command: Command) -> Answer:
    """Give an order and wait for its answer."""
    number = str(len(caller.came)) + "-order"
    command.ask_id, command.reply_to = number, caller.key  # type: ignore[union-attr]
    await caller.command(command)

    def found() -> list[Answer]:
        return [one for one in caller.replies if isinstance(one, Answer) and one.ask_id == number]

    return (await caller.until(found))[0]


async def starts(worker: Worker, count: int) -> list[Start]:
    """The Starts of so many different runs, in their order."""

    def found() -> list[Start]:
        return list({one.run_id: one for one in worker.all(Start)}.values())

    await eventually(lambda: len(found()) >= count, within=WITHIN)
    return found()


async def test_every_second_a_run_with_its_tick_whatever_becomes_of_the_coordinator(site: Site) -> None:
    running = await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task(), slots=50)
    value = encode_arguments([1], {}).inline()
    made = await order(caller, CreateSchedule("t", "s", every_ms=1000, input=value, missed="catch_up"))
    assert made.error is None and made.data["created"]
    latest = (await starts(worker, 2))[-1].schedule
    await stop(running)
    assert latest is not None
    missed = latest.upcoming[2]
    await eventually(lambda: datetime.now(UTC) > missed, within=10, what="ticks while nobody is there")
    await site.coordinator()
    await worker.join(task(), slots=50)
    told = [start.schedule for start in await starts(worker, 6)]
    assert all(start.input == value and not start.cache for start in worker.all(Start))
    stamps = [tick.timestamp for tick in told if tick is not None]
    assert stamps == [stamps[0] + timedelta(seconds=step) for step in range(len(stamps))]
    first, second = told[0], told[1]
    assert first is not None and second is not None
    assert (first.last_timestamp, second.last_timestamp) == (None, first.timestamp)
    assert (first.schedule_id, first.timezone) == ("s", "UTC")
    assert first.upcoming == [first.timestamp + timedelta(seconds=step) for step in range(1, 6)]
    rows = await caller.data("runs", schedule="s")
    assert {row["schedule_id"] for row in rows} == {"s"} and len(rows) >= 6


async def test_questions_about_schedules(site: Site) -> None:
    await site.coordinator()
    caller = await site.caller()
    value = encode_arguments([1], {"b": "x"}).inline()
    create = CreateSchedule("t@1.0.0", "a", cron="30 2 * * *", timezone="Europe/Berlin", input=value)
    await order(caller, create)
    await order(caller, CreateSchedule("u", "b", every_ms=60_000, paused=True))
    listed = await caller.data("schedules")
    assert [(one["schedule_id"], one["routine"], one["paused"]) for one in listed] == [
        ("a", "t@1.0.0", False),
        ("b", "u", True),
    ]
    assert [one["schedule_id"] for one in await caller.data("schedules", routine="t")] == ["a"]
    assert [one["schedule_id"] for one in await caller.data("schedules", after="a", limit=1)] == ["b"]
    one = await caller.data("schedule", id="a")
    assert (one["arguments"], one["cron"], one["next_at"]) == (["1", "b='x'"], "30 2 * * *", listed[0]["next_at"])
    told = await caller.data("schedule_next", id="a", count=3)
    assert (told["timezone"], told["paused"], len(told["upcoming"])) == ("Europe/Berlin", False, 3)
    assert told["upcoming"][0] == one["next_at"]
    paused = await caller.data("schedule_next", id="b")
    gaps = [datetime.fromisoformat(at) for at in paused["upcoming"]]
    assert paused["paused"] and gaps[0] > datetime.now(UTC) and gaps[4] - gaps[0] == timedelta(minutes=4)
    for what, params, rule in (
        ("schedule", {"id": "nope"}, "unknown_schedule"),
        ("schedule_next", {"id": "nope"}, "unknown_schedule"),
        ("schedule_next", {"id": "a", "count": 0}, "count"),
        ("schedule_next", {"id": "a", "count": 101}, "count"),
        ("schedules", {"limit": 0}, "limit"),
    ):
        answer = await caller.ask(what, **params)
        assert answer.error is not None and answer.error["rule"] == rule


async def test_a_foreign_program_gives_orders_about_schedules_and_hears_what_became_of_them(site: Site) -> None:
    await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task())

    async def say(document: dict[str, Any]) -> dict[str, Any]:
        before = len(caller.came)
        await caller.send(
            site.names.commands,
            "command",
            json.dumps(document).encode(),
            content_type="application/json",
            correlation_id="c-1",
            reply_to=caller.key,
        )
        await caller.until(lambda: len(caller.came) > before)
        answer = caller.came[-1]
        assert (answer.content_type, answer.correlation_id) == ("application/json", "c-1")
        found: dict[str, Any] = json.loads(answer.body)
        return found

    create = {"type": "create_schedule", "routine": "t", "schedule_id": "s", "every_ms": 1000, "args": [1, "two"]}
    assert (await say({**create, "options": {"tags": ["x"]}}))["data"]["created"]
    assert (await say(create))["error"]["rule"] == "schedule_exists"
    (start,) = (await starts(worker, 1))[:1]
    assert (start.input, start.tags) == (b'\x04[[1, "two"],{}]', ["x"])
    assert (await say({"type": "pause_schedule", "schedule_id": "s", "by": "me"}))["data"]["note"] == "paused by me"
    assert (await say({"type": "resume_schedule", "schedule_id": "s"}))["data"]["paused"] is False
    assert (await say({"type": "delete_schedule", "schedule_id": "s"}))["data"]["deleted"]
    assert (await say({"type": "delete_schedule", "schedule_id": "s"}))["error"]["rule"] == "unknown_schedule"
    assert (await say({**create, "cron": "0 0 * * *"}))["error"]["rule"] == "timetable"
    assert "`args` must be a JSON array" in json.dumps(await say({**create, "args": {}}))
    assert "did you mean every_ms?" in json.dumps(await say({**create, "every": "1s"}))
    assert "did you mean delay_ms?" in json.dumps(await say({**create, "options": {"delay": 1}}))


async def test_what_is_ordered_together_is_decided_together(site: Site) -> None:
    await site.coordinator()
    caller = await site.caller()
    for number in range(30):
        await caller.command(CreateSchedule("t", f"s{number % 3}", every_ms=60_000 + number * 1000, replace=True))
    assert (await order(caller, CreateSchedule("t", "s0", every_ms=87_000))).data["changed"] is False
    assert [row[0] for row in site.rows("SELECT id FROM schedule ORDER BY id")] == ["s0", "s1", "s2"]
