"""What people write with asyncio in workflows, cancels and retries of whole trees, times of runs, dying processes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from longshore import Client, RunCanceled, RunCrashed, RunExpired
from longshore.client import Run
from tests.end_to_end.conftest import in_status
from tests.end_to_end.routines import (
    careful,
    dies,
    dies_once,
    echo,
    first_of,
    group,
    mixed,
    outer,
    second_try,
)
from tests.support.wait import eventually


async def all_in(run: Run[Any], *statuses: str) -> None:
    """Wait until the tree of a run stands like this, the root first."""

    async def there() -> bool:
        return [row["status"] for row in await run.tree()] == list(statuses)

    await eventually(there, within=10, what=f"{statuses} of the tree of {run!r}")


async def test_a_canceled_workflow_cleans_up_with_calls_of_its_own(client: Client, tmp_path: Path) -> None:
    run = await client.trigger(careful(str(tmp_path)))
    await eventually((tmp_path / "careful.begun").exists, within=10)
    await run.cancel(reason="tidy up")
    with pytest.raises(RunCanceled, match="tidy up"):
        await run.result(timeout=20)
    assert (tmp_path / "cleaned").exists()
    await all_in(run, "CANCELED", "CANCELED", "COMPLETED")


async def test_a_second_attempt_of_a_workflow_is_fresh_and_leaves_no_child_behind(
    client: Client, tmp_path: Path
) -> None:
    run = await client.trigger(second_try(str(tmp_path)))
    assert await run.result(timeout=20) == "second"
    assert (await run.info())["attempt"] == 2
    await all_in(run, "COMPLETED", "COMPLETED", "CANCELED", "COMPLETED")


async def test_a_task_group_cancels_the_other_child_when_one_fails(client: Client, tmp_path: Path) -> None:
    run = await client.trigger(group(str(tmp_path)))
    assert await run.result(timeout=20) == ["Odd"]
    await all_in(run, "COMPLETED", "CANCELED", "FAILED")


async def test_the_first_of_two_wins_and_the_other_is_canceled(client: Client, tmp_path: Path) -> None:
    run = await client.trigger(first_of(str(tmp_path)))
    assert await run.result(timeout=20) == "rested"
    await all_in(run, "COMPLETED", "CANCELED", "COMPLETED")


async def test_a_gather_keeps_the_exceptions_of_many(client: Client) -> None:
    assert await client.run(mixed(200), timeout=30) == 100


async def test_a_cancel_goes_down_five_levels(client: Client, tmp_path: Path) -> None:
    run = await client.trigger(outer(str(tmp_path), 3))
    await eventually((tmp_path / "held.begun").exists, within=10)
    await run.cancel()
    await all_in(run, *["CANCELED"] * 6)


async def test_a_delay_is_never_early_and_a_ttl_ends_what_did_not_start(client: Client) -> None:
    began = time.time()
    assert await client.run(echo(1), delay=0.5, timeout=10) == 1
    assert 0.5 <= time.time() - began < 3
    run = await client.trigger("nobody.offers.this", ttl=0.3)
    with pytest.raises(RunExpired):
        await run.result(timeout=10)
    assert await run.status() == "EXPIRED"


async def test_a_process_that_dies_costs_its_own_run_only(client: Client, tmp_path: Path) -> None:
    run = await client.trigger(dies())
    with pytest.raises(RunCrashed):
        await run.result(timeout=20)
    again = await client.trigger(dies_once(str(tmp_path)))
    assert await again.result(timeout=20) == 1
    assert [row["to_status"] for row in await again.history()].count("EXECUTING") == 2
    assert await client.run(echo("unharmed"), timeout=10) == "unharmed"


async def test_a_cancel_before_the_start_never_starts_it(client: Client) -> None:
    run = await client.trigger(echo(1), delay=3600)
    await run.cancel(reason="not needed")
    with pytest.raises(RunCanceled, match="not needed"):
        await run.result(timeout=10)
    assert [row["to_status"] for row in await run.history()] == ["DELAYED", "CANCELED"]
    await in_status(run, "CANCELED")
