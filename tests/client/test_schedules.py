"""What a client says of schedules: orders that travel as they were meant, pages, refusals, bad values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from longshore.client import Client
from longshore.client.schedules import PAGE
from longshore.core.errors import ArgumentError, EncodingError, Rejected, UsageError
from longshore.core.message import Ask, CreateSchedule, DeleteSchedule, Options, PauseSchedule, ResumeSchedule
from longshore.core.schedules import ScheduledTick
from longshore.routines import define
from longshore.serialization.arguments import encode_arguments
from tests.client.scripted import Scripted


@define.action(name="nightly", version="1.2.0")
def nightly(a: int, b: str = "x") -> None: ...


def sent(coordinator: Scripted) -> list[Any]:
    for order in coordinator.schedule_orders:
        order.ask_id = order.reply_to = order.by = ""
    return coordinator.schedule_orders


async def test_a_schedule_travels_as_it_was_meant(client: Client, coordinator: Scripted) -> None:
    made = await client.schedules.create(nightly, args=[1], cron="0 3 * * *", timezone="Europe/Berlin")
    assert made.schedule_id == "nightly"
    await client.schedules.create("nightly@1.2.0", id="n", args=[1], kwargs={"b": "y"}, every="1h30m", tags=["t"])
    await client.schedules.create(
        nightly(5).using(priority=2),
        every=timedelta(seconds=90),
        missed="catch_up",
        catch_up_limit=3,
        overlap="skip",
        spread="5m",
        paused=True,
        replace=True,
        attempt_timeout="10s",
    )
    assert sent(coordinator) == [
        CreateSchedule("nightly", cron="0 3 * * *", timezone="Europe/Berlin", input=encode_arguments([1], {}).inline()),
        CreateSchedule(
            "nightly@1.2.0",
            "n",
            every_ms=5_400_000,
            input=encode_arguments([1], {"b": "y"}).inline(),
            options=Options(tags=["t"]),
        ),
        CreateSchedule(
            "nightly",
            every_ms=90_000,
            input=encode_arguments([5, "x"], {}).inline(),
            options=Options(priority=2, timeout_ms=10_000),
            missed="catch_up",
            catch_up_limit=3,
            overlap="skip",
            spread_ms=300_000,
            paused=True,
            replace=True,
        ),
    ]


async def test_the_other_orders_name_their_schedule_and_who_says_so(client: Client, coordinator: Scripted) -> None:
    await client.schedules.pause("s")
    await client.schedules.resume("s")
    await client.schedules.delete("s")
    assert all(order.by for order in coordinator.schedule_orders)
    assert sent(coordinator) == [PauseSchedule("s"), ResumeSchedule("s"), DeleteSchedule("s")]


@define.action(name="told", version="1.0.0")
def told(city: str, schedule: ScheduledTick) -> None: ...


@define.action(name="payload", version="1.0.0")
def payload(tick: dict[str, Any]) -> None: ...


async def test_arguments_are_tried_with_a_tick_in_its_place(client: Client, coordinator: Scripted) -> None:
    await client.schedules.create(told, kwargs={"city": "Bern"}, every="1h")
    await client.schedules.create(payload, every="1h")
    wanted = encode_arguments([], {"city": "Bern"}).inline()
    assert [order.input for order in sent(coordinator)] == [wanted, b""], "the tick itself does not travel"
    with pytest.raises(ArgumentError, match="city"):
        await client.schedules.create(told, every="1h")


async def test_lists_come_in_pages_and_ticks_as_times(client: Client, coordinator: Scripted) -> None:
    names = [f"s{number:03}" for number in range(PAGE + 1)]

    def page(ask: Ask) -> Any:
        behind = [name for name in names if name > ask.params.get("after", "")]
        return [{"schedule_id": name} for name in behind[: ask.params["limit"]]]

    coordinator.answers["schedules"] = page
    coordinator.answers["schedule"] = lambda ask: {"schedule_id": ask.params["id"], "note": "n"}
    coordinator.answers["schedule_next"] = lambda ask: {"upcoming": ["2026-01-01T03:00:00Z"] * ask.params["count"]}
    assert [one.schedule_id for one in await client.schedules.list()] == names
    assert (await client.schedules.get("s")).note == "n"
    assert await client.schedules.next("s", 2) == [datetime(2026, 1, 1, 3, tzinfo=UTC)] * 2


async def test_a_refusal_names_the_rule(client: Client, coordinator: Scripted) -> None:
    coordinator.schedule_refusals.append({"rule": "timezone", "text": "'X' is no time zone"})
    with pytest.raises(Rejected, match="no time zone") as caught:
        await client.schedules.create("nightly", cron="0 3 * * *", timezone="X")
    assert caught.value.rule == "timezone"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"every": "1s", "what": 5}, "5 is no routine, call or name"),
        ({"every": "soon"}, "every: 'soon' is not a duration"),
        ({"every": "500ms"}, "every='500ms': write a duration from 1s to 366d"),
        ({"every": "367d"}, "write a duration from 1s to 366d"),
        ({"every": 0}, "write a duration from 1s to 366d"),
        ({"every": "1h", "spread": "25h"}, "spread='25h': write a duration from 0 to 1d"),
        ({"every": "1h", "grace": "31d"}, "grace='31d': write a duration from 0 to 30d"),
        ({"every": "1h", "missed": "all"}, "missed='all': write 'skip' or 'catch_up'"),
        ({"every": "1h", "overlap": True}, "overlap=True: write 'allow' or 'skip'"),
        ({"every": "1h", "catch_up_limit": 0}, "catch_up_limit=0: write a whole number from 1 to 1000"),
        ({"every": "1h", "catch_up_limit": True}, "catch_up_limit=True"),
        ({"every": "1h", "catch_up_limit": 5}, 'catch_up_limit goes with missed="catch_up"'),
        ({"every": "1h", "missed": "catch_up", "grace": "1m"}, 'grace goes with missed="skip"'),
        (
            {"every": "1h", "batch_id": "x"},
            "a schedule has no option 'batch_id': a batch is one client's; there are: ttl",
        ),
        ({"every": "1h", "delay": "1m"}, "a schedule has no option 'delay': take another time"),
        ({"every": "1h", "debounce": {"key": "k", "delay": 1}}, "'debounce': every tick is a run of its own"),
        ({"every": "1h", "tgas": ["x"]}, "a schedule has no option 'tgas'; did you mean tags?"),
        ({"every": "1h", "metadata": {"a": float("nan")}}, "option metadata: only plain data (as in JSON)"),
        ({"every": "1h", "paused": "yes"}, "paused='yes': write True or False"),
        ({"every": "1h", "replace": 1}, "replace=1: write True or False"),
        ({"cron": 5}, "cron=5 is not a text"),
        ({"cron": "0 0 * * *", "timezone": b"UTC"}, "is not a text"),
        ({"every": "1h", "id": 5}, "id=5 is not a text"),
        ({"every": "1h", "evry": "1h"}, "has no option 'evry'; did you mean every?"),
        ({"every": "1h", "args": "abc"}, "is not a list of arguments"),
        ({"every": "1h", "kwargs": [1]}, "is not a mapping"),
        ({"every": "1h", "args": ["x" * 70_000]}, "at most 65536 are kept"),
        ({"every": "1h", "max_attempts": 0}, "max_attempts"),
    ],
)
async def test_what_no_schedule_can_have_is_refused_before_anything_is_sent(
    client: Client, coordinator: Scripted, given: dict[str, Any], text: str
) -> None:
    with pytest.raises(UsageError) as caught:
        await client.schedules.create(**{"what": "nightly", **given})
    assert text in str(caught.value)
    assert coordinator.schedule_orders == []


async def test_a_call_brings_its_arguments_and_an_id_is_a_text(client: Client) -> None:
    with pytest.raises(UsageError, match="a call has its arguments already"):
        await client.schedules.create(nightly(1), args=[2], every="1h")
    with pytest.raises(EncodingError):
        await client.schedules.create("nightly", args=[object()], every="1h")
    with pytest.raises(ArgumentError):
        await client.schedules.create(nightly, kwargs={"nope": 1}, every="1h")
    for verb in (client.schedules.pause, client.schedules.get, client.schedules.next):
        with pytest.raises(UsageError, match="is no schedule's id"):
            await verb("")
