"""A rehearsal gives what a fleet gives: the same workflows on both, results, errors and what their actions did."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from longshore import RunError
from longshore.testing import fleet, replay_always
from tests.testing import test_options as options

CASES: dict[str, Callable[[], Any]] = {
    "a retry": lambda: options.calls("flaky"),
    "retries of its own": lambda: options.calls("asked"),
    "no attempt left": lambda: options.calls("always"),
    "RetryAfter": lambda: options.calls("later", 5),
    "a delay": lambda: options.calls("delayed"),
    "checkpoints": lambda: options.calls("keeps"),
    "a timeout": lambda: options.raises("slow"),
    "a ttl": lambda: options.raises("expires"),
    "a deadline": lambda: options.raises("dies"),
    "a deadline of a workflow": lambda: options.raises("sleeps"),
    "retry_on": lambda: options.raises("value"),
    "what retry_on names": lambda: options.raises("os"),
    "AbortRun": lambda: options.raises("abort"),
    "keys of a run": lambda: options.keys("run"),
    "keys": lambda: options.keys("global"),
    "a freed key": options.freed,
    "a cleanup": lambda: options.patient(2, 1),
    "metadata": options.notes,
    "a child that is canceled": lambda: options.leaves("cancel"),
    "a child that is left": lambda: options.leaves("abandon"),
}


@pytest.fixture
async def house() -> AsyncIterator[fleet]:
    options.SAID.clear()
    async with fleet(options) as made:
        yield made
    options.SAID.clear()


def plain(outcome: Any) -> Any:
    """Without ids and lengths of time, which differ by chance."""
    if isinstance(outcome, BaseException):
        return type(outcome).__name__, re.sub(r"[0-9a-f-]{36}", "ID", str(outcome))
    return outcome[0] if isinstance(outcome, tuple) and len(outcome) == 2 else outcome


def rehearsed(call: Any) -> Any:
    try:
        return replay_always(call)
    except Exception as error:  # noqa: BLE001 - compared with the other
        return error


async def executed(house: fleet, call: Any) -> Any:
    run = await house.client.trigger(call)
    await house.jump("5d")
    try:
        return await run.result(timeout=20)
    except RunError as error:
        return error.__cause__


@pytest.mark.parametrize("name", CASES)
async def test_a_rehearsal_gives_what_a_fleet_gives(house: fleet, name: str) -> None:
    here, did = rehearsed(CASES[name]()), list(options.SAID)
    options.SAID.clear()
    there = await executed(house, CASES[name]())
    assert plain(here) == plain(there)
    assert did == options.SAID
