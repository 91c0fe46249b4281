"""What foreign programs send as JSON, and what they hear."""

from __future__ import annotations

import json
from typing import Any

from longshore.core.message import (
    Failure,
    Start,
)
from tests.coordinator.conftest import Site
from tests.coordinator.peers import WITHIN, task
from tests.support.wait import eventually


async def test_a_foreign_program_triggers_once_per_message_id_and_gets_json(site: Site) -> None:
    await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task())
    one = {"type": "trigger", "routine": "t@1.0.0", "args": [1], "options": {"tags": ["x"]}}
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for _ in range(2):
        await caller.send(
            site.names.commands,
            "trigger",
            json.dumps([one, one]).encode(),
            content_type="application/json",
            message_id="m-1",
            correlation_id="c-1",
            reply_to=caller.key,
            headers={"traceparent": trace},
        )
    await eventually(lambda: len(worker.all(Start)) == 2, within=WITHIN)
    starts = worker.all(Start)
    assert all(start.traceparent[:35] == trace[:35] and start.tags == ["x"] for start in starts)
    await worker.finish(starts[0], result=b"\x01\xa3abc")
    await worker.finish(starts[1], how="aborted", error=Failure("x.Y", "boom"))

    def ends() -> list[Any]:
        documents = [json.loads(message.body) for message in caller.came]
        return [one for one in documents if one["status"] in ("COMPLETED", "FAILED")]

    await eventually(lambda: len(ends()) == 2, within=WITHIN)
    assert {message.correlation_id for message in caller.came} == {"c-1"}
    assert {message.content_type for message in caller.came} == {"application/json"}
    failed = next(one for one in ends() if one["status"] == "FAILED")
    assert failed["error"]["message"] == "boom"
    assert len(site.rows("SELECT id FROM run")) == 2


async def test_a_foreign_program_hears_why_nobody_can_read_what_it_sent(site: Site) -> None:
    await site.coordinator()
    caller = await site.caller()
    body = b'{"type": "trigger", "routine": "t", "options": {"delay": "1s"}}'
    words: dict[str, Any] = {"content_type": "application/json", "correlation_id": "c-2", "reply_to": caller.key}
    await caller.send(site.names.commands, "trigger", body, **words)
    await caller.until(lambda: bool(caller.came))
    answer = json.loads(caller.came[0].body)
    assert (answer["status"], answer["error"]["rule"], caller.came[0].correlation_id) == (
        "REJECTED",
        "unreadable",
        "c-2",
    )
    assert "delay_ms" in answer["error"]["message"]


async def test_one_that_forgot_to_say_that_it_is_json_hears_so(site: Site) -> None:
    await site.coordinator()
    caller = await site.caller()
    body = b'{"type": "trigger", "routine": "t"}'
    await caller.send(site.names.commands, "trigger", body, reply_to=caller.key, correlation_id="c-3", content_type="")
    await caller.until(lambda: bool(caller.came))
    answer = json.loads(caller.came[0].body)
    assert answer["status"] == "REJECTED" and caller.came[0].correlation_id == "c-3"
    assert "content_type: application/json" in answer["error"]["message"]
