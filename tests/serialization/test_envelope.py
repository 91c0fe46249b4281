"""Bodies of the bus: bounds, order, and what is said about what cannot be read."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.core.envelope import JSON, MSGPACK
from longshore.core.errors import DecodeError, EncodingError
from longshore.core.ids import Address, RunId, WorkerId
from longshore.core.message import (
    MAX_BODY,
    MAX_ITEMS,
    Accepted,
    Answer,
    Ask,
    Beat,
    Cancel,
    CompleteToken,
    DrainWorker,
    Finished,
    Fork,
    Mark,
    Order,
    Signal,
    Start,
    Trigger,
)
from longshore.serialization.arguments import decode_arguments
from longshore.serialization.envelope import pack, unpack_commands, unpack_directives, unpack_replies, unpack_reports
from longshore.serialization.values import decode

RUN = RunId("0198c0de-0000-7000-8000-000000000000")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def trigger(size: int) -> Trigger:
    return Trigger(routine="r", run_id=RUN, input=b"x" * size)


def test_nothing_packs_to_nothing() -> None:
    assert pack([]) == []


def test_each_direction_comes_back_as_it_was() -> None:
    commands = [trigger(3), Cancel(run_id=RUN), Ask(what="run", ask_id="a", reply_to="c")]
    assert [m for body in pack(commands) for m in unpack_commands(body, MSGPACK)] == commands
    reports = [
        Beat(directive=3),
        Finished(run_id=RUN, epoch=1, how="completed", at=NOW, result=b"x"),
        Mark(term=1, number=2),
    ]
    assert [m for body in pack(reports) for m in unpack_reports(body)] == reports
    directives = [Start(run_id=RUN, epoch=1, attempt=1, routine="r", version="0.0.1", input=b"y")]
    assert [m for body in pack(directives) for m in unpack_directives(body)] == directives
    replies = [Accepted(run_id=RUN, status="QUEUED"), Answer(ask_id="a", data={"runs": [1, None]})]
    assert [m for body in pack(replies) for m in unpack_replies(body)] == replies


@given(st.lists(st.integers(0, 400_000), max_size=12), st.integers(0, 2500))
def test_bodies_are_bounded_and_keep_order(sizes: list[int], small: int) -> None:
    messages = [trigger(size) for size in sizes] + [Trigger(routine=str(n)) for n in range(small)]
    bodies = pack(messages)
    unpacked = [unpack_commands(body, MSGPACK) for body in bodies]
    assert [m for part in unpacked for m in part] == messages
    assert all(len(body) <= MAX_BODY for body in bodies)
    assert all(1 <= len(part) <= MAX_ITEMS for part in unpacked)


def test_a_body_may_be_filled_to_the_last_byte() -> None:
    overhead = len(pack([trigger(70_000)])[0]) - 1 - 70_000
    [body] = pack([trigger(MAX_BODY - 3 - overhead)])
    assert len(body) == MAX_BODY - 2
    with pytest.raises(EncodingError, match=r"Trigger"):
        pack([trigger(MAX_BODY - 2 - overhead)])


def test_a_message_over_the_limit_is_named_by_type() -> None:
    with pytest.raises(EncodingError, match=r"a Trigger of \d+ bytes is over the limit"):
        pack([Cancel(run_id=RUN), trigger(MAX_BODY)])


def test_a_message_that_cannot_travel_is_named_by_type() -> None:
    with pytest.raises(EncodingError, match=r"an? Answer cannot travel"):
        pack([Accepted(run_id=RUN, status="QUEUED"), Answer(ask_id="a", data=object())])
    with pytest.raises(EncodingError, match=r"an? Answer cannot travel"):
        pack([Answer(ask_id="a", data=1 << 70)])


def test_a_foreign_program_has_workers_leave() -> None:
    (one,) = unpack_commands(b'{"type":"drain_worker","worker_id":"w1"}', JSON)
    assert one == DrainWorker(WorkerId("w1"), plain=True)
    (many,) = unpack_commands(b'{"type":"drain_worker","pool":"p","host":"h","version":"t@1.0.0","grace_ms":0}', JSON)
    assert many == DrainWorker(pool="p", host="h", version="t@1.0.0", grace_ms=0, plain=True)


def test_a_foreign_program_forks_a_run() -> None:
    (fork,) = unpack_commands(b'{"type":"fork","run_id":"r","at":"0/1:2","version":"2.0.0"}', JSON)
    assert fork == Fork(RunId("r"), Address("0/1:2"), "2.0.0", plain=True)


def test_a_foreign_program_signals_and_completes_tokens() -> None:
    body = (
        b'[{"type":"signal","run_id":"r","name":"go","value":{"a":[1,null]},"signal_id":"s"},'
        b'{"type":"signal","run_id":"r","name":"go"},'
        b'{"type":"complete_token","token":"t","value":"paid"},{"type":"complete_token","token":"t","error":"no"}]'
    )
    first, second, third, fourth = unpack_commands(body, JSON)
    assert isinstance(first, Signal)
    assert isinstance(first.value, bytes)
    assert (first.run_id, first.name, first.signal_id, first.plain) == ("r", "go", "s", True)
    assert decode(first.value) == {"a": [1, None]}
    assert second == Signal(RunId("r"), "go", plain=True)
    assert isinstance(third, CompleteToken)
    assert isinstance(third.value, bytes)
    assert decode(third.value) == "paid"
    assert fourth == CompleteToken("t", error="no", plain=True)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "truncated"),
        (b"\xc1", "not readable"),
        (b"\x93", "truncated"),
        (b"\xdd\xff\xff\xff\xff", "over the limit"),
        (b"\xdc\xff\xff", "over the limit"),
        (b"\x91" * 100_000, "not readable"),
        (msgspec.msgpack.encode([{"type": "nobody"}]), "nobody"),
        (msgspec.msgpack.encode([{"type": "trigger"}]), "routine"),
        (msgspec.msgpack.encode([{"type": "trigger", "routine": 3}]), "Expected `str`"),
        (msgspec.msgpack.encode({"type": "trigger", "routine": "r"}), "Expected `array`"),
        (
            msgspec.msgpack.encode(
                [
                    {
                        "type": "ask",
                        "what": "",
                        "ask_id": "",
                        "reply_to": "",
                        "params": {"x": msgspec.msgpack.Ext(1, b"")},
                    }
                ]
            ),
            "extension 1",
        ),
        (b"\x91" + b"x" * MAX_BODY, "over the limit"),
        (msgspec.msgpack.encode([Cancel(run_id=RUN)] * (MAX_ITEMS + 1)), "over the limit"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        unpack_commands(body, MSGPACK)


@given(st.binary(max_size=200), st.sampled_from([MSGPACK, JSON, "", "text/plain"]))
def test_random_bytes_are_refused_never_a_crash(body: bytes, content_type: str) -> None:
    for unpack in (unpack_reports, unpack_directives, unpack_replies):
        _read_or_refuse(unpack, body)
    _read_or_refuse(unpack_commands, body, content_type)


def _read_or_refuse(unpack: Any, *args: Any) -> None:
    with suppress(DecodeError):
        unpack(*args)


# ------------------------------------------------------------------------------------------------------ foreign JSON


def test_a_foreign_trigger_becomes_one_of_ours() -> None:
    order = {
        "type": "trigger",
        "routine": "train@0.0.1",
        "args": [1, 10**30, {"a": [None, 2.5]}],
        "kwargs": {"epochs": 3, "name": "é"},
        "options": {"tags": ["x"], "delay_ms": 5},
    }
    [command] = unpack_commands(json.dumps(order).encode(), "application/json; charset=utf-8")
    assert isinstance(command, Trigger)
    assert (command.routine, command.plain, command.run_id) == ("train@0.0.1", True, "")
    assert (command.options.tags, command.options.delay_ms) == (["x"], 5)
    assert isinstance(command.input, bytes)
    assert decode_arguments(command.input) == ((1, 10**30, {"a": [None, 2.5]}), {"epochs": 3, "name": "é"})


@pytest.mark.parametrize(
    ("body", "content_type", "hint"),
    [
        (b'{"type":"trigger","routine":"a","options":{"delay":5}}', JSON, "did you mean delay_ms"),
        (b'[{"type":"trigger","routine":"a","options":{"tag":["x"]}}]', JSON, "did you mean tags"),
        (b'{"type":"trigger","routine":"a","options":{"zzzz":5}}', JSON, "there are: batch_id"),
        (b'{"type":"trigger","routin":"a"}', JSON, "did you mean routine"),
        (b'{"type":"trigger","routine":"a"}', "", "content_type: application/json"),
    ],
)
def test_a_foreign_slip_is_refused_with_what_may_have_been_meant(body: bytes, content_type: str, hint: str) -> None:
    with pytest.raises(DecodeError, match=hint):
        unpack_commands(body, content_type)


def test_foreign_commands_may_come_as_an_array_and_without_arguments() -> None:
    body = b'[{"type":"trigger","routine":"a","run_id":"r"},{"type":"cancel","run_id":"r","reason":"why"}]'
    first, second = unpack_commands(body, JSON)
    assert isinstance(first, Trigger)
    assert first.run_id == "r"
    assert isinstance(first.input, bytes)
    assert decode_arguments(first.input) == ((), {})
    assert second == Cancel(run_id=RunId("r"), reason="why", plain=True)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "truncated"),
        (b"{}", "type"),
        (b"[1]", "Expected `object`"),
        (b'{"type":"trigger"}', "routine"),
        (b'{"type":"ping"}', "ping"),
        (b'{"type":"trigger","routine":"a","args":{}}', "`args` must be a JSON array"),
        (b'{"type":"trigger","routine":"a","kwargs":[]}', "`kwargs` must be a JSON object"),
        (b'{"type":"trigger","routine":"a","arg":[]}', "unknown field `arg`"),
        (b'{"type":"trigger","routine":"a","options":{"delay":5}}', "unknown field `delay`"),
        (b'{"type":"trigger","routine":"a","options":{"tags":"x"}}', "Expected `array`"),
        (b'{"type":"trigger","routine":"\xff"}', "not readable"),
        (b'{"type":"signal","run_id":"r"}', "missing required field `name`"),
        (b'{"type":"signal","run_id":"r","name":"a","values":1}', "unknown field `values`"),
        (b'{"type":"complete_token","token":7}', "Expected `str`"),
        (b'{"type":"fork","run_id":"r"}', "missing required field `at`"),
        (b'{"type":"trigger","routine":"a","args":' + b"[" * 100_000, "not readable"),
        (b"[" + b" " * MAX_BODY, "over the limit"),
        (b"[" + b",".join([b'{"type":"trigger","routine":"a"}'] * (MAX_ITEMS + 1)) + b"]", "over the limit"),
    ],
)
def test_foreign_commands_that_cannot_be_read_are_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        unpack_commands(body, JSON)


ORDERS = {kind.__struct_config__.tag: kind for kind in get_args(Order)}


@pytest.mark.parametrize("tag", ORDERS)
def test_whatever_our_own_clients_say_in_an_order_a_foreign_program_may_say_but_not_where_its_answer_goes(
    tag: str,
) -> None:
    values = {"run_id": RUN, "at": "0/1:2", "what": "cancel", "edits": [], "routine": "r"}
    said = {
        field.name: values.get(field.name, "x")
        for field in msgspec.structs.fields(ORDERS[tag])
        if field.type is str or field.name in values or field.required
    }
    said = {name: value for name, value in said.items() if name not in ("ask_id", "reply_to", "wants")}
    if tag == "reschedule":
        said["at"] = "2026-01-01T00:00:00Z"
    (order,) = unpack_commands(json.dumps({"type": tag, **said}).encode(), JSON)
    assert isinstance(order, ORDERS[tag]) and order.plain
    told = msgspec.to_builtins(order)
    assert {name: told[name] for name in said} == said
    for name, value in (("reply_to", "mine"), ("ask_id", "a"), ("plain", False), ("wants", "outcome")):
        with pytest.raises(DecodeError, match=f"unknown field `{name}`"):
            unpack_commands(json.dumps({"type": tag, **said, name: value}).encode(), JSON)


def test_foreign_arguments_nested_without_end_are_refused_when_decoded() -> None:
    for depth in (150, 250, 900):
        body = b'{"type":"trigger","routine":"a","args":' + b"[" * depth + b"]" * depth + b"}"
        [command] = unpack_commands(body, JSON)
        assert isinstance(command, Trigger)
        assert isinstance(command.input, bytes)
        if depth < 200:
            decode_arguments(command.input)
        else:
            with pytest.raises(DecodeError, match=r"nested|recursion"):
                decode_arguments(command.input)
