"""Workflows on a fleet: nesting, waiting without a slot, other workers, failures, cancels, and why something waits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from longshore import Client, RemoteError, RunCanceled, RunFailed, RunTimedOut
from longshore.client import Run
from tests.end_to_end import routines
from tests.end_to_end.conftest import Broker, in_status
from tests.end_to_end.house import House
from tests.end_to_end.routines import (
    catches,
    deep,
    echo,
    hold_unmeasured,
    impatient,
    nap,
    passes_on,
    patient,
    sleeps,
    total,
    waits,
)
from tests.support.wait import eventually


@pytest.fixture(scope="module")
def house(rabbit: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Three pools: `default` with 16 slots, `one` with a single slot, `pair` of two processes with a slot each."""
    with House(tmp_path_factory.mktemp("house"), rabbit.vhost()) as house:
        house.decide()
        crews = [
            house.work(ready=False),
            house.work(pool="one", slots=1, ready=False),
            house.work(pool="pair", slots=1, processes=2, ready=False),
        ]
        for crew, processes in zip(crews, (1, 1, 2), strict=True):
            house.wait_joined(crew, processes)
        yield house


async def why(run: Run[Any]) -> dict[str, Any]:
    found = await run.why_waiting()
    assert found is not None and {"kind", "text", "holders", "position", "since", "next_at"} <= set(found)
    return found


async def worker_of(client: Client, pool: str) -> dict[str, Any]:
    (found,) = [worker for worker in await client.workers() if worker["pool"] == pool]
    return found


# ------------------------------------------------------------------------------------------------------- waiting


async def test_nesting_ten_deep_completes_on_one_worker_with_one_slot(client: Client) -> None:
    run = await client.trigger(deep(10).using(pool="one"))
    assert await run.result(timeout=20) == 10
    tree = await run.tree()
    assert len(tree) == 11 and {row["status"] for row in tree} == {"COMPLETED"}
    assert len({row["worker_id"] for row in tree}) == 1


async def test_hanging_is_seen_within_a_second_and_the_slot_is_free(client: Client) -> None:
    run = await client.trigger(sleeps(60).using(pool="one"))
    await in_status(run, "HANGING", within=1)

    async def worker_hangs() -> bool:
        worker = await worker_of(client, "one")
        return bool(worker["status"] == "HANGING" and worker["free_slots"] == 1 and run.id in worker["held"])

    await eventually(worker_hangs, within=1)
    assert await client.run(echo("meanwhile").using(pool="one"), timeout=5) == "meanwhile"
    reason = await why(run)
    assert reason["kind"] == "calls" and "1 timer" in reason["text"] and reason["next_at"]
    await run.cancel(reason="seen enough")
    with pytest.raises(RunCanceled, match="seen enough"):
        await run.result(timeout=10)


async def test_a_short_sleep_wakes_again(client: Client) -> None:
    assert await client.run(sleeps(0.2), timeout=10) == "woken"


async def test_subroutines_run_on_other_workers_too(client: Client, tmp_path: Path) -> None:
    run = await client.trigger(waits(str(tmp_path), ["a", "b"]).using(pool="pair"))
    await eventually(lambda: (tmp_path / "a.begun").exists() and (tmp_path / "b.begun").exists(), within=10)
    reason = await why(run)
    assert await run.status() == "HANGING"
    assert reason["kind"] == "calls" and "2 sub-routines" in reason["text"]
    assert sum("hold" in str(holder) for holder in reason["holders"]) == 2
    (tmp_path / "go").touch()
    assert await run.result(timeout=10) == ["a", "b"]
    assert (tmp_path / "a.begun").read_text() != (tmp_path / "b.begun").read_text()
    root, *children = await run.tree()
    assert {child["parent_id"] for child in children} == {root["run_id"]}
    assert len({child["worker_id"] for child in children}) == 2


async def test_a_gather_of_three_hundred(client: Client) -> None:
    run = await client.trigger(total(300))
    assert await run.result(timeout=30) == sum(range(300))
    assert len(await run.tree()) == 301


# ------------------------------------------------------------------------------------------------------ failures


async def test_a_subroutines_exception_reaches_the_workflow_as_its_own_class(client: Client) -> None:
    assert await client.run(catches(2), timeout=10) == ["fine", 2]
    assert await client.run(catches(3), timeout=10) == ["Odd", 3]


async def test_an_exception_nobody_catches_passes_through_the_workflow_to_the_caller(
    house: House, client: Client
) -> None:
    run = await client.trigger(passes_on(7))
    with pytest.raises(RunFailed) as failed:
        await run.result(timeout=10)
    assert failed.value.run_id == run.id and isinstance(failed.value.__cause__, routines.Odd)
    assert failed.value.__cause__.number == 7
    error = (await run.info())["error"]
    assert error["type"].endswith("Odd") and "raise Odd(number)" in error["traceback"]
    assert [row["status"] for row in await run.tree()] == ["FAILED", "FAILED"]
    async with house.client(modules=[]) as stranger:
        with pytest.raises(RunFailed) as failed:
            await (await stranger.trigger("odd", args=[1])).result(timeout=10)
        assert isinstance(failed.value.__cause__, RemoteError) and "Odd" in failed.value.__cause__.type


async def test_a_timeout_inside_a_workflow_cancels_what_it_waits_for(client: Client, tmp_path: Path) -> None:
    run = await client.trigger(impatient(str(tmp_path)))
    assert await run.result(timeout=10) == "gave up"

    async def canceled() -> bool:
        return [row["status"] for row in await run.tree()] == ["COMPLETED", "CANCELED"]

    await eventually(canceled, within=10)


async def test_the_time_of_an_attempt_and_of_the_whole_run(client: Client, tmp_path: Path) -> None:
    limited = await client.trigger(nap(60), attempt_timeout=0.2)
    with pytest.raises(RunTimedOut):
        await limited.result(timeout=10)
    run = await client.trigger(waits(str(tmp_path), ["late"]), deadline=0.5)
    with pytest.raises(RunTimedOut):
        await run.result(timeout=10)

    async def ended() -> bool:
        return [row["status"] for row in await run.tree()] == ["TIMED_OUT", "CANCELED"]

    await eventually(ended, within=10)


async def test_the_cancel_of_a_workflow_reaches_its_children(client: Client, tmp_path: Path) -> None:
    names = [f"child-{i}" for i in range(20)]  # more than there are slots: some execute, some are queued
    run = await client.trigger(waits(str(tmp_path), names))
    await eventually(lambda: len(list(tmp_path.glob("*.begun"))) >= 10, within=10)
    await run.cancel(reason="all of it")
    with pytest.raises(RunCanceled, match="all of it"):
        await run.result(timeout=10)

    async def all_ended() -> bool:
        return {row["status"] for row in await run.tree()} == {"CANCELED"}

    await eventually(all_ended, within=10)
    assert len(await run.tree()) == 21
    assert await client.run(echo("free again"), timeout=5) == "free again"


# ------------------------------------------------------------------------------------------------ why it waits


async def test_why_a_run_is_queued_names_the_holder_and_the_position(client: Client, tmp_path: Path) -> None:
    first = await client.trigger(hold_unmeasured(str(tmp_path), "first").using(pool="one"))
    await eventually((tmp_path / "first.begun").exists, within=10)
    second = await client.trigger(hold_unmeasured(str(tmp_path), "second").using(pool="one"))
    third = await client.trigger(hold_unmeasured(str(tmp_path), "third").using(pool="one"))
    reason = await why(third)
    assert await third.status() == "QUEUED"
    assert reason["kind"] == "capacity" and first.id in reason["holders"] and reason["position"] == 1
    assert (await why(second))["position"] == 0
    executing = await why(first)
    assert executing["kind"] == "worker" and (await worker_of(client, "one"))["worker_id"] in executing["text"]
    (tmp_path / "go").touch()
    assert await third.result(timeout=10) == "third"
    assert await third.why_waiting() is None


async def test_why_a_run_waits_for_a_pool_that_nobody_is_in(house: House, client: Client) -> None:
    run = await client.trigger(echo(1).using(pool="moon"))
    reason = await why(run)
    assert reason["kind"] == "worker" and "moon" in reason["text"]
    assert house.json("runs", "why", run.id)["text"] == reason["text"]
    await run.cancel()


async def test_why_a_run_is_retrying_or_delayed_says_until_when(client: Client) -> None:
    retrying = await client.trigger(patient())
    await in_status(retrying, "RETRYING")
    reason = await why(retrying)
    assert reason["kind"] == "retry" and reason["next_at"] and "much later" in reason["text"]
    last = (await retrying.history())[-1]
    assert last.to_status == "RETRYING" and reason["since"] == last.at, "since it came to this status"
    (listed,) = [row for row in await client.runs(status="RETRYING") if row.run_id == retrying.id]
    assert listed.why_waiting["since"] == last.at
    await retrying.cancel(reason="enough")
    assert await retrying.status() == "CANCELED"
    last = (await retrying.history())[-1]
    assert last.reason == "enough" and last.actor.endswith(socket.gethostname()), "who did it is known"
    delayed = await client.trigger(echo(1), delay="1h")
    reason = await why(delayed)
    assert reason["kind"] == "time" and reason["next_at"] and "delayed until" in reason["text"]
    await delayed.pause()
    assert (await why(delayed))["since"] == (await delayed.history())[-1].at
    await delayed.resume(reason="now")
    reason = await why(delayed)
    assert "now" in reason["text"] and "delayed until" in reason["text"]
    await delayed.cancel()
    assert await asyncio.wait_for(delayed.status(), 5) == "CANCELED"


async def test_why_a_workflow_that_is_put_away_waits_and_it_goes_on_elsewhere(house: House, client: Client) -> None:
    crew = await asyncio.to_thread(house.work, pool="brief")
    run = await client.trigger(sleeps(4).using(pool="brief"))
    await in_status(run, "HANGING", within=2)
    crew.terminate()
    assert await asyncio.to_thread(crew.wait, 20) == 0
    await in_status(run, "SUSPENDED", within=2)
    reason = await why(run)
    assert reason["kind"] == "calls" and "1 timer" in reason["text"] and reason["next_at"]
    await in_status(run, "QUEUED", within=10)
    reason = await why(run)
    assert reason["text"] and reason["kind"] in ("worker", "version")
    await asyncio.to_thread(house.work, pool="brief")
    assert await run.result(timeout=10) == "woken"
    assert (await run.info())["crashes"] == 0


async def test_the_runs_list_says_why_for_every_run_that_is_not_final(client: Client) -> None:
    delayed = await client.trigger(echo(1), delay="1h", tags=["listed"])
    (found,) = await client.runs(tag="listed")
    assert found["status"] == "DELAYED" and found["why_waiting"]["text"]
    await delayed.cancel()
    (found,) = await client.runs(tag="listed")
    assert found["why_waiting"] is None
