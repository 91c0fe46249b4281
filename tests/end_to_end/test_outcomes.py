"""How the end of a child reaches the workflow that called it, on the embedded default."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from longshore import Client
from longshore.settings import load
from longshore.telemetry import Telemetry
from tests.cli.conftest import Terminal, end
from tests.end_to_end.going_on import hears
from tests.support.wait import eventually


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    here = Terminal(tmp_path_factory.mktemp("dev"))
    process = here.start("dev", "tests.end_to_end.going_on", "--json", stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["event"] == "ready"
        yield here
    finally:
        end(process)
        process.stdout.close()


@pytest.fixture
async def client(place: Terminal) -> AsyncIterator[Client]:
    folder = place.folder / ".longshore"
    settings = load(broker_url=f"local:{folder / 'bus.sock'}", payload_url=f"file:{folder / 'payloads'}")
    async with Client(settings=settings, telemetry=Telemetry()) as client:
        yield client


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        ("CRASHED", "RunCrashed", "ended as CRASHED"),
        ("TIMED_OUT", "RunTimedOut", "naps@1.0.0 took longer than its timeout of 0.2 s"),
        ("EXPIRED", "RunExpired", "ended as EXPIRED"),
        ("CANCELED", "RunCanceled", "ended as CANCELED"),
        ("SYSTEM_FAILURE", "RunSystemFailure", "ended as SYSTEM_FAILURE"),
        ("FAILED", "ValueError", "it fails"),
    ],
)
async def test_each_end_of_a_child_reaches_its_parent_as_its_own_exception(
    place: Terminal, client: Client, status: str, error: str, said: str
) -> None:
    run = await client.trigger(hears(status))
    if status in ("CANCELED", "SYSTEM_FAILURE"):
        child = await _child(run, "EXECUTING" if status == "CANCELED" else "DELAYED")
        await _meddle(client, place, child)
    told = await run.result(timeout=10)
    tree = await run.tree()
    assert told[:2] == [error, status] and said in told[3], told
    assert [row["status"] for row in tree] == ["COMPLETED", status]
    assert told[2] in ("", tree[1]["run_id"])


async def _child(run: Any, status: str) -> str:
    async def found() -> str:
        rows = [row["run_id"] for row in (await run.tree())[1:] if row["status"] == status]
        return rows[0] if rows else ""

    child: str = await eventually(found, within=10)
    return child


async def _meddle(client: Client, place: Terminal, child: str) -> None:
    """Cancel the child, or take its input away, if it lies in the payload store."""
    objects = [path for path in Path(place.folder, ".longshore/payloads").rglob("*") if child in str(path)]
    files = [path for path in objects if path.is_file()]
    for path in files:
        path.unlink()
    if not files:
        await client.handle(child).cancel()
