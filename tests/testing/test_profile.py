"""`longshore.testing.profile` sees what the reading of the source cannot: methods, libraries, arguments."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from longshore import UsageError, context, define
from longshore.testing import profile


class Clock:
    """Hides the clock behind a method, which the lint does not follow."""

    read: Callable[[], float] = time.time

    def now(self) -> float:
        return type(self).read()


class Bag:
    def __init__(self, names: set[str]) -> None:
        self.names = names

    @property
    def counted(self) -> set[str]:
        raise AssertionError("no code of the user's is run to look")


CLOCK = Clock()
HIDDEN: dict[str, Callable[..., Any]] = {"uuid": uuid.uuid4, "choice": random.choice, "now": datetime.now}
BAG = Bag({"x", "y", "z"})


@define.task(name="p.measure", version="1.0.0")
def measure(tag: Any = None) -> float:
    return time.time() + random.random()


def lines(workflow: Any, *args: Any, **how: Any) -> list[tuple[int, str]]:
    """Where something was found, counted from the workflow's `async def`, and what."""
    first = workflow.function.__code__.co_firstlineno + 1
    return [(finding.line - first, finding.what) for finding in profile(workflow(*args), **how)]


@define.workflow(name="p.clean", version="1.0.0")
async def clean(count: int) -> list[Any]:
    logging.getLogger("tests").warning("a record reads the clock for itself")
    found: list[Any] = [await measure(number) for number in range(count)]
    found.append([context.now, context.random.choice([1, 2]), context.random.random(), context.uuid4()])
    found.append(random.Random(7).choice([1, 2]))
    found.append(sorted({"a", "b"} | BAG.names))
    found.append(list({1, 2, 3}))
    async with asyncio.timeout(60):
        await asyncio.gather(*[measure(one) for one in sorted(one for one in BAG.names)])
    return [len(found)]


def test_a_clean_workflow_has_no_findings() -> None:
    assert profile(clean(2)) == []


@define.workflow(name="p.hidden", version="1.0.0")
async def hidden() -> None:
    CLOCK.now()
    await measure()
    HIDDEN["uuid"]()
    HIDDEN["choice"]([1, 2])
    HIDDEN["now"]()


def test_what_is_hidden_behind_methods_and_libraries_is_named_with_its_line() -> None:
    found = profile(hidden())
    first = hidden.function.__code__.co_firstlineno + 1
    assert [(one.line - first, one.what) for one in found if one.inside == "hidden"] == [
        (3, "uuid.uuid4()"),
        (4, "random.choice()"),
        (5, "datetime.datetime.now()"),
    ]
    (method,) = [one for one in found if one.inside == "Clock.now"]
    assert method.what == "time.time()"
    assert "reads the clock, and this code runs again" in str(method)
    assert "use context.now" in str(method)
    assert __file__ in str(method)


@define.workflow(name="p.through", version="1.0.0")
async def through() -> str:
    return email()


def email() -> str:
    from email.utils import make_msgid

    return make_msgid(domain="here")


def test_a_library_that_reads_the_clock_is_named_by_the_line_that_calls_it() -> None:
    found = profile(through())
    assert {one.what for one in found} >= {"time.time()"}
    assert {one.inside for one in found} == {"email"}


@define.workflow(name="p.sets", version="1.0.0")
async def sets(names: set[str], numbers: set[int]) -> list[Any]:
    found: list[Any] = []
    for name in names:
        await measure(name)
    found += [await measure(number) for number in numbers]
    found += [name.upper() for name in BAG.names]
    found.append(" ".join(names))
    found.append(list(numbers))
    found.append(sorted(name.upper() for name in names))
    for name in BAG.counted if not names else ():
        found.append(name)
    return [len(found)]


def test_sets_of_texts_that_come_as_arguments_or_lie_in_objects_are_seen_and_sets_of_numbers_are_not() -> None:
    assert lines(sets, {"a", "b"}, {1, 2}) == [
        (2, "the set `names`"),
        (5, "the set `BAG.names`"),
        (6, "the set `names`"),
    ]


@define.workflow(name="p.tasks", version="1.0.0")
async def tasks() -> int:
    pending = {asyncio.create_task(measure(number)) for number in range(3)}
    for one in pending:
        await one
    return len(pending)


def test_a_set_of_asyncio_tasks_has_an_order_in_a_workflow() -> None:
    assert profile(tasks()) == []


@define.workflow(name="p.marked", version="1.0.0")
async def marked() -> None:
    time.time()  # longshore: deterministic
    # longshore: deterministic
    time.time()
    time.time()


def test_a_marked_line_is_left_alone() -> None:
    assert lines(marked) == [(4, "time.time()")]


@define.workflow(name="p.fails", version="1.0.0")
async def fails(when: str) -> None:
    if when == "after":
        time.time()
    raise ValueError(when)


def test_findings_are_given_whatever_the_workflow_raises_and_without_any_it_is_raised() -> None:
    assert lines(fails, "after") == [(2, "time.time()")]
    with pytest.raises(ValueError, match="before"):
        profile(fails("before"))


@define.workflow(name="p.waits", version="1.0.0")
async def waits() -> Any:
    return [await context.wait_for_signal("go"), time.time()]


def test_signals_are_given_as_to_the_others_and_what_nobody_tells_is_an_error() -> None:
    assert lines(waits, signals=[("go", 1)]) == [(1, "time.time()")]
    with pytest.raises(UsageError, match="waits for what nobody tells it"):
        profile(waits())


def test_what_is_no_call_of_a_workflow_is_refused() -> None:
    with pytest.raises(UsageError, match="no call of a workflow"):
        profile("p.marked")  # type: ignore[arg-type]


def test_nothing_of_it_stays_in_the_thread() -> None:
    before = sys.getprofile(), sys.gettrace()
    profile(marked())
    json.dumps({"later": time.time()})
    assert (sys.getprofile(), sys.gettrace()) == before
