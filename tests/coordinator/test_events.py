"""The events exchange: what is committed is published to whoever listens, and nobody waits for a listener."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from typing import Any

import pytest

from longshore.broker.bus import Bus, Incoming
from longshore.client.events import Hearing
from longshore.coordinator.store.tail import decoded
from longshore.core.envelope import EVENTS_KEY
from tests.coordinator.conftest import NAMES, Site, stop
from tests.coordinator.peers import Peer, task
from tests.support.wait import eventually

WITHIN = 20.0


class Listener(Peer):
    """Bound to the events exchange; reads unless it is told not to."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, NAMES, EVENTS_KEY)

    async def listen(self, exchange: str = NAMES.events) -> None:
        """Until it is known to be heard: the word that finds out has come."""
        await super().listen(exchange)
        await eventually(lambda: self.came, within=WITHIN, what="the first word")

    @property
    def changes(self) -> list[dict[str, Any]]:
        return [change for message in self.came for change in decoded(message.body)]

    def path(self, run_id: str) -> list[str]:
        return [change["to_status"] for change in self.changes if change["run_id"] == run_id]


def with_events(site: Site) -> dict[str, Any]:
    return {"events_bus": lambda: site._make_bus("events")}


@pytest.fixture(params=["site", "rabbit_site"], ids=["local", "rabbitmq"])
def any_site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.getfixturevalue(request.param)
    return found


async def test_each_change_of_each_run_is_published_in_its_order(any_site: Site) -> None:
    site = any_site
    await site.coordinator(**with_events(site))
    listener = Listener(await site.bus("listener"))
    await listener.listen()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task(), slots=50)
    run_ids = [await caller.trigger(wants="accepted") for _ in range(20)]
    for run_id in run_ids:
        await worker.finish(await worker.start(run_id))
    wanted = ["QUEUED", "DISPATCHED", "EXECUTING", "COMPLETED"]
    await eventually(lambda: all(listener.path(run_id) == wanted for run_id in run_ids), within=WITHIN)
    first = next(change for change in listener.changes if change["run_id"] == run_ids[0])
    assert first["seq"] == 1 and first["from_status"] == "" and first["at"].endswith("Z") and first["valid"] is True
    assert (first["routine"], first["queue"], first["tags"], first["root_id"]) == ("t", "default", [], run_ids[0])
    message: Incoming = listener.came[-1]
    assert (message.content_type, message.key) == ("application/json", "runs")
    assert json.loads(message.body)
    await site.rows_of("tail", 0)


async def test_while_nobody_listens_nothing_is_kept_and_who_comes_later_hears_from_then_on(site: Site) -> None:
    await site.coordinator(**with_events(site))
    caller = await site.caller()
    before = await caller.trigger("nobody", wants="accepted")
    await site.rows_of("tail", 0)
    listener = Listener(await site.bus("listener"))
    await listener.listen()
    await eventually(lambda: site.rows("SELECT COUNT(*) FROM owner") == [(1,)], within=WITHIN)
    after = await caller.trigger("nobody", wants="accepted")
    await eventually(lambda: listener.path(after), within=WITHIN)
    assert listener.path(before) == []
    await listener.leave()
    await caller.trigger("nobody", wants="accepted")
    await site.rows_of("tail", 0)


async def test_what_a_coordinator_did_not_pass_on_the_next_one_does(site: Site) -> None:
    running = await site.coordinator(**with_events(site))
    listener = Listener(await site.bus("listener"))
    await listener.listen()
    caller = await site.caller()
    heard = await caller.trigger("nobody", wants="accepted")
    await eventually(lambda: listener.path(heard), within=WITHIN)
    await stop(running)
    running = await site.coordinator()
    connection = sqlite3.connect(site.store_file)
    (number,) = connection.execute("SELECT MAX(batch_no) FROM history").fetchone()
    packed = bytes([0x91, 0xD9, len(heard)]) + heard.encode()
    connection.execute("INSERT INTO tail VALUES (?, ?)", (number, packed))
    connection.commit()
    connection.close()
    await stop(running)
    listener.came.clear()
    await site.coordinator(**with_events(site))
    await eventually(lambda: listener.path(heard), within=WITHIN)


class Stuck:
    """A bus that takes nothing: blocked by its broker, say. All else is the real one's."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def publish(self, messages: Any, *, timeout: float) -> Any:
        self.asked += 1
        if messages[0].body == b"[]":
            return await self._bus.publish(messages, timeout=timeout)
        await asyncio.Event().wait()


async def test_a_broker_that_takes_no_events_slows_no_run(site: Site) -> None:
    made: list[Stuck] = []

    def make() -> Any:
        made.append(Stuck(site._make_bus("events")))
        return made[-1]

    await site.coordinator(events_bus=make)
    listener = Listener(await site.bus("listener"))
    await listener.listen()
    worker, caller = await site.worker(), await site.caller()
    await worker.join(task(), slots=50)
    for _ in range(30):
        run_id = await caller.trigger(wants="accepted")
        await worker.finish(await worker.start(run_id))
    await eventually(lambda: made[0].asked >= 2, within=WITHIN, what="something being published")
    status = site.rows("SELECT COUNT(*) FROM run WHERE status = 'COMPLETED'")
    await eventually(lambda: site.rows("SELECT COUNT(*) FROM run WHERE status = 'COMPLETED'") == [(30,)], within=5)
    assert listener.changes == [], status


def gaps(listener: Listener) -> list[str]:
    """What a client would say of what came."""
    hearing = Hearing()
    return [why for message in listener.came if (why := hearing.missed(message.headers, message.body))]


async def test_a_listener_misses_nothing_over_the_restart_of_a_coordinator(any_site: Site) -> None:
    site = any_site
    running = await site.coordinator(**with_events(site))
    listener = Listener(await site.bus("listener"))
    await listener.listen()
    caller = await site.caller()
    run_ids = [await caller.trigger("nobody", wants="accepted")]
    await eventually(lambda: listener.path(run_ids[0]), within=WITHIN)
    for _ in range(3):
        await stop(running)
        running = await site.coordinator(**with_events(site))
        run_ids += [await caller.trigger("nobody", wants="accepted") for _ in range(3)]  # before anybody is asked for
    await eventually(lambda: all(listener.path(run_id) for run_id in run_ids), within=WITHIN)
    assert gaps(listener) == []


async def test_who_was_bound_while_nobody_was_heard_is_told_so(site: Site) -> None:
    await site.coordinator(**with_events(site))
    listener = Listener(await site.bus("listener"))
    await listener.listen()
    came = listener.came
    await listener.leave()
    caller = await site.caller()
    await caller.trigger("nobody", wants="accepted")
    await site.rows_of("tail", 0)
    again = Listener(await site.bus("listener"))
    await again.listen()
    again.came[:0] = came
    assert gaps(again) == ["the coordinator heard nobody listen for a while"]
