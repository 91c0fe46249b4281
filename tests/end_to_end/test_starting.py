"""Idempotency keys and debounces through real parts: clients in parallel, calls of workflows, JSON from outside."""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from longshore import Client, Rejected, RunFailed, SyncClient, UsageError
from longshore.telemetry import Telemetry
from tests.end_to_end import started
from tests.end_to_end.conftest import Build, in_status
from tests.end_to_end.house import House
from tests.end_to_end.test_foreign import run_foreign

MODULE = "tests.end_to_end.started"


def marks(folder: Path, name: str) -> int:
    """How often a body has begun."""
    file = folder / name
    return len(file.read_text().splitlines()) if file.exists() else 0


async def test_a_hundred_parallel_triggers_of_many_clients_make_one_run(house: House, tmp_path: Path) -> None:
    key = secrets.token_hex(8)

    async def some() -> list[str]:
        async with house.client(modules=[MODULE]) as client:
            runs = await asyncio.gather(
                *(client.trigger(started.mark(str(tmp_path), "one"), idempotency_key=key) for _ in range(20))
            )
            assert {await run.result(timeout=20) for run in runs} == {"one"}
            assert (await runs[0].info()).idempotency_key == key
            return [run.id for run in runs]

    found = await asyncio.gather(*(some() for _ in range(5)))
    assert len({run_id for ids in found for run_id in ids}) == 1 and marks(tmp_path, "one") == 1


async def test_a_key_is_the_producers_who_are_projects_or_say_a_name(house: House, tmp_path: Path) -> None:
    key = secrets.token_hex(8)

    async def mark(project: str, name: str, **options: Any) -> str:
        settings = house.settings().model_copy(update={"project": project})
        async with Client(settings=settings, telemetry=Telemetry()) as client:
            run = await client.trigger("mark", args=[str(tmp_path), name], idempotency_key=key, **options)
            await run.result(timeout=20)
            info = await run.info()
            assert (info.idempotency_key, info.producer) == (key, options.get("producer", project))
            return run.id

    shops, again = await mark("shop", "a"), await mark("shop", "b")
    billings, nobodys = await mark("billing", "c"), await mark("default", "d")
    assert shops == again and len({shops, billings, nobodys}) == 3
    assert await mark("billing", "e", producer="shop") == shops
    options = {"idempotency_key": key, "producer": "shop"}
    body = {"type": "trigger", "routine": "mark", "args": [str(tmp_path), "f"], "options": options}
    nobody = body | {"options": {"idempotency_key": key}}
    letters = [{"body": json.dumps(one), "correlation_id": name} for one, name in ((body, "shop"), (nobody, "none"))]
    found = {one["correlation_id"]: one["body"]["run_id"] for one in await run_foreign(house, letters, answers=2)}
    assert found == {"shop": shops, "none": nobodys}
    reset = {"type": "reset_key", "routine": "mark", "key": key, "producer": "billing"}
    (told,) = await run_foreign(house, [{"body": json.dumps(reset), "correlation_id": "reset"}], answers=1)
    assert told["body"]["data"]["run_id"] == billings
    assert await mark("shop", "g") == shops and await mark("billing", "h") != billings
    assert [marks(tmp_path, name) for name in "abcdefgh"] == [1, 0, 1, 1, 0, 0, 0, 1]


async def test_a_key_is_freed_by_failure_and_by_order(house: House, client: Client, tmp_path: Path) -> None:
    key = secrets.token_hex(8)
    failed = await client.trigger(started.fail("no"), idempotency_key=key)
    with pytest.raises(RunFailed):
        await failed.result(timeout=20)
    again = await client.trigger(started.fail("no"), idempotency_key=key)
    assert again.id != failed.id
    first = await client.trigger(started.mark(str(tmp_path), "a"), idempotency_key=key, idempotency_ttl="1h")
    await first.result(timeout=20)
    assert (await client.trigger(started.mark(str(tmp_path), "b"), idempotency_key=key)).id == first.id
    told = await client.reset_idempotency_key(started.mark, key)
    assert (told.reset, told.run_id, told.routine) == (True, first.id, "mark")
    assert not (await client.reset_idempotency_key("mark", key)).reset
    assert (await client.trigger(started.mark(str(tmp_path), "b"), idempotency_key=key)).id != first.id
    with SyncClient(settings=house.settings(), telemetry=Telemetry()) as plain:
        assert await asyncio.to_thread(plain.reset_idempotency_key, "mark", key)


async def test_a_call_shares_the_run_that_holds_its_key_and_leaves_it_alone_when_it_is_canceled(
    client: Client, tmp_path: Path
) -> None:
    key = secrets.token_hex(8)
    held = await client.trigger(started.hold(str(tmp_path), "held"), idempotency_key=key)
    await in_status(held, "EXECUTING")
    caller = await client.trigger(started.shares(str(tmp_path), "held", key))
    other = await client.trigger(started.shares(str(tmp_path), "held", key))
    await in_status(caller, "HANGING")
    await in_status(other, "HANGING")
    why = await caller.why_waiting()
    assert why is not None and held.id in str(why.holders)
    await caller.cancel()
    await in_status(caller, "CANCELED")
    assert await held.status() == "EXECUTING"
    (tmp_path / "go").touch()
    assert await other.result(timeout=20) == "held"
    assert await held.result(timeout=20) == "held" and marks(tmp_path, "held.begun") == 1
    late = await client.trigger(started.shares(str(tmp_path), "held", key))
    assert await late.result(timeout=20) == "held" and marks(tmp_path, "held.begun") == 1


async def test_a_failure_of_a_shared_run_reaches_its_caller_as_its_own(client: Client, tmp_path: Path) -> None:
    key = secrets.token_hex(8)
    held = await client.trigger(started.fail_at_go(str(tmp_path)), idempotency_key=key)
    caller = await client.trigger(started.catches(str(tmp_path), key))
    await in_status(caller, "HANGING")
    (tmp_path / "go").touch()
    assert await caller.result(timeout=20) == ["ValueError", "at last"]
    assert await held.status() == "FAILED"


async def test_the_scope_run_makes_one_child_of_each_workflow(client: Client, tmp_path: Path) -> None:
    runs = [await client.trigger(started.twice(str(tmp_path), "one-each")) for _ in range(2)]
    assert [await run.result(timeout=20) for run in runs] == [["one-each"] * 2] * 2
    assert marks(tmp_path, "one-each") == 2


async def test_every_option_of_a_trigger_is_taken_by_a_call(client: Client) -> None:
    run = await client.trigger(started.options())
    assert await run.result(timeout=30) == 3
    rows = {row["address"]: row for row in await run.tree() if row["address"]}
    infos = [await client.handle(row["run_id"]).info() for row in rows.values()]
    found = next(info for info in infos if "a" in info.tags)
    assert (found.tags, found.metadata, found.queue, found.idempotency_key) == (["a", "b"], {"n": 1}, "side", "own")
    history = await client.handle(found.run_id).history()
    assert history[0].to_status == "DELAYED"


async def test_triggers_that_come_close_together_are_one_run_with_the_last_input(
    client: Client, tmp_path: Path
) -> None:
    debounce: Any = {"key": secrets.token_hex(8), "delay": "1s"}
    runs = [await client.trigger(started.mark(str(tmp_path), name), debounce=debounce) for name in ("a", "b", "c")]
    assert len({run.id for run in runs}) == 1
    assert await runs[0].result(timeout=20) == "c"
    assert [marks(tmp_path, name) for name in "abc"] == [0, 0, 1]
    first, *rest = await runs[0].history()
    assert first.to_status == "DELAYED" and [row.to_status for row in rest[:2]] == ["DELAYED", "DELAYED"]
    leading: Any = {**debounce, "delay": "30s", "mode": "leading"}
    runs = [await client.trigger(started.mark(str(tmp_path), name), debounce=leading) for name in ("d", "e")]
    assert [await run.result(timeout=20) for run in runs] == ["d", "d"] and marks(tmp_path, "e") == 0


async def test_a_circle_of_shared_runs_is_told_to_the_one_that_closes_it_and_replayed_alike(build: Build) -> None:
    house = build()
    house.decide()
    worker = house.work(module=MODULE)
    async with house.client(modules=[MODULE]) as client:
        keys = ["a", "b", "c"]
        root = await client.trigger(started.ring(keys, 0), idempotency_key="a")
        again = await client.trigger(started.ring(keys, 2), idempotency_key="c")
        last = client.handle((await root.tree())[-1]["run_id"])

        async def is_refused() -> bool:
            found = await asyncio.gather(*(run.why_waiting() for run in (root, last, again)))
            return any(why is not None and "'go on'" in why["text"] for why in found)

        async with asyncio.timeout(30):
            while not await is_refused():
                await asyncio.sleep(0.05)
        worker.kill()
        house.work(module=MODULE)
        for run in (root, again):
            for one in await run.tree():
                with suppress(Rejected):
                    await client.signal(one["run_id"], "go on", "refused: ")
        told = await root.result(timeout=30)
        assert told == await again.result(timeout=30)
        assert told.startswith("refused: it would wait for itself: ring ") and told.count("waits for") == 2


async def test_a_cached_workflow_that_calls_itself_with_the_same_arguments_is_told_so(client: Client) -> None:
    assert await client.run(started.itself(7), timeout=30) == "CircularWait"


async def test_a_debounce_outlives_a_killed_coordinator(build: Build, tmp_path: Path) -> None:
    house = build()
    coordinator = house.decide()
    house.work(module=MODULE)
    debounce: Any = {"key": "k", "delay": "5m"}
    async with house.client(modules=[MODULE]) as client:
        first = await client.trigger(started.mark(str(tmp_path), "a"), debounce=debounce)
        key = await client.trigger(started.mark(str(tmp_path), "x"), idempotency_key="k", delay="1h")
        coordinator.kill()
        house.decide()
        again = await client.trigger(started.mark(str(tmp_path), "b"), debounce=debounce, timeout=30)
        assert again.id == first.id
        assert (await client.trigger(started.mark(str(tmp_path), "y"), idempotency_key="k")).id == key.id
        await first.reschedule(0)
        assert await first.result(timeout=30) == "b" and marks(tmp_path, "a") == 0


async def test_the_same_as_json(house: House, client: Client, tmp_path: Path) -> None:
    key = secrets.token_hex(8)

    def trigger(name: str, **options: Any) -> dict[str, Any]:
        body = {"type": "trigger", "routine": "mark", "args": [str(tmp_path), name], "options": options}
        return {"body": json.dumps(body), "correlation_id": name}

    debounce = {"key": key, "delay_ms": 700}
    answers = await run_foreign(house, [trigger(name, debounce=debounce) for name in ("p", "q")], answers=2)
    assert [one["body"]["result"] for one in answers] == ["q", "q"]
    await run_foreign(house, [trigger("r", idempotency_key=key)], answers=1)
    reset = {"body": json.dumps({"type": "reset_key", "routine": "mark", "key": key}), "correlation_id": "reset"}
    (told,) = await run_foreign(house, [reset], answers=1)
    assert told["body"]["data"]["reset"] is True
    wrong = [
        trigger("s", debounce={"key": "", "delay_ms": 1}),
        trigger("t", idempotency_key="k", idempotency_scope="run"),
        trigger("u", idempotency_key="k", idempotency_ttl_ms=1),
    ]
    refused = {
        one["correlation_id"]: one["body"]["error"]["rule"] for one in await run_foreign(house, wrong, answers=3)
    }
    assert refused == {"s": "debounce", "t": "idempotency_scope", "u": "idempotency_ttl_ms"}


async def test_options_that_cannot_be_are_usage_errors_before_anything_is_sent(client: Client, tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"idempotency_ttl": "1h"}, "idempotency_ttl: it is for an idempotency_key"),
        ({"producer": "shop"}, "producer: it is for an idempotency_key"),
        ({"idempotency_key": "k", "producer": ""}, "producer: '' is not a text"),
        ({"idempotency_key": "k", "idempotency_ttl": "500ms"}, "at least 1 s"),
        ({"idempotency_key": "k", "idempotency_ttl": "31d"}, "over 30 days"),
        ({"idempotency_key": "k", "idempotency_scope": "all"}, "neither 'global' nor 'run'"),
        ({"debounce": "k"}, "has not the form"),
        ({"debounce": {"key": "k"}}, "key and delay are needed"),
        ({"debounce": {"key": "k", "delay": "1s", "max": 1}}, "has not the form"),
        ({"debounce": {"key": "", "delay": "1s"}}, "debounce: key: '' is not a text"),
        ({"debounce": {"key": "k", "delay": 0}}, "a delay of zero"),
        ({"debounce": {"key": "k", "delay": "31d"}}, "over 30 days"),
        ({"debounce": {"key": "k", "delay": "2s", "max_delay": "1s"}}, "is shorter than the delay"),
        ({"debounce": {"key": "k", "delay": "2s", "mode": "last"}}, "neither 'trailing' nor 'leading'"),
        ({"debounce": {"key": "k", "delay": "2s"}, "delay": "1s"}, "has a delay of its own"),
    ]
    given = [str(tmp_path), "never"]
    for options, text in wrong:
        with pytest.raises(UsageError, match=text):
            await client.trigger("mark", args=given, **options)
    own: dict[str, Any] = {"idempotency_key": "k", "idempotency_scope": "run"}
    with pytest.raises(Rejected, match="what is triggered has no parent"):
        await client.trigger("mark", args=given, **own)
    with pytest.raises(UsageError, match="give a routine"):
        await client.reset_idempotency_key("", "k")
    with pytest.raises(UsageError, match="is no routine name"):
        await client.reset_idempotency_key("bad name", "k")
    with pytest.raises(UsageError, match="is no UUID"):
        await client.reset_idempotency_key("mark", "k", run_id="x")
    with pytest.raises(UsageError, match="its workflow's own"):
        await client.reset_idempotency_key("mark", "k", run_id="00000000-0000-7000-8000-000000000000", producer="shop")
    with pytest.raises(Rejected, match="1 to 256 characters"):
        await client.reset_idempotency_key("mark", "k" * 300)
    assert marks(tmp_path, "never") == 0
