"""What `longshore.testing` sees: workflows that survive a crash anywhere, and those that do not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from longshore import Nondeterminism, TokenExpired, UsageError, context, define
from longshore.testing import crash_everywhere, replay_always

RAN: list[Any] = []
Rehearse = Callable[..., Any]


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    RAN.clear()


@pytest.fixture(params=[crash_everywhere, replay_always], ids=lambda one: one.__name__)
def rehearse(request: pytest.FixtureRequest) -> Rehearse:
    found: Rehearse = request.param
    return found


class OwnError(Exception):
    pass


@define.task(name="double", version="1.0.0")
def double(number: int) -> int:
    RAN.append(number)
    return number * 2


@define.action(name="fails", version="1.0.0")
async def fails(text: str) -> None:
    await asyncio.sleep(0)
    raise OwnError(text)


@define.workflow(name="doubles", version="1.0.0")
async def doubles(numbers: list[int]) -> list[int]:
    return await asyncio.gather(*(double(number) for number in numbers))


@define.workflow(name="sums", version="1.0.0")
async def sums(numbers: list[int]) -> int:
    found = await doubles(numbers)
    await asyncio.sleep(3600)
    with pytest.raises(OwnError, match="no"):
        await fails("no")
    async with asyncio.timeout(60):
        return sum(found) + await double(1)


@define.workflow(name="pages", version="1.0.0")
async def pages(first: int, done: int = 0) -> int:
    done += await double(first)
    if first < 3:
        context.continue_as(first + 1, done=done)
    return done


@define.workflow(name="gathers", version="1.0.0")
async def gathers(wanted: int, found: list[str] | None = None) -> list[str]:
    items = [*(found or []), await context.wait_for_signal("item")]
    if len(items) < wanted:
        context.continue_as(wanted, found=items)
    return items


@define.workflow(name="asks", version="1.0.0")
async def asks() -> list[Any]:
    token = await context.create_token(timeout="1h")
    await double(len(token))
    return [await context.wait_for_signal("name"), await context.wait_for_token(token)]


@define.workflow(name="expires", version="1.0.0")
async def expires() -> str:
    try:
        await context.wait_for_token(await context.create_token(timeout="1h"))
    except TokenExpired:
        return "expired"
    return "completed"


@define.workflow(name="chances", version="1.0.0")
async def chances() -> int:
    return await double(random.randrange(1 << 30))


@define.workflow(name="forgets", version="1.0.0")
async def forgets() -> int:
    await double(1)
    RAN.append("went by")
    return await double(RAN.count("went by"))


@define.workflow(name="raises", version="1.0.0")
async def raises() -> None:
    await fails("passed on")


def test_a_workflow_that_is_crashed_everywhere_gives_its_result_and_runs_each_call_once(rehearse: Rehearse) -> None:
    assert rehearse(sums([1, 2, 3])) == 14
    assert RAN == [1, 2, 3, 1]


@pytest.mark.parametrize("seed", range(10))
def test_facts_may_come_in_any_order(rehearse: Rehearse, seed: int) -> None:
    assert rehearse(doubles(list(range(8))), seed=seed) == [2 * number for number in range(8)]


def test_its_generations_are_one_after_another(rehearse: Rehearse) -> None:
    assert rehearse(pages(1)) == 2 + 4 + 6


def test_signals_and_tokens_are_told_when_somebody_waits(rehearse: Rehearse) -> None:
    assert rehearse(asks(), signals=[("other", 0), ("name", "ann")], tokens=[{"a": 1}]) == ["ann", {"a": 1}]
    assert rehearse(expires()) == "expired"


def test_signals_are_told_over_generations(rehearse: Rehearse) -> None:
    signals = [("item", f"item {number}") for number in range(5)]
    assert rehearse(gathers(5), signals=signals) == [value for _, value in signals]


async def test_it_works_in_a_test_that_has_a_loop(rehearse: Rehearse) -> None:
    assert rehearse(sums([1])) == 4


def test_what_it_raises_is_raised(rehearse: Rehearse) -> None:
    with pytest.raises(OwnError, match="passed on"):
        rehearse(raises())


def test_chance_is_seen_where_the_ledger_has_not_the_call_yet() -> None:
    with pytest.raises(Nondeterminism) as seen:
        crash_everywhere(chances())
    text = str(seen.value)
    assert "chances@1.0.0 does not do the same twice, in delivery 0" in text
    assert text.count("0:0: call double") == 2 and text.count("test_crashes.py:") == 2


@define.workflow(name="ends.by.chance", version="1.0.0")
async def ends_by_chance(fails: bool) -> str:
    if fails:
        raise OwnError(str(random.random()))
    return str(random.random())


@pytest.mark.parametrize(("fails", "said"), [(False, "returns '0."), (True, "raises OwnError: 0.")])
def test_another_end_each_time_is_seen(fails: bool, said: str) -> None:
    with pytest.raises(Nondeterminism) as seen:
        crash_everywhere(ends_by_chance(fails))
    assert str(seen.value).count(said) == 2


def test_what_is_kept_outside_of_the_workflow_is_seen(rehearse: Rehearse) -> None:
    with pytest.raises(Nondeterminism):
        rehearse(forgets())


def test_a_workflow_that_waits_for_what_nobody_tells_says_what_to_give(rehearse: Rehearse) -> None:
    with pytest.raises(UsageError, match=r"asks@1.0.0 waits for what nobody tells it: give signals") as refused:
        rehearse(asks(), tokens=[1])
    assert "test_crashes.py:" in str(refused.value)


@pytest.mark.parametrize("what", [double, "sums"])
def test_only_a_call_of_a_workflow_is_rehearsed(rehearse: Rehearse, what: Any) -> None:
    with pytest.raises(UsageError, match=r"is no call of a workflow: write crash_everywhere\(sweep\(data\)\)"):
        rehearse(what)
