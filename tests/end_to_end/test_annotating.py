"""Metadata and tags on RabbitMQ: from the code of runs, their children and people, and what watchers see of it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

from longshore import Client, Rejected, SyncClient, UsageError
from longshore.client import Fields
from longshore.client.run import Change
from longshore.telemetry import Telemetry
from tests.end_to_end import annotated
from tests.end_to_end.conftest import Build, in_status
from tests.end_to_end.house import House
from tests.end_to_end.test_foreign import run_foreign
from tests.support.wait import eventually

MODULE = "tests.end_to_end.annotated"


async def test_children_count_in_their_parent_and_root_and_none_is_lost(client: Client) -> None:
    run = await client.trigger(annotated.parts(20, 50), metadata={"of": "us"})
    assert await run.result(timeout=40) == {"of": "us", "phase": "parts", "pumps": 1}
    info = await run.info()
    assert info.metadata == {"of": "us", "phase": "parts", "done": 1000, "all": 1000.0, "pumps": 1}
    assert info.tags == ["counted"]
    inner = next(row for row in await run.tree() if row.routine == "parts" and row.run_id != run.id)
    assert (await client.handle(inner.run_id).metadata.get()) == {"phase": "parts", "done": 1000, "pumps": 1}
    history = await run.history()
    assert [row.seq for row in history] == list(range(1, len(history) + 1))
    assert any("done=" in row.reason and "(by run " in row.reason for row in history)


async def test_a_run_is_annotated_from_outside_by_whoever_has_its_id(client: Client, tmp_path: Path) -> None:
    run = await client.trigger(annotated.tells(str(tmp_path / "go")), tags=["one"])
    await in_status(run, "EXECUTING")
    counted = await asyncio.gather(*(run.metadata.increment("out") for _ in range(100)))
    assert sorted(counted) == list(range(1, 101))
    await run.metadata.set("who", {"name": "ann"})
    await run.metadata.append("log", "a")
    await run.metadata.append("log", "b")
    await run.metadata.delete("who")
    await run.metadata.add_tags("two", "three")
    await run.metadata.remove_tags("one")
    assert await run.metadata.change(increment={"out": 5}, set={"x": None}) == {"out": 105}
    await eventually(lambda: _has(run, "text"), within=5)
    assert await run.metadata.get() == {"n": 1, "text": 1, "out": 105, "log": ["a", "b"], "x": None}
    assert (await run.info()).tags == ["two", "three"]
    with pytest.raises(Rejected, match="'log' cannot be incremented") as refused:
        await run.metadata.change(set={"y": 1}, increment={"log": 1})
    assert refused.value.rule == "metadata"
    with pytest.raises(UsageError):
        await run.metadata.change()
    (tmp_path / "go").touch()
    await run.result(timeout=10)
    with pytest.raises(Rejected) as refused:
        await run.metadata.increment("out")
    assert refused.value.rule == "already_final"
    assert [row.valid for row in await run.history()].count(False) == 2


async def _has(run: object, key: str) -> bool:
    return key in await run.metadata.get()  # type: ignore[attr-defined]


async def test_watchers_see_metadata_and_progress_within_two_seconds_and_so_does_who_comes_later(
    house: House, client: Client, tmp_path: Path
) -> None:
    run = await client.trigger(annotated.tells(str(tmp_path / "go")))
    seen: list[tuple[float, dict[str, object] | None, str]] = []

    def note(change: Change) -> None:
        seen.append((time.monotonic(), change.metadata, change.reason))

    async def watch() -> None:
        async for change in run.watch():
            note(change)

    watching = asyncio.create_task(watch())
    await in_status(run, "EXECUTING")
    await eventually(lambda: any("40% epoch 4" in reason for *_, reason in seen), within=5, what="progress")
    began = time.monotonic()
    await run.metadata.set("phase", "two")
    await eventually(lambda: any(data and data.get("phase") == "two" for _, data, _ in seen), within=2)
    assert time.monotonic() - began < 2
    info = await run.info()
    assert info.progress["fraction"] == 0.4 and info.progress["text"] == "epoch 4" and info.progress["at"]
    async with house.client(modules=[MODULE]) as other, asyncio.timeout(10):
        async for change in other.handle(run.id).watch():
            if "40% epoch 4" in change.reason:
                break
    (tmp_path / "go").touch()
    await asyncio.wait_for(watching, 10)
    assert (await run.info()).progress is None


def test_the_same_goes_without_an_event_loop_and_from_the_command_line(house: House, tmp_path: Path) -> None:
    with SyncClient(settings=house.settings(), modules=[MODULE], telemetry=Telemetry()) as client:
        run = client.trigger(annotated.tells(str(tmp_path / "go")), delay="1h")
        assert run.metadata.increment("n", 2) == 2
        run.metadata.set("a", 1)
        run.metadata.append("log", 1)
        run.metadata.add_tags("red", "blue")
        run.metadata.remove_tags("blue")
        run.metadata.delete("a")
        assert run.metadata.change(increment={"n": 1}) == {"n": 3}
        assert run.metadata.get() == {"n": 3, "log": [1]}
        told = house.json(
            "runs", "metadata", run.id, "--set", "k=v", "--set", "j=[1]", "--increment", "n", "--increment", "f=0.5",
            "--append", "log=two", "--delete", "never", "--add-tag", "green", "--remove-tag", "red",
        )  # fmt: skip
        assert told["metadata"] == {"n": 4, "log": [1, "two"], "k": "v", "j": [1], "f": 0.5}
        assert told["tags"] == ["green"] and told["status"] == "DELAYED"
        shown = house.run("runs", "metadata", run.id)
        assert shown.returncode == 0 and "log" in shown.stdout and "green" in shown.stdout
        assert "metadata" in house.run("runs", "show", run.id).stdout
        for words in (["--set", "k"], ["--set", "=1"], ["--increment", "n=x"], ["--set", "a=1", "--set", "a=2"]):
            assert house.run("runs", "metadata", run.id, *words).returncode == 2, words
        assert house.run("runs", "metadata", run.id, "--add-tag", "x" * 129).returncode == 2
        assert house.run("runs", "metadata", run.id, "--increment", "log").returncode == 2
        run.cancel()
        assert house.run("runs", "metadata", run.id, "--set", "k=v").returncode == 2


async def test_a_foreign_program_annotates_and_the_same_message_again_changes_nothing(
    client: Client, house: House, tmp_path: Path
) -> None:
    run = await client.trigger(annotated.tells(str(tmp_path / "go")), delay="1h")
    edits = [{"op": "increment", "key": "n", "value": 3}, {"op": "add_tag", "key": "far"}]
    body = json.dumps({"type": "annotate", "run_id": run.id, "edits": edits})
    wrong = json.dumps({"type": "annotate", "run_id": run.id, "edits": [{"op": "x", "key": "n"}]})
    one = {"body": body, "message_id": "m-1"}
    first, again, refused = await run_foreign(house, [one, one, {"body": wrong}], answers=3)
    assert first["body"]["data"] == {"run_id": run.id, "status": "DELAYED", "values": {"n": 3}}
    assert again["body"]["data"] == {"run_id": run.id, "status": "DELAYED", "values": {"n": 3}}
    assert refused["body"]["error"]["rule"] == "edits"
    assert await run.metadata.get() == {"n": 3} and (await run.info()).tags == ["far"]
    await run.cancel()


async def test_counts_are_exact_over_a_killed_worker_of_a_workflow(build: Build) -> None:
    house = build()
    house.decide()
    worker = house.work(module=MODULE)
    async with house.client(modules=[MODULE]) as client:
        run = await client.trigger(annotated.parts(5, 10, False))
        await in_status(run, "HANGING")
        worker.kill()
        house.work(module=MODULE)
        assert (await run.result(timeout=60))["pumps"] == 1
        assert (await run.metadata.get())["pumps"] == 1


async def test_events_tell_every_change_of_every_run_to_client_and_command_line(client: Client, house: House) -> None:
    heard: list[Fields] = []

    async def listen() -> None:
        async for event in client.events(routine="part", status="completed"):
            heard.append(event)
            if len(heard) == 3:
                return

    listening = asyncio.create_task(listen())
    command = [sys.executable, "-m", "longshore.cli", "events", "--count", "1", "--json", "--routine", "parts"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=house.folder, env=house._environment(), stdout=asyncio.subprocess.PIPE
    )
    ending = asyncio.create_task(process.communicate())
    while not (listening.done() and ending.done()):  # however long the command takes to begin
        run = await client.trigger(annotated.parts(3, 1, False))
        await run.result(timeout=30)
        await asyncio.wait([listening, ending], timeout=1)
    out, _ = ending.result()
    assert {event.to_status for event in heard} == {"COMPLETED"} and {event.routine for event in heard} == {"part"}
    assert all(event.root_id != event.run_id and event.at for event in heard)
    assert json.loads(out)["routine"] == "parts" and process.returncode == 0
    with pytest.raises(UsageError, match="no status"):
        await anext(client.events(status="LATE"))
    with pytest.raises(UsageError, match="no run id"):
        await anext(client.events(run_id="foo"))
