"""Queues with real worker processes, on RabbitMQ and on the local bus: what the bodies themselves note never exceeds
what was ordered, whoever dies; nothing that waits is forgotten; who waits is told why."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from longshore import Client
from longshore.client import Run
from longshore.core.errors import Rejected
from longshore.settings import load
from longshore.telemetry import Telemetry
from tests.cli.conftest import Terminal, end
from tests.end_to_end.conftest import Broker, Build, in_status
from tests.end_to_end.house import House
from tests.end_to_end.queued import begun, body, events, flow, gate, most_at_once, most_of_each_key, waits
from tests.support.wait import eventually, eventually_sync

QUEUED = "tests.end_to_end.queued"
WITHIN = 90.0
SECOND = 1_000_000


@pytest.fixture(scope="module")
def house(rabbit: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Two worker processes, for all tests but the one that kills."""
    with House(tmp_path_factory.mktemp("house"), rabbit.vhost()) as house:
        house.decide()
        house.work(module=QUEUED, processes=2)
        yield house


@pytest.fixture
def queue() -> str:
    """A name of the test's own: what one leaves behind holds up no other."""
    return f"q-{secrets.token_hex(4)}"


async def results(runs: list[Run[Any]], *, within: float = WITHIN) -> list[Any]:
    async with asyncio.timeout(within):
        return list(await asyncio.gather(*(run.result() for run in runs)))


async def row_of(client: Client, queue: str) -> dict[str, Any]:
    """The queue as it is listed; empty if it is not."""
    return next((row for row in await client.queues() if row["name"] == queue), {})


async def executing(client: Client, queue: str, count: int) -> None:
    """Wait until so many at most execute."""

    async def few() -> bool:
        return bool((await row_of(client, queue))["executing"] <= count)

    await eventually(few, within=20, what=f"at most {count} executing in {queue}")


def dispatches(house: House, queue: str) -> list[int]:
    """When each run of the queue was placed, microseconds, in order."""
    sql = "SELECT history.at FROM history JOIN run ON run.id = run_id WHERE queue = ? AND to_status = 'DISPATCHED'"
    return sorted(at for (at,) in house.rows.ask(sql, queue))


async def test_never_more_than_three_execute_though_a_worker_and_a_coordinator_are_killed(
    build: Build, tmp_path: Path
) -> None:
    house = build()
    house.decide()
    crew = house.work(module=QUEUED, processes=2)
    async with house.client(modules=[QUEUED]) as client:
        assert (await client.limit_queue("narrow", limit=3, create=True)).limit == 3
        runs = await client.trigger_many((body(str(tmp_path), n) for n in range(200)), queue="narrow", timeout=30)
        ids = [run.id for run in runs]
        await eventually(lambda: begun(tmp_path) > 40, within=WITHIN)
        why = await runs[-1].why_waiting()
        assert why is not None
        assert (why["kind"], why["text"]) == ("limit", "queue 'narrow' has its limit of 3: 3 execute")
        assert len(why["holders"]) == 3 and set(why["holders"]) <= set(ids) and why["position"] > 0

        busy = next(event.pid for event in reversed(events(tmp_path)) if event.pid in crew.children())
        died_at = crew.kill_child(busy)
        before = begun(tmp_path)
        await eventually(lambda: begun(tmp_path) > before + 40, within=WITHIN)
        assert house.coordinator is not None
        await asyncio.to_thread(house.coordinator.kill)
        await asyncio.to_thread(house.decide)
        assert await results(runs) == list(range(200))
    happened = events(tmp_path, {busy: died_at})
    assert most_at_once(happened) == 3
    assert {event.number for event in happened} == set(range(200))
    house.rows.check(ids)


async def test_each_key_has_its_own_limit(house: House, client: Client, queue: str, tmp_path: Path) -> None:
    await client.limit_queue(queue, key_limit=2, create=True)
    runs = []
    for n in range(60):
        key = "abc"[n % 3]
        call = body(str(tmp_path), n, 0.05, key)
        runs.append(await client.trigger(call, queue=queue, concurrency_key=key))
    await results(runs)
    assert max(most_of_each_key(events(tmp_path)).values()) <= 2

    held = [await client.trigger(gate(str(tmp_path)), queue=queue, concurrency_key="d") for _ in range(3)]
    why = await held[2].why_waiting()
    assert why is not None and why["kind"] == "key_limit"
    assert why["text"] == f"queue {queue!r} has its limit of 2 for the concurrency key 'd'"
    assert why["holders"] == [run.id for run in held[:2]]
    other = await client.trigger(gate(str(tmp_path)), queue=queue, concurrency_key="e")
    for run in (*held[:2], other):
        await in_status(run, "EXECUTING", within=20)
    assert await held[2].status() == "QUEUED"
    (tmp_path / "go").touch()
    assert await results(held) == ["went"] * 3


async def test_never_more_start_in_any_second_than_the_rate_says(
    house: House, client: Client, queue: str, tmp_path: Path
) -> None:
    await client.limit_queue(queue, rate="5/1s", create=True)
    runs = await client.trigger_many((body(str(tmp_path), n, 0) for n in range(24)), queue=queue)
    why = await runs[-1].why_waiting()
    assert why is not None and why["kind"] == "rate" and why["next_at"] > why["since"]
    assert why["text"] == f"queue {queue!r} has had its 5/1s starts"
    await results(runs)
    starts = dispatches(house, queue)
    assert len(starts) == 24
    assert min(later - sooner for sooner, later in zip(starts, starts[5:], strict=False)) >= SECOND
    assert starts[-1] - starts[0] < 10 * SECOND, "it lets them start when their time has come"


async def test_a_paused_queue_starts_nothing_and_what_executes_ends(client: Client, queue: str, tmp_path: Path) -> None:
    await client.limit_queue(queue, limit=2, create=True)
    runs = await client.trigger_many((gate(str(tmp_path)) for _ in range(6)), queue=queue)
    await eventually(lambda: begun(tmp_path) == 2, within=WITHIN)
    assert (await client.pause_queue(queue)).paused
    (tmp_path / "go").touch()
    assert await results(runs[:2]) == ["went"] * 2
    for n in range(3):  # rounds pass, slots are free
        await client.run(body(str(tmp_path), n, 0), timeout=WITHIN)
    assert begun(tmp_path) == 2 + 3
    row = await row_of(client, queue)
    assert (row["queued"], row["executing"], row["paused"]) == (4, 0, True)
    why = await runs[-1].why_waiting()
    assert why is not None and (why["kind"], why["text"]) == ("paused", f"queue {queue!r} is paused; resume it")
    assert not (await client.resume_queue(queue)).paused
    assert await results(runs) == ["went"] * 6


async def test_a_full_queue_refuses_what_is_new_and_stores_nothing_of_it(
    house: House, client: Client, queue: str, tmp_path: Path
) -> None:
    await client.limit_queue(queue, max_size=3, create=True)
    await client.pause_queue(queue)
    runs = [await client.trigger(body(str(tmp_path), n), queue=queue) for n in range(3)]
    text = f"queue {queue!r} is full: 3 runs wait in it, and its max_size is 3; trigger again later, or raise it"
    for verb in (client.trigger, client.run):
        with pytest.raises(Rejected) as refused:
            await verb(body(str(tmp_path), 3), queue=queue)
        assert refused.value.rule == "max_size" and text in str(refused.value)
    again = await client.trigger(body(str(tmp_path), 0), queue=queue, run_id=runs[0].id)  # is in it already
    assert again.id == runs[0].id
    with pytest.raises(ExceptionGroup) as failed:
        await client.trigger_many((body(str(tmp_path), n) for n in range(4, 6)), queue=queue)
    assert len(failed.value.exceptions) == 2
    assert house.rows.ask("SELECT count(*) FROM run WHERE queue = ?", queue) == [(3,)]
    await client.limit_queue(queue, max_size=4)
    runs.append(await client.trigger(body(str(tmp_path), 3), queue=queue))
    await client.resume_queue(queue)
    assert await results(runs) == [0, 1, 2, 3]


async def test_the_children_of_a_workflow_go_into_a_full_queue(client: Client, queue: str, tmp_path: Path) -> None:
    await client.limit_queue(queue, max_size=0, create=True)
    with pytest.raises(Rejected, match="is full: 0 runs wait"):
        await client.trigger(body(str(tmp_path), 0), queue=queue)
    assert await client.run(flow(str(tmp_path), 0, 6, queue), timeout=WITHIN) == 6


async def test_a_tenant_with_two_thousand_runs_delays_another_by_one_turn(
    house: House, client: Client, queue: str, tmp_path: Path
) -> None:
    await client.limit_queue(queue, limit=1, create=True)
    many = await client.trigger_many(
        (body(str(tmp_path), n, 0) for n in range(2000)), queue=queue, concurrency_key="big", timeout=60
    )
    await eventually(lambda: begun(tmp_path) > 5, within=WITHIN)
    others = [await client.trigger(body(str(tmp_path), 0, 0), queue=queue, concurrency_key=key) for key in "ab"]
    await results(others)
    for other in others:
        ((came, went),) = house.rows.ask(
            "SELECT min(at), max(at) FROM history WHERE run_id = ? AND to_status IN ('QUEUED', 'DISPATCHED')", other.id
        )
        between = [at for at in dispatches(house, queue) if came < at < went]
        assert len(between) <= 2, "one of the other tenant, and one of each who came before"
    assert (await row_of(client, queue))["queued"] > 1000
    await client.limit_queue(queue, limit=None)
    assert len(await results(many)) == 2000


async def test_limits_that_change_under_way_hold_from_then_on(client: Client, queue: str, tmp_path: Path) -> None:
    await client.limit_queue(queue, limit=1, create=True)
    runs = await client.trigger_many((body(str(tmp_path), n, 0.05) for n in range(80)), queue=queue)
    await eventually(lambda: begun(tmp_path) > 5, within=WITHIN)
    first = events(tmp_path)
    await client.limit_queue(queue, limit=4)
    await eventually(lambda: most_at_once(events(tmp_path)) == 4, within=WITHIN)
    await client.limit_queue(queue, limit=2)
    await executing(client, queue, 2)
    raised = events(tmp_path)
    assert await results(runs) == list(range(80))
    assert most_at_once(first) == 1 and most_at_once(raised) == 4
    under_way = sum(event.step for event in raised)
    assert under_way + most_at_once(events(tmp_path)[len(raised) :]) <= 2


async def test_workflows_and_their_children_in_one_queue_of_limit_one_do_not_wait_for_each_other(
    client: Client, queue: str, tmp_path: Path
) -> None:
    await client.limit_queue(queue, limit=1, create=True)
    flows = [flow(str(tmp_path), 10 * n, 6, queue) for n in range(3)]
    runs = await client.trigger_many(flows, queue=queue)
    assert await results(runs) == [6, 6, 6]
    assert most_at_once(events(tmp_path)) == 1


async def test_a_paused_queue_lets_a_workflow_that_has_waited_go_on(client: Client, queue: str, tmp_path: Path) -> None:
    run = await client.trigger(waits(str(tmp_path), "default"), queue=queue)
    await in_status(run, "HANGING")
    await client.pause_queue(queue)
    late = await client.trigger(gate(str(tmp_path)), queue=queue)
    (tmp_path / "go").touch()
    assert await run.result(timeout=WITHIN) == "went"
    assert await late.status() == "QUEUED"
    await client.resume_queue(queue)
    assert await late.result(timeout=WITHIN) == "went"


async def test_the_namespace_has_a_limit_over_all_queues(house: House, client: Client, tmp_path: Path) -> None:
    await client.limit_queue("*", limit=2)
    try:
        calls = [body(str(tmp_path), n, 0.1).using(queue=f"part-{n % 5}") for n in range(40)]
        runs = await client.trigger_many(calls)
        row = await row_of(client, "*")
        assert row["limit"] == 2 and row["executing"] <= 2 and row["queued"] > 0
        assert await results(runs) == list(range(40))
    finally:
        await client.limit_queue("*", limit=None)
    assert most_at_once(events(tmp_path)) == 2
    assert await row_of(client, "*") == {}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Terminal]:
    """`longshore dev` and one worker more on its socket."""
    here = Terminal(tmp_path)
    parts = [here.start("dev", QUEUED, "--json", stdout=subprocess.PIPE)]
    assert parts[0].stdout is not None
    try:
        assert json.loads(parts[0].stdout.readline())["event"] == "ready"
        parts.append(here.start("worker", QUEUED, "--processes", "1"))
        eventually_sync(lambda: len(here.lines("workers", "list")) == 2, within=30)
        yield here
    finally:
        for part in reversed(parts):
            end(part)
        parts[0].stdout.close()


async def test_limits_and_pauses_hold_on_the_local_bus_too(place: Terminal, tmp_path: Path) -> None:
    settings = load(
        broker_url=f"local:{place.folder}/.longshore/bus.sock", payload_url=f"file:{place.folder}/.longshore/payloads"
    )
    async with Client(settings=settings, telemetry=Telemetry()) as client:
        await asyncio.to_thread(place.json, "queues", "limit", "narrow", "--concurrency", "3", "--create")
        many = await client.trigger_many((body(str(tmp_path), n) for n in range(100)), queue="narrow")
        assert await results(many) == list(range(100))
        assert most_at_once(events(tmp_path)) <= 3
        held = await client.trigger_many((gate(str(tmp_path)) for _ in range(5)), queue="narrow")
        await eventually(lambda: begun(tmp_path) == 103, within=WITHIN)
        await asyncio.to_thread(place.json, "queues", "pause", "narrow")
        (tmp_path / "go").touch()
        await executing(client, "narrow", 0)
        assert await client.run(body(str(tmp_path), 100), timeout=WITHIN) == 100
        assert begun(tmp_path) == 104
        await asyncio.to_thread(place.json, "queues", "resume", "narrow")
        assert await results(held) == ["went"] * 5
    assert len({event.pid for event in events(tmp_path)}) == 2
