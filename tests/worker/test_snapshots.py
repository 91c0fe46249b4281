"""What travels is what the code named at that moment, whatever it does with the same objects later, and however the
facts come in."""

from __future__ import annotations

import asyncio
from typing import Any

from longshore import context, define
from longshore.core.message import ClaimCheck
from longshore.serialization.arguments import decode_arguments
from tests.worker.conftest import SiteMaker
from tests.worker.routines import echo
from tests.worker.scripted import deliver, outcome, value_of
from tests.worker.test_workflows import answered


@define.action(name="snap.take", version="1.0.0")
async def take(state: dict[str, Any]) -> int:
    return len(state)


@define.workflow(name="snap.changes", version="1.0.0")
async def changes() -> int:
    """Changes what it has given to a call: in the same pump, and in the next."""
    state: dict[str, Any] = {"n": 1, "inside": [1]}
    call = asyncio.ensure_future(take(state))
    await asyncio.sleep(0)
    state["n"] = 2
    await echo("x")
    state["inside"].append(2)
    return int(await call)


@define.workflow(name="snap.continues", version="1.0.0")
async def continues(state: dict[str, Any]) -> None:
    async def beside() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            state["beside"] = "stopped"

    task = asyncio.create_task(beside())
    await asyncio.sleep(0)
    try:
        context.continue_as(state)
    finally:
        state.clear()
        task.cancel()


@define.workflow(name="snap.returns", version="1.0.0")
async def returns(size: int) -> list[Any]:
    state: list[Any] = [1, b"x" * size]

    async def beside() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            state.clear()

    task = asyncio.create_task(beside())
    await asyncio.sleep(0)
    assert not task.done()
    return state


ROUTINES = (take, changes, continues, returns, echo)


async def test_an_argument_is_taken_when_the_call_is_made_in_one_batch_or_in_many(sites: SiteMaker) -> None:
    async with sites(routines=ROUTINES) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(changes, run="r1"))
        one, two = (await answered(coordinator, 0)).calls
        assert isinstance(one.input, bytes)
        assert decode_arguments(one.input).args == ({"n": 1, "inside": [1]},)
        coordinator.direct(deliver("r1", outcome(1, two.address, "x"), outcome(2, one.address, 2)))
        assert value_of(await coordinator.finished("r1")) == 2


async def test_the_input_of_the_next_generation_is_taken_when_it_is_named(sites: SiteMaker) -> None:
    async with sites(routines=ROUTINES) as site:
        site.coordinator.direct(site.coordinator.start(continues, {"n": 1}))
        report = await site.coordinator.finished()
        assert report.how == "continued" and isinstance(report.result, bytes)
        assert decode_arguments(report.result).args == ({"n": 1},)


async def test_a_result_is_taken_when_the_workflow_returns_small_or_large(sites: SiteMaker) -> None:
    async with sites(routines=ROUTINES) as site:
        site.coordinator.direct(site.coordinator.start(returns, 3, run="r1"))
        assert value_of(await site.coordinator.finished("r1")) == [1, b"xxx"]
        site.coordinator.direct(site.coordinator.start(returns, 200_000, run="r2"))
        report = await site.coordinator.finished("r2")
        assert isinstance(report.result, ClaimCheck)
        assert site.cargo.load(report.result) == [1, b"x" * 200_000]
