"""Batches through a real coordinator and its store: from a client, and from a program that speaks JSON."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from longshore import Client, Order
from longshore.core.errors import BatchAborted, Rejected
from longshore.core.ledger import LedgerConfig
from longshore.core.message import Start
from tests.coordinator.conftest import Site, stop
from tests.coordinator.peers import WITHIN, task
from tests.support.wait import eventually


async def test_a_thousand_in_one_call_are_one_sealed_batch(site: Site, client: Client) -> None:
    await site.coordinator()
    started: Any = await client.trigger_many([Order("t", [number]) for number in range(1000)])
    info = await client.batch(started.batch_id).info()
    assert (info.status, info["items"], info.runs, info.unfinished) == ("sealed", 1000, 1000, 1000)
    assert info.statuses == {"PENDING_VERSION": 1000}
    assert site.rows(f"SELECT COUNT(*) FROM run WHERE batch_id = '{started.batch_id}'") == [(1000,)]
    shown = await client.runs(batch_id=started.batch_id, limit=3)
    assert [run.run_id for run in shown] == [run.id for run in started[:-4:-1]]
    assert shown[0].batch_id == started.batch_id
    assert [one.batch_id for one in await client.batches(status="sealed")] == [started.batch_id]
    with pytest.raises(Rejected, match="'half' is no status of a batch"):
        await client.batches(status="half")


async def test_a_wait_ends_when_every_run_has_ended_even_over_a_restart(site: Site, client: Client) -> None:
    running = await site.coordinator()
    worker = await site.worker()
    await worker.join(task())
    started: Any = await client.trigger_many([Order("t"), Order("t")], batch_id="two")
    await worker.finish(await worker.start(started[0].id))
    await stop(running)
    await site.coordinator()
    await worker.join(task(), held=[])
    await worker.finish(await worker.start(started[1].id, 1))
    info = await client.batch("two").wait(timeout=WITHIN)
    assert info.statuses == {"COMPLETED": 2}


async def test_a_batch_whose_sender_is_silent_is_aborted_and_who_waits_is_told(site: Site, client: Client) -> None:
    await site.coordinator(config=LedgerConfig(batch_patience=timedelta(seconds=1)))
    run = await client.trigger("t", batch_id="half")
    with pytest.raises(BatchAborted, match="nothing was heard of it for 1 s, and it was not sealed: 1 came"):
        await client.batch("half").wait(timeout=WITHIN)
    assert await run.status() == "PENDING_VERSION"
    with pytest.raises(Rejected, match="batch half is aborted"):
        await client.trigger("t", batch_id="half")
    with pytest.raises(Rejected, match="there is no batch 'unheard'"):
        await client.batch("unheard").wait()


async def test_a_batch_outlives_a_coordinator_and_the_same_items_again_are_the_same_runs(
    site: Site, client: Client
) -> None:
    running = await site.coordinator()
    runs = [await client.trigger("t", batch_id="b") for _ in range(3)]
    await stop(running)
    await site.coordinator()
    again = [await client.trigger("t", batch_id="b", run_id=run.id) for run in runs]
    assert [run.id for run in again] == [run.id for run in runs]
    assert (await client.batch("b").info()).runs == 3


async def test_a_program_that_speaks_json_sends_a_batch(site: Site, client: Client) -> None:
    await site.coordinator()
    caller = await site.caller()
    item = {"type": "trigger", "routine": "t", "options": {"batch_id": "mine"}}
    words: dict[str, Any] = {"content_type": "application/json", "message_id": "m", "correlation_id": "c"}
    body = [
        {"type": "open_batch", "batch_id": "mine"},
        item,
        item,
        {"type": "seal_batch", "batch_id": "mine", "items": 2},
    ]
    await caller.send(site.names.commands, "trigger", json.dumps(body).encode(), reply_to=caller.key, **words)
    await caller.until(lambda: len(caller.came) == 2)
    opened, sealed = [json.loads(message.body) for message in caller.came]
    assert opened["data"]["status"] == "open" and sealed["data"]["status"] == "sealed"
    assert (sealed["data"]["runs"], sealed["data"]["items"]) == (2, 2)
    again = {"type": "abort_batch", "batch_id": "mine"}
    await caller.send(site.names.commands, "trigger", json.dumps(again).encode(), reply_to=caller.key, **words)
    await caller.until(lambda: len(caller.came) == 3)
    assert json.loads(caller.came[2].body)["error"]["rule"] == "batch_sealed"
    assert (await client.batch("mine").info()).statuses == {"PENDING_VERSION": 2}


async def test_a_batch_with_plain_and_rare_items_is_stored_alike(site: Site, client: Client) -> None:
    await site.coordinator()
    worker = await site.worker()
    await worker.join(task())
    await client.trigger_many([Order("t"), Order("t")], batch_id="plain")
    await client.trigger_many([Order("t"), Order("t")], batch_id="rare", tags=["x"], delay=60)
    found = site.rows("SELECT batch_id, COUNT(*) FROM run GROUP BY batch_id ORDER BY batch_id")
    assert found == [("plain", 2), ("rare", 2)]
    await eventually(lambda: len(worker.all(Start)) == 2, within=WITHIN)
