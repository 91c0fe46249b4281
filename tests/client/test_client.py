"""Trigger and wait, against a scripted coordinator on the local bus in process."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest

from longshore.broker.local import LocalRouter
from longshore.client import Client, Run
from longshore.core.cache_key import cache_key
from longshore.core.errors import (
    ArgumentError,
    EncodingError,
    NotYetAccepted,
    PayloadCorrupt,
    Rejected,
    RemoteError,
    RunCanceled,
    RunFailed,
    UnavailableError,
    UsageError,
)
from longshore.core.message import ClaimCheck, RunChanged
from longshore.serialization.values import encode
from longshore.settings import Settings
from tests.client.conftest import NewClient
from tests.client.routines import add, fail, slow
from tests.client.scripted import Scripted, now
from tests.support.wait import eventually

OTHER = "0190b3a4-0000-7000-8000-000000000001"


class OwnError(Exception):
    pass


async def test_a_call_is_run_and_its_result_returned(client: Client) -> None:
    assert await client.run(add(1, y=2)) == 3


async def test_a_routine_is_run_by_name(client: Client) -> None:
    assert await client.run("add@1.0.0", args=[1], kwargs={"y": 4}) == 5


async def test_trigger_returns_a_handle_once_the_ledger_has_the_run(client: Client, coordinator: Scripted) -> None:
    run = await client.trigger(add(1))
    assert coordinator.statuses[run.id] == "COMPLETED"
    assert await run.result() == 2
    assert await client.handle(run.id).result(timeout=5) == 2


async def test_a_trigger_carries_its_options_and_the_cache_key_that_a_worker_computes(
    client: Client, coordinator: Scripted
) -> None:
    await client.trigger(add("2"), delay="1s", tags=["x"], attempt_timeout=2)  # type: ignore[arg-type]
    trigger = coordinator.triggers[-1]
    assert trigger.routine == "add@1.0.0"
    assert (trigger.options.delay_ms, trigger.options.tags, trigger.options.timeout_ms) == (1000, ["x"], 2000)
    digest = add.signature.digest(add.signature.bind((2,), {}))
    assert trigger.cache_key == cache_key("default", "add", "1.0.0", digest)


@pytest.mark.parametrize(
    ("version", "routine", "travels"),
    [("pinned", "add@1.0.0", ""), ("1.0.0", "add", "1.0.0"), ("2.0.0", "add", "2.0.0"), ("latest", "add", "latest")],
)
async def test_a_call_is_triggered_in_the_version_imported_here_unless_told_otherwise(
    client: Client, coordinator: Scripted, version: str, routine: str, travels: str
) -> None:
    await client.trigger(add(1), version=version, version_deadline="1h")
    trigger = coordinator.triggers[-1]
    assert (trigger.routine, trigger.options.version) == (routine, travels)
    assert trigger.options.version_deadline_ms == 3_600_000
    assert bool(trigger.cache_key) == (routine == "add@1.0.0")


async def test_a_name_and_its_options_name_one_version(client: Client, coordinator: Scripted) -> None:
    for what in ("add", "add@1.0.0"):
        await client.trigger(what, args=[1], version="1.0.0")
        assert (coordinator.triggers[-1].routine, coordinator.triggers[-1].options.version) == (what, "1.0.0")
    with pytest.raises(UsageError, match=r"'add@1\.0\.0' and version='latest' name two versions"):
        await client.trigger("add@1.0.0", args=[1], version="latest")
    with pytest.raises(UsageError, match="'pinned' is for a call of an imported routine; write add@1"):
        await client.trigger("add", args=[1], version="pinned")
    await client.trigger("add@1.0.0", args=[1], version="pinned")
    assert coordinator.triggers[-1].options.version == ""


async def test_an_action_has_no_cache_key(client: Client, coordinator: Scripted) -> None:
    await client.trigger(slow())
    assert coordinator.triggers[-1].cache_key == ""


async def test_the_same_run_id_again_is_the_same_run(client: Client, coordinator: Scripted) -> None:
    run_id = uuid.uuid4()
    first = await client.trigger(add(1), run_id=run_id)
    again = await client.trigger(add(1), run_id=str(run_id))
    assert first.id == again.id == str(run_id)
    assert len(coordinator.statuses) == 1


async def test_many_triggers_with_one_idempotency_key_make_one_run(client: Client, coordinator: Scripted) -> None:
    runs = await asyncio.gather(*(client.trigger(slow(), idempotency_key="k") for _ in range(100)))
    assert [run.existing for run in runs].count(False) == 1
    assert len({run.id for run in runs}) == 1
    waiting = [asyncio.create_task(client.run(slow(), idempotency_key="k")) for _ in range(10)]
    await eventually(lambda: len(coordinator.triggers) == 110, within=5)
    await coordinator.finish(runs[0].id, "once")
    assert await asyncio.gather(*waiting) == ["once"] * 10


async def test_a_failure_is_raised_with_the_original_as_its_cause(client: Client) -> None:
    with pytest.raises(RunFailed, match=r"fail@1\.0\.0 .* failed: ValueError: boom") as caught:
        await client.run(fail("boom"))
    assert type(caught.value.__cause__) is ValueError and caught.value.__cause__.args == ("boom",)
    assert caught.value.status == "FAILED" and caught.value.error.type == "builtins.ValueError"
    assert caught.value.run_id


def raise_own(text: str) -> None:
    raise OwnError(text)


async def test_a_class_comes_back_only_from_modules_the_caller_gave(
    coordinator: Scripted, new_client: NewClient
) -> None:
    coordinator.routines["own"] = raise_own
    async with new_client() as stranger, new_client(modules=[__name__]) as friend:
        with pytest.raises(RunFailed) as caught:
            await stranger.run("own", args=["x"])
        assert type(caught.value.__cause__) is RemoteError
        with pytest.raises(RunFailed) as caught:
            await friend.run("own", args=["x"])
        assert type(caught.value.__cause__) is OwnError


async def test_a_module_that_cannot_be_imported_is_named(new_client: NewClient) -> None:
    with pytest.raises(UsageError, match="no_such_module"):
        await new_client(modules=["no_such_module"]).open()


async def test_a_rejection_names_the_rule(client: Client) -> None:
    with pytest.raises(Rejected) as caught:
        await client.trigger("refused.routine")
    assert caught.value.rule == "max_size" and caught.value.run_id
    with pytest.raises(Rejected):
        await client.run("refused.routine")


async def test_what_is_wrong_is_said_before_anything_is_sent(client: Client, coordinator: Scripted) -> None:
    with pytest.raises(ArgumentError, match="x"):
        add("no number")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no option 'dealy'; did you mean delay"):
        await client.trigger("add", dealy=1)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="run_id"):
        await client.trigger("add", run_id="no-uuid")
    with pytest.raises(UsageError, match="neither a call nor"):
        await client.trigger(add)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="a call has its arguments"):
        await client.trigger(call := add(1), args=[2])  # type: ignore[call-overload]
    call.take()
    with pytest.raises(UsageError, match="attempt_timeout"):
        await client.trigger("add", timeout="5m")  # type: ignore[call-overload]
    with pytest.raises(EncodingError):
        await client.trigger("add", args=[object()])
    with pytest.raises(UsageError, match="no run id"):
        client.handle("x")
    assert coordinator.triggers == []


async def test_a_call_is_triggered_once_only(client: Client) -> None:
    call = add(1)
    await client.trigger(call)
    with pytest.raises(UsageError, match="already"):
        await client.trigger(call)


async def test_large_arguments_travel_as_a_claim_check(client: Client, coordinator: Scripted) -> None:
    run = await client.trigger(slow(b"x" * 100_000))
    check = coordinator.triggers[-1].input
    assert isinstance(check, ClaimCheck) and check.key.startswith(f"inputs/{run.id}/") and check.size > 100_000


async def test_a_large_result_is_fetched_and_verified(
    client: Client, coordinator: Scripted, settings: Settings
) -> None:
    from longshore.client.places import cargo_of

    cargo = cargo_of(settings)
    check = await cargo.stow(encode(["long"] * 50_000), "runs/x")
    await cargo.close()
    run = await client.trigger(slow())
    await coordinator.finish(run.id, None, result=check)
    assert await run.result() == ["long"] * 50_000
    other = await client.trigger(slow())
    assert isinstance(check, ClaimCheck)
    await coordinator.finish(other.id, None, result=ClaimCheck(check.key, check.size, "0" * 64))
    with pytest.raises(PayloadCorrupt, match="sha256"):
        await other.result()


async def test_a_wait_that_ends_first_raises_timeout_error_and_the_run_goes_on(
    client: Client, coordinator: Scripted
) -> None:
    with pytest.raises(TimeoutError, match="it goes on"):
        await client.run(slow(), timeout=0.05)
    run = client.handle(coordinator.triggers[-1].run_id)
    with pytest.raises(TimeoutError, match="it goes on"):
        await run.result(timeout="50ms")
    await coordinator.finish(run.id, 7)
    assert await run.result(timeout=timedelta(seconds=5)) == 7


async def test_nothing_is_kept_for_a_wait_that_was_given_up(client: Client, coordinator: Scripted) -> None:
    waiting = asyncio.create_task(client.run(slow()))
    await eventually(lambda: coordinator.triggers, within=5)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    parts = client._opened()
    assert parts.link.book.runs == {}


async def test_confirmed_without_a_coordinator_is_not_yet_accepted_and_can_be_waited_for(
    client: Client, coordinator: Scripted
) -> None:
    coordinator.silent = True
    with pytest.raises(NotYetAccepted) as caught:
        await client.trigger(add(1), timeout=0.1)
    with pytest.raises(NotYetAccepted):
        await client.run(add(1), accept_timeout=0.1)
    coordinator.silent = False
    run = caught.value.run
    assert isinstance(run, Run) and run.id == coordinator.triggers[0].run_id
    with pytest.raises(Rejected, match="there is no run"):  # this coordinator took it and forgot
        await run.result()


async def test_questions_nobody_answers_end_in_time(client: Client, coordinator: Scripted) -> None:
    coordinator.silent = True
    with pytest.raises(UnavailableError, match="no coordinator answered"):
        await client.ask("workers", timeout=0.1)


async def test_questions_are_answered_with_plain_data(client: Client, coordinator: Scripted) -> None:
    coordinator.answers = {
        "runs": lambda ask: [ask.params],
        "workers": lambda ask: [{"worker_id": "w"}],
        "dead": lambda ask: [ask.params],
        "run": lambda ask: {"run_id": ask.run_ids[0], "status": "QUEUED"},
        "why": lambda ask: {"kind": "capacity", "text": "no free slot"},
        "tree": lambda ask: [{"run_id": ask.run_ids[0]}],
    }
    assert await client.runs(status="QUEUED", limit=5) == [{"status": "QUEUED", "limit": 5}]
    assert await client.workers() == [{"worker_id": "w"}]
    assert await client.dead() == [{"limit": 50}]
    run = client.handle(OTHER)
    assert await run.status() == "QUEUED"
    assert await run.why_waiting() == {"kind": "capacity", "text": "no free slot"}
    assert await run.tree() == [{"run_id": OTHER}]
    with pytest.raises(Rejected, match="unknown_question"):
        await client.ask("nonsense")


async def test_a_run_is_canceled_once_and_again_is_harmless(client: Client, coordinator: Scripted) -> None:
    run = await client.trigger(slow())
    coordinator.answers["run"] = lambda ask: {"status": coordinator.statuses[ask.run_ids[0]]}
    waiting = asyncio.create_task(run.result())
    await eventually(lambda: coordinator.asks, within=5)
    await run.cancel(reason="enough")
    with pytest.raises(RunCanceled, match="was canceled: enough"):
        await waiting
    await run.cancel()
    done = await client.trigger(add(1))
    with pytest.raises(Rejected, match="already_final"):
        await done.cancel()


async def test_a_run_is_watched_until_it_has_ended_and_its_progress_comes_after_its_beginning(
    client: Client, coordinator: Scripted
) -> None:
    run = await client.trigger(slow())
    rows = [row(run.id, 1, "QUEUED")]
    coordinator.answers["history"] = lambda ask: rows[ask.params["after"] :]
    seen = []
    async for change in run.watch():
        seen.append((change.status, change.reason))
        if change.status == "QUEUED":
            await eventually(lambda: run.id in coordinator.watchers, within=5)
            rows.append(row(run.id, 2, "EXECUTING"))
            await coordinator.tell(RunChanged(run.id, "EXECUTING", 1, "40% epoch 4", now()))
        if change.reason == "why" and change.status == "EXECUTING":
            rows.append(row(run.id, 3, "COMPLETED"))
            await coordinator.finish(run.id, 1)
    assert seen == [("QUEUED", "why"), ("EXECUTING", "why"), ("EXECUTING", "40% epoch 4"), ("COMPLETED", "why")]


async def test_watching_a_run_that_is_not_there_or_over_a_closed_client_ends(
    coordinator: Scripted, new_client: NewClient
) -> None:
    coordinator.answers["history"] = lambda ask: []
    client = new_client()
    async with client:
        with pytest.raises(Rejected, match="there is no run"):
            await anext(client.handle(OTHER).watch())
        run = await client.trigger(slow())
        watching = asyncio.create_task(first(run))
        await eventually(lambda: run.id in coordinator.watchers, within=5)
    with pytest.raises(UnavailableError, match="closed"):
        await watching


async def first(run: Run[Any]) -> str:
    async for change in run.watch():
        return change.status
    return "nothing"


async def test_watching_outlives_a_coordinator_that_does_not_answer_for_a_while(
    client: Client, coordinator: Scripted, router: LocalRouter
) -> None:
    run = await client.trigger(slow())
    coordinator.answers["history"] = lambda ask: [row(run.id, 1, "COMPLETED")]
    coordinator.silent = True
    watching = asyncio.create_task(first(run))
    await eventually(lambda: any(ask.what == "history" for ask in coordinator.asks), within=5)
    coordinator.silent = False
    router.disconnect()  # what was not answered is asked again
    assert await watching == "COMPLETED"


async def test_a_long_history_is_read_page_by_page(client: Client, coordinator: Scripted) -> None:
    rows = [row(OTHER, seq, "QUEUED") for seq in range(1, 2501)]
    coordinator.answers["history"] = lambda ask: rows[ask.params["after"] :][: ask.params["limit"]]
    assert await client.handle(OTHER).history() == rows
    assert len(coordinator.asks) == 3


def row(run_id: str, seq: int, status: str) -> dict[str, object]:
    return {"run_id": run_id, "seq": seq, "to_status": status, "reason": "why", "attempt": 1, "at": now().isoformat()}
