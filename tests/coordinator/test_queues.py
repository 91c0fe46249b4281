"""Queues beyond the rules: what is kept of them, over restarts; how people and foreign programs speak of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from longshore.core.changes import Changes
from longshore.core.ids import RunId
from longshore.core.message import LimitQueue, Options, PauseQueue, QueueOrder, Rejected, ResumeQueue, Start
from longshore.core.queues import QueueRow, Rate
from tests.coordinator.conftest import Book, Site, stop
from tests.coordinator.peers import WITHIN, Caller, Worker, task
from tests.coordinator.rows import NOW
from tests.support.wait import eventually

FULL = QueueRow(
    name="gpu",
    limit=0,
    key_limit=2,
    rate=Rate(10, 60_000),
    max_size=1000,
    paused_at=NOW,
    starts=[(17, 2), (18, 1)],
)


def test_a_rule_is_kept_whole_changed_and_forgotten_when_it_says_nothing(open_book: Callable[[], Book]) -> None:
    book = open_book()
    other = QueueRow(name="*", limit=7, paused_at=NOW + timedelta(microseconds=1))
    book.commit(Changes(queues={"gpu": FULL, "*": other}))
    again = open_book()
    assert sorted(again.snapshot.queues, key=lambda row: row.name) == [other, FULL]
    changed = QueueRow(name="gpu", key_limit=1)
    again.commit(Changes(queues={"gpu": changed, "*": None, "never": None}))
    assert open_book().snapshot.queues == [changed]


async def order(caller: Caller, message: QueueOrder) -> dict[str, Any]:
    """Give an order about a queue; the answer's data."""
    before = len(caller.came)
    message.ask_id, message.reply_to = f"order-{before}", caller.key
    await caller.command(message)

    def answers() -> list[Any]:
        return [one for one in caller.replies if getattr(one, "ask_id", "") == message.ask_id]

    (answer,) = await caller.until(answers)
    assert answer.error is None, answer.error
    data: dict[str, Any] = answer.data
    return data


async def started(worker: Worker, ids: list[RunId], count: int) -> list[RunId]:
    """Wait until so many of these runs have been sent to the worker; which."""

    def found() -> list[RunId]:
        sent = {one.run_id for one in worker.all(Start)}
        return [run_id for run_id in ids if run_id in sent]

    return await eventually(lambda: found() if len(found()) >= count else [], within=WITHIN)


async def kinds(caller: Caller, ids: list[RunId]) -> list[str]:
    """What each of these runs waits for."""
    return [(await caller.data("why", run_id))["kind"] for run_id in ids]


async def test_a_restart_keeps_limits_pauses_and_what_a_rate_has_counted(site: Site) -> None:
    first = await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task(), slots=50)
    rules = [
        await order(caller, LimitQueue("rated", rate="2/1h", create=True)),
        await order(caller, LimitQueue("narrow", limit=2, key_limit=1, create=True)),
        await order(caller, LimitQueue("small", max_size=1, create=True)),
        await order(caller, PauseQueue("small")),
    ]
    rated = [await caller.trigger(options=Options(queue="rated")) for _ in range(4)]
    narrow = [await caller.trigger(options=Options(queue="narrow", concurrency_key=key)) for key in ("a", "a", "b", "")]
    small = [await caller.trigger(options=Options(queue="small"))]
    assert await started(worker, rated + narrow, 4) == [*rated[:2], narrow[0], narrow[2]]
    await stop(first)

    await site.coordinator()
    worker.number = (await worker.join(task(), slots=50)).taken
    shown = {row["name"]: row for row in await caller.data("queues")}
    assert [{name: shown[rule["name"]][name] for name in rule} for rule in (*rules[:2], rules[3])] == [
        *rules[:2],
        rules[3],
    ]
    assert [(shown[name]["queued"], shown[name]["executing"]) for name in ("rated", "narrow", "small")] == [
        (2, 2),
        (2, 2),
        (1, 0),
    ]
    assert await kinds(caller, [rated[2], narrow[1], narrow[3], *small]) == ["rate", "limit", "limit", "paused"]
    refused = await caller.trigger(options=Options(queue="small"))
    rejection = next(one for one in caller.replies if getattr(one, "run_id", "") == refused)
    assert isinstance(rejection, Rejected) and rejection.rule == "max_size"
    assert "queue 'small' is full: 1 runs wait in it, and its max_size is 1" in rejection.text
    assert site.rows(f"SELECT id FROM run WHERE id = '{refused}'") == []
    why = await caller.data("why", rated[2])
    assert why["text"] == "queue 'rated' has had its 2/1h starts" and why["next_at"] > why["since"]

    for run_id in (narrow[0], rated[0]):  # a limit has room again, a rate has not
        await worker.finish([one for one in worker.all(Start) if one.run_id == run_id][-1])
        await caller.outcome(run_id)
    await order(caller, ResumeQueue("small"))
    assert await started(worker, [narrow[1], narrow[3], *small], 2) == [narrow[1], *small]
    assert await kinds(caller, [rated[2]]) == ["rate"]


async def test_queues_are_listed_page_by_page_with_rules_offers_and_runs(site: Site) -> None:
    await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task(queue="offered"))
    await order(caller, LimitQueue("ruled", limit=5, create=True))
    await order(caller, LimitQueue("*", limit=0))
    run_id = await caller.trigger(options=Options(queue="used"))
    rows = await caller.data("queues")
    assert [row["name"] for row in rows] == ["*", "default", "offered", "ruled", "used"]
    assert [row["queued"] for row in rows] == [1, 0, 0, 0, 1]
    assert rows[4]["oldest_at"] == (await caller.data("run", run_id))["queued_at"]
    assert await kinds(caller, [run_id]) == ["limit"]
    page = await caller.data("queues", limit=2)
    assert page == rows[:2] and await caller.data("queues", after=page[-1]["name"], limit=2) == rows[2:4]
    for params, rule in (({"limit": 0}, "limit"), ({"after": 5}, "after")):
        refused = await caller.ask("queues", **params)
        assert refused.error is not None and refused.error["rule"] == rule


async def test_foreign_programs_limit_pause_and_resume_queues(site: Site) -> None:
    await speak_json(site)


async def test_foreign_programs_limit_pause_and_resume_queues_over_rabbitmq(rabbit_site: Site) -> None:
    await speak_json(rabbit_site)


async def speak_json(site: Site) -> None:
    await site.coordinator()
    caller = await site.caller()

    async def said(order: dict[str, Any]) -> dict[str, Any]:
        before = len(caller.came)
        words = {"content_type": "application/json", "correlation_id": f"c-{before}", "reply_to": caller.key}
        await caller.send(site.names.commands, "trigger", json.dumps(order).encode(), **words)
        await caller.until(lambda: len(caller.came) > before)
        assert caller.came[before].correlation_id == f"c-{before}"
        answer: dict[str, Any] = json.loads(caller.came[before].body)
        return answer

    made = await said({"type": "limit_queue", "queue": "gpu", "limit": 5, "rate": "10/1m", "create": True})
    nothing = {"key_limit": None, "max_size": None, "paused": False, "paused_at": None}
    assert made["data"] == {"name": "gpu", "limit": 5, "rate": "10/1m", **nothing}
    lifted = await said({"type": "limit_queue", "queue": "gpu", "limit": None, "key_limit": 2})
    assert lifted["data"] == {**made["data"], "limit": None, "key_limit": 2}
    paused = await said({"type": "pause_queue", "queue": "gpu"})
    assert paused["data"]["paused"] and paused["data"]["paused_at"].endswith("Z")
    assert (await said({"type": "pause_queue", "queue": "gpu"}))["error"]["rule"] == "already_paused"
    assert (await said({"type": "resume_queue", "queue": "gpu"}))["data"] == lifted["data"]
    assert (await said({"type": "pause_queue", "queue": "later", "create": True}))["data"]["paused"]
    for order, rule in (
        ({"type": "limit_queue", "queue": "gpu"}, "limit_queue"),
        ({"type": "limit_queue", "queue": "gpo", "limit": 1}, "unknown_queue"),
        ({"type": "limit_queue", "queue": "gpu", "rate": "often"}, "rate"),
        ({"type": "limit_queue", "queue": "gpu", "limit": -1}, "limit"),
        ({"type": "limit_queue", "queue": "gpu", "limit": "5"}, "unreadable"),
        ({"type": "limit_queue", "queue": "gpu", "concurrency": 5}, "unreadable"),
        ({"type": "resume_queue", "queue": "gpu"}, "not_paused"),
    ):
        assert (await said(order))["error"]["rule"] == rule
