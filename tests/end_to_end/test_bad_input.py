"""What nobody can read or decide, sent to a house on RabbitMQ: it is put aside with its reason, the rest goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from longshore import ArgumentError, Client, Rejected, RunFailed, UsageError
from longshore.core.envelope import JSON, MSGPACK
from longshore.core.ids import RunId
from longshore.core.message import ClaimCheck, Options, Trigger
from tests.end_to_end.conftest import Build
from tests.end_to_end.house import MIB, House, memory
from tests.end_to_end.raw import Raw, raw
from tests.end_to_end.routines import add, echo
from tests.support.wait import eventually

LARGEST = 128 * 1024 * 1024
"""The largest message that RabbitMQ 3.10 takes by default; 16 MiB from 4.0 on."""
RUN = RunId("01890a5d-ac96-774b-bcce-b302099a8057")


@pytest.fixture
async def wire(house: House) -> AsyncIterator[Raw]:
    async with raw(house.broker_url) as wire:
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


async def test_the_command_line_lists_and_shows_dead_letters(house: House, client: Client, wire: Raw) -> None:
    before = len(await client.dead())
    await wire.command(b"\xc1 for the command line")
    await _newest(client, before)
    newest = house.json_lines("dead", "list")[0]
    assert newest["size"] == len(b"\xc1 for the command line") and newest["reason"]
    shown = house.json("dead", "show", str(newest["id"]))
    assert shown["encoding"] == "base64" and shown["reason"] == newest["reason"]
    missing = house.run("dead", "show", "123456", "--json")
    assert missing.returncode == 1 and "123456" in missing.stdout + missing.stderr


async def test_the_largest_message_that_the_broker_takes_is_put_aside_in_bounded_memory(build: Build) -> None:
    house = build()
    coordinator = house.decide()
    before, most_before = memory(coordinator.pid, "VmRSS"), memory(coordinator.pid, "VmHWM")
    async with raw(house.broker_url) as wire, house.client() as client:
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
    "a delay of two months": (Trigger("add", options=Options(delay_ms=6 * 10**9)), "delay_ms", "2592000000"),
    "a negative deadline": (Trigger("add", options=Options(deadline_ms=-1)), "deadline_ms", "from 1"),
    "eleven tags": (Trigger("add", options=Options(tags=[str(i) for i in range(11)])), "tags", "10"),
    "a priority of a year": (Trigger("add", options=Options(priority=3e7)), "priority", "30 days"),
    "no routine's name": (Trigger("1 + 1"), "routine", "letters"),
    "no version": (Trigger("add@newest"), "routine", "major.minor.patch"),
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
    for options in ({"delay": "31d"}, {"max_attempts": 0}, {"tags": ["x"] * 11}, {"no_such_option": 1}):
        with pytest.raises(UsageError, match=next(iter(options))):
            await client.trigger("add", args=[1], **options)
    with pytest.raises(Rejected) as caught:
        await client.trigger("no name")
    assert caught.value.rule == "routine"


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
        await eventually(lambda: reasons, within=10)
        assert "adder" in reasons[0]["text"]
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
