"""What is asked of calls and said of routines holds in a rehearsal as it does on a fleet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest

from longshore import (
    AbortRun,
    RetryAfter,
    RunExpired,
    RunTimedOut,
    UsageError,
    context,
    define,
)
from longshore.core.errors import Stalled
from longshore.testing import crash_everywhere, replay_always

SAID: list[Any] = []
Rehearse = Callable[..., Any]
A_MOMENT = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    SAID.clear()


@pytest.fixture(params=[crash_everywhere, replay_always], ids=lambda one: one.__name__)
def rehearse(request: pytest.FixtureRequest) -> Rehearse:
    found: Rehearse = request.param
    return found


@define.action(name="o.flaky", version="1.0.0")
async def flaky(failures: int) -> int:
    if context.attempt <= failures:
        raise ValueError(f"attempt {context.attempt}")
    return context.attempt


@define.action(name="o.picky", version="1.0.0", retry_on=(OSError,), max_attempts=5)
def picky(kind: str) -> int:
    SAID.append(kind)
    raise {"value": ValueError, "os": OSError, "abort": AbortRun}[kind]("no")


@define.action(name="o.later", version="1.0.0")
def later(seconds: float) -> int:
    if context.attempt == 1:
        raise RetryAfter(seconds)
    return context.attempt


@define.action(name="o.slow", version="1.0.0", timeout="0.1s")
async def slow() -> None:
    await asyncio.sleep(30)


@define.action(name="o.blocks", version="1.0.0")
def blocks() -> None:
    time.sleep(0.05)


@define.action(name="o.still", version="1.0.0", heartbeat_timeout="0.1s", max_attempts=1)
async def still() -> None:
    await asyncio.sleep(30)


@define.action(name="o.keeps", version="1.0.0", retry_first="1h", retry_max="1h")
def keeps() -> list[int]:
    before: list[int] = context.last_checkpoint or []
    context.checkpoint([*before, context.attempt])
    if context.attempt < 3:
        raise ValueError
    kept: list[int] = context.last_checkpoint
    return kept


@define.action(name="o.one", version="1.0.0")
def one(number: int = 1) -> int:
    SAID.append(number)
    if number < 0:
        raise AbortRun("below zero")
    return number


@define.action(name="o.noted", version="1.0.0", max_attempts=2, retry_first="1s")
def noted() -> tuple[Any, ...]:
    context.metadata.increment("mine")
    context.metadata.root.increment("all")
    context.progress(0.5)
    if context.attempt == 1:
        raise ValueError
    return dict(context.metadata), context.run_id


@define.workflow(name="o.calls", version="1.0.0")
async def calls(what: str, seconds: float = 0) -> Any:
    begun = context.now
    ways: dict[str, Callable[[], Any]] = {
        "flaky": lambda: flaky(1),
        "always": lambda: flaky(9),
        "asked": lambda: flaky(4).using(max_attempts=5, retry_first="1m", retry_factor=1, retry_max="1m"),
        "later": lambda: later(seconds),
        "delayed": lambda: one().using(delay="1h"),
        "keeps": keeps,
    }
    found = await ways[what]()
    return found, context.now - begun


@define.workflow(name="o.fails.at.first", version="1.0.0", max_attempts=3, retry_first="1h", retry_max="2h")
async def fails_at_first() -> tuple[int, list[Any], int]:
    made = await one(context.attempt)
    heard = await context.wait_for_signal("heard")
    if context.attempt < 3:
        raise ValueError(heard)
    return context.attempt, [heard], made


@define.workflow(name="o.raises", version="1.0.0")
async def raises(what: str) -> None:
    ways: dict[str, Callable[[], Any]] = {
        "slow": slow,
        "blocks": lambda: blocks().using(timeout="10ms"),
        "still": still,
        "expires": lambda: one().using(delay="1h", ttl="1m"),
        "dies": lambda: flaky(9).using(deadline="1s"),
        "sleeps": lambda: sleeps(60).using(deadline="1s"),
        "value": lambda: picky("value"),
        "os": lambda: picky("os"),
        "abort": lambda: picky("abort"),
        "debounce": lambda: one().using(debounce={"key": "k", "delay": "1s"}),
        "version": lambda: one().using(version="9.9.9"),
    }
    await ways[what]()


@define.workflow(name="o.sleeps", version="1.0.0")
async def sleeps(days: int) -> str:
    try:
        await asyncio.sleep(days * 86400)
    except asyncio.CancelledError:
        await one(7)
        raise
    return "slept"


@define.workflow(name="o.keys", version="1.0.0")
async def keys(scope: Literal["global", "run"]) -> list[int]:
    async def call(number: int) -> int:
        return await one(number).using(idempotency_key="k", idempotency_scope=scope, idempotency_ttl="1d")

    found = [*await asyncio.gather(call(1), call(2)), await call(3)]
    await asyncio.sleep(2 * 86400)
    found.append(await call(4))
    return found


@define.workflow(name="o.keys.freed", version="1.0.0")
async def freed() -> int:
    with pytest.raises(AbortRun):
        await one(-1).using(idempotency_key="k")
    return await one(2).using(idempotency_key="k")


@define.workflow(name="o.patient", version="1.0.0")
async def patient(child: int, limit: int) -> str:
    try:
        async with asyncio.timeout(limit * 86400):
            return await sleeps(child)
    except TimeoutError:
        return "gave up"


@define.workflow(name="o.side", version="1.0.0")
async def side() -> timedelta:
    begun = context.now
    await asyncio.gather(sleeps(3), sleeps(2), sleeps(1))
    return context.now - begun


@define.workflow(name="o.notes", version="1.0.0")
async def notes() -> tuple[Any, ...]:
    context.metadata.set("own", [1])
    mine, child = await noted().using(metadata={"mine": 10})
    return dict(context.metadata), mine, child != context.run_id


@define.workflow(name="o.leaves", version="1.0.0")
async def leaves(word: Literal["cancel", "abandon"]) -> None:
    waiting = asyncio.ensure_future(sleeps(1).using(on_parent_end=word))
    await asyncio.sleep(1)
    SAID.append("left")
    assert not waiting.done()


def test_a_failed_attempt_is_followed_by_another_after_its_delay(rehearse: Rehearse) -> None:
    found, took = rehearse(calls("flaky"))
    assert found == 2
    assert timedelta(seconds=0.5) <= took <= A_MOMENT


def test_retries_are_as_the_call_asks(rehearse: Rehearse) -> None:
    found, took = rehearse(calls("asked"))
    assert found == 5
    assert 4 * timedelta(seconds=30) <= took <= 4 * timedelta(seconds=60) + A_MOMENT


def test_after_the_last_attempt_its_failure_is_raised(rehearse: Rehearse) -> None:
    with pytest.raises(ValueError, match="attempt 3"):
        rehearse(calls("always"))


@pytest.mark.parametrize(("kind", "attempts"), [("value", 1), ("os", 5), ("abort", 1)])
def test_only_what_may_be_tried_again_is(rehearse: Rehearse, kind: str, attempts: int) -> None:
    with pytest.raises((ValueError, OSError, AbortRun), match="no"):
        rehearse(raises(kind))
    assert SAID.count(kind) == len(SAID) == attempts


def test_a_routine_says_itself_when_it_is_tried_again(rehearse: Rehearse) -> None:
    found, took = rehearse(calls("later", 5))
    assert found == 2
    assert timedelta(0) <= took - timedelta(seconds=5) < A_MOMENT


def test_a_workflow_has_its_attempts_and_is_told_its_signals_in_each(rehearse: Rehearse) -> None:
    assert rehearse(fails_at_first(), signals=[("heard", "word")]) == (3, ["word"], 3)
    assert SAID == [1, 2, 3]


def test_a_call_may_begin_later(rehearse: Rehearse) -> None:
    _, took = rehearse(calls("delayed"))
    assert timedelta(0) <= took - timedelta(hours=1) < A_MOMENT


@pytest.mark.parametrize(
    ("what", "error", "match"),
    [
        ("slow", RunTimedOut, "longer than its timeout of 0.1 s"),
        ("blocks", RunTimedOut, "longer than its timeout of 0.01 s"),
        ("still", Stalled, "no sign of life"),
        ("expires", RunExpired, "EXPIRED"),
        ("dies", RunTimedOut, "the deadline of the whole run was over"),
        ("sleeps", RunTimedOut, "the deadline of the whole run was over"),
    ],
)
def test_time_that_is_over_ends_a_call(rehearse: Rehearse, what: str, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        rehearse(raises(what))
    assert SAID == []


def test_the_rehearsed_call_has_options_too(rehearse: Rehearse) -> None:
    with pytest.raises(RunTimedOut, match=r"o.sleeps@1.0.0 ended as TIMED_OUT: the deadline"):
        rehearse(sleeps(2).using(deadline="1d"))
    with pytest.raises(ValueError, match="word"):
        rehearse(fails_at_first().using(max_attempts=1), signals=[("heard", "word")])


def test_checkpoints_are_there_in_the_next_attempt(rehearse: Rehearse) -> None:
    assert rehearse(calls("keeps"))[0] == [1, 2, 3]


@pytest.mark.parametrize("scope", ["run", "global"])
def test_calls_with_one_key_are_one_run_while_it_is_held(rehearse: Rehearse, scope: Literal["global", "run"]) -> None:
    assert rehearse(keys(scope)) == [1, 1, 1, 4]
    assert SAID == [1, 4]


def test_a_failed_run_frees_its_key(rehearse: Rehearse) -> None:
    assert rehearse(freed()) == 2


def test_workflows_sleep_beside_each_other(rehearse: Rehearse) -> None:
    assert timedelta(0) <= rehearse(side()) - timedelta(days=3) < A_MOMENT


def test_a_workflow_that_is_given_up_is_canceled_and_cleans_up(rehearse: Rehearse) -> None:
    assert rehearse(patient(1, 2)) == "slept"
    assert SAID == []
    assert rehearse(patient(2, 1)) == "gave up"
    assert SAID == [7]


def test_a_child_goes_on_or_is_canceled_as_the_call_says(rehearse: Rehearse) -> None:
    rehearse(leaves("abandon"))
    assert set(SAID) == {"left"}
    rehearse(leaves("cancel"))
    assert SAID[-1] == 7


def test_metadata_is_the_runs_own_and_outlives_an_attempt(rehearse: Rehearse) -> None:
    assert rehearse(notes()) == ({"own": [1]}, {"mine": 12}, True)


@pytest.mark.parametrize("what", ["debounce", "version"])
def test_what_cannot_be_rehearsed_is_refused(rehearse: Rehearse, what: str) -> None:
    with pytest.raises(UsageError, match=rf"test_options.py:\d+: o.one@1.0.0 is called with {what}="):
        rehearse(raises(what))
