"""Triggers from a program in another process that has only an AMQP library and the page about JSON triggers."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from pathlib import Path
from typing import Any

from longshore import Client
from longshore.core.envelope import JSON
from tests.end_to_end.house import House
from tests.support.wait import eventually

FOREIGN = Path(__file__).with_name("foreign.py")


async def run_foreign(house: House, publish: list[dict[str, Any]], *, answers: int) -> list[dict[str, Any]]:
    """What the foreign program got for these messages."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(FOREIGN), house.broker_url, house.namespace,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    program = {"publish": publish, "answers": answers, "within": 20}
    out, trouble = await asyncio.wait_for(process.communicate(json.dumps(program).encode()), 40)
    assert process.returncode == 0, trouble.decode()
    found: list[dict[str, Any]] = json.loads(out)
    assert all(one["content_type"] == JSON for one in found)
    return found


def message(routine: str, *args: Any, correlation_id: str = "", **more: Any) -> dict[str, Any]:
    given = {name: more.pop(name) for name in ("kwargs", "options") if name in more}
    body = json.dumps({"type": "trigger", "routine": routine, "args": args, **given})
    return {"body": body, "correlation_id": correlation_id or routine, **more}


async def test_an_object_is_one_run_and_its_outcome_comes_to_the_reply_queue(house: House) -> None:
    (answer,) = await run_foreign(
        house, [message("add@1.0.0", 40, kwargs={"y": 2}, correlation_id="my own word")], answers=1
    )
    assert answer["correlation_id"] == "my own word"
    assert answer["body"].pop("run_id")
    assert answer["body"] == {"status": "COMPLETED", "result": 42}


async def test_an_array_is_many_runs_with_their_options(house: House, client: Client) -> None:
    tag = secrets.token_hex(4)
    body = [{"type": "trigger", "routine": "echo", "args": [i], "options": {"tags": [tag]}} for i in range(20)]
    answers = await run_foreign(house, [{"body": json.dumps(body), "correlation_id": "all"}], answers=20)
    assert sorted(one["body"]["result"] for one in answers) == list(range(20))
    assert {one["correlation_id"] for one in answers} == {"all"}
    assert len(await client.runs(tag=tag)) == 20


async def test_the_same_message_id_again_is_the_same_run(house: House, client: Client) -> None:
    """Whether the program sends it twice or the broker delivers it twice: the id with the position is the run."""
    tag, message_id = secrets.token_hex(4), f"order-{secrets.token_hex(4)}"
    body = json.dumps([{"type": "trigger", "routine": "echo", "args": [i], "options": {"tags": [tag]}} for i in (1, 2)])
    once = {"body": body, "message_id": message_id, "correlation_id": "x"}
    first = await run_foreign(house, [once], answers=2)
    again = await run_foreign(house, [once, once], answers=4)
    ids = {one["body"]["run_id"] for one in first}
    assert len(ids) == 2 and {one["body"]["run_id"] for one in again} == ids
    assert sorted(one["body"]["result"] for one in again) == [1, 1, 2, 2]
    assert len(await client.runs(tag=tag)) == 2


async def test_a_second_sender_of_a_run_under_way_gets_the_outcome_too(
    house: House, client: Client, tmp_path: Path
) -> None:
    """As JSON and with its own correlation id, although the run was triggered by the first."""
    tag = secrets.token_hex(4)
    once = message("hold", str(tmp_path), "both", message_id=secrets.token_hex(8))
    after = message("echo", 1, options={"tags": [tag]}, reply=False)
    first = asyncio.create_task(run_foreign(house, [{**once, "correlation_id": "first"}], answers=1))
    await eventually((tmp_path / "both.begun").exists, within=15)
    second = asyncio.create_task(run_foreign(house, [{**once, "correlation_id": "second"}, after], answers=1))

    async def taken() -> bool:  # what was sent after it has been taken, and so has it
        return bool(await client.runs(tag=tag))

    await eventually(taken, within=15)
    (tmp_path / "go").touch()
    answers = [*await first, *await second]
    assert [one["correlation_id"] for one in answers] == ["first", "second"]
    assert answers[0]["body"] == answers[1]["body"] and answers[0]["body"]["result"] == "both"


async def test_without_a_reply_key_nothing_comes_back_and_the_run_runs(house: House, client: Client) -> None:
    tag = secrets.token_hex(4)
    await run_foreign(house, [message("echo", 1, options={"tags": [tag]}, reply=False)], answers=0)

    async def completed() -> bool:
        return len(await client.runs(tag=tag, status="COMPLETED")) == 1

    await eventually(completed, within=10)


async def test_errors_come_as_type_message_and_traceback(house: House) -> None:
    answers = await run_foreign(
        house, [message("odd", 3), message("add@1.0.0", "many"), message("add", 1, options={"max_attempts": 0})],
        answers=3,
    )  # fmt: skip
    by_word = {one["correlation_id"]: one["body"] for one in answers}
    odd, misfit, refused = by_word["odd"], by_word["add@1.0.0"], by_word["add"]
    assert odd["status"] == "FAILED" and "result" not in odd
    assert odd["error"]["type"].endswith("Odd") and "raise Odd(number)" in odd["error"]["traceback"]
    assert misfit["status"] == "FAILED" and misfit["error"]["type"].endswith("ArgumentError")
    assert "x" in misfit["error"]["message"]
    assert refused["status"] == "REJECTED" and refused["error"]["rule"] == "max_attempts"


async def test_values_that_json_lacks_are_typed_and_large_ones_are_references(house: House) -> None:
    answers = await run_foreign(
        house, [message("big", 4, correlation_id="small"), message("text", 100_000, correlation_id="large")], answers=2
    )
    by_word = {one["correlation_id"]: one["body"]["result"] for one in answers}
    assert by_word["small"] == {"$type": "bytes", "value": "AAAAAA=="}
    check = by_word["large"]["$ref"]
    assert check["size"] >= 100_000 and len(check["sha256"]) == 64
    assert (house.folder / "payloads" / check["key"]).stat().st_size == check["size"]


async def test_a_workflow_is_triggered_like_any_other_routine(house: House) -> None:
    (answer,) = await run_foreign(house, [message("total", 10)], answers=1)
    assert answer["body"]["result"] == 45
