"""A real coordinator, spoken to by scripted workers and clients over the local bus."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from longshore.coordinator import health
from longshore.coordinator.store import Fenced
from longshore.core.errors import SettingsError, StoreUnavailableError
from longshore.core.ids import Address, RunId
from longshore.core.message import (
    Accepted,
    Call,
    Commands,
    Deliver,
    Fetch,
    Held,
    JournalPage,
    Ping,
    Rejected,
    Start,
    Trigger,
)
from longshore.payloads import open_store, write_probe
from tests.coordinator.conftest import Site, stop
from tests.coordinator.peers import WITHIN, new_run_id, task, workflow
from tests.support.wait import eventually


async def test_a_trigger_becomes_a_start_and_its_result_comes_back(site: Site) -> None:
    await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task())
    run_id = await caller.trigger()
    start = await worker.start(run_id)
    assert (start.input, start.epoch, start.version) == (b"in", 1, "1.0.0")
    await worker.finish(start)
    assert (await caller.outcome(run_id)).result == b"out"
    statuses = [row["to_status"] for row in await caller.data("history", run_id)]
    assert statuses == ["QUEUED", "DISPATCHED", "EXECUTING", "COMPLETED"]


async def test_a_restart_loses_nothing_and_the_same_start_goes_again_with_its_input(site: Site) -> None:
    first = await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task())
    run_id = await caller.trigger()
    start = await worker.start(run_id)
    await stop(first)
    await site.coordinator()
    ping = (await eventually(lambda: [one for one in worker.all(Ping) if one.term == 2], within=WITHIN))[0]
    assert ping.hello
    welcome = await worker.join(task())
    assert (welcome.term, welcome.taken) == (2, 0)
    again = await worker.start(run_id, nth=1)
    assert (again.epoch, again.input) == (start.epoch, b"in")
    await worker.finish(again)
    await caller.outcome(run_id)


async def test_what_a_worker_still_holds_is_not_sent_again(site: Site) -> None:
    await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task())
    run_id = await caller.trigger()
    start = await worker.start(run_id)
    await worker.join(task(), held=[Held(run_id, start.epoch)])
    await worker.finish(start)
    await caller.outcome(run_id)
    assert len(worker.all(Start)) == 1


async def test_directives_are_numbered_since_the_welcome(site: Site) -> None:
    await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task())
    for _ in range(2):
        ids = [await caller.trigger() for _ in range(3)]
        for run_id in ids:
            await worker.finish(await worker.start(run_id))
            await caller.outcome(run_id)
        numbers = [message.headers["number"] for message in worker.came if "number" in message.headers]
        assert numbers == [1, 2, 3]
        assert all(message.headers["term"] == 1 for message in worker.came)
        worker.came.clear()
        await worker.join(task())


async def test_what_nobody_can_read_is_kept_with_the_reason_and_the_rest_goes_on(site: Site) -> None:
    await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task())
    large = b"x" * ((1 << 20) + 1)
    for body in (b"", b"garbage", b"\x91\x81\xa4type\xa3huh", large):
        await caller.send(site.names.commands, "trigger", body)
    await caller.send(site.names.commands, "trigger", b'{"type": "trigger"}', content_type="application/json")
    await worker.raw(b"\xff", session=worker.session, number=1)
    await worker.raw(b"\x90")
    await site.rows_of("dead_letter", 7)
    worker.number = 1  # the unreadable body counts as taken
    run_id = await caller.trigger()
    await worker.finish(await worker.start(run_id))
    await caller.outcome(run_id)
    letters = await caller.data("dead")
    assert {letter["source"] for letter in letters} == {"commands", "reports"}
    assert all(letter["reason"] for letter in letters)
    huge = next(letter for letter in letters if letter["size"] > 1 << 20)
    whole = await caller.data("dead_letter", id=huge["id"])
    assert len(whole["body"]) == 64 * 1024
    assert "limit" in whole["reason"]


async def test_a_report_that_makes_the_ledger_raise_ends_its_run_and_no_other(site: Site) -> None:
    await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task())
    bad, good = await caller.trigger(), await caller.trigger()
    await worker.finish(await worker.start(bad), how="no-such-end")
    outcome = await caller.outcome(bad)
    assert outcome.status == "SYSTEM_FAILURE"
    await worker.join(task(), held=[Held(good, 1)])  # the ledger was loaded again: it asks
    await worker.finish(await worker.start(good))
    assert (await caller.outcome(good)).status == "COMPLETED"
    (letter,) = await caller.data("dead")
    whole = await caller.data("dead_letter", id=letter["id"])
    assert "KeyError" in whole["reason"]
    assert "Traceback" in whole["traceback"]
    assert whole["run_ids"] == [bad]


async def test_a_call_that_takes_an_existing_runs_id_is_put_aside(site: Site) -> None:
    await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task(), workflow())
    victim, run_id = await caller.trigger("nobody"), await caller.trigger("wf")
    start = await worker.start(run_id)
    call = Call(address=Address("0/0:0"), routine="t", digest="d", input=b"", child_id=victim)
    await worker.report(Commands(run_id, start.epoch, datetime.now(UTC), upto_seq=0, calls=[call]))
    assert (await caller.outcome(run_id)).status == "SYSTEM_FAILURE"
    assert (await caller.data("run", victim))["status"] == "PENDING_VERSION"


async def test_a_bad_message_among_many_does_not_keep_the_others_back(site: Site) -> None:
    await site.coordinator()
    caller = await site.caller()
    bad = Trigger(routine="t", run_id=new_run_id(), wants="outcome", reply_to=caller.key)
    ids = [new_run_id() for _ in range(5)]
    many: list[Any] = [Trigger(routine="t", run_id=one, reply_to=caller.key) for one in ids]
    many.insert(2, Trigger(routine="t", run_id=RunId("no-uuid"), reply_to=caller.key))
    await caller.command(*many, bad, key="trigger")
    await caller.until(lambda: len([one for one in caller.replies if isinstance(one, Accepted)]) == 6)
    assert [one.rule for one in caller.replies if isinstance(one, Rejected)] == ["run_id"]


async def test_an_outcome_nobody_takes_is_kept_to_be_tried_again(site: Site) -> None:
    await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task())
    run_id = await caller.trigger()
    start = await worker.start(run_id)
    await caller.leave()
    await worker.finish(start)
    await site.rows_of("returned_reply", 1)
    assert site.rows("SELECT run_id, reply_to FROM returned_reply") == [(run_id, caller.key)]


async def test_a_worker_whose_queue_is_gone_gets_no_new_work(site: Site) -> None:
    await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task())
    await worker.leave()
    await caller.trigger()

    async def statuses() -> bool:
        return [one["status"] for one in await caller.data("workers")] == ["UNRESPONSIVE"]

    await eventually(statuses, within=WITHIN)


async def test_a_worker_with_another_payload_store_is_refused_with_advice(site: Site, tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    ours, theirs = open_store(f"file:{tmp_path}/ours"), open_store(f"file:{tmp_path}/theirs")
    await site.coordinator(payloads=ours)
    good, bad = await site.worker(), await site.worker()
    assert not (await good.join(task(), probe=await asyncio.to_thread(write_probe, ours, "w1"))).refused
    refusal = (await bad.join(task(), probe=await asyncio.to_thread(write_probe, theirs, "w2"))).refused
    assert "LONGSHORE_PAYLOAD_URL" in refusal
    caller = await site.caller()
    assert len(await caller.data("workers")) == 1


async def test_a_second_coordinator_ends_the_first_with_a_clear_error(site: Site) -> None:
    first = await site.coordinator()
    await site.coordinator()
    with pytest.raises(Fenced, match="another coordinator"):
        await asyncio.wait_for(first, WITHIN)
    caller = await site.caller()
    assert (await caller.data("ping"))["term"] == 2


async def test_a_store_that_is_locked_for_a_while_loses_nothing(site: Site) -> None:
    await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task())
    blocker = sqlite3.connect(site.store_file, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    ids = [new_run_id() for _ in range(3)]
    await caller.send_meanwhile(ids)
    await eventually(lambda: "the owner's row" in " ".join(site.missing()), within=WITHIN)
    blocker.execute("ROLLBACK")
    blocker.close()
    await caller.until(lambda: len([one for one in caller.replies if isinstance(one, Accepted)]) >= 3)
    await worker.join(task())
    for run_id in ids:
        await worker.finish(await worker.start(run_id))
        await caller.outcome(run_id)


async def test_a_store_that_never_answers_ends_the_coordinator_within_its_patience(site: Site) -> None:
    running = await site.coordinator(store_patience=timedelta(seconds=0.5))
    blocker = sqlite3.connect(site.store_file, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked"):
        await asyncio.wait_for(running, 30)
    blocker.close()


async def test_a_journal_is_fetched_with_the_outcomes_of_its_children(site: Site) -> None:
    await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task(), workflow())
    run_id = await caller.trigger("wf")
    start = await worker.start(run_id)
    child = new_run_id()
    call = Call(address=Address("0/0:0"), routine="t", digest="d", input=b"child", child_id=child)
    await worker.report(Commands(run_id, start.epoch, datetime.now(UTC), upto_seq=0, calls=[call]))
    child_start = await worker.start(child)
    assert child_start.input == b"child"
    why = await caller.data("why", run_id)
    assert (why["kind"], why["text"]) == ("calls", "waits for 1 sub-routine")
    assert child in why["holders"][0]
    await worker.finish(child_start, result=b"child's")
    (told,) = await eventually(lambda: worker.all(Deliver), within=WITHIN)
    assert [one.result for one in told.deliveries] == [b"child's"]
    await worker.report(Fetch(run_id, start.epoch, -1))
    (page,) = await eventually(lambda: worker.all(JournalPage), within=WITHIN)
    assert ([one.address for one in page.calls], [one.result for one in page.deliveries]) == (["0/0:0"], [b"child's"])
    assert page.last
    assert len(await caller.data("tree", child)) == 2


@pytest.mark.parametrize(
    ("what", "params", "rule"),
    [
        ("run", {}, "run_ids"),
        ("nonsense", {}, "unknown_question"),
        ("runs", {"limit": 0}, "limit"),
        ("runs", {"limit": "many"}, "limit"),
        ("runs", {"status": "ASLEEP"}, "status"),
        ("runs", {"tag": ["x"]}, "tag"),
        ("dead_letter", {"id": 7}, "unknown_letter"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused_with_its_rule(
    site: Site, what: str, params: dict[str, Any], rule: str
) -> None:
    await site.coordinator()
    caller = await site.caller()
    error = (await caller.ask(what, **params)).error
    assert error is not None
    assert error["rule"] == rule


async def test_a_run_that_is_not_there_is_unknown_to_every_question(site: Site) -> None:
    await site.coordinator()
    caller = await site.caller()
    for what in ("run", "history", "tree", "why"):
        error = (await caller.ask(what, new_run_id())).error
        assert error is not None
        assert error["rule"] == "unknown_run"


async def test_health_says_ready_and_what_is_missing(site: Site) -> None:
    lacking = ["the broker is not connected"]
    listener = health.listen("127.0.0.1", 0)
    host, port = listener.getsockname()
    serving = asyncio.create_task(health.serve(listener, lambda: lacking))
    try:
        status, body = await _get(f"http://{host}:{port}/health/ready")
        assert (status, body["missing"]) == (503, lacking)
        lacking.clear()
        assert (await _get(f"http://{host}:{port}/health/ready"))[0] == 200
        assert (await _get(f"http://{host}:{port}/health/live"))[0] == 200
        with pytest.raises(SettingsError, match="LONGSHORE_HTTP_ADDRESS"):
            health.listen(host, port)
    finally:
        await stop(serving)


async def test_a_coordinator_is_ready_while_it_works_and_not_after(site: Site) -> None:
    listener = health.listen("127.0.0.1", 0)
    address = listener.getsockname()
    listener.close()
    running = await site.coordinator(http_address=address)
    status, body = await _get(f"http://{address[0]}:{address[1]}/health/ready")
    assert (status, body["status"]) == (200, "ready")
    await stop(running)
    assert "the broker is not connected" in site.missing()


async def _get(url: str) -> tuple[int, Any]:
    def get() -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    return await asyncio.to_thread(get)


async def test_what_the_broker_gave_up_lands_among_the_dead_letters(site: Site) -> None:
    caller = await site.caller()
    first = await site.bus("somebody")
    refusing: list[Any] = []
    consumer = await first.consume_queue(site.names.commands, refusing.append, prefetch=10)
    await caller.send_meanwhile([new_run_id()])
    (message,) = await eventually(lambda: refusing, within=WITHIN)
    consumer.reject(message)
    await consumer.close()
    await site.coordinator()
    await site.rows_of("dead_letter", 1)
    (letter,) = await caller.data("dead")
    assert letter["source"] == "broker"


async def test_an_orderly_stop_leaves_nothing_to_be_sent_again(site: Site) -> None:
    running = await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task())
    run_id = await caller.trigger()
    await worker.finish(await worker.start(run_id))
    await caller.outcome(run_id)
    await stop(running)
    assert site.rows("SELECT COUNT(*) FROM unsent") == [(0,)]
    assert site.rows("SELECT batch_no - published_batch FROM owner") == [(1,)]
