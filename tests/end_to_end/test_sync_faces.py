"""Events, queues and schedules for code without an event loop, on the embedded bus and on RabbitMQ: the same verbs, the
same answers."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from longshore import Order, SyncClient
from longshore.core.errors import Rejected, UsageError
from longshore.settings import Settings, load
from longshore.telemetry import Telemetry
from tests.cli.conftest import ROOT, Terminal, end
from tests.end_to_end.house import House
from tests.support.wait import eventually_sync

WITHIN = 30.0


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    here = Terminal(tmp_path_factory.mktemp("dev"))
    shutil.copy(ROOT / "tests" / "end_to_end" / "routines.py", here.folder / "routines.py")
    process = here.start("dev", "routines", "--json", stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["event"] == "ready"
        lies = Path(here.folder, ".longshore")
        yield load(broker_url=f"local:{lies / 'bus.sock'}", payload_url=f"file:{lies / 'payloads'}")
    finally:
        end(process)
        process.stdout.close()


@pytest.fixture(scope="module")
def rabbitmq(rabbit: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with House(tmp_path_factory.mktemp("house"), rabbit.vhost()) as house:
        house.decide()
        house.work()
        yield house.settings()


@pytest.fixture(params=["embedded", "rabbitmq"])
def client(request: pytest.FixtureRequest) -> Iterator[SyncClient]:
    with SyncClient(settings=request.getfixturevalue(request.param), telemetry=Telemetry()) as client:
        yield client


@pytest.fixture
def name() -> str:
    return f"n-{secrets.token_hex(4)}"


class Listening:
    """Reads events in a thread of its own until it has heard of an end."""

    def __init__(self, client: SyncClient, **which: Any) -> None:
        self.heard: list[Any] = []
        self._client, self._which = client, which
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        for change in self._client.events(**self._which):
            self.heard.append(change)
            if "last" in change.tags and change.to_status == "COMPLETED":
                return  # the iterator is left, and with it the listening

    def ended(self) -> bool:
        self._thread.join(0.05)
        return not self._thread.is_alive()


def test_events_are_heard_by_an_ordinary_loop_that_may_be_left(client: SyncClient) -> None:
    listening = Listening(client, routine="echo")

    def is_heard() -> bool:
        client.run("echo", args=[0], timeout=WITHIN)
        return bool(listening.heard)

    eventually_sync(is_heard, within=WITHIN)
    client.run("add", args=[1], timeout=WITHIN)
    run = client.trigger("echo", args=[1], tags=["last"])
    assert run.result(timeout=WITHIN) == 1
    eventually_sync(listening.ended, within=WITHIN, what="the end of the loop")
    mine = [change for change in listening.heard if change.run_id == run.id]
    assert [change.to_status for change in mine] == ["QUEUED", "DISPATCHED", "EXECUTING", "COMPLETED"]
    assert [change.seq for change in mine] == [1, 2, 3, 4] and not any(change.gap for change in listening.heard)
    assert {change.routine for change in listening.heard} == {"echo"}
    with pytest.raises(UsageError, match="is no status"):
        next(iter(client.events(status="over")))


def test_queues_are_limited_paused_and_resumed(client: SyncClient, name: str) -> None:
    with pytest.raises(Rejected, match=name):
        client.limit_queue(name, limit=1)
    assert client.limit_queue(name, limit=2, key_limit=1, rate="100/1s", create=True).limit == 2
    assert client.pause_queue(name).paused
    runs: Any = client.trigger_many([Order("echo", [number]) for number in range(4)], queue=name)
    row = next(one for one in client.queues() if one.name == name)
    assert (row.queued, row.executing, row.paused, row.key_limit) == (4, 0, True, 1)
    why = runs[0].why_waiting()
    assert why is not None and why["kind"] == "paused"
    assert not client.resume_queue(name).paused
    assert [run.result(timeout=WITHIN) for run in runs] == [0, 1, 2, 3]
    assert client.limit_queue(name, limit=None, rate=None).limit is None
    with pytest.raises(UsageError, match="nothing to change"):
        client.limit_queue(name)


def test_schedules_are_made_looked_at_paused_and_deleted(client: SyncClient, name: str) -> None:
    schedules = client.schedules
    made = schedules.create("echo", id=name, every="1s", args=["tick"], tags=[name])
    assert made.created and not schedules.create("echo", id=name, every="1s", args=["tick"], tags=[name]).created
    eventually_sync(lambda: client.runs(schedule=name, status="COMPLETED"), within=WITHIN, what="a tick")
    first, second = schedules.next(name, 2)
    assert second - first == timedelta(seconds=1)
    assert schedules.pause(name).paused and not schedules.resume(name).paused
    assert schedules.get(name).every_ms == 1000
    assert [one.schedule_id for one in schedules.list(routine="echo") if one.schedule_id == name] == [name]
    schedules.delete(name)
    assert not [one for one in schedules.list() if one.schedule_id == name]
    with pytest.raises(Rejected, match="there is no schedule"):
        schedules.get(name)
