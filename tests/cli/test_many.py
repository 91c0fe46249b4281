"""Batches, bulk orders and the outbox as they are typed, beside a real `longshore dev`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine, func, select

from longshore.outbox import OutboxTable
from tests.cli.conftest import Terminal, end
from tests.support.wait import eventually_sync


def lines_of(done: subprocess.CompletedProcess[str]) -> list[Any]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_file_is_a_batch_of_one_run_per_line_and_twice_is_the_same(dev: Terminal) -> None:
    (dev.folder / "items.jsonl").write_text('[1, 2]\n{"a": 3, "b": 4}\n\n"odd"\n{broken\n[5]\n')
    words = ("trigger", "add", "--batch", "items.jsonl", "--batch-id", "mine", "--wait", "--json")
    done = dev.run(*words)
    assert done.returncode == 1, done.stderr
    *items, told = lines_of(done)
    assert [one["item"] for one in items] == [1, 2, 3, 4, 5]
    assert "line 4 is neither a list" in items[2]["error"]["message"]
    assert "line 5 is not JSON" in items[3]["error"]["message"]
    assert told == {"batch_id": "mine", "sent": 3, "failed": 2, "statuses": {"COMPLETED": 3}}
    again = lines_of(dev.run(*words))
    assert [one.get("run_id") for one in again] == [one.get("run_id") for one in [*items, told]]
    shown = dev.json("batches", "show", "mine")
    assert (shown["status"], shown["runs"], shown["items"]) == ("sealed", 3, 3)
    assert "mine" in [one["batch_id"] for one in dev.lines("batches", "list", "--status", "sealed")]
    assert len(dev.lines("runs", "list", "--batch", "mine")) == 3
    people = dev.run("batches", "show", "mine")
    assert "sealed" in people.stdout and "COMPLETED" in people.stdout


def test_standard_input_is_read_as_it_comes(dev: Terminal) -> None:
    process = dev.start("trigger", "add", "--batch", "-", "--json", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("[1]\n")
        process.stdin.flush()
        assert "run_id" in json.loads(process.stdout.readline())
        process.stdin.write("[2]\n")
        process.stdin.close()
        rest = [json.loads(line) for line in process.stdout]
        assert rest[-1]["sent"] == 2 and process.wait(30) == 0
    finally:
        end(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def test_many_are_canceled_and_run_again_by_conditions(dev: Terminal) -> None:
    for _ in range(3):
        dev.json("trigger", "absent", "--tag", "bulk-cli")
    told = dev.json("runs", "cancel", "--tag", "bulk-cli", "--status", "pending_version", "--reason", "typo", "--yes")
    assert (told["status"], told["done"], told["progress"]) == ("done", 3, 1.0)
    assert told["filter"] == {"status": ["PENDING_VERSION"], "tag": "bulk-cli"}
    again = dev.json("runs", "rerun", "--tag", "bulk-cli", "--yes", "--detach")
    eventually_sync(lambda: dev.json("bulk", "show", again["bulk_id"])["status"] == "done", within=30)
    shown = dev.json("bulk", "show", again["bulk_id"])
    assert (shown["what"], shown["done"]) == ("rerun", 3)
    assert {told["bulk_id"], again["bulk_id"]} <= {one["bulk_id"] for one in dev.lines("bulk", "list")}
    late = dev.run("bulk", "abort", told["bulk_id"])
    assert late.returncode == 2 and "is done: 3 of 3 runs" in late.stderr
    dev.json("runs", "cancel", "--routine", "absent", "--yes")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trigger", "add", "--batch", "nowhere.jsonl"), "--batch nowhere.jsonl: No such file"),
        (("trigger", "add", "--batch", "-", "--arg", "a=1"), "--batch FILE has the arguments of every run"),
        (("trigger", "add", "--batch-id", "b"), "--batch-id names the batch that --batch FILE sends"),
        (("trigger", "add", "--batch", "-", "--batch-id", "no spaces"), "a batch is named by"),
        (("batches", "show", "nowhere"), "there is no batch 'nowhere'"),
        (("batches", "list", "--status", "half"), "'half' is no status of a batch"),
        (("bulk", "show", "nowhere"), "there is no bulk order 'nowhere'"),
        (("bulk", "abort", "nowhere"), "there is no bulk order 'nowhere'"),
        (("runs", "cancel", "--yes"), "cancel needs a RUN_ID or conditions"),
        (("runs", "cancel", "--tag", "x"), "cancel every run with tag=x? Nobody can be asked here"),
        (("runs", "cancel", "--all", "--tag", "x", "--yes"), "all=True means every run"),
        (("runs", "cancel", "--status", "COMPLETED", "--yes"), "a bulk cancel is about runs that are"),
        (("runs", "rerun", "--status", "QUEUED", "--yes"), "a bulk rerun is about runs that are"),
        (("runs", "cancel", "--created-after", "noon", "--yes"), "--created-after 'noon' is no time with its zone"),
        (("runs", "cancel", "01890a5d-ac96-774b-bcce-b302099a8057", "--tag", "x", "--yes"), "a RUN_ID names one run"),
        (("runs", "rerun", "--tag", "x", "--version", "1.0.0", "--yes"), "go with one RUN_ID"),
        (("outbox", "relay", "--database-url", "nonsense"), "the database's URL cannot be used"),
        (("outbox", "relay", "--database-url", "sqlite:///theirs.db"), "there is no table 'longshore_outbox'"),
        (("outbox", "relay", "--database-url", "sqlite:///theirs.db", "--poll", "soon"), "--poll 'soon'"),
        (("outbox", "relay", "--database-url", "sqlite:///theirs.db", "--batch", "0"), "--batch"),
        (("outbox", "relay"), "--database-url"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason_and_exit_status_2(
    dev: Terminal, words: tuple[str, ...], said: str
) -> None:
    done = dev.run(*words)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert said in " ".join(done.stderr.split())


def test_a_relay_killed_at_any_point_leaves_each_run_once(dev: Terminal, tmp_path: Path) -> None:
    """kill -9 again and again while rows are committed: every row becomes one run, and none is left over."""
    url = f"sqlite:///{tmp_path / 'theirs.db'}"
    metadata = MetaData()
    outbox = OutboxTable(metadata, project="default")
    engine = create_engine(url)
    metadata.create_all(engine)
    ids: list[str] = []

    def left() -> int:
        with engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(outbox.table)).scalar_one())

    for _ in range(3):
        with engine.begin() as connection:
            ids += [outbox.add(connection, "add", args=[number], batch_id="outbox") for number in range(100)]
        before = left()
        words = ("outbox", "relay", "--database-url", url, "--poll", "50ms", "--batch", "10")
        process = dev.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually_sync(lambda: left() < before, within=30)  # noqa: B023 - called in this very turn
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    process = dev.start("outbox", "relay", "--database-url", url, "--json", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "ready"
    eventually_sync(lambda: left() == 0, within=60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0 and json.loads(process.stdout.read())["event"] == "stopped"
    process.stdout.close()
    engine.dispose()
    found = {one["run_id"] for one in dev.lines("runs", "list", "--batch", "outbox", "--limit", "1000")}
    assert found == set(ids) and len(ids) == 300
