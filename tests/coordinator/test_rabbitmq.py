"""The same coordinator over real RabbitMQ."""

from __future__ import annotations

from longshore.core.message import Start
from tests.coordinator.conftest import Site, stop
from tests.coordinator.peers import WITHIN, new_run_id, task
from tests.support.wait import eventually


async def test_runs_go_through_rabbitmq_and_over_a_restart(rabbit_site: Site) -> None:
    site = rabbit_site
    first = await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task(), slots=1000)
    ids = [await caller.trigger() for _ in range(20)]
    for run_id in ids[:10]:
        await worker.finish(await worker.start(run_id))
        assert (await caller.outcome(run_id)).result == b"out"
    await stop(first)
    await caller.send_meanwhile([late := new_run_id()])
    await site.coordinator()
    worker.number = (await worker.join(task(), slots=1000)).taken
    for run_id in [*ids[10:], late]:
        starts = await eventually(
            lambda: [one for one in worker.all(Start) if one.run_id == run_id],  # noqa: B023 - awaited at once
            within=WITHIN,
        )
        await worker.finish(starts[-1])
        assert (await caller.outcome(run_id)).result == b"out"
    assert site.rows("SELECT DISTINCT status FROM run") == [("COMPLETED",)]


async def test_garbage_on_rabbitmq_is_a_dead_letter_and_the_rest_goes_on(rabbit_site: Site) -> None:
    site = rabbit_site
    await site.coordinator()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task())
    await caller.send(site.names.commands, "trigger", b"\xff\xff")
    run_id = await caller.trigger()
    await worker.finish(await worker.start(run_id))
    await caller.outcome(run_id)
    assert [letter["source"] for letter in await caller.data("dead")] == ["commands"]
