"""What nobody can read or decide, sent to a house on RabbitMQ: it is put aside with its reason, the rest goes on."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from longshore import ArgumentError, Client, Rejected, RunFailed, RunSystemFailure, UsageError
from longshore.core.envelope import JSON, MSGPACK
from longshore.core.ids import RunId, SessionId
from longshore.core.message import Bye, ClaimCheck, Finished, Offer, Options, Trigger
from longshore.serialization.values import encode
from tests.end_to_end.conftest import Build, in_status
from tests.end_to_end.house import MIB, House, memory
from tests.end_to_end.raw import Raw, raw
from tests.end_to_end.routines import add, echo, hold
from tests.support.wait import eventually

LARGEST = 128 * 1024 * 1024
"""The largest message that RabbitMQ 3.10 takes by default; 16 MiB from 4.0 on."""
NOTHING = encode(None).inline()
RUN = RunId("01890a5d-ac96-774b-bcce-b302099a8057")


@pytest.fixture
async def wire(house: House) -> AsyncIterator[Raw]:
    async with raw(house.broker_url, house.namespace) as wire:
        yield wire


async def _newest(client: Client, before: int) -> dict[str, Any]:
    """The newest dead letter, once there is one more than before."""
    found: dict[str, Any] | None = await eventually(lambda: _one_more(client, before), within=15, what="a dead letter")
    assert found is not None
    return found


async def _one_more(client: Client, before: int) -> dict[str, Any] | None:
    letters = await client.dead()
    return letters[0] if len(letters) > before else None


UNREADABLE = {
    "garbage": (b"\xc1\xff\x00 what is this?", MSGPACK, "MessagePack"),
    "nothing": (b"", MSGPACK, ""),
    "garbage that calls itself JSON": (b"{]", JSON, "JSON"),
    "garbage of a kind nobody knows": (b"<trigger/>", "application/xml", ""),
    "an unknown type": (msgspec.msgpack.encode([{"type": "explode", "run_id": RUN}]), MSGPACK, "explode"),
    "an unknown type in JSON": (b'{"type": "explode"}', JSON, "explode"),
    "a wrong field": (msgspec.msgpack.encode([{"type": "trigger", "routine": 7}]), MSGPACK, "routine"),
    "a wrong field in JSON": (b'{"type": "trigger", "routine": ["add"]}', JSON, "routine"),
    "an unknown field in JSON": (b'{"type": "trigger", "routine": "add", "arsg": [1]}', JSON, "arsg"),
    "an unknown option in JSON": (b'{"type": "trigger", "routine": "add", "options": {"dealy": 1}}', JSON, "dealy"),
    "JSON of a wrong form": (b'"add"', JSON, ""),
    "arguments that are no array": (b'{"type": "trigger", "routine": "add", "args": {"x": 1}}', JSON, "args"),
    "nested a hundred thousand deep": (b"[" * 100_000, JSON, ""),
    "an array header without an array": (b"\xdd\xff\xff\xff\xff", MSGPACK, ""),
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_what_cannot_be_read_is_put_aside_with_its_reason_and_the_rest_goes_on(
    house: House, client: Client, wire: Raw, what: str
) -> None:
    body, content_type, reason = UNREADABLE[what]
    before = len(await client.dead())
    await wire.command(body, content_type=content_type)
    letter = await _newest(client, before)
    assert letter["reason"] and reason in letter["reason"]
    assert letter["size"] == len(body)
    whole = await client.dead_letter(letter["id"])
    assert whole["reason"] == letter["reason"]
    assert await client.run(echo("still here"), timeout=10) == "still here"


async def test_one_bad_command_in_a_batch_of_json_takes_the_batch_with_it_and_nothing_else(
    client: Client, wire: Raw
) -> None:
    before = len(await client.dead())
    good = {"type": "trigger", "routine": "echo", "args": [1], "options": {"tags": ["batched"]}}
    await wire.command(json.dumps([good, {"type": "trigger"}]).encode(), content_type=JSON)
    await _newest(client, before)
    assert await client.runs(tag="batched") == []


async def test_a_report_that_cannot_be_read_is_put_aside(client: Client, wire: Raw) -> None:
    before = len(await client.dead())
    await wire.publish("reports", "reports", b"\xc1\xc1", content_type=MSGPACK, headers={"session": "nobody"})
    letter = await _newest(client, before)
    assert "report" in letter["source"] or "report" in letter["reason"]
    assert await client.run(echo(2), timeout=10) == 2


async def test_what_the_broker_itself_gives_up_is_listed_too(client: Client, wire: Raw) -> None:
    before = len(await client.dead())
    await wire.publish("dead", "trigger", b"delivered too often")
    letter = await _newest(client, before)
    assert letter["source"] == "broker" and "broker" in letter["reason"]
    assert (await client.dead_letter(letter["id"]))["body"] == "delivered too often"


async def test_the_command_line_lists_and_shows_dead_letters(house: House, client: Client, wire: Raw) -> None:
    before = len(await client.dead())
    await wire.command(b"\xc1 for the command line")
    await _newest(client, before)
    newest = house.json_lines("dead", "list")[0]
    assert newest["size"] == len(b"\xc1 for the command line") and newest["reason"]
    shown = house.json("dead", "show", str(newest["id"]))
    assert shown["encoding"] == "base64" and shown["reason"] == newest["reason"]
    missing = house.run("dead", "show", "123456", "--json")
    assert missing.returncode == 2 and "123456" in missing.stdout + missing.stderr


async def test_the_largest_message_that_the_broker_takes_is_put_aside_in_bounded_memory(build: Build) -> None:
    house = build()
    coordinator = house.decide()
    before, most_before = memory(coordinator.pid, "VmRSS"), memory(coordinator.pid, "VmHWM")
    async with raw(house.broker_url, house.namespace) as wire, house.client() as client:
        await wire.command(b"\x93" + bytes(LARGEST - 1))
        letter = await eventually(lambda: _one_more(client, 0), within=60, what="the dead letter")
        assert letter["size"] == LARGEST and str(LARGEST) in letter["reason"]
        whole = await client.dead_letter(letter["id"])
        assert len(whole["body"]) <= 128 * 1024
        await eventually(lambda: memory(coordinator.pid, "VmRSS") < before + 48 * MIB, within=20)
    assert memory(coordinator.pid, "VmHWM") - most_before < 3.2 * LARGEST  # chunks, their join, and the loop's buffers


# ------------------------------------------------------------------------------------------------------- rules


REFUSED: dict[str, tuple[Trigger, str, str]] = {
    "more attempts than allowed": (Trigger("add", options=Options(max_attempts=1000)), "max_attempts", "250"),
    "a first delay below zero": (Trigger("add", options=Options(retry_first_ms=-1)), "retry_first_ms", "from 0"),
    "a factor that shrinks": (Trigger("add", options=Options(retry_factor=0.5)), "retry_factor", "from 1 on"),
    "a longest delay under the first": (
        Trigger("add", options=Options(retry_first_ms=9, retry_max_ms=5)), "retry_max_ms", "less than",
    ),
    "a delay of two months": (Trigger("add", options=Options(delay_ms=6 * 10**9)), "delay_ms", "2592000000"),
    "a negative deadline": (Trigger("add", options=Options(deadline_ms=-1)), "deadline_ms", "from 1"),
    "eleven tags": (Trigger("add", options=Options(tags=[str(i) for i in range(11)])), "tags", "10"),
    "a priority of a year": (Trigger("add", options=Options(priority=3e7)), "priority", "30 days"),
    "no routine's name": (Trigger("1 + 1"), "routine", "letters"),
    "no version": (Trigger("add@newest"), "routine", "major.minor.patch"),
    "a priority that is no number": (Trigger("add", options=Options(priority=float("nan"))), "priority", "30 days"),
    "metadata of 300 KB": (Trigger("add", options=Options(metadata={"x": "y" * 300_000})), "metadata", "262144"),
    "a very long key": (Trigger("add", options=Options(idempotency_key="k" * 1000)), "idempotency_key", "256"),
    "a claim check into the system": (
        Trigger("length", input=ClaimCheck("../../etc/passwd", 10, "0" * 64)), "claim_check", "payload store",
    ),
    "a claim check of an absolute path": (
        Trigger("length", input=ClaimCheck("/etc/passwd", 10, "0" * 64)), "claim_check", "payload store",
    ),
    "a claim check that is an address": (
        Trigger("length", input=ClaimCheck("http://169.254.169.254/", 10, "0" * 64)), "claim_check", "payload store",
    ),
    "a claim check without a digest": (
        Trigger("length", input=ClaimCheck("inputs/x", 10, "")), "claim_check", "payload store",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
async def test_what_a_rule_refuses_is_rejected_by_its_name_and_nothing_is_stored(
    client: Client, wire: Raw, what: str
) -> None:
    trigger, rule, text = REFUSED[what]
    trigger = msgspec.structs.replace(trigger, run_id=RUN, reply_to=wire.key)
    await wire.send([trigger])
    reply = await wire.reply()
    assert (type(reply).__name__, reply.run_id, reply.rule) == ("Rejected", RUN, rule)
    assert text in reply.text
    with pytest.raises(Rejected) as caught:
        await client.handle(RUN).status()
    assert caught.value.rule == "unknown_run"


@pytest.mark.parametrize("key", ["", "x" * 300, "amqp://elsewhere/", "a b", "../replies", "ключ\n"])
async def test_a_reply_key_that_points_elsewhere_disturbs_nobody(client: Client, wire: Raw, key: str) -> None:
    """Replies go to the replies exchange and nowhere else; a key that nobody could have bound is refused."""
    before = len(await client.dead())
    await wire.send([Trigger("echo", input=b"", options=Options(tags=["elsewhere"]), reply_to=key, wants="outcome")])
    assert await client.run(echo(3), timeout=10) == 3
    if key:
        letter = await _newest(client, before)
        assert "reply" in letter["reason"]


async def test_the_client_says_what_is_wrong_before_anything_is_sent(client: Client) -> None:
    for options in ({"delay": "31d"}, {"max_attempts": 0}, {"tags": list("abcdefghijk")}, {"no_such_option": 1}):
        with pytest.raises(UsageError, match=next(iter(options))):
            await client.trigger("add", args=[1], **options)
    with pytest.raises(UsageError, match="'no name' is no routine name"):
        await client.trigger("no name")


# ---------------------------------------------------------------------------------------------------- questions


QUESTIONS: dict[str, tuple[str, dict[str, Any], str]] = {
    "nobody knows": ("colour", {}, "unknown_question"),
    "of no run": ("history", {}, "run_ids"),
    "of two runs": ("why", {"run_ids": [RUN, RUN]}, "run_ids"),
    "of a run that is none": ("tree", {"run_ids": ["; DROP TABLE run"]}, "unknown_run"),
    "with a status that is none": ("runs", {"status": "SLEEPING"}, "status"),
    "with too large a limit": ("runs", {"limit": 10**9}, "limit"),
    "with a limit that is no number": ("runs", {"limit": [1]}, "limit"),
    "with a limit over 64 bits": ("history", {"run_ids": [RUN], "after": 2**63}, "after"),
    "with a tag of 10,000 characters": ("runs", {"tag": "x" * 10_000}, "tag"),
    "with a letter that is none": ("dead_letter", {"id": "x"}, "id"),
}


@pytest.mark.parametrize("which", QUESTIONS)
async def test_a_question_that_cannot_be_answered_is_refused_by_its_rule(client: Client, which: str) -> None:
    what, params, rule = QUESTIONS[which]
    with pytest.raises(Rejected) as caught:
        await client.ask(what, **params)
    assert caught.value.rule == rule


async def test_what_looks_like_sql_is_just_text(client: Client) -> None:
    for text in ("%", "' OR 1=1 --", '"], "x', "\\", "_"):
        assert await client.runs(tag=text) == []
        assert await client.runs(routine=text) == []


async def test_a_cancel_of_what_is_not_there_or_has_ended_is_refused(client: Client) -> None:
    with pytest.raises(Rejected) as caught:
        await client.handle(RUN).cancel()
    assert caught.value.rule == "unknown_run"
    run = await client.trigger(echo(1))
    assert await run.result(timeout=10) == 1
    with pytest.raises(Rejected) as caught:
        await run.cancel()
    assert caught.value.rule == "already_final"
    assert [row["valid"] for row in await run.history()][-1] is False


# ------------------------------------------------------------------------------------------- a worker gone mad


async def test_a_report_that_the_ledger_cannot_decide_costs_that_run_only(client: Client, wire: Raw) -> None:
    """Well-formed, but with an end that does not exist: dead-lettered with its traceback, and its run fails by it."""
    session = SessionId(secrets.token_hex(16))
    before = len(await client.dead())
    async with wire.worker(session, [Offer("mad", "1.0.0", "action")]) as mad:
        run, other = await client.trigger("mad"), await client.trigger("mad")
        starts = [await mad.start(), await mad.start()]
        assert {start.run_id for start in starts} == {run.id, other.id}
        now = datetime.now(UTC)
        first, second = (Finished(start.run_id, start.epoch, "completed", now, result=NOTHING) for start in starts)
        await mad.report(msgspec.structs.replace(first, how="exploded"))
        letter = await _newest(client, before)
        assert "exploded" in letter["reason"] and first.run_id in letter["run_ids"]
        assert "Traceback" in (await client.dead_letter(letter["id"]))["traceback"]
        with pytest.raises(RunSystemFailure, match="exploded"):
            await client.handle(first.run_id).result(timeout=10)
        await mad.report(second)
        assert await client.handle(second.run_id).result(timeout=10) is None
        await mad.report(Bye())
    assert await client.run(echo(4), timeout=10) == 4


async def test_a_stranger_cannot_report_about_a_run_it_does_not_hold(client: Client, wire: Raw, tmp_path: Path) -> None:
    run = await client.trigger(hold(str(tmp_path), "mine"))
    await in_status(run, "EXECUTING")
    (row,) = [row for row in await run.history() if row["to_status"] == "EXECUTING"]
    async with wire.worker(SessionId(secrets.token_hex(16)), [Offer("thief", "1.0.0", "action")]) as thief:
        stolen = Finished(run.id, row["epoch"], "completed", datetime.now(UTC), result=NOTHING)
        await thief.report(stolen)
        await thief.report(Bye())
        assert await client.run(echo(5), timeout=10) == 5
    assert await run.status() == "EXECUTING"
    (tmp_path / "go").touch()
    assert await run.result(timeout=10) == "mine"


# ---------------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("args", "kwargs", "parameter"),
    [
        (["many"], {}, "x"),
        ([1], {"y": [2]}, "y"),
        ([1], {"z": 2}, "z"),
        ([], {}, "x"),
        ([1, 2, 3], {}, ""),
    ],
)
async def test_arguments_that_do_not_fit_end_the_run_at_once_and_name_the_parameter(
    client: Client, args: list[Any], kwargs: dict[str, Any], parameter: str
) -> None:
    run = await client.trigger("add@1.0.0", args=args, kwargs=kwargs)
    with pytest.raises(RunFailed) as caught:
        await run.result(timeout=10)
    assert caught.value.status == "FAILED"
    assert isinstance(caught.value.__cause__, ArgumentError)
    assert parameter in str(caught.value.__cause__)
    info = await run.info()
    assert info["attempt"] == 1 and info["error"]["type"].endswith("ArgumentError")


async def test_arguments_are_coerced_by_the_annotations(client: Client) -> None:
    assert await client.run("add", args=["2"], kwargs={"y": "40"}, timeout=10) == 42


# ---------------------------------------------------------------------------------------------- unknown routines


async def test_an_unknown_routine_waits_says_why_and_runs_when_a_worker_comes(house: House) -> None:
    reasons: list[dict[str, Any]] = []
    async with house.client(on_waiting=lambda _, why: reasons.append(dict(why))) as client:
        run = await client.trigger("adder", args=[1])
        assert await run.status() == "PENDING_VERSION"
        why = await run.why_waiting()
        assert why is not None and why["kind"] == "version"
        assert "adder" in why["text"] and "add" in why["text"].replace("adder", "")
        assert house.json("runs", "why", run.id)["text"] == why["text"]
        other = await client.trigger(add(1).using(pool="elsewhere"))
        version = await client.trigger("add@9.9.9", args=[1])
        why = await version.why_waiting()
        assert why is not None and "1.0.0" in why["text"]
        waiting = asyncio.create_task(run.result())
        words = ("trigger", "adder", "--args", "[2]", "--wait", "--wait-timeout", "6s")
        command = asyncio.create_task(asyncio.to_thread(house.run, *words))
        await eventually(lambda: reasons, within=10)
        assert "adder" in reasons[0]["text"]
        done = await command
        assert done.returncode == 1 and "no worker offers adder" in done.stderr and "goes on" in done.stderr
        (house.folder / "late.py").write_text(
            "from longshore import define\n\n"
            '@define.task(name="adder", version="1.0.0")\ndef adder(x: int) -> int:\n    return x + 100\n'
        )
        late = await asyncio.to_thread(house.work, module="late")
        assert await asyncio.wait_for(waiting, 10) == 101
        assert [row["to_status"] for row in await run.history()][:2] == ["PENDING_VERSION", "QUEUED"]
        await other.cancel()
        await version.cancel()
        late.terminate()
        assert await asyncio.to_thread(late.wait, 20) == 0
