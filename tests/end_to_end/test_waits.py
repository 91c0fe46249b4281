"""Signals, tokens and instants on RabbitMQ: kept, waited for, put away and brought back, refused."""

from __future__ import annotations

import asyncio
import json
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from longshore import Client, Rejected, RunFailed, SyncClient, UsageError
from longshore.telemetry import Telemetry
from tests.end_to_end import outside
from tests.end_to_end.conftest import Build, in_status
from tests.end_to_end.house import House
from tests.end_to_end.test_foreign import run_foreign
from tests.support.wait import eventually

MODULE = "tests.end_to_end.outside"


async def token_in(folder: Path) -> str:
    """The token that a workflow handed over."""
    await eventually((folder / "token").exists, within=10, what="token")
    (token,) = (folder / "token").read_text().splitlines()
    return token


# ------------------------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("value", [None, {"by": "ann", "at": (1, 2)}, "x" * 200_000], ids=["none", "small", "large"])
async def test_a_signal_ends_a_wait_with_its_value(client: Client, value: Any) -> None:
    run = await client.trigger(outside.approval())
    await in_status(run, "HANGING")
    reason = await run.why_waiting()
    assert reason is not None
    assert (reason["kind"], reason["text"]) == ("signal", "waits for signal 'approved'")
    assert (await run.tree())[0]["waits"] == ["signal 'approved'"]
    await run.signal("approved", value)
    assert await run.result(timeout=10) == value


async def test_signals_before_the_wait_are_kept_in_their_order_and_several_wait_at_once(client: Client) -> None:
    run = await client.trigger(outside.collects(3), delay=0.3)
    for item in range(3):
        await client.signal(run.id, "item", item)
    await client.signal(run.id, "right", "r")
    await in_status(run, "HANGING")
    await client.signal(run.id, "go")
    await client.signal(run.id, "left", "l")
    assert await run.result(timeout=10) == [0, 1, 2, "l", "r"]


async def test_signals_that_nobody_can_take_are_refused(client: Client) -> None:
    nobody = "01900000-0000-7000-8000-000000000000"
    with pytest.raises(Rejected, match=f"there is no run {nobody}") as refused:
        await client.signal(nobody, "a")
    assert refused.value.rule == "unknown_run"
    done = await client.trigger(outside.approval())
    await done.signal("approved")
    await done.result(timeout=10)
    with pytest.raises(Rejected, match="is COMPLETED already: it waits for nothing any more"):
        await done.signal("approved")
    task = await client.trigger(outside.misuses("wait_until"))
    with pytest.raises(RunFailed):
        await task.result(timeout=10)
    with pytest.raises(Rejected, match="already_final"):
        await task.signal("approved")
    with pytest.raises(Rejected, match="a signal's name has 1 to 200 characters, not 0"):
        await done.signal("")
    with pytest.raises(UsageError, match="a signal is named by a text"):
        await done.signal(7)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------------------- tokens


async def test_a_token_is_completed_once_from_the_command_line(house: House, client: Client, tmp_path: Path) -> None:
    run = await client.trigger(outside.paid(str(tmp_path)))
    token = await token_in(tmp_path)
    await in_status(run, "HANGING")
    reason = await run.why_waiting()
    assert reason is not None
    assert token in reason["text"]
    words = ("tokens", "complete", token, "--value", '{"euros": 7}')
    first = await asyncio.to_thread(house.json, *words)
    assert first == {"run_id": run.id, "completed": True, "text": f"run {run.id} is told"}
    assert await run.result(timeout=10) == {"euros": 7}
    again = await client.complete_token(token, "more")
    assert not again
    assert again.text.startswith("nothing was done: the token was completed already, at ")
    done = await asyncio.to_thread(house.run, *words)
    assert (done.returncode, done.stdout.strip()) == (0, again.text)


async def test_a_token_expires_or_is_completed_with_an_error(client: Client, tmp_path: Path) -> None:
    for name in ("late", "failed"):
        (tmp_path / name).mkdir()
    late = await client.trigger(outside.paid(str(tmp_path / "late"), 0.3))
    failed = await client.trigger(outside.paid(str(tmp_path / "failed"), 3600))
    assert await late.result(timeout=10) == "expired"
    token = await token_in(tmp_path / "late")
    with pytest.raises(Rejected, match=f"the token {token} of run {late.id} expired at "):
        await client.complete_token(token)
    await in_status(failed, "HANGING")
    token = await token_in(tmp_path / "failed")
    reason = await failed.why_waiting()
    assert reason is not None
    assert f"token {token} until " in reason["text"]
    assert await client.complete_token(token, error="the bank says no")
    assert await failed.result(timeout=10) == "failed: the bank says no"
    with pytest.raises(Rejected, match="there is no token 'nonsense'"):
        await client.complete_token("nonsense")
    with pytest.raises(UsageError, match="with a value or with an error, not with both"):
        await client.complete_token(token, 1, error="no")


async def test_a_token_of_a_canceled_run_is_a_no_op_that_says_so(client: Client, tmp_path: Path) -> None:
    run = await client.trigger(outside.paid(str(tmp_path)))
    token = await token_in(tmp_path)
    await run.cancel()
    await in_status(run, "CANCELED")
    done = await client.complete_token(token)
    assert (done.completed, done.text) == (False, f"nothing was done: run {run.id} is CANCELED already")


# ----------------------------------------------------------------------------------------------------- everything else


async def test_an_instant_is_waited_for_and_never_early(client: Client) -> None:
    at, woken = await client.run(outside.waits_until(0.4), timeout=10)
    assert timedelta(0) <= woken - at < timedelta(seconds=1)


async def test_what_is_put_away_comes_back_for_a_signal_after_a_restart(build: Build, tmp_path: Path) -> None:
    house = build()
    coordinator = house.decide()
    house.work(module=MODULE, LONGSHORE_SUSPEND_AFTER="0.5s")
    async with house.client(modules=[MODULE]) as client:
        signaled = await client.trigger(outside.approval())
        paid = await client.trigger(outside.paid(str(tmp_path), 3600))
        token = await token_in(tmp_path)
        for run in (signaled, paid):
            await in_status(run, "SUSPENDED")
        coordinator.kill()
        house.decide()
        await signaled.signal("approved", "after all")
        assert await client.complete_token(token, "in the end")
        assert await signaled.result(timeout=10) == "after all"
        assert await paid.result(timeout=10) == "in the end"
        assert (tmp_path / "token").read_text().splitlines() == [token], "handed over once"


async def test_a_run_that_takes_no_signals_is_kept_ten_thousand_and_what_it_waits_for_now(
    house: House, client: Client
) -> None:
    run = await client.trigger(outside.collects(10_000))
    await in_status(run, "HANGING")
    items = [{"type": "signal", "run_id": run.id, "name": "item", "value": number} for number in range(10_000)]
    bodies = [{"body": json.dumps(items[at : at + 1000]), "reply": False} for at in range(0, 10_000, 1000)]
    late = {"body": json.dumps(items[0]), "correlation_id": "late"}
    (answer,) = await run_foreign(house, [*bodies, late], answers=1)
    assert answer["body"]["error"]["rule"] == "too_many_signals"
    text = f"run {run.id} of collects has not taken 10000 signals with .*send 'left' again when it has"
    with pytest.raises(Rejected, match=text) as refused:
        await run.signal("left", 1)
    assert refused.value.rule == "too_many_signals"
    await run.signal("go")

    async def accepted() -> bool:
        try:
            await run.signal("left", 1)
        except Rejected:
            return False
        return True

    await eventually(accepted, within=20)
    await run.signal("right", 2)
    assert await run.result(timeout=20) == [*range(10_000), 1, 2]


async def test_a_foreign_program_signals_and_completes_tokens(house: House, client: Client, tmp_path: Path) -> None:
    signaled = await client.trigger(outside.collects(1))
    paid = await client.trigger(outside.paid(str(tmp_path)))
    token = await token_in(tmp_path)
    go = {"type": "signal", "run_id": signaled.id, "name": "go"}
    item = {"type": "signal", "run_id": signaled.id, "name": "item", "value": {"n": [1, None]}}
    left = {"type": "signal", "run_id": signaled.id, "name": "left", "value": "left"}
    twice = {"body": json.dumps(item), "message_id": secrets.token_hex(8), "correlation_id": "item"}
    done = {"body": json.dumps({"type": "complete_token", "token": token, "value": 8}), "correlation_id": "done"}
    bad = {"body": json.dumps({"type": "complete_token", "token": "x"}), "correlation_id": "bad"}
    publish: list[dict[str, Any]] = [{"body": json.dumps([go, left]), "reply": False}, twice, twice, done, bad]
    answers = {one["correlation_id"]: one["body"] for one in await run_foreign(house, publish, answers=4)}
    assert answers["item"]["data"]["name"] == "item"
    assert answers["done"]["data"]["completed"] is True
    assert answers["bad"]["error"]["rule"] == "unknown_token"
    assert answers["bad"]["error"]["text"].startswith("there is no token 'x': nobody has made it, or ")
    await signaled.signal("right", "right")  # only now: what comes again to a run that has ended is refused
    assert await signaled.result(timeout=10) == [{"n": [1, None]}, "left", "right"]
    assert await paid.result(timeout=10) == 8


def test_the_same_verbs_without_a_loop_and_on_the_command_line(house: House, tmp_path: Path) -> None:
    with SyncClient(settings=house.settings(), telemetry=Telemetry()) as client:
        by_handle, by_client, typed = (client.trigger("approval") for _ in range(3))
        by_handle.signal("approved", 1)
        client.signal(by_client.id, "approved", 2)
        words = ("runs", "signal", typed.id, "approved", "--value")
        assert house.json(*words, "3") == {"run_id": typed.id, "name": "approved"}
        assert [run.result(timeout=10) for run in (by_handle, by_client, typed)] == [1, 2, 3]
        with pytest.raises(Rejected, match="unknown_token"):
            client.complete_token("nonsense")
    refused = house.run(*words, "{")
    assert refused.returncode == 2
    assert "--value is not JSON" in refused.stderr
    refused = house.run("tokens", "complete", "nonsense")
    assert refused.returncode == 2
    assert "there is no token 'nonsense'" in refused.stderr
    assert "context.create_token()" in refused.stderr


@pytest.mark.parametrize("what", ["wait_until", "wait_for_signal", "create_token", "wait_for_token"])
async def test_only_workflows_wait_for_the_outside(client: Client, what: str) -> None:
    with pytest.raises(RunFailed) as failed:
        await client.run(outside.misuses(what), timeout=10)
    assert isinstance(failed.value.__cause__, UsageError)
    assert f"misuses@1.0.0 uses context.{what}(), which is for workflows" in str(failed.value.__cause__)
