"""Bodies of the bus: an array of messages as MessagePack, or JSON from foreign programs. It never looks inside a value.

Every body is at most MAX_BODY bytes and MAX_ITEMS messages. Encoding is one call per message and one join per body
(0.2 us per Start, measured); typed decoders are built once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, get_args

import msgspec

from longshore.core.bulks import RunFilter
from longshore.core.envelope import JSON
from longshore.core.errors import DecodeError, EncodingError, nearest
from longshore.core.ids import Address, RunId, WorkerId
from longshore.core.message import (
    MAX_BODY,
    MAX_ITEMS,
    Command,
    CompleteToken,
    Debounce,
    Directive,
    DrainWorker,
    Fork,
    LimitQueue,
    Message,
    Options,
    PauseQueue,
    Reply,
    ReportItem,
    ResumeQueue,
    Signal,
    Trigger,
)
from longshore.serialization.foreign_many import ForeignMany
from longshore.serialization.foreign_orders import ForeignOrder
from longshore.serialization.foreign_schedules import NO_ARGS, NO_KWARGS, ForeignScheduleOrder, json_input
from longshore.serialization.wire import JSON_TEXT

_HEADER: Final = 3  # an array header is never longer here: MAX_ITEMS fits 16 bits
_UNENCODABLE: Final = (TypeError, ValueError, OverflowError, RecursionError)
_UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError, MemoryError, OverflowError)

_PLACE: Final = re.compile(r"at `\$\[(\d+)\]`")
_UNKNOWN_FIELD: Final = re.compile(r"unknown field `([^`]*)`")
_UNKNOWN_TYPE: Final = re.compile(r"Invalid value .* at `\$(\[\d+\])?\.type`")
_INNER: Final = {"options": Options, "options.debounce": Debounce, "filter": RunFilter}
"""What stands at these places of a command."""

_encode: Final = msgspec.msgpack.Encoder().encode


def pack(messages: Sequence[Message]) -> list[bytes]:
    """The messages as bodies, order kept; each body within MAX_BODY bytes and MAX_ITEMS items.

    Raises EncodingError naming the type of a message that alone is over MAX_BODY or holds something that cannot travel.
    """
    try:
        pieces = list(map(_encode, messages))
    except _UNENCODABLE:
        raise _unencodable(messages) from None
    if len(pieces) <= MAX_ITEMS and sum(map(len, pieces)) <= MAX_BODY - _HEADER:
        return [_array_header(len(pieces)) + b"".join(pieces)] if pieces else []
    return _split(pieces, messages)


def _split(pieces: list[bytes], messages: Sequence[Message]) -> list[bytes]:
    bodies: list[bytes] = []
    first = room = 0
    for index, piece in enumerate(pieces):
        size = len(piece)
        if size > room or index - first == MAX_ITEMS:
            if size > MAX_BODY - _HEADER:
                raise EncodingError(
                    f"a {type(messages[index]).__name__} of {size} bytes is over the limit of {MAX_BODY} bytes for one "
                    "message: move what is large in it into a claim check"
                )
            if index > first:
                bodies.append(_array_header(index - first) + b"".join(pieces[first:index]))
            first, room = index, MAX_BODY - _HEADER
        room -= size
    bodies.append(_array_header(len(pieces) - first) + b"".join(pieces[first:]))
    return bodies


def _array_header(count: int) -> bytes:
    return bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")


def _unencodable(messages: Sequence[Message]) -> EncodingError:
    for message in messages:
        try:
            _encode(message)
        except _UNENCODABLE as error:
            return EncodingError(f"a {type(message).__name__} cannot travel: {error}")
    return EncodingError("a message changed while it was being encoded")


# ------------------------------------------------------------------------------------------------------ reading


def unpack_commands(body: bytes, content_type: str) -> list[Command]:
    """The commands in a body: MessagePack from Longshore's own clients, JSON from foreign ones. Raises DecodeError."""
    if is_json(content_type):
        return _foreign(body)
    commands: list[Command] = _unpack(body, Command)
    return commands


def is_json(content_type: str) -> bool:
    """Whether a body with this content type is JSON from a foreign program."""
    return content_type.partition(";")[0].strip().lower() == JSON


def unpack_reports(body: bytes) -> list[ReportItem]:
    """The reports (or the coordinator's own Mark) in a body. Raises DecodeError."""
    reports: list[ReportItem] = _unpack(body, ReportItem)
    return reports


def unpack_directives(body: bytes) -> list[Directive]:
    """The directives in a body. Raises DecodeError."""
    directives: list[Directive] = _unpack(body, Directive)
    return directives


def unpack_replies(body: bytes) -> list[Reply]:
    """The replies in a body. Raises DecodeError."""
    replies: list[Reply] = _unpack(body, Reply)
    return replies


def _unpack(body: bytes, union: Any) -> list[Any]:
    if len(body) > MAX_BODY:
        raise DecodeError(f"a body of {len(body)} bytes is over the limit of {MAX_BODY}")
    if (count := _count(body)) > MAX_ITEMS:
        raise DecodeError(f"a body of {count} messages is over the limit of {MAX_ITEMS}")
    try:
        messages: list[Any] = _decoder(union).decode(body)
    except _UNREADABLE as error:
        text = f"not readable as MessagePack messages: {error}"
        if body.lstrip()[:1] in (b"{", b"["):
            text += "; it looks like JSON: publish it with content_type: application/json"
        raise DecodeError(text) from None
    return messages


def _count(body: bytes) -> int:
    """How many items the array header announces; 0 where there is no such header (the decoder then says why)."""
    match body[:1]:
        case b"\xdc":
            return int.from_bytes(body[1:3], "big")
        case b"\xdd":
            return int.from_bytes(body[1:5], "big")
        case _:
            return 0


@cache
def _decoder(union: Any) -> msgspec.msgpack.Decoder[list[Any]]:
    return msgspec.msgpack.Decoder(list[union], ext_hook=_refuse_extension)


def _refuse_extension(code: int, data: memoryview) -> Any:
    raise ValueError(f"MessagePack extension {code} has no meaning in a message")


# ------------------------------------------------------------------------------------------------------ foreign JSON


class _ForeignTrigger(msgspec.Struct, tag_field="type", tag="trigger", forbid_unknown_fields=True):
    routine: str
    args: msgspec.Raw = NO_ARGS
    kwargs: msgspec.Raw = NO_KWARGS
    options: Options = msgspec.field(default_factory=Options)
    run_id: str = ""
    cache_key: str = ""


class _ForeignSignal(msgspec.Struct, tag_field="type", tag="signal", forbid_unknown_fields=True):
    run_id: str
    name: str
    value: msgspec.Raw = msgspec.Raw(b"")
    signal_id: str = ""


class _ForeignCompletion(msgspec.Struct, tag_field="type", tag="complete_token", forbid_unknown_fields=True):
    token: str
    value: msgspec.Raw = msgspec.Raw(b"")
    error: str | None = None


class _ForeignFork(msgspec.Struct, tag_field="type", tag="fork", forbid_unknown_fields=True):
    run_id: str
    at: str
    version: str = ""
    fork_id: str = ""


class _ForeignLimitQueue(msgspec.Struct, tag_field="type", tag="limit_queue", forbid_unknown_fields=True):
    queue: str
    limit: int | msgspec.UnsetType | None = msgspec.UNSET
    key_limit: int | msgspec.UnsetType | None = msgspec.UNSET
    rate: str | msgspec.UnsetType | None = msgspec.UNSET
    max_size: int | msgspec.UnsetType | None = msgspec.UNSET
    create: bool = False


class _ForeignPauseQueue(msgspec.Struct, tag_field="type", tag="pause_queue", forbid_unknown_fields=True):
    queue: str
    create: bool = False


class _ForeignResumeQueue(msgspec.Struct, tag_field="type", tag="resume_queue", forbid_unknown_fields=True):
    queue: str


class _ForeignDrain(msgspec.Struct, tag_field="type", tag="drain_worker", forbid_unknown_fields=True):
    worker_id: str = ""
    pool: str = ""
    host: str = ""
    version: str = ""
    grace_ms: int | None = None


_ForeignQueueOrder = _ForeignLimitQueue | _ForeignPauseQueue | _ForeignResumeQueue
_ForeignCommand = (
    _ForeignTrigger
    | ForeignOrder
    | ForeignMany
    | _ForeignSignal
    | _ForeignCompletion
    | _ForeignFork
    | _ForeignQueueOrder
    | _ForeignDrain
    | ForeignScheduleOrder
)


@cache
def _json_decoder() -> msgspec.json.Decoder[list[_ForeignCommand] | _ForeignCommand]:
    return msgspec.json.Decoder(list[_ForeignCommand] | _ForeignCommand)


def _foreign(body: bytes) -> list[Command]:
    if len(body) > MAX_BODY:
        raise DecodeError(f"a body of {len(body)} bytes is over the limit of {MAX_BODY}")
    try:
        found = _json_decoder().decode(body)
    except _UNREADABLE as error:
        raise DecodeError(f"not readable as JSON commands: {error}{_hint(body, str(error))}") from None
    commands = found if isinstance(found, list) else [found]
    if not commands:
        raise DecodeError("an empty list holds no command")
    if len(commands) > MAX_ITEMS:
        raise DecodeError(f"a body of {len(commands)} commands is over the limit of {MAX_ITEMS}")
    return [_own(command) for command in commands]


def _hint(body: bytes, error: str) -> str:
    """What an unknown field may have meant: the names that such a command has, and those of its options, which say
    their unit."""
    if _UNKNOWN_TYPE.search(error):
        return (
            f"; there are: {', '.join(sorted(str(kind.__struct_config__.tag) for kind in get_args(_ForeignCommand)))}"
        )
    quoted = _UNKNOWN_FIELD.search(error)
    if quoted is None:
        return ""
    inner = next((kind for end, kind in _INNER.items() if error.endswith(f".{end}`")), None)
    kind = inner or _kind_at(body, error)
    known = sorted(kind.__struct_fields__)
    meant = nearest(quoted[1], known, 1)
    return f"; did you mean {meant[0]}?" if meant else f"; there are: {', '.join(known)}"


def _kind_at(body: bytes, error: str) -> type[msgspec.Struct]:
    """Which kind of command an error is about."""
    document, place = msgspec.json.decode(body), _PLACE.search(error)
    command = document[int(place[1])] if place is not None else document
    kinds: Any = get_args(_ForeignCommand)
    return next((kind for kind in kinds if kind.__struct_config__.tag == command["type"]), _ForeignTrigger)


def _json_value(raw: msgspec.Raw) -> bytes:
    text = bytes(raw)
    return b"%c%b" % (JSON_TEXT, text) if text else b""


def _queue_order(command: _ForeignQueueOrder) -> Command:
    said = msgspec.structs.asdict(command)
    if isinstance(command, _ForeignLimitQueue):
        return LimitQueue(**said, plain=True)
    return (PauseQueue if isinstance(command, _ForeignPauseQueue) else ResumeQueue)(**said, plain=True)


def _own(command: _ForeignCommand) -> Command:
    if isinstance(command, ForeignOrder | ForeignMany | ForeignScheduleOrder):
        return command.own()
    if isinstance(command, _ForeignSignal):
        return Signal(RunId(command.run_id), command.name, _json_value(command.value), command.signal_id, plain=True)
    if isinstance(command, _ForeignFork):
        return Fork(RunId(command.run_id), Address(command.at), command.version, RunId(command.fork_id), plain=True)
    if isinstance(command, _ForeignDrain):
        worker_id = WorkerId(command.worker_id)
        return DrainWorker(worker_id, command.pool, command.host, command.version, command.grace_ms, plain=True)
    if isinstance(command, _ForeignCompletion):
        return CompleteToken(command.token, _json_value(command.value), command.error, plain=True)
    if isinstance(command, _ForeignQueueOrder):
        return _queue_order(command)
    return Trigger(
        routine=command.routine,
        run_id=RunId(command.run_id),
        input=json_input(f"trigger of {command.routine!r}", command.args, command.kwargs),
        options=command.options,
        cache_key=command.cache_key,
        plain=True,
    )
