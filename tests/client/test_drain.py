"""Orders to workers: what travels, and what cannot."""

from __future__ import annotations

from typing import Any

import pytest

from longshore.client import Client
from longshore.core.errors import UsageError
from longshore.core.message import DrainWorker
from tests.client.scripted import Scripted


async def test_workers_are_told_to_leave_by_id_or_by_what_they_are(client: Client, coordinator: Scripted) -> None:
    (told,) = await client.drain_worker("w1")
    assert (told.worker_id, told.status) == ("w1", "TERMINATING")
    await client.drain_worker(pool="p", host="h", version="t@1.0.0", grace="1m")
    first, second = coordinator.drains
    assert (first.worker_id, first.grace_ms) == ("w1", None)
    sender: Any = {"ask_id": second.ask_id, "reply_to": client.id}
    assert second == DrainWorker(pool="p", host="h", version="t@1.0.0", grace_ms=60_000, **sender)


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({}, "say which workers are to leave"),
        ({"worker_id": 7}, "say which workers are to leave"),
        ({"worker_id": "w1", "grace": "soon"}, "'soon' is not a duration"),
    ],
)
async def test_an_order_to_nobody_is_not_sent(client: Client, given: dict[str, Any], advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        await client.drain_worker(**given)
