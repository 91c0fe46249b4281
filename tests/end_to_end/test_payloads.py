"""Large values through a whole house: claim checks in a folder and in S3, bounded memory, and stores that fail."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from longshore import Client, PayloadCorrupt, RunSystemFailure
from longshore.telemetry import Telemetry
from tests.end_to_end.conftest import Broker, Build
from tests.end_to_end.house import MIB, House, memory
from tests.end_to_end.routines import big, carries, echo, length, stow
from tests.support.proxy import Proxy
from tests.support.rabbit import RabbitNode
from tests.support.s3 import S3Server, s3_server
from tests.support.wait import eventually

LIMIT = 65_536


def settings_of(server: S3Server | str) -> dict[str, Any]:
    url = server if isinstance(server, str) else server.url
    return {
        "payload_url": "s3://payloads/house",
        "s3_endpoint_url": url,
        "s3_region": "us-east-1",
        "s3_access_key_id": "test",
        "s3_secret_access_key": "test",
    }


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def s3_house(rabbit: Broker, s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("s3-house"), rabbit.vhost(), **settings_of(s3)) as house:
        house.decide()
        house.work()
        yield house


@pytest.fixture(params=["house", "s3_house"])
async def anywhere(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """A client of a house with a folder, and of one with S3."""
    house: House = request.getfixturevalue(request.param)
    async with house.client() as client:
        yield client


async def test_what_is_over_64_kib_travels_as_a_claim_check_and_the_rest_inline(anywhere: Client) -> None:
    small = await anywhere.trigger(big(LIMIT - 100))
    assert len(await small.result(timeout=10)) == LIMIT - 100
    large = await anywhere.trigger(big(LIMIT + 100))
    assert await large.result(timeout=10) == bytes(LIMIT + 100)
    assert (await small.tree())[0]["result_size"] is None
    assert (await large.tree())[0]["result_size"] >= LIMIT + 100
    given = await anywhere.trigger(length(b"x" * (3 * LIMIT)))
    assert await given.result(timeout=10) == 3 * LIMIT
    assert (await given.tree())[0]["input_size"] >= 3 * LIMIT


async def test_a_workflow_carries_large_values_between_its_subroutines(anywhere: Client) -> None:
    run = await anywhere.trigger(carries(5 * MIB))
    assert await run.result(timeout=20) == 5 * MIB + 1
    root, first, second = await run.tree()
    assert first["result_size"] >= 5 * MIB and second["input_size"] >= 5 * MIB and root["result_size"] is None


# ------------------------------------------------------------------------------------------------------- memory


PULL = """
import resource, sys
from pathlib import Path
from typing import Any
from longshore import SyncClient
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024
with SyncClient() as client:
    client.run("text", args=[100_000])
    before = peak()
    value = client.run("heavy", args=[int(sys.argv[1])])
    print(len(value), peak() - before)
"""


async def test_256_mib_pass_in_bounded_memory_and_nothing_of_them_in_coordinator_and_broker(
    build: Build, rabbit_node: RabbitNode
) -> None:
    size, above = 256 * MIB, 96 * MIB
    house = build()
    coordinator = house.decide()
    worker = house.work()
    (child,) = worker.children()
    async with house.client() as client:
        await client.run("text", args=[100_000], timeout=20)
    beam = _beam(rabbit_node)
    coordinator_before, beam_before = memory(coordinator.pid, "VmHWM"), memory(beam)
    worker_before = memory(child, "VmHWM")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PULL, str(size),
        cwd=house.folder, env=house._environment(), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    came, client_grew = map(int, out.split())
    assert came == size
    grown = {
        "client": client_grew - size,
        "worker": memory(child, "VmHWM") - worker_before - size,
        "coordinator": memory(coordinator.pid, "VmHWM") - coordinator_before,
        "broker": memory(beam) - beam_before,
    }
    shown = {part: f"{octets / MIB:.1f} MiB" for part, octets in grown.items()}
    assert grown["client"] <= above and grown["worker"] <= above, shown
    assert grown["coordinator"] < 16 * MIB and grown["broker"] < 48 * MIB, shown
    sys.stdout.write(f"above its own 256 MiB, at most: {shown}\n")  # seen with -rP


def _beam(node: RabbitNode) -> int:
    """The process id of the node's virtual machine."""
    return int(node.ctl("eval", "os:getpid().").strip().strip('"'))


# ------------------------------------------------------------------------------------------------ a bad store


def _objects(house: House, run_id: str) -> list[Path]:
    return [path for path in (house.folder / "payloads").rglob("*") if path.is_file() and run_id in str(path)]


async def test_a_missing_or_corrupt_result_fails_that_wait_only(house: House, client: Client) -> None:
    for spoil in (Path.unlink, lambda path: path.write_bytes(b"\0" * path.stat().st_size)):
        run = await client.trigger(big(LIMIT * 2))

        async def ended() -> bool:
            return await run.status() == "COMPLETED"  # noqa: B023 - awaited at once

        await eventually(ended, within=10)
        (path,) = _objects(house, run.id)
        spoil(path)
        with pytest.raises(PayloadCorrupt, match=path.name):
            await run.result(timeout=10)
        assert await client.run(echo(1), timeout=10) == 1


async def test_a_missing_or_corrupt_argument_fails_that_run_only_and_says_what_is_wrong(
    house: House, client: Client
) -> None:
    for spoil, word in (
        (Path.unlink, "missing"),
        (lambda path: path.write_bytes(b"\0" * path.stat().st_size), "sha256"),
    ):
        run = await client.trigger(length(b"x" * (2 * LIMIT)), delay=0.5)
        (path,) = _objects(house, run.id)
        spoil(path)
        with pytest.raises(RunSystemFailure, match=word) as caught:
            await run.result(timeout=10)
        assert caught.value.status == "SYSTEM_FAILURE" and path.name in str(caught.value)
        assert (await run.info())["attempt"] == 1
        assert await client.run(length(b"ok"), timeout=10) == 2


async def test_a_store_that_does_not_answer_makes_attempts_fail_and_small_values_pass(
    s3: S3Server, build: Build
) -> None:
    async with Proxy.before(s3.url) as door:
        house = build(**settings_of(f"http://127.0.0.1:{door.port}"))
        await asyncio.to_thread(house.decide)
        await asyncio.to_thread(house.work)
        async with house.client() as client:
            assert len(await client.run(stow(2 * LIMIT), timeout=20)) == 2 * LIMIT
            door.refuse()
            run = await client.trigger(stow(2 * LIMIT))
            assert await client.run(echo("small"), timeout=10) == "small"

            async def retrying() -> bool:
                return await run.status() == "RETRYING"

            await eventually(retrying, within=60, what="another attempt")
            reason = await run.why_waiting()
            assert reason is not None and f"127.0.0.1:{door.port}" in reason["text"]
            door.pass_on()
            assert len(await run.result(timeout=60)) == 2 * LIMIT
            assert (await run.info())["attempt"] == 2


# ------------------------------------------------------------------------------------------------- another store


async def test_a_worker_with_another_payload_folder_is_refused_at_its_start_with_advice(
    house: House, client: Client, tmp_path: Path
) -> None:
    stranger = house.work(ready=False, pool="stranger", LONGSHORE_PAYLOAD_URL=f"file:{tmp_path / 'elsewhere'}")
    assert await asyncio.to_thread(stranger.wait, 20) != 0
    words = stranger.words()
    assert "refused" in words and "LONGSHORE_PAYLOAD_URL" in words
    assert all(worker["pool"] != "stranger" for worker in await client.workers() if worker["status"] != "CLOSED")
    assert await client.run(big(2 * LIMIT), timeout=10) == bytes(2 * LIMIT)


async def test_a_client_with_another_payload_folder_gets_a_clear_error_for_large_values_only(
    house: House, tmp_path: Path
) -> None:
    settings = house.settings().model_copy(update={"payload_url": f"file:{tmp_path / 'mine'}"})
    (tmp_path / "mine").mkdir()
    async with Client(settings=settings, telemetry=Telemetry()) as client:
        assert await client.run(echo(5), timeout=10) == 5
        with pytest.raises(PayloadCorrupt, match="not the store"):
            await client.run(big(2 * LIMIT), timeout=10)
        with pytest.raises(RunSystemFailure, match="missing"):
            await (await client.trigger(length(b"x" * (2 * LIMIT)))).result(timeout=10)
