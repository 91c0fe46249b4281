"""Runs are paused, resumed and rescheduled through real parts: client, plain client, JSON from outside."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from longshore import Client, Rejected, RunFailed, SyncClient, UsageError
from longshore.telemetry import Telemetry
from tests.end_to_end.conftest import in_status
from tests.end_to_end.house import House
from tests.end_to_end.routines import add, echo, hold, odd, patient, sleeps
from tests.end_to_end.test_foreign import run_foreign
from tests.support.wait import eventually

NOBODY = "01900000-0000-7000-8000-000000000000"


async def test_a_delayed_run_is_paused_resumed_and_moved_and_its_history_tells(client: Client) -> None:
    run = await client.trigger(add(1), delay="1h")
    await run.pause("not today")
    assert await run.status() == "BLOCKED"
    why = await run.why_waiting()
    assert why is not None and why.kind == "person" and "not today" in why.text
    await run.resume("now then")
    assert await run.status() == "DELAYED"
    await run.reschedule(datetime.now(UTC) + timedelta(hours=2))
    begun = time.monotonic()
    await run.reschedule("500ms")
    assert await run.result(timeout=10) == 2
    assert 0.5 <= time.monotonic() - begun < 2.5
    rows = await run.history()
    assert [row.to_status for row in rows][:5] == ["DELAYED", "BLOCKED", "DELAYED", "DELAYED", "DELAYED"]
    assert [row.reason.partition(" by ")[0] for row in rows[1:5]] == ["paused", "resumed", "rescheduled", "rescheduled"]


async def test_a_workflow_that_waits_is_paused_and_its_worker_is_free_of_it(client: Client) -> None:
    run = await client.trigger(sleeps(1.5))
    await in_status(run, "HANGING")
    await run.pause()
    assert await run.status() == "BLOCKED"

    async def dropped() -> bool:
        return all(run.id not in worker.held for worker in await client.workers())

    await eventually(dropped, within=10)
    (timer,) = [row for row in await run.history() if row.to_status == "HANGING"]
    fires_at = datetime.fromisoformat(timer["at"]) + timedelta(seconds=1.6)
    await asyncio.sleep(max(0.0, (fires_at - datetime.now(UTC)).total_seconds()))  # the world's time is the subject
    assert await run.status() == "BLOCKED"
    await run.resume()
    assert await run.result(timeout=10) == "woken"


async def test_a_run_between_two_attempts_is_paused_and_waits_for_its_time_again(client: Client) -> None:
    run = await client.trigger(patient())
    await in_status(run, "RETRYING")
    await run.pause()
    assert await run.status() == "BLOCKED"
    await run.resume()
    assert await run.status() == "RETRYING"
    await run.cancel()
    with pytest.raises(Rejected) as refused:
        await run.pause()
    assert refused.value.rule == "not_pausable" and "is CANCELED; only what is neither BLOCKED" in str(refused.value)


async def test_an_executing_run_goes_on_to_its_end_though_it_is_to_be_paused(client: Client, tmp_path: Path) -> None:
    run = await client.trigger(hold(str(tmp_path), "one"))
    await in_status(run, "EXECUTING")
    await run.pause("soon")
    assert await run.status() == "EXECUTING"
    why = await run.why_waiting()
    assert why is not None and why.text.partition("; then it is held: ")[2].startswith("paused by ")
    with pytest.raises(Rejected, match="about to be paused already"):
        await run.pause()
    (tmp_path / "go").touch()
    assert await run.result(timeout=10) == "one"


async def test_what_has_ended_is_run_again_with_a_link_to_the_one_before(house: House, client: Client) -> None:
    tag = secrets.token_hex(4)
    run = await client.trigger(odd(3), tags=[tag], metadata={"n": 1})
    with pytest.raises(RunFailed):
        await run.result(timeout=10)
    wanted = str(uuid.uuid4())
    again = await run.rerun(rerun_id=wanted)
    assert again.id == wanted and (await run.rerun(rerun_id=wanted)).id == wanted
    with pytest.raises(RunFailed, match="3"):
        await again.result(timeout=10)
    info = await again.info()
    assert (info.rerun_of, info.root_id, info.parent_id, info.tags, info.metadata) == (
        run.id, again.id, "", [tag], {"n": 1},
    )  # fmt: skip
    assert len(await client.runs(tag=tag)) == 2
    with pytest.raises(Rejected, match="'x' is no version"):
        await run.rerun(version="x")
    waits = await client.trigger(sleeps(60))
    with pytest.raises(Rejected, match="only what has ended is run again") as refused:
        await waits.rerun()
    assert refused.value.rule == "not_final"
    await waits.cancel()


async def test_a_rerun_as_json_is_one_run_for_each_message_and_brings_its_outcome(house: House, client: Client) -> None:
    run = await client.trigger(echo("again"))
    await run.result(timeout=10)
    one = {"body": json.dumps({"type": "rerun", "run_id": run.id}), "message_id": secrets.token_hex(8)}
    answers = await run_foreign(house, [{**one, "correlation_id": "mine"}], answers=2)
    told = [answer["body"] for answer in answers]
    assert told[0]["data"]["rerun_of"] == run.id
    assert told[1] == {"run_id": told[0]["data"]["run_id"], "status": "COMPLETED", "result": "again"}
    (same,) = await run_foreign(house, [{**one, "correlation_id": "mine"}], answers=1)
    assert same["body"]["data"]["run_id"] == told[1]["run_id"]


async def test_orders_that_cannot_be_are_refused_in_words(client: Client) -> None:
    run = await client.trigger(echo(1))
    await run.result(timeout=10)
    for order, rule in (
        (run.pause(), "not_pausable"),
        (run.resume(), "not_blocked"),
        (run.reschedule(1), "not_delayed"),
    ):
        with pytest.raises(Rejected) as refused:
            await order
        assert refused.value.rule == rule and refused.value.run_id == run.id
    assert [row.valid for row in await run.history()][-3:] == [False, False, False]
    nobody = client.handle(NOBODY)
    for order in (nobody.pause(), nobody.resume(), nobody.reschedule(1)):
        with pytest.raises(Rejected, match="there is no run") as refused:
            await order
        assert refused.value.rule == "unknown_run"
    wrong: list[tuple[Any, str]] = [
        ("31d", "reschedule: '31d' is over 30 days"),
        (-1, "reschedule: -1 is not a duration"),
        (datetime(2030, 1, 1), "has no zone"),  # noqa: DTZ001
    ]
    for to, text in wrong:
        with pytest.raises(UsageError, match=text):
            await run.reschedule(to)
    with pytest.raises(Rejected, match="must be within 30 days"):
        await run.reschedule(datetime.now(UTC) + timedelta(days=31))


def test_the_plain_client_has_the_same_verbs(house: House) -> None:
    with SyncClient(settings=house.settings(), telemetry=Telemetry()) as client:
        run = client.trigger("add", args=[1], delay="1h")
        run.pause("so")
        assert run.status() == "BLOCKED"
        run.resume()
        run.reschedule(0)
        assert run.result(timeout=10) == 2
        assert run.rerun(version="1.0.0").result(timeout=10) == 2


async def test_the_same_orders_as_json_are_answered_as_json(house: House, client: Client) -> None:
    run = await client.trigger(add(1), delay="1h")

    async def say(kind: str, **more: Any) -> Any:
        body = json.dumps({"type": kind, "run_id": run.id, **more})
        (answer,) = await run_foreign(house, [{"body": body, "correlation_id": "mine"}], answers=1)
        assert answer["correlation_id"] == "mine"
        return answer["body"]

    assert (await say("pause", by="them", reason="so"))["data"] == {"run_id": run.id, "status": "BLOCKED"}
    assert (await say("resume"))["data"]["status"] == "DELAYED"
    assert (await say("reschedule", delay_ms=-1))["error"]["rule"] == "delay_ms"
    at = (datetime.now(UTC) + timedelta(milliseconds=300)).isoformat()
    assert (await say("reschedule", at=at))["data"]["status"] == "DELAYED"
    assert await run.result(timeout=10) == 2
    assert "COMPLETED" in (await say("cancel"))["error"]["text"]
    assert (await run.history())[1].reason == "paused by them: so"
