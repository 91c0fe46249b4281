"""Bulk orders through a real coordinator and its store: which runs they are about, over a restart, as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from longshore import Client, Order
from longshore.core.errors import Rejected, UsageError
from longshore.core.ledger import LedgerConfig
from tests.coordinator.conftest import Site, stop
from tests.coordinator.peers import WITHIN


async def canceled(site: Site) -> list[str]:
    return [row[0] for row in site.rows("SELECT routine FROM run WHERE status = 'CANCELED' ORDER BY no")]


async def test_every_condition_chooses_its_runs(site: Site, client: Client) -> None:
    await site.coordinator()
    before = datetime.now(UTC)
    await client.trigger("tagged", tags=["Red%_", "x"])
    await client.trigger("lower", tags=["red%_"])
    await client.trigger("queued", queue="gpu")
    await client.trigger("versioned@1.2.3")
    await client.trigger_many([Order("batched")] * 3, batch_id="b")
    await client.trigger("late", delay=60)
    wanted: list[tuple[dict[str, Any], list[str]]] = [
        ({"tag": "Red%_"}, ["tagged"]),
        ({"queue": "gpu"}, ["queued"]),
        ({"routine": "versioned@1.2.3"}, []),  # the version that runs is chosen at their start
        ({"batch_id": "b", "routine": "batched"}, ["batched"] * 3),
        ({"status": ["delayed"]}, ["late"]),
        ({"created_before": before}, []),
        ({"created_after": datetime.now(UTC) + timedelta(hours=1)}, []),
        ({"created_after": before, "status": "PENDING_VERSION"}, ["lower", "versioned"]),
    ]
    expected: list[str] = []
    for which, routines in wanted:
        bulk = await client.cancel_runs(**which)
        done = await bulk.wait(timeout=WITHIN)
        assert (done.status, done.done, done.refused) == ("done", len(routines), 0), (which, done)
        expected += routines
    assert sorted(await canceled(site)) == sorted(expected)
    assert len(await client.bulks()) == len(wanted)


async def test_pages_are_found_window_by_window_and_a_restart_goes_on(
    site: Site,
    client: Client,
) -> None:
    config = LedgerConfig(group=10)
    running = await site.coordinator(config=config)
    started: Any = await client.trigger_many([Order("t" if number % 7 else "u", [number]) for number in range(300)])
    bulk = await client.cancel_runs(routine="t", reason="a slip")
    await stop(running)
    await site.coordinator(config=config)
    done = await bulk.wait(timeout=WITHIN)
    assert done.done == 300 - len(range(0, 300, 7)) and done.by
    info = await client.batch(started.batch_id).info()
    assert info.statuses == {"CANCELED": done.done, "PENDING_VERSION": len(range(0, 300, 7))}
    row = (await started[1].history())[-1]
    assert (row.to_status, row.reason, row.actor) == ("CANCELED", "a slip", f"bulk order {bulk.id}")
    assert len(await started[1].history()) == 2
    with pytest.raises(Rejected, match=r"bulk order .* is done: 257 of 257 runs"):
        await bulk.abort()
    rest = await client.batch(started.batch_id).cancel("enough")
    assert (await rest.wait(timeout=WITHIN)).done == 43


async def test_what_has_ended_is_run_again_with_what_it_was_given(site: Site, client: Client) -> None:
    await site.coordinator()
    started: Any = await client.trigger_many([Order("t", [number]) for number in range(5)], tags=["x"])
    await (await client.cancel_runs(all=True)).wait(timeout=WITHIN)
    bulk = await client.rerun_runs(status="CANCELED", batch_id=started.batch_id)
    assert (await bulk.wait(timeout=WITHIN)).done == 5
    found = site.rows("SELECT new.status, new.tags, new.input = old.input, new.batch_id FROM run AS new "
                      "JOIN run AS old ON old.id = new.rerun_of")  # fmt: skip
    assert found == [("PENDING_VERSION", '["x"]', 1, "")] * 5


async def test_what_is_wrong_is_said_before_anything_is_sent(site: Site, client: Client) -> None:
    await site.coordinator()
    with pytest.raises(UsageError, match="no condition is given: a bulk cancel of every run needs all=True"):
        await client.cancel_runs()
    with pytest.raises(UsageError, match="status 'COMPLETED': a bulk cancel is about runs that are BLOCKED, DELAYED"):
        await client.cancel_runs(status="completed")
    with pytest.raises(UsageError, match="there is no condition 'tags'; did you mean tag"):
        await client.cancel_runs(tags="x")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match=r"created_after=.* is no time with its zone"):
        await client.cancel_runs(created_after=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(UsageError, match="queue='' is not a text"):
        await client.cancel_runs(queue="")
    with pytest.raises(UsageError, match="status=7: write status="):
        await client.cancel_runs(status=7)  # type: ignore[arg-type]
    with pytest.raises(Rejected, match="there is no bulk order 'b'"):
        await client.bulk("b").wait()
    assert await client.bulks() == []


async def test_a_program_that_speaks_json_orders_and_aborts(site: Site, client: Client) -> None:
    await site.coordinator()
    run = await client.trigger("t")
    caller = await site.caller()
    words: dict[str, Any] = {"content_type": "application/json", "correlation_id": "c", "reply_to": caller.key}
    order = {"type": "bulk", "bulk_id": "mine", "what": "cancel", "filter": {"routine": "t"}, "reason": "over"}
    await caller.send(site.names.commands, "command", json.dumps(order).encode(), **words)
    await client.bulk("mine").wait(timeout=WITHIN)
    for wrong in ({**order, "bulk_id": "x", "filter": {}}, {"type": "abort_bulk", "bulk_id": "mine"}):
        await caller.send(site.names.commands, "command", json.dumps(wrong).encode(), **words)
    await caller.until(lambda: len(caller.came) == 3)
    taken, refused, late = [json.loads(message.body) for message in caller.came]
    assert taken["data"]["status"] == "running"
    assert (refused["error"]["rule"], late["error"]["rule"]) == ("filter", "bulk_done")
    assert await run.status() == "CANCELED"
