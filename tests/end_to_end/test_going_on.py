"""Workflows that continue as their next generation, and children that outlive their parents, on RabbitMQ."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from longshore import ArgumentError, Client, Rejected, RunFailed
from tests.end_to_end.conftest import in_status
from tests.end_to_end.going_on import await_go, counts, gathers, leaves, misfits
from tests.end_to_end.house import House
from tests.end_to_end.test_foreign import run_foreign
from tests.support.wait import eventually

MODULE = "tests.end_to_end.going_on"


async def test_a_hundred_generations_are_one_run_with_one_journal(house: House, client: Client, tmp_path: Path) -> None:
    run = await client.trigger(counts(str(tmp_path), 100))
    assert await run.result(timeout=30) == [100, 0]
    assert (tmp_path / "notes").read_text().split() == [str(number) for number in range(101)]
    continued = [row["reason"] for row in await run.history() if row["reason"].startswith("continues")]
    assert continued == [f"continues as generation {number}" for number in range(1, 101)]
    for table in ("call", "delivery"):
        assert house.rows.ask(f"SELECT DISTINCT generation FROM {table} WHERE run_id = ?", run.id) == [(100,)]
    info = await run.info()
    assert (info["attempt"], info["crashes"], info["version"]) == (1, 0, "1.0.0")


async def test_large_arguments_travel_from_generation_to_generation(client: Client, tmp_path: Path) -> None:
    assert await client.run(counts(str(tmp_path), 3, data=bytes(200_000)), timeout=15) == [3, 200_000]


async def test_signals_that_nobody_has_taken_are_there_in_the_next_generation(client: Client) -> None:
    run = await client.trigger(gathers(30))
    wanted = [f"item {number}" for number in range(30)]
    for item in wanted:
        await client.signal(run.id, "item", item)
    assert await run.result(timeout=15) == wanted


async def test_a_signal_sent_again_after_the_workflow_has_continued_is_not_taken_again(
    house: House, client: Client
) -> None:
    run = await client.trigger(gathers(3))

    async def tell(item: str) -> None:
        body = json.dumps({"type": "signal", "run_id": run.id, "name": "item", "value": item})
        (answer,) = await run_foreign(house, [{"body": body, "message_id": f"{run.id}/{item}"}], answers=1)
        assert answer["body"]["data"]["run_id"] == run.id

    async def generation(number: int) -> bool:
        return any(row["reason"] == f"continues as generation {number}" for row in await run.history())

    await tell("first")
    await eventually(lambda: generation(1), within=10)
    await tell("first")
    await tell("second")
    await eventually(lambda: generation(2), within=10)
    for item in ("second", "first", "third"):
        await tell(item)
    assert await run.result(timeout=15) == ["first", "second", "third"]


async def test_arguments_that_do_not_fit_fail_at_the_line_that_gives_them(client: Client) -> None:
    run = await client.trigger(misfits(1))
    with pytest.raises(RunFailed) as failed:
        await run.result(timeout=10)
    assert isinstance(failed.value.__cause__, ArgumentError)
    error = (await run.info())["error"]
    assert "context.continue_as(" in error["traceback"] and "going_on.py" in error["traceback"]


async def test_a_worker_killed_between_generations_loses_none(house: House, client: Client, tmp_path: Path) -> None:
    crew = await asyncio.to_thread(house.work, module="tests.end_to_end.going_on", pool="mortal")
    run = await client.trigger(counts(str(tmp_path), 40).using(pool="mortal"))
    notes = tmp_path / "notes"
    for reached in (5, 20):
        await eventually(lambda: notes.exists() and len(notes.read_text().split()) > reached, within=20)  # noqa: B023
        await asyncio.to_thread(crew.kill_child)
    assert await run.result(timeout=30) == [40, 0]
    told = notes.read_text().split()
    assert list(dict.fromkeys(told)) == [str(number) for number in range(41)]
    assert len(told) <= 41 + 2  # a note that was under way when its worker died is taken once more
    crew.terminate()


@pytest.mark.parametrize(
    ("how", "status"),
    [("returns", "COMPLETED"), ("fails", "FAILED"), ("waits", "CANCELED"), ("continues", "COMPLETED")],
)
async def test_an_abandoned_child_outlives_its_parent_and_the_other_does_not(
    client: Client, tmp_path: Path, how: str, status: str
) -> None:
    run = await client.trigger(leaves(str(tmp_path), how))
    if how == "waits":
        await eventually(lambda: len(list(tmp_path.glob("*.begun"))) == 2, within=10)
        await run.cancel()
    await in_status(run, status)

    async def ends() -> dict[str, int]:
        found: dict[str, int] = {}
        for row in await run.tree():
            if row["routine"] == "await.go":
                found[row["status"]] = found.get(row["status"], 0) + 1
        return found

    many = 2 if how == "continues" else 1
    await eventually(lambda: _same(ends(), {"EXECUTING": many, "CANCELED": many}), within=10)
    (tmp_path / "go").touch()
    await eventually(lambda: _same(ends(), {"COMPLETED": many, "CANCELED": many}), within=10)
    assert await run.status() == status


async def _same(found: object, wanted: dict[str, int]) -> bool:
    return bool(await found == wanted)  # type: ignore[misc]


async def test_only_a_call_inside_a_workflow_says_what_becomes_of_it_at_its_parents_end(client: Client) -> None:
    with pytest.raises(Rejected, match="what is triggered has no parent"):
        await client.trigger(await_go(".", "x").using(on_parent_end="abandon"))
