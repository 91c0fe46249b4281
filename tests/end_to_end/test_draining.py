"""Workers that are ordered to leave, on RabbitMQ: by people, by programs, one process of several."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from longshore import Client, SyncClient
from longshore.telemetry import Telemetry
from tests.end_to_end.builds.gates import gate
from tests.end_to_end.conftest import Build, in_status
from tests.end_to_end.test_foreign import run_foreign
from tests.support.wait import eventually

MODULE = "tests.end_to_end.builds.gates"


async def names(client: Client, *, status: str = "") -> list[str]:
    """The workers that have not left, those in this status."""
    return [one.worker_id for one in await client.workers() if one.status != "CLOSED" and status in ("", one.status)]


async def test_one_process_of_a_supervisor_leaves_when_its_run_has_ended_and_is_not_started_again(
    build: Build, tmp_path: Path
) -> None:
    house = build()
    house.decide()
    crew = await asyncio.to_thread(house.work, module=MODULE, processes=2)
    async with house.client() as client:
        run = await client.trigger(gate(str(tmp_path)))
        await in_status(run, "EXECUTING")
        (busy,) = await names(client, status="WORKING")
        (told,) = house.json_lines("workers", "drain", busy, "--grace", "10m")
        assert told == {"worker_id": busy, "status": "TERMINATING", "held": 1}
        (row,) = [one for one in house.json_lines("workers", "list") if one["worker_id"] == busy]
        assert (row["status"], row["held"]) == ("TERMINATING", [run.id])
        late = house.run("workers", "drain", busy, "--wait-timeout", "1")
        assert late.returncode == 1 and "they go on leaving" in late.stderr

        (tmp_path / "go").touch()
        assert await run.result(timeout=20) == "open"
        await eventually(lambda: _alone(client, busy), within=20)
        await eventually(lambda: len(crew.children()) == 1, within=20)
        again = await client.trigger(gate(str(tmp_path)))
        assert await again.result(timeout=20) == "open"
        assert (await again.info()).worker_id != busy

        gone = house.run("workers", "drain", busy, "--json")
        assert gone.returncode == 2 and json.loads(gone.stderr)["error"]["message"].endswith("it has left")
        with SyncClient(settings=house.settings(), telemetry=Telemetry()) as sync:
            (last,) = await asyncio.to_thread(sync.drain_worker, version="gate@1.0.0")
            assert last.status == "TERMINATING"
        assert await asyncio.to_thread(crew.wait, 20) == 0
        assert len(await client.workers()) == 2, "nobody was started in their places"


async def _alone(client: Client, gone: str) -> bool:
    return gone not in await names(client)


async def test_a_program_that_knows_only_json_has_a_pool_leave_and_is_told_who(build: Build) -> None:
    house = build()
    house.decide()
    crew = await asyncio.to_thread(house.work, module=MODULE, pool="old")
    orders: list[dict[str, Any]] = [
        {"type": "drain_worker", "pool": "old", "grace_ms": 0},
        {"type": "drain_worker", "pool": "none"},
    ]
    publish = [{"body": json.dumps(one), "correlation_id": one["pool"]} for one in orders]
    answers = {one["correlation_id"]: one["body"] for one in await run_foreign(house, publish, answers=2)}
    (told,) = answers["old"]["data"]["workers"]
    assert told["status"] == "TERMINATING"
    assert answers["none"]["error"] == {"rule": "unknown_worker", "text": "there is no worker with pool none"}
    assert await asyncio.to_thread(crew.wait, 20) == 0
