"""Calls: bound at once, executed once by the engine in force, warned about when forgotten."""

from __future__ import annotations

import asyncio
import gc
import inspect
import warnings
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from longshore import ArgumentError, UsageError, define
from longshore.routines import CURRENT_ENGINE, Call
from longshore.routines.options import TriggerOptions, to_message


@define.task(name="double", version="1.0.0")
def double(x: int, by: int = 2) -> int:
    return x * by


class Here:
    """An engine that runs the plain function after one turn of the loop."""

    def execute(self, call: Call[Any]) -> Awaitable[Any]:
        return self._run(call)

    async def _run(self, call: Call[Any]) -> Any:
        await asyncio.sleep(0)
        return call.routine.function(*call.arguments.args, **call.arguments.kwargs)


@pytest.fixture
def engine() -> Iterator[None]:
    token = CURRENT_ENGINE.set(Here())
    yield
    CURRENT_ENGINE.reset(token)


def test_a_call_binds_defaults_and_coerces_and_knows_its_place() -> None:
    call = double("21")  # type: ignore[arg-type]
    line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    assert call.arguments.args == (21, 2)
    assert call.place == f"{__file__}:{line}"
    call.close()


@pytest.mark.parametrize(
    "use",
    [
        lambda call: call + 1,
        lambda call: sum([call]),
        lambda call: call * 2,
        lambda call: "yes" if call else "no",
        lambda call: call > 1,
        list,
        len,
        float,
        lambda call: call[0],
    ],
)
def test_a_call_used_as_its_result_says_where_an_await_is_missing(use: Callable[[Any], object]) -> None:
    call = double(1)
    with pytest.raises(
        TypeError, match=r"call of double@1\.0\.0 at .*test_calls\.py:\d+> is no value yet: in a workflow write `await`"
    ):
        use(call)


def test_arguments_that_do_not_fit_fail_at_the_call_and_name_the_parameter() -> None:
    with pytest.raises(ArgumentError) as caught:
        double("many")  # type: ignore[arg-type]
    assert caught.value.parameter == "x"


@pytest.mark.usefixtures("engine")
async def test_a_call_can_be_awaited_gathered_made_a_task_shielded_and_limited() -> None:
    assert await double(1) == 2
    assert list(await asyncio.gather(double(1), double(2))) == [2, 4]
    assert await asyncio.create_task(double(3)) == 6
    assert await asyncio.shield(double(4)) == 8
    assert await asyncio.wait_for(double(5), 10) == 10
    async with asyncio.TaskGroup() as group:
        inner = group.create_task(double(6))
    assert inner.result() == 12
    assert [await one for one in asyncio.as_completed([double(7)])] == [14]


@pytest.mark.usefixtures("engine")
async def test_a_call_is_executed_once() -> None:
    call = double(1)
    await call
    with pytest.raises(UsageError, match=r"executed once: call double\(\.\.\.\) again"):
        await call


async def test_without_an_engine_the_error_says_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"Client\(\).*longshore dev.*double\.function\(\.\.\.\)"):
        await double(1)


def test_a_forgotten_call_is_warned_about_at_its_place() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        double(1)
        line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
        gc.collect()
    (warning,) = [one for one in caught if issubclass(one.category, RuntimeWarning)]
    assert (warning.filename, warning.lineno) == (__file__, line)
    assert "double@1.0.0 was never awaited" in str(warning.message)


@pytest.mark.usefixtures("engine")
async def test_no_warning_for_calls_that_were_taken_closed_replaced_or_canceled_before_their_first_step() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        double(1).take()
        double(1).close()
        double(1).using(tags=["x"]).take()
        with pytest.raises(UsageError, match="option ttl"):
            double(1).using(ttl="x")
        canceled = asyncio.create_task(double(1))
        canceled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await canceled
        del canceled
        gc.collect()


def test_options_are_added_and_kept_and_travel_in_milliseconds() -> None:
    call = double(1).using(delay="1h30m", tags=["a"], queue="q").using(timeout=1.5, queue="r")
    options = call.options
    assert options is not None
    assert (options.delay_ms, options.timeout_ms, options.tags, options.queue) == (5_400_000, 1500, ["a"], "r")
    call.close()


def test_every_option_travels() -> None:
    options = to_message(
        {
            "delay": timedelta(days=30),
            "ttl": 1,
            "deadline": "2m",
            "timeout": "1us",
            "max_attempts": 250,
            "retry_first": 0,
            "retry_factor": 3,
            "retry_max": "1h",
            "idempotency_key": "k",
            "queue": "q",
            "pool": "p",
            "priority": 3,
            "tags": ("a", "b"),
            "metadata": {"user": {"id": 7}},
            "version": "1.2.0-dev",
            "version_deadline": "30d",
            "on_parent_end": "abandon",
        }
    )
    assert options.on_parent_end == "abandon"
    assert (options.version, options.version_deadline_ms) == ("1.2.0-dev", 2_592_000_000)
    assert (options.retry_first_ms, options.retry_factor, options.retry_max_ms) == (0, 3.0, 3_600_000)
    assert (options.delay_ms, options.ttl_ms, options.deadline_ms, options.timeout_ms) == (
        2_592_000_000,
        1000,
        120_000,
        1,
    )
    assert (options.max_attempts, options.idempotency_key, options.queue, options.pool) == (250, "k", "q", "p")
    assert (options.priority, options.tags, options.metadata) == (3.0, ["a", "b"], {"user": {"id": 7}})
    assert to_message({}) == to_message({"queue": None})  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"tag": ["a"]}, "did you mean tags"),
        ({"delay": "31d"}, "over 30 days"),
        ({"delay": "later"}, "option delay: 'later' is not a duration"),
        ({"timeout": 0}, "give a longer one"),
        ({"max_attempts": 251}, "from 1 to 250"),
        ({"retry_first": "31d"}, "over 30 days"),
        ({"retry_factor": 0.5}, "from 1 on"),
        ({"retry_factor": float("inf")}, "from 1 on"),
        ({"retry_first": 2, "retry_max": 1}, "shorter than retry_first"),
        ({"queue": ""}, "option queue"),
        ({"queue": "*"}, "option queue: '\\*' stands for the whole namespace"),
        ({"queue": "q" * 257}, "option queue: 257 characters, at most 256"),
        ({"concurrency_key": "k" * 257}, "option concurrency_key: 257 characters, at most 256"),
        ({"priority": float("nan")}, "number of seconds"),
        ({"priority": 1e9}, "over 30 days"),
        ({"ttl": "31d"}, "option ttl: '31d' is over 30 days"),
        ({"deadline": "31d"}, "option deadline: '31d' is over 30 days"),
        ({"tags": "a"}, r"tags=\["),
        ({"on_parent_end": "keep"}, "option on_parent_end: 'keep' is neither 'cancel' nor 'abandon'"),
        ({"version": "1.2"}, "option version: '1.2' is no version: write '1.2.0', 'latest' or 'pinned'"),
        ({"version": 1}, "option version: 1 is no version"),
        ({"version_deadline": 0}, "give a longer one"),
        ({"version_deadline": "31d"}, "option version_deadline: '31d' is over 30 days"),
        ({"tags": list("abcdefghijk")}, "at most 10"),
        ({"tags": ["a" * 129]}, "1 to 128 characters"),
        ({"metadata": [1]}, "texts as keys"),
        ({"metadata": {"a": object()}}, "plain data"),
        ({"metadata": {"a": [1, float("nan")]}}, "nan is no number in JSON"),
        ({"metadata": {"a": {"b": b"x"}}}, "bytes are not in JSON"),
        ({"metadata": {"a": "x" * 300_000}}, "at most 262144"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options: TriggerOptions, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        to_message(options)


def test_tags_are_kept_once_each_in_their_order() -> None:
    assert to_message({"tags": ["b", "a", "b", *["a"] * 20]}).tags == ["b", "a"]
