"""The embedded default in small: `longshore dev` in a folder, scripts with a Client in processes of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Terminal, end

SCRIPT = """
import asyncio, json, time
from longshore import ArgumentError, Client, RunCanceled, RunFailed, UsageError
from routines import add, carries, catches, deep, echo, patient, sleeps, total, traced

async def main():
    told = {}
    async with Client(modules=["routines"]) as client:
        told["task"] = await client.run(add(40, 2), timeout=20)
        told["deep"] = await client.run(deep(10), timeout=20)
        told["total"] = await client.run(total(300), timeout=20)
        told["catches"] = await client.run(catches(3), timeout=20)
        told["many"] = sum([await run.result() for run in await client.trigger_many([echo(i) for i in range(2500)])])
        told["carries"] = await client.run(carries(300_000), timeout=20)
        keyed = await asyncio.gather(*(client.trigger(echo(i), idempotency_key="k") for i in range(100)))
        told["keyed"] = len({run.id for run in keyed})
        try:
            await client.run("add", args=["many"], timeout=20)
        except RunFailed as error:
            assert isinstance(error.__cause__, ArgumentError)
            told["misfit"] = str(error.__cause__)
        try:
            await client.trigger("1 + 1")
        except UsageError as error:
            told["refused"] = str(error).partition(":")[0]
        pending = await client.trigger("adder", args=[1])
        told["pending"] = (await pending.why_waiting())["text"]
        sleeping = await client.trigger(sleeps(60))
        began = time.monotonic()
        while await sleeping.status() != "HANGING":
            await asyncio.sleep(0.01)
        told["hanging_after"] = time.monotonic() - began
        await sleeping.cancel(reason="enough")
        try:
            await sleeping.result(timeout=10)
        except RunCanceled:
            told["canceled"] = await sleeping.status()
        retrying = await client.trigger(patient())
        while await retrying.status() != "RETRYING":
            await asyncio.sleep(0.01)
        told["retrying"] = (await retrying.why_waiting())["kind"]
        await retrying.cancel()
        run = await client.trigger(traced("x"))
        told["traced"] = await run.result(timeout=20)
        told["run_id"] = run.id
    print(json.dumps(told))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    here = Terminal(tmp_path_factory.mktemp("dev"))
    shutil.copy(ROOT / "tests" / "end_to_end" / "routines.py", here.folder / "routines.py")
    process = here.start("dev", "routines", "--json", stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["event"] == "ready"
        yield here
    finally:
        end(process)
        process.stdout.close()


def test_everything_once_more_in_small_from_a_script(place: Terminal) -> None:
    (place.folder / "script.py").write_text(SCRIPT)
    done = place.python("-W", "error", "script.py")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("hanging_after") < 1
    assert "x" in told.pop("misfit")
    assert "add" in told.pop("pending").replace("adder", "")
    tree = place.json("runs", "tree", told.pop("run_id"))
    assert [row["routine"] for row in tree] == ["traced", "say", "flaky"]
    assert told == {
        "task": 42,
        "deep": 10,
        "total": sum(range(300)),
        "catches": ["Odd", 3],
        "many": sum(range(2500)),
        "carries": 300_001,
        "keyed": 1,
        "refused": "'1 + 1' is no routine name",
        "canceled": "CANCELED",
        "retrying": "retry",
        "traced": ["x", 2],
    }


def test_the_payloads_lie_in_the_folder(place: Terminal) -> None:
    done = place.run("trigger", "text", "--arg", "size=100000", "--wait")
    assert done.returncode == 0 and len(done.stdout) > 100_000
    assert any(path.stat().st_size > 100_000 for path in Path(place.folder, ".longshore/payloads").rglob("*"))


def test_commands_in_other_terminals_just_work(place: Terminal) -> None:
    triggered = place.json("trigger", "odd", "--arg", "number=3")
    done = place.run("runs", "watch", triggered["run_id"], "--json")
    assert done.returncode == 1
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()][-1] == "FAILED"
    shown = place.json("runs", "show", triggered["run_id"])
    assert shown["error"]["type"].endswith("Odd")
    (worker,) = place.lines("workers", "list")
    assert worker["status"] in ("IDLE", "HANGING", "WORKING") and "odd@1.0.0" in worker["offers"]
    assert place.lines("dead", "list") == []
