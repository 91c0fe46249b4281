"""A workflow is run again from a chosen call on RabbitMQ: what came before is kept, and counted in a file."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from longshore import Client, Rejected, RunFailed, SyncClient, UsageError
from longshore.client import Run
from longshore.telemetry import Telemetry
from tests.end_to_end import forked
from tests.end_to_end.conftest import in_status
from tests.end_to_end.house import House
from tests.end_to_end.test_foreign import run_foreign
from tests.support.wait import eventually

MODULE = "tests.end_to_end.forked"
NOBODY = "01900000-0000-7000-8000-000000000000"


def effects(folder: Path) -> Counter[str]:
    """How often each part was executed."""
    file = folder / "effects"
    return Counter(file.read_text().splitlines() if file.exists() else [])


async def failed(run: Run[Any]) -> str:
    """The address of the call that has failed, once the run has."""
    with pytest.raises(RunFailed):
        await run.result(timeout=30)
    (address,) = [row["address"] for row in await run.tree() if row["status"] == "FAILED" and row["address"]]
    return str(address)


async def test_only_the_call_that_failed_and_what_follows_is_executed_again(
    house: House, client: Client, tmp_path: Path
) -> None:
    run = await client.trigger(forked.stages(str(tmp_path)), tags=["mine"], metadata={"ticket": 7})
    address = await failed(run)
    before = effects(tmp_path)
    assert sum(before.values()) == 2 * forked.MANY
    (tmp_path / "repaired").touch()
    words = ("runs", "fork", run.id, "--at", address)
    told = await asyncio.to_thread(house.json, *words)
    assert (told["forked_from"], told["at"]) == (run.id, address)
    result = await client.handle(told["run_id"]).result(timeout=30)
    names = [*(f"first {n}" for n in range(20)), *(f"second {n}" for n in range(19)), "bad"]
    assert result[:-1] == [*names, *(f"slow {n}" for n in range(20))]
    again = effects(tmp_path) - before
    assert again == Counter(["bad", *(f"slow {n}" for n in range(20))])
    info = await client.handle(told["run_id"]).info()
    assert (info["rerun_of"], info["tags"], info["metadata"]) == (run.id, ["mine"], {"ticket": 7})
    assert (await client.handle(told["run_id"]).history())[0]["reason"].startswith(f"forked from {run.id} at {address}")
    assert await run.status() == "FAILED"
    shown = await asyncio.to_thread(house.run, "runs", "show", told["run_id"])
    assert "rerun of" in shown.stdout and run.id in shown.stdout
    drawn = await asyncio.to_thread(house.run, "runs", "tree", run.id)
    assert f"at {address}" in drawn.stdout
    replayed = await asyncio.to_thread(house.json_lines, "runs", "replay-check", told["run_id"], MODULE)
    assert [one["verdict"] for one in replayed] == ["ok"]
    same = await client.fork(told["run_id"], at=address)
    assert await same.result(timeout=30) == result, "chance is that of the first run"


async def test_a_fork_whose_worker_is_killed_in_the_middle_ends_once(
    house: House, client: Client, tmp_path: Path
) -> None:
    crew = await asyncio.to_thread(house.work, module=MODULE, pool="mortal")
    run = await client.trigger(forked.stages(str(tmp_path)).using(pool="mortal"))
    address = await failed(run)
    before = effects(tmp_path)
    (tmp_path / "repaired").touch()
    (tmp_path / "wait").touch()
    fork = await run.fork(at=address)
    await eventually(lambda: effects(tmp_path)["slow 15"] > 0, within=20, what="third stage")
    await asyncio.to_thread(crew.kill_child)
    (tmp_path / "wait").unlink()
    assert len(await fork.result(timeout=60)) == 61
    again = effects(tmp_path) - before
    assert again["bad"] == 1 and not any(name.startswith(("first", "second")) for name in again)
    crew.terminate()


async def test_a_time_around_the_call_counts_on_from_the_fork(client: Client, tmp_path: Path) -> None:
    run = await client.trigger(forked.timed(str(tmp_path), 2.0))
    address = await failed(run)
    ended = time.monotonic()
    await eventually(lambda: time.monotonic() - ended > 3, within=10, what="the time to be over")
    (tmp_path / "repaired").touch()
    assert await (await run.fork(at=address)).result(timeout=20) == "in time"
    (tmp_path / "wait").touch()
    late = await run.fork(at=address)
    began = time.monotonic()
    with pytest.raises(RunFailed) as over:
        await late.result(timeout=20)
    assert isinstance(over.value.__cause__, TimeoutError)
    assert time.monotonic() - began > 1
    (tmp_path / "wait").unlink()
    assert effects(tmp_path)["before"] == 1


async def test_a_signal_that_came_after_the_call_is_kept(client: Client, tmp_path: Path) -> None:
    run = await client.trigger(forked.told(str(tmp_path)))
    await run.signal("word", {"by": "ann"})
    address = await failed(run)
    (tmp_path / "repaired").touch()
    fork = await client.fork(run.id, at=address)
    assert await fork.result(timeout=20) == {"by": "ann"}


async def test_an_open_token_goes_over_to_the_fork(client: Client, tmp_path: Path) -> None:
    run = await client.trigger(forked.signed(str(tmp_path)))
    address = await failed(run)
    token = next(name for name in effects(tmp_path) if name != "bad")
    (tmp_path / "repaired").touch()
    fork = await run.fork(at=address)
    await in_status(fork, "HANGING")
    done = await client.complete_token(token, "paid")
    assert done and done.run_id == fork.id
    assert await fork.result(timeout=20) == "paid"
    assert effects(tmp_path)[token] == 1
    with pytest.raises(Rejected, match=f"has gone over to run {fork.id}: fork that one") as refused:
        await run.fork(at=address)
    assert (refused.value.rule, refused.value.run_id) == ("open_token", run.id)


async def test_a_foreign_program_forks_and_is_told_the_outcome(house: House, client: Client, tmp_path: Path) -> None:
    run = await client.trigger(forked.told(str(tmp_path)))
    await run.signal("word", "w")
    address = await failed(run)
    (tmp_path / "repaired").touch()
    order = {"body": json.dumps({"type": "fork", "run_id": run.id, "at": address}), "correlation_id": "f"}
    order["message_id"] = f"fork of {run.id}"
    bad = {"body": json.dumps({"type": "fork", "run_id": run.id, "at": "9:9"}), "correlation_id": "bad"}
    answers = await run_foreign(house, [order, bad], answers=3)
    told = [one["body"] for one in answers if one["correlation_id"] == "f"]
    assert told[0]["data"]["forked_from"] == run.id and told[1]["status"] == "COMPLETED" and told[1]["result"] == "w"
    (refused,) = [one["body"] for one in answers if one["correlation_id"] == "bad"]
    assert refused["error"]["rule"] == "unknown_address"
    again = await run_foreign(house, [order], answers=1)
    assert again[0]["body"]["data"]["run_id"] == told[0]["data"]["run_id"]


async def test_what_cannot_be_forked_is_refused_in_words(house: House, client: Client, tmp_path: Path) -> None:
    run = await client.trigger(forked.told(str(tmp_path)))
    await run.signal("word")
    address = await failed(run)
    other = await client.trigger(forked.signed(str(tmp_path)))
    await failed(other)
    (child,) = [row["run_id"] for row in await run.tree() if row["address"]]
    with pytest.raises(UsageError, match="a call is named by its address"):
        await run.fork(at="")
    with pytest.raises(UsageError, match="is no text: write version="):
        await run.fork(at=address, version=2)  # type: ignore[arg-type]
    for words, status, said in (
        ((run.id,), 2, "Missing option '--at'"),
        ((run.id, "--at", ""), 2, "a call is named by its address"),
        (("x", "--at", address), 2, "is no run id"),
        ((run.id, "--at", address, "--fork-id", "mine"), 2, "is no UUID in canonical form"),
        ((run.id, "--at", address, "--version", "newest"), 2, "'newest' is no version"),
        ((run.id, "--at", address, "--wait-timeout", "soon"), 2, "--wait-timeout 'soon'"),
        ((NOBODY, "--at", address), 2, f"there is no run {NOBODY}"),
        ((child, "--at", address), 2, "only workflows are forked; trigger it anew"),
        ((run.id, "--at", "7:7"), 2, f"near it are {address} (part)"),
        ((other.id, "--at", "0:0"), 2, "is a token, no call; near it are 0:1 (part), 0:2 (part)"),
    ):
        done = await asyncio.to_thread(house.run, "runs", "fork", *words)
        assert (done.returncode, done.stdout) == (status, ""), done.stderr
        assert said in " ".join(done.stderr.split()), done.stderr
    last = (await run.history())[-1]
    assert last["valid"] is False and last["reason"].startswith("fork refused: ")


def test_the_same_verbs_without_a_loop_and_waiting_on_the_command_line(house: House, tmp_path: Path) -> None:
    with SyncClient(settings=house.settings(), telemetry=Telemetry()) as client:
        run = client.trigger("told", args=[str(tmp_path)])
        run.signal("word", 5)
        with pytest.raises(RunFailed):
            run.result(timeout=20)
        address = next(row["address"] for row in run.tree() if row["address"])
        assert house.run("runs", "fork", run.id, "--at", address, "--wait").returncode == 1
        (tmp_path / "repaired").touch()
        assert run.fork(at=address).result(timeout=20) == 5
        fork = client.fork(run.id, at=address, fork_id="01900000-0000-7000-8000-00000000f0f0")
        assert fork.id == "01900000-0000-7000-8000-00000000f0f0" and fork.result(timeout=20) == 5
    done = house.run("runs", "fork", run.id, "--at", address, "--wait")
    assert (done.returncode, done.stdout.strip()) == (0, "5"), done.stderr
    waits = house.run("runs", "fork", run.id, "--at", address, "--version", "9.0.0")
    assert waits.returncode == 0 and "no worker offers told@9.0.0" in waits.stderr
