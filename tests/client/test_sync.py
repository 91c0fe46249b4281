"""The client without await: a scripted coordinator in a thread, on the local bus over a socket."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from longshore.broker.local import LocalRouter
from longshore.broker.local_socket import serve
from longshore.client import Order, SyncClient, SyncRun
from longshore.core.envelope import Names
from longshore.core.errors import BrokerUnavailableError, RunFailed, UsageError
from longshore.routines import define
from longshore.settings import Settings, load
from tests.client.conftest import add as plain_add
from tests.client.conftest import fail as plain_fail
from tests.client.scripted import Scripted
from tests.support.wait import eventually_sync


@define.task(name="add", version="1.0.0")
def add(x: int, y: int = 1) -> int:
    return x + y


@define.action(name="slow", version="1.0.0")
def slow() -> int:
    return 1


class House:
    """A router, its socket and a scripted coordinator, on a loop in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.coordinator: Scripted
        self.loop: asyncio.AbstractEventLoop
        self._up = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._live(),))

    def __enter__(self) -> House:
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)

    async def _live(self) -> None:
        self.loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        router = LocalRouter(Names("longshore"))
        server = await serve(router, self.path)
        async with Scripted(router.bus(), Names("longshore"), add=plain_add, fail=plain_fail) as self.coordinator:
            self._up.set()
            await self._stopping.wait()
        await server.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path / "bus.sock") as house:
        yield house


@pytest.fixture
def settings(house: House, tmp_path: Path) -> Settings:
    return load(broker_url=f"local:{house.path}", payload_url=f"file:{tmp_path / 'payloads'}")


def test_the_same_verbs_work_without_await(settings: Settings, house: House) -> None:
    with SyncClient(settings=settings) as client:
        assert client.run(add(1)) == 2
        run = client.trigger("add", args=[1], kwargs={"y": 5})
        assert isinstance(run, SyncRun) and run.result(timeout=5) == 6
        runs = client.trigger_many(add(i) for i in range(10))
        assert [one.result() for one in runs] == list(range(1, 11))
        assert [one.result() for one in client.trigger_stream([add(4), add(5)])] == [5, 6]
        with pytest.raises(RunFailed) as caught:
            client.run("fail", args=["boom"])
        assert type(caught.value.__cause__) is ValueError
        house.coordinator.answers["workers"] = lambda ask: []
        assert client.workers() == []
        house.coordinator.answers["run"] = lambda ask: {"status": house.coordinator.statuses[ask.run_ids[0]]}
        waiting = client.trigger(slow())
        client.handle(waiting.id).cancel("enough")
        assert waiting.status() == "CANCELED"
        house.coordinator.statuses[waiting.id] = "BLOCKED"
        waiting.resume("repaired")
        house.coordinator.statuses[waiting.id] = "BLOCKED"
        client.resume(waiting.id)
        assert [order.reason for order in house.coordinator.resumes] == ["repaired", ""]


def test_a_run_is_watched_by_an_ordinary_loop(settings: Settings, house: House) -> None:
    house.coordinator.answers["history"] = lambda ask: [
        {"run_id": ask.run_ids[0], "seq": seq, "to_status": status}
        for seq, status in enumerate(["QUEUED", "DISPATCHED", "COMPLETED"], 1)
    ]
    with SyncClient(settings=settings) as client:
        run = client.trigger(add(1))
        assert [change.status for change in run.watch()] == ["QUEUED", "DISPATCHED", "COMPLETED"]
        for _ in run.watch():
            break  # an iterator that is left early ends its watching


def test_a_closed_client_and_a_missing_broker_say_so(settings: Settings, tmp_path: Path) -> None:
    client = SyncClient(settings=settings)
    with pytest.raises(UsageError, match="with SyncClient"):
        client.workers()
    with client:
        run = client.trigger(add(1))
    client.close()
    with pytest.raises(UsageError, match="closed"):
        run.result()
    began = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match="nowhere"):
        SyncClient(broker_url=f"local:{tmp_path / 'nowhere.sock'}", connect_timeout=0.3).open()
    assert time.monotonic() - began < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "longshore-client"]


SCRIPT = """
import sys
from longshore import SyncClient, define
@define.action(name="slow", version="1.0.0")
def slow() -> int: return 1
with SyncClient() as client:
    run = client.trigger(slow())
    print(run.id, flush=True)
    try:
        run.result()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_ctrl_c_interrupts_a_wait(house: House, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "LONGSHORE_BROKER_URL": f"local:{house.path}"}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    )
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    eventually_sync(lambda: run_id in house.coordinator.watchers, within=10)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10)[0] == "interrupted\n"
    assert process.returncode == 0 and house.coordinator.statuses[run_id] == "QUEUED"


def test_without_a_broker_url_the_bus_of_a_running_dev_in_this_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / ".longshore").mkdir()
    with House(tmp_path / ".longshore" / "bus.sock"):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from longshore import SyncClient as C\nwith C() as c: print(c.run('add', args=[1]))",
            ],
            capture_output=True,
            text=True,
            timeout=30,
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if not name.startswith("LONGSHORE_")}
            | {"PYTHONPATH": str(Path.cwd())},
            check=False,
        )
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_batches_without_await(house: House, settings: Settings) -> None:
    answers = house.coordinator.answers
    answers["batch"] = lambda ask: {"status": "sealed", "unfinished": 0, "batch_id": ask.params["batch_id"]}
    answers["batches"] = lambda ask: [{"batch_id": "b"}]
    answers["runs"] = lambda ask: [{"run_id": "r", "batch_id": ask.params["batch_id"]}]
    with SyncClient(settings=settings) as client:
        started: Any = client.trigger_many([Order("add", [1])], batch_id="b")
        assert started.batch_id == "b" and started[0].result() == 2
        batch = client.batch("b")
        assert (batch.id, repr(batch)) == ("b", "<batch b>")
        assert batch.wait().batch_id == batch.info().batch_id == "b"
        assert batch.runs()[0].run_id == client.runs(batch_id="b")[0].run_id == "r"
        assert client.batches()[0].batch_id == "b"


def test_bulk_orders_without_await(house: House, settings: Settings) -> None:
    answers = house.coordinator.answers
    answers["bulk"] = lambda ask: {"status": "done", "bulk_id": ask.params["bulk_id"]}
    answers["bulks"] = lambda ask: [{"bulk_id": "b"}]
    with SyncClient(settings=settings) as client:
        bulk = client.cancel_runs(routine="add", bulk_id="b")
        assert (bulk.id, repr(bulk)) == ("b", "<bulk order b>")
        assert bulk.wait().status == bulk.progress().status == "done" and bulk.abort().status == "taken"
        assert client.rerun_runs(tag="x").wait(timeout=5).status == client.batch("b").cancel().wait().status == "done"
        assert client.bulk("b").id == client.bulks()[0].bulk_id == "b"
    told = [type(order).__name__ for order in house.coordinator.batch_orders]
    assert told == ["Bulk", "AbortBulk", "Bulk", "Bulk"]
