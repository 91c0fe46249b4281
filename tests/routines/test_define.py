"""Declaring routines: what is remembered, and what is refused with advice."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from longshore import DefinitionError, Hooks, RemoteError, define


def plain(x: int) -> int:
    """Adds one."""
    return x + 1


async def waiting(x: int) -> int:
    return x + 1


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


def test_how_long_its_runs_are_kept_goes_to_the_ledger_with_its_offer() -> None:
    def said(**options: Any) -> tuple[int, int]:
        offer = define.task(name="a", version="1.0.0", **options)(plain).offer()
        return offer.keep_ms, offer.keep_count

    assert said() == (-1, -1)
    assert said(retention="1h") == (3_600_000, -1)
    assert said(retention_count=10) == (-1, 10)
    assert said(retention=timedelta(milliseconds=1), retention_count=1_000_000_000) == (1, 1_000_000_000)
    assert said(retention="off") == (0, 0)
    assert said(retention="off", retention_count=5) == (0, 5)


def around(here: Any, call: Any) -> Any:
    return call()


async def around_async(here: Any, call: Any) -> Any:
    return await call()


def test_a_task_remembers_what_was_declared() -> None:
    routine = define.task(
        name="train",
        version="1.2.3",
        queue="gpu",
        max_attempts=5,
        timeout="10m",
        cache_ttl="1d",
        isolation="process",
        retry_on=(OSError, TimeoutError),
        on_crash="fail",
        retry_first=2,
        retry_factor=3,
        retry_max="1h",
        children="abandon",
    )(plain)
    policy = routine.policy
    assert (routine.id, routine.name, routine.version, routine.kind) == ("train@1.2.3", "train", "1.2.3", "task")
    assert (policy.queue, policy.max_attempts, policy.timeout) == ("gpu", 5, timedelta(minutes=10))
    assert (policy.cache, policy.cache_ttl, policy.isolation) == (True, timedelta(days=1), "process")
    assert policy.retry_on == (OSError, TimeoutError)
    assert (policy.on_crash, policy.children) == ("fail", "abandon")
    assert (policy.retry_first, policy.retry_factor) == (timedelta(seconds=2), 3.0)
    assert policy.retry_max == timedelta(hours=1)
    assert routine.function is plain
    assert routine.function(1) == 2
    assert routine.__doc__ == "Adds one."
    assert "test_define.py:" in routine.place


def test_a_task_apart_may_be_bounded_in_memory() -> None:
    routine = define.task(name="a", isolation="process", memory_limit="1GiB", pool_on_oom="big")(plain)
    assert (routine.policy.memory_limit, routine.offer().pool_on_oom) == (1 << 30, "big")


def test_an_offer_says_the_policy_in_the_words_of_the_bus() -> None:
    offer = define.task(name="t", version="1.0.0", timeout="1.5s", cache_ttl="1us", queue="q")(plain).offer()
    assert (offer.routine, offer.version, offer.kind, offer.cache) == ("t", "1.0.0", "task", True)
    assert (offer.timeout_ms, offer.cache_ttl_ms, offer.queue) == (1500, 1, "q")
    assert (offer.retry_first_ms, offer.retry_factor, offer.retry_max_ms) == (1000, 2.0, 60_000)
    assert (offer.max_attempts, offer.on_crash, offer.children) == (3, "retry", "cancel")


def test_kinds_differ_in_cache_attempts_and_place() -> None:
    def facts(routine: Any) -> tuple[object, ...]:
        return routine.kind, routine.policy.cache, routine.policy.max_attempts, routine.policy.isolation

    assert facts(define.task(name="a", version="1.0.0")(plain)) == ("task", True, 3, "thread")
    assert facts(define.task(name="a", version="1.0.0")(waiting)) == ("task", True, 3, "loop")
    assert facts(define.task(name="a", version="1.0.0", isolation="process")(waiting)) == ("task", True, 3, "process")
    assert facts(define.action(name="a", version="1.0.0")(plain)) == ("action", False, 3, "thread")
    assert facts(define.workflow(name="a", version="1.0.0")(waiting)) == ("workflow", False, 1, "loop")
    assert facts(define.workflow(name="a", version="1.0.0", cache=True)(waiting)) == ("workflow", True, 1, "loop")


def test_a_dev_version_is_the_default_and_is_never_cached() -> None:
    routine = define.task(name="a")(plain)
    assert (routine.version, routine.policy.cache) == ("0.0.0-dev", False)
    assert not define.task(name="a", version="1.0.0-dev", cache=True)(plain).policy.cache


@pytest.mark.parametrize(
    ("declare", "advice"),
    [
        (lambda: define.task(plain), r'write @define\.task\(name="plain"'),  # type: ignore[arg-type, call-arg]
        (define.task, "needs a name"),
        (lambda: define.task(name=""), "a name is a letter, then"),
        (lambda: define.task(name="1a"), "a name is a letter, then"),
        (lambda: define.task(name="a b"), "a name is a letter, then"),
        (lambda: define.task(name="a\n"), "a name is a letter, then"),
        (lambda: define.task(name="a@1"), "a name is a letter, then"),
        (lambda: define.task(name="a" * 201), "at most 200"),
        (lambda: define.task(name="a", version="1.0"), r"write major\.minor\.patch"),
        (lambda: define.task(name="a", version=1), r"write major\.minor\.patch"),  # type: ignore[arg-type]
        (lambda: define.task(name="a", verison="1.0.0"), "did you mean version"),  # type: ignore[call-arg]
        (lambda: define.task(name="a", zzzz=1), "there are: cache, cache_ttl"),  # type: ignore[call-arg]
        (lambda: define.action(name="a", cache=True), "never cached"),  # type: ignore[call-arg]
        (lambda: define.workflow(name="a", isolation="loop"), "heavy code in a task"),  # type: ignore[call-arg]
        (lambda: define.task(name="a", max_attempts=0)(plain), "from 1 to 250"),
        (lambda: define.task(name="a", max_attempts=251)(plain), "from 1 to 250"),
        (lambda: define.task(name="a", max_attempts=True)(plain), "from 1 to 250"),
        (lambda: define.task(name="a", timeout="31d")(plain), "timeout: '31d' is over 30 days"),
        (lambda: define.task(name="a", retry_max="31d")(plain), "retry_max: '31d' is over 30 days"),
        (lambda: define.task(name="a", timeout="soon")(plain), "timeout: 'soon' is not a duration"),
        (lambda: define.task(name="a", retention="never")(plain), "retention: 'never' is not a duration"),
        (lambda: define.task(name="a", retention=0)(plain), "above zero"),
        (lambda: define.workflow(name="a", retention_count=0)(waiting), "retention_count=0: write a whole number from"),
        (lambda: define.action(name="a", retention_count="off")(plain), "or leave it out"),  # type: ignore[arg-type]
        (lambda: define.task(name="a", timeout=0)(plain), "above zero"),
        (lambda: define.task(name="a", memory_limit="1GiB")(plain), "process of its own"),
        (lambda: define.task(name="a", isolation="process", memory_limit="lots")(plain), "512MiB"),
        (lambda: define.task(name="a", isolation="process", memory_limit="1MiB")(plain), "64MiB or more"),
        (lambda: define.task(name="a", pool_on_oom="big")(plain), "process of its own"),
        (lambda: define.task(name="a", isolation="process", pool_on_oom="")(plain), "name of a pool"),
        (lambda: define.task(name="a", on_start=3)(plain), "a function of \\(context, outcome\\)"),  # type: ignore[arg-type]
        (lambda: define.task(name="a", on_failure=plain)(plain), "it must take two arguments"),  # type: ignore[arg-type]
        (lambda: define.task(name="a", middleware=around_async)(plain), "around this body write it as `def`"),
        (lambda: define.task(name="a", middleware=around)(waiting), "around this body write it as `async def`"),
        (lambda: Hooks(on_finish=around), "did you mean on_"),
        (lambda: Hooks(zzzz=around), "there are: on_start"),
        (lambda: Hooks(on_start=int), "a function of"),
        (lambda: define.task(name="a", heartbeat_timeout=0)(plain), "above zero"),
        (lambda: define.workflow(name="a", heartbeat_timeout=1), "leave heartbeat_timeout out"),  # type: ignore[call-arg]
        (lambda: define.task(name="a", cache="yes")(plain), "True or False"),  # type: ignore[arg-type]
        (lambda: define.task(name="a", queue="")(plain), "name of a queue"),
        (lambda: define.task(name="a", queue="*")(plain), "that is not '\\*'"),
        (lambda: define.task(name="a", queue="q" * 257)(plain), "at most 256 characters"),
        (lambda: define.task(name="a", retry_on=3)(plain), "exception class"),  # type: ignore[arg-type]
        (lambda: define.task(name="a", retry_on=())(plain), "exception class"),
        (lambda: define.task(name="a", retry_on="not a name")(plain), "their names"),
        (lambda: define.task(name="a", retry_on=(OSError, 3))(plain), "exception class"),  # type: ignore[arg-type]
        (lambda: define.task(name="a", retry_factor=0.5)(plain), "from 1 on"),
        (lambda: define.task(name="a", retry_factor=math.inf)(plain), "from 1 on"),
        (lambda: define.task(name="a", retry_first="2m")(plain), "longer retry_max"),
        (lambda: define.task(name="a", on_crash="ignore")(plain), "'retry' or 'fail'"),  # type: ignore[arg-type]
        (lambda: define.task(name="a", children="keep")(plain), "'cancel' or 'abandon'"),  # type: ignore[arg-type]
        (lambda: define.workflow(name="a", children_version="1.0.0")(waiting), "children_version='1.0.0': write"),  # type: ignore[arg-type]
        (lambda: define.task(name="a", children_version="latest")(plain), "no option 'children_version'"),  # type: ignore[call-arg]
        (lambda: define.task(name="a", on_parent_end="keep")(plain), "on_parent_end='keep': write"),  # type: ignore[arg-type]
        (lambda: define.task(name="a", isolation="loop")(plain), "async def"),
        (lambda: define.task(name="a", isolation="thread")(waiting), "write `def`"),
        (lambda: define.task(name="a", isolation="vm")(plain), '"thread", "process" or "loop"'),  # type: ignore[arg-type]
        (lambda: define.workflow(name="a")(plain), "write `async def`"),  # type: ignore[arg-type]
        (lambda: define.task(name="a")(generator), "returning a list"),
        (lambda: define.task(name="a")(async_generator), "returning a list"),
        (lambda: define.task(name="a")(int), "on a `def` or `async def` function"),
        (lambda: define.task(name="a")(define.task(name="b")(plain)), "a routine already"),
    ],
)
def test_a_wrong_declaration_is_refused_and_says_what_to_write(declare: Callable[[], object], advice: str) -> None:
    with pytest.raises(DefinitionError, match=advice):
        declare()


def test_a_refusal_names_the_place_of_the_function() -> None:
    with pytest.raises(DefinitionError, match=r"task 'a' \(.*test_define\.py:\d+\)"):
        define.task(name="a", max_attempts=0)(plain)


def test_what_is_tried_again_may_be_named_without_being_importable() -> None:
    policy = define.task(name="a", retry_on=("nowhere.Timeout", "builtins.OSError", KeyError))(plain).policy
    unknown = type("Timeout", (Exception,), {"__module__": "nowhere"})
    assert policy.retries(unknown()) and policy.retries(type("Later", (unknown,), {})())
    assert policy.retries(FileNotFoundError()) and policy.retries(KeyError())
    assert policy.retries(RemoteError("nowhere.Timeout", "far away")) and policy.retries(
        RemoteError("builtins.OSError", "")
    )
    assert not policy.retries(ValueError()) and not policy.retries(RemoteError("elsewhere.Timeout", ""))
    assert not define.task(name="a", retry_on=OSError)(plain).policy.retries(unknown())
