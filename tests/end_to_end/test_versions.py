"""Two builds of one program on RabbitMQ: which code a run stays with, what blocks it, what a check says beforehand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from longshore import Client, Rejected
from longshore.client import Run
from tests.end_to_end.conftest import Broker, in_status
from tests.end_to_end.house import House
from tests.support.fleet import Part
from tests.support.wait import eventually

BUILDS = "tests.end_to_end.builds"


@pytest.fixture(scope="module")
def house(rabbit: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A coordinator and a worker for the gates; each test brings its builds."""
    with House(tmp_path_factory.mktemp("house"), rabbit.vhost()) as house:
        house.decide()
        house.work(pool="gates", module=f"{BUILDS}.gates")
        yield house


async def work(house: House, build: str) -> Part:
    return await asyncio.to_thread(house.work, module=f"{BUILDS}.{build}")


async def leave(crew: Part) -> None:
    crew.terminate()
    assert await asyncio.to_thread(crew.wait, 20) == 0


async def at_the_gate(house: House, client: Client, folder: Path) -> Run[Any]:
    """A run of the first build that waits at the gate, put away; no worker offers it any more."""
    first = await work(house, "first")
    run = await client.trigger("route", args=[str(folder)])
    await eventually((folder / "gate.begun").exists, within=10)
    await in_status(run, "HANGING")
    await leave(first)
    await in_status(run, "SUSPENDED")
    return run


async def test_a_run_stays_on_the_version_it_began_with_and_waits_for_a_worker_that_has_it(
    house: House, client: Client, tmp_path: Path
) -> None:
    run = await at_the_gate(house, client, tmp_path)
    second = await work(house, "second")
    (tmp_path / "go").touch()
    newer = await client.trigger("route", args=[str(tmp_path)])
    assert await newer.result(timeout=10) == ["leg 1 of 2.0.0"]
    await in_status(run, "QUEUED")
    why = await run.why_waiting()
    assert why is not None and why["kind"] == "version" and "no worker offers route" in why["text"]
    assert (await run.info())["version"] == "1.0.0"
    again = await work(house, "first")
    assert await run.result(timeout=10) == ["leg 1 of 1.0.0", "leg 2 of 1.0.0"]
    await leave(second)
    await leave(again)


async def test_a_version_nobody_offers_is_pending_until_somebody_does(
    house: House, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    run = await client.trigger("route@2.0.0", args=[str(tmp_path)])
    assert await run.status() == "PENDING_VERSION"
    second = await work(house, "second")
    assert await run.result(timeout=10) == ["leg 1 of 2.0.0"]
    await leave(second)


async def test_a_new_version_of_a_called_routine_disturbs_nothing(house: House, client: Client, tmp_path: Path) -> None:
    run = await at_the_gate(house, client, tmp_path)
    beside = await work(house, "next_leg")
    (tmp_path / "go").touch()
    assert await run.result(timeout=10) == ["leg 1 of 1.0.0", "leg 2 of 2.0.0"]
    legs = [row for row in await run.tree() if row["routine"] == "leg"]
    assert [row["version"] for row in legs] == ["1.0.0", "2.0.0"]
    await leave(beside)


async def test_changed_code_blocks_a_run_once_and_it_goes_on_when_the_old_code_is_back(
    house: House, client: Client, tmp_path: Path
) -> None:
    run = await at_the_gate(house, client, tmp_path)
    rows = house.rows.ask("SELECT count(*), max(rowid) FROM run")
    same = house.run("runs", "replay-check", run.id, f"{BUILDS}.first", "--json")
    assert (same.returncode, json.loads(same.stdout)["verdict"]) == (0, "ok"), same.stderr
    other = house.run("runs", "replay-check", run.id, f"{BUILDS}.changed")
    assert other.returncode == 1, (other.stdout, other.stderr)
    assert "recorded: call of 'leg'" in other.stdout and "first.py:" in other.stdout
    assert "the code: call of 'leg' with arguments (7)" in other.stdout and "changed.py:" in other.stdout
    assert await run.status() == "SUSPENDED" and house.rows.ask("SELECT count(*), max(rowid) FROM run") == rows

    changed = await work(house, "changed")
    (tmp_path / "go").touch()
    await in_status(run, "BLOCKED")
    for times in (1, 2):
        blocked = [row for row in await run.history() if row["to_status"] == "BLOCKED"]
        assert len(blocked) == times
        recorded, code, difference = blocked[-1]["reason"].splitlines()[1:4]
        assert recorded.startswith("  recorded: call of 'leg' with arguments (1) at ") and "first.py:" in recorded
        assert code.startswith("  the code: call of 'leg' with arguments (7) at ") and "changed.py:" in code
        assert difference == "  the difference: argument 1: 1 was recorded, the code says 7"
        if times == 1:
            assert house.json("runs", "resume", run.id, "--reason", "try again")["run_id"] == run.id
            await in_status(run, "BLOCKED")
            await eventually(lambda: _blocked(run, 2), within=10)
    resumed = next(row for row in await run.history() if row["from_status"] == "BLOCKED")
    assert resumed["reason"].startswith("resumed by ") and resumed["reason"].endswith(": try again")
    await leave(changed)
    again = await work(house, "first")
    await client.resume(run.id)
    assert await run.result(timeout=10) == ["leg 1 of 1.0.0", "leg 2 of 1.0.0"]
    with pytest.raises(Rejected, match="COMPLETED; only what is BLOCKED can be resumed"):
        await run.resume()
    refused = house.run("runs", "resume", run.id)
    assert refused.returncode == 2 and "only what is BLOCKED can be resumed" in refused.stderr
    await leave(again)


async def _blocked(run: Run[Any], times: int) -> bool:
    return [row["to_status"] for row in await run.history()].count("BLOCKED") == times


async def test_the_runs_of_a_workflow_are_checked_together(house: House, client: Client, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    first = await work(house, "first")
    done = await client.trigger("route@1.0.0", args=[str(tmp_path)], tags=["checked"])
    await done.result(timeout=10)
    words = ["runs", "replay-check", "--routine", "route@1.0.0", "--status", "completed", "--limit", "1"]
    (one,) = house.json_lines(*words, f"{BUILDS}.first")
    assert (one["run_id"], one["verdict"], one["code"], one["deliveries"]) == (done.id, "ok", "route@1.0.0", 3)
    other = house.run(*words, f"{BUILDS}.changed", "--json")
    assert other.returncode == 1 and json.loads(other.stdout)["verdict"] == "differs"
    leg = (await done.tree())[1]["run_id"]
    skipped = house.run("runs", "replay-check", leg, f"{BUILDS}.first", "--json")
    assert skipped.returncode == 0 and "no workflow has begun there" in json.loads(skipped.stdout)["text"]
    await leave(first)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["0190b3a4-0000-7000-8000-000000000001"], 2, "which code?"),
        (["0190b3a4-0000-7000-8000-000000000001", f"{BUILDS}.first"], 2, "there is no run"),
        ([f"{BUILDS}.nowhere"], 2, "there is no module"),
        ([f"{BUILDS}.gates"], 2, "there is no workflow in"),
        ([f"{BUILDS}.first", "--routine", "raute"], 2, "there is no workflow 'raute'"),
        ([f"{BUILDS}.first", "--status", "ASLEEP"], 2, "is no status"),
        (["0190b3a4-0000-7000-8000-000000000001", "m", "--status", "FAILED"], 2, "choose runs where none are named"),
    ],
)
def test_a_check_that_cannot_be_says_why(house: House, words: list[str], status: int, said: str) -> None:
    done = house.run("runs", "replay-check", *words)
    assert done.returncode == status and said in done.stderr, (done.returncode, done.stdout, done.stderr)
