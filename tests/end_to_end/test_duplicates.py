"""The same trigger again, many at once, and many in one go: as many runs as there should be, and no more."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from longshore import Client, UsageError
from tests.end_to_end.house import House
from tests.end_to_end.routines import add, echo, hold, odd
from tests.support.wait import eventually


async def test_the_same_run_id_again_is_the_same_run(client: Client) -> None:
    run_id = str(uuid4())
    first = await client.trigger(echo(1), run_id=run_id)
    assert await first.result(timeout=10) == 1
    again = await client.trigger(echo(2), run_id=run_id)
    assert again.id == first.id and await again.result(timeout=10) == 1
    assert await client.run(echo(3), run_id=run_id, timeout=10) == 1
    assert [row["to_status"] for row in await again.history()].count("COMPLETED") == 1


async def test_a_hundred_triggers_at_once_with_one_run_id_are_one_run(house: House, client: Client) -> None:
    run_id, tag = str(uuid4()), secrets.token_hex(4)
    async with house.client() as other:
        runs = await asyncio.gather(
            *((client, other)[i % 2].run(echo(i).using(tags=[tag]), run_id=run_id, timeout=20) for i in range(100))
        )
    assert len(set(runs)) == 1
    assert len(await client.runs(tag=tag)) == 1


async def test_a_hundred_triggers_at_once_with_one_idempotency_key_are_one_run(house: House, client: Client) -> None:
    key, tag = secrets.token_hex(8), secrets.token_hex(4)
    async with house.client() as other:
        runs = await asyncio.gather(
            *((client, other)[i % 2].trigger(echo(i), idempotency_key=key, tags=[tag]) for i in range(100))
        )
        assert len({run.id for run in runs}) == 1
        assert len({await run.result(timeout=10) for run in runs}) == 1
        assert await other.run(echo("late"), idempotency_key=key, timeout=10) == await runs[0].result()
    assert len(await client.runs(tag=tag)) == 1


async def test_an_idempotency_key_is_freed_by_a_failure(client: Client) -> None:
    key = secrets.token_hex(8)
    first = await client.trigger(odd(1), idempotency_key=key)
    await eventually(first.status, within=10)

    async def failed() -> bool:
        return await first.status() == "FAILED"

    await eventually(failed, within=10)
    second = await client.trigger(odd(2), idempotency_key=key)
    assert second.id != first.id and await second.result(timeout=10) == 2


async def test_2500_calls_in_one_go_are_2500_runs_in_their_order(client: Client) -> None:
    tag = secrets.token_hex(4)
    runs = await client.trigger_many((echo(i) for i in range(2500)), tags=[tag])
    assert len({run.id for run in runs}) == 2500
    assert await asyncio.gather(*(run.result(timeout=60) for run in runs)) == list(range(2500))
    found = await client.runs(tag=tag, status="COMPLETED", limit=1000)
    assert len(found) == 1000


async def test_a_bad_item_fails_alone(client: Client) -> None:
    async def calls() -> AsyncIterator[Any]:
        for i in range(30):
            yield echo(i) if i != 7 else "no call at all"

    found: list[Any] = await client.trigger_many(calls(), return_exceptions=True)
    assert isinstance(found[7], UsageError)
    rest = [run for i, run in enumerate(found) if i != 7]
    assert await asyncio.gather(*(run.result(timeout=10) for run in rest)) == [i for i in range(30) if i != 7]


async def test_equal_calls_of_a_task_run_once_and_the_rest_are_cached(client: Client, tmp_path: Path) -> None:
    number = secrets.randbelow(10**9)
    runs = [await client.trigger(add(number)) for _ in range(20)]
    assert {await run.result(timeout=10) for run in runs} == {number + 1}
    infos = await asyncio.gather(*(run.info() for run in runs))
    assert sum(not info["cached"] for info in infos) == 1


async def test_a_duplicate_of_a_run_under_way_waits_for_its_end(client: Client, tmp_path: Path) -> None:
    run_id = str(uuid4())
    first = asyncio.create_task(client.run(hold(str(tmp_path), "one"), run_id=run_id))
    await eventually((tmp_path / "one.begun").exists, within=10)
    second = asyncio.create_task(client.run(hold(str(tmp_path), "two"), run_id=run_id))
    with pytest.raises(TimeoutError):
        await client.run(hold(str(tmp_path), "three"), run_id=run_id, timeout=0.2)
    (tmp_path / "go").touch()
    assert {await asyncio.wait_for(first, 10), await asyncio.wait_for(second, 10)} == {"one"}
    assert (tmp_path / "one.begun").read_text().count("\n") == 1
