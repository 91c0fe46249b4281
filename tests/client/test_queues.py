"""What a client says of queues: orders that travel as they were meant, refusals, pages, bad values."""

from __future__ import annotations

from typing import Any

import pytest

from longshore.client import Client
from longshore.client.queues import PAGE
from longshore.core.errors import Rejected, UsageError
from longshore.core.message import Ask, LimitQueue, PauseQueue, ResumeQueue
from tests.client.scripted import Scripted


async def test_limits_travel_as_given_lifted_or_left_alone(client: Client, coordinator: Scripted) -> None:
    assert (await client.limit_queue("gpu", limit=5, rate="10/1m")).name == "gpu"
    await client.limit_queue("gpu", limit=None, max_size=0, create=True)
    await client.limit_queue("*", limit=0)
    sent = [_without_addresses(order) for order in coordinator.queue_orders]
    assert sent == [
        LimitQueue("gpu", limit=5, rate="10/1m"),
        LimitQueue("gpu", limit=None, max_size=0, create=True),
        LimitQueue("*", limit=0),
    ]


def _without_addresses(order: Any) -> Any:
    order.ask_id = order.reply_to = ""
    return order


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "nothing to change: give limit, key_limit, rate or max_size"),
        ({"limit": -1}, "limit is -1; it must be from 0 to 1000000"),
        ({"limit": 1_000_001}, "limit is 1000001"),
        ({"limit": True}, "limit=True is no whole number"),
        ({"limit": "5"}, "limit='5' is no whole number"),
        ({"key_limit": 0}, "key_limit is 0; it must be from 1"),
        ({"max_size": -1}, "max_size is -1"),
        ({"rate": "often"}, "'often' is no rate: write starts/period"),
        ({"rate": "0/1m"}, "out of range"),
        ({"rate": "10/2d"}, "out of range"),
        ({"rate": 10}, "rate=10 is no text"),
    ],
)
async def test_a_limit_that_no_queue_can_have_is_refused_before_anything_is_sent(
    client: Client, coordinator: Scripted, given: dict[str, Any], text: str
) -> None:
    with pytest.raises(UsageError) as caught:
        await client.limit_queue("gpu", **given)
    assert text in str(caught.value)
    assert coordinator.queue_orders == []


async def test_a_name_that_is_none_and_limits_the_namespace_has_not_are_refused(client: Client) -> None:
    for verb in (client.pause_queue, client.resume_queue):
        with pytest.raises(UsageError, match="no queue's name"):
            await verb("")
    with pytest.raises(UsageError, match="no queue's name"):
        await client.limit_queue(5, limit=1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the namespace has a limit and a rate"):
        await client.limit_queue("*", key_limit=1)


async def test_pausing_and_resuming_twice_is_harmless_and_gives_the_rule(client: Client, coordinator: Scripted) -> None:
    coordinator.answers["queues"] = lambda ask: [{"name": "gpu", "paused": True}]
    assert (await client.pause_queue("gpu")).name == "gpu"
    coordinator.queue_refusals = [{"rule": "already_paused", "text": "paused already"}]
    assert (await client.pause_queue("gpu")).paused
    assert (await client.resume_queue("gpu")).name == "gpu"
    coordinator.queue_refusals = [{"rule": "not_paused", "text": "not paused"}]
    assert (await client.resume_queue("gpu")).name == "gpu"
    assert [type(order) for order in coordinator.queue_orders] == [PauseQueue] * 2 + [ResumeQueue] * 2


async def test_an_unknown_queue_is_a_rejection_with_the_rule(client: Client, coordinator: Scripted) -> None:
    coordinator.answers["queues"] = lambda ask: []
    coordinator.queue_refusals = [{"rule": "unknown_queue", "text": "there is no queue 'gpo'; did you mean gpu?"}] * 2
    with pytest.raises(Rejected, match="did you mean gpu") as caught:
        await client.limit_queue("gpo", limit=1)
    assert caught.value.rule == "unknown_queue"
    with pytest.raises(Rejected, match="did you mean gpu"):
        await client.pause_queue("gpo")


async def test_very_many_queues_are_listed_page_by_page(client: Client, coordinator: Scripted) -> None:
    everything = [{"name": f"q{number:04}"} for number in range(2 * PAGE)]

    def page(ask: Ask) -> Any:
        after = ask.params.get("after", "")
        return [row for row in everything if row["name"] > after][: ask.params["limit"]]

    coordinator.answers["queues"] = page
    assert await client.queues() == everything
    assert [ask.params.get("after") for ask in coordinator.asks] == [None, "q0999", "q1999"]


async def test_a_trigger_carries_its_queue_and_key_and_lists_are_asked_for_by_them(
    client: Client, coordinator: Scripted
) -> None:
    await client.trigger("slow", queue="gpu", concurrency_key="acme")
    options = coordinator.triggers[0].options
    assert (options.queue, options.concurrency_key) == ("gpu", "acme")
    coordinator.answers["runs"] = lambda ask: [ask.params]
    listed = await client.runs(queue="gpu", concurrency_key="acme")
    assert listed == [{"queue": "gpu", "concurrency_key": "acme", "limit": 50}]
