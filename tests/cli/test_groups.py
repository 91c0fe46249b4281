"""Options that several commands share: each command has all that the client has, and gets them as values."""

from __future__ import annotations

import inspect
from typing import Annotated

import pytest
import typer

from longshore.cli.bulk import Many
from longshore.cli.groups import Arguments, RunOptions, TriggerOptions, Waiting, spread
from longshore.cli.runs import cancel
from longshore.cli.schedules import Plan
from longshore.client import orders, schedules
from longshore.client.bulks import Which
from longshore.core.errors import UsageError


def names(*groups: type) -> set[str]:
    return {name for group in groups for name in inspect.signature(group).parameters}


def test_whatever_the_client_lets_a_run_be_asked_for_can_be_typed() -> None:
    typed = {name.partition("_")[0] if name.startswith("debounce") else name for name in names(TriggerOptions)}
    assert typed | {"batch_id"} == set(orders.RunOptions.__annotations__)


def test_whatever_the_client_lets_a_schedule_be_asked_for_can_be_typed() -> None:
    starts_nothing_itself = {"delay", "debounce", "idempotency_key", "idempotency_ttl", "producer", "batch_id"}
    assert names(Plan, RunOptions) == set(schedules.ScheduleOptions.__annotations__) - starts_nothing_itself


def test_whatever_the_client_lets_an_order_for_many_be_limited_to_can_be_typed() -> None:
    typed = names(Many) - {"yes", "detach", "dry_run", "everything"}
    assert typed | {"all", "version"} == set(Which.__annotations__), "the version is part of --routine"


def test_a_command_has_an_option_for_each_field_and_gets_them_as_one_value() -> None:
    @spread
    def command(what: str, *, waiting: Waiting, last: Annotated[int, typer.Option()] = 7) -> tuple[str, Waiting, int]:
        return what, waiting, last

    assert list(inspect.signature(command).parameters) == ["what", "wait", "wait_timeout", "last"]
    assert command(what="x", wait=True, wait_timeout=None, last=1) == ("x", Waiting(wait=True), 1)
    assert names(Many) < set(inspect.signature(cancel).parameters)


def test_what_was_not_typed_is_not_asked_for() -> None:
    assert RunOptions().given() == TriggerOptions().given() == {}
    assert Many().conditions() == {} and Plan(cron="* * * * *").given().keys() == {
        "cron", "missed", "overlap", "paused", "replace"
    }  # fmt: skip
    asked = TriggerOptions(tags=["a"], metadata='{"n": 1}', attempt_timeout="5s", priority=0, delay="1m")
    assert asked.given() == {"tags": ["a"], "metadata": {"n": 1}, "attempt_timeout": "5s", "priority": 0, "delay": "1m"}
    assert Arguments(args="[1]", arg=["b=2"]).values() == ([1], {"b": 2})


def test_a_time_to_wait_asks_for_the_wait() -> None:
    assert not Waiting().is_asked and Waiting().patience() is None
    waiting = Waiting(wait_timeout="1m")
    assert waiting.is_asked and waiting.patience() == 60


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (RunOptions(attempt_timeout="soon"), "--timeout 'soon'"),
        (RunOptions(retry_first="soon"), "--retry-first 'soon'"),
        (TriggerOptions(ttl="soon"), "--ttl 'soon'"),
        (TriggerOptions(idempotency_ttl="soon"), "--idempotency-ttl 'soon'"),
        (TriggerOptions(debounce_key="k"), "--debounce-delay 5s"),
        (Plan(every="soon"), "--every 'soon'"),
    ],
)
def test_a_slip_is_named_as_it_was_typed(group: RunOptions | Plan, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        group.given()
