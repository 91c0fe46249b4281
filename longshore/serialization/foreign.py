"""Commands as foreign programs write them: JSON with the field names of our own structs.

What they may say is made of those structs, so that no field stands twice: each but the ones that stand in a message's
properties or are between our own parts. Values are JSON, the arguments of a call `args` and `kwargs`. Whatever else
stands in such a message is refused.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final, get_args

import msgspec

from longshore.core.bulks import RunFilter
from longshore.core.errors import DecodeError, nearest
from longshore.core.message import MAX_BODY, MAX_ITEMS, Ask, Command, Debounce, Options, Request, Trigger
from longshore.serialization.wire import JSON_TEXT

UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError, MemoryError, OverflowError)
"""What a decoder raises over bytes that it cannot read."""
NOT_THEIRS: Final = frozenset({*Request.__struct_fields__, "wants", "correlation_id", "traceparent"})
_NO_ARGS: Final = msgspec.Raw(b"[]")
_NO_KWARGS: Final = msgspec.Raw(b"{}")
_NOTHING: Final = msgspec.Raw(b"")

_PLACE: Final = re.compile(r"at `\$\[(\d+)\]`")
_UNKNOWN_FIELD: Final = re.compile(r"unknown field `([^`]*)`")
_UNKNOWN_TYPE: Final = re.compile(r"Invalid value .* at `\$(\[\d+\])?\.type`")
_INNER: Final = {"options": Options, "options.debounce": Debounce, "filter": RunFilter}
"""What stands at these places of a command."""


def commands_of(body: bytes) -> list[Command]:
    """The commands in a body: a JSON object, or an array of them. Raises DecodeError."""
    if len(body) > MAX_BODY:
        raise DecodeError(f"a body of {len(body)} bytes is over the limit of {MAX_BODY}")
    try:
        found = _decoder().decode(body)
    except UNREADABLE as error:
        raise DecodeError(f"not readable as JSON commands: {error}{_hint(body, str(error))}") from None
    commands = found if isinstance(found, list) else [found]
    if not commands:
        raise DecodeError("an empty list holds no command")
    if len(commands) > MAX_ITEMS:
        raise DecodeError(f"a body of {len(commands)} commands is over the limit of {MAX_ITEMS}")
    return [_own(command) for command in commands]


# -------------------------------------------------------------------------------------------------- what may be said


@cache
def _kinds() -> dict[str, tuple[type[msgspec.Struct], type[Any]]]:
    """By its tag: each command as they write it, and as it is ours. Questions are not theirs to ask."""
    ours: list[Any] = [kind for kind in get_args(Command) if kind is not Ask]
    return {kind.__struct_config__.tag: (_shape(kind), kind) for kind in ours}


def _shape(kind: Any) -> type[msgspec.Struct]:
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        if field.name == "input":
            fields += [("args", msgspec.Raw, _NO_ARGS), ("kwargs", msgspec.Raw, _NO_KWARGS)]
        elif field.name == "value":
            fields.append(("value", msgspec.Raw, _NOTHING))
        elif field.name not in NOT_THEIRS:
            given: Any = {"default": field.default, "default_factory": field.default_factory}
            fields.append((field.name, field.type, msgspec.field(**given)))
    settings: dict[str, Any] = {"tag": kind.__struct_config__.tag, "tag_field": "type"}
    return msgspec.defstruct(f"Foreign{kind.__name__}", fields, **settings, forbid_unknown_fields=True, kw_only=True)


@cache
def _decoder() -> msgspec.json.Decoder[Any]:
    one: Any = None
    for shape, _ in _kinds().values():
        one = shape if one is None else one | shape
    return msgspec.json.Decoder(list[one] | one)


def _own(command: msgspec.Struct) -> Command:
    """The same as our own clients say it."""
    kind = _kinds()[str(command.__struct_config__.tag)][1]
    said = msgspec.structs.asdict(command)
    if "args" in said:
        said["input"] = _input(kind, said["routine"], bytes(said.pop("args")), bytes(said.pop("kwargs")))
    if "value" in said:
        text = bytes(said["value"])
        said["value"] = b"%c%b" % (JSON_TEXT, text) if text else b""
    own: Command = kind(**said, plain=True)
    return own


def _input(kind: type[Any], routine: str, args: bytes, kwargs: bytes) -> bytes:
    """Arguments in JSON as the value that travels."""
    whose = f"{'trigger' if kind is Trigger else 'schedule'} of {routine!r}"
    if not args.startswith(b"["):
        raise DecodeError(f"{whose}: `args` must be a JSON array")
    if not kwargs.startswith(b"{"):
        raise DecodeError(f"{whose}: `kwargs` must be a JSON object")
    if kind is not Trigger and (args, kwargs) == (bytes(_NO_ARGS), bytes(_NO_KWARGS)):
        return b""
    return b"%c[%b,%b]" % (JSON_TEXT, args, kwargs)


# -------------------------------------------------------------------------------------------------- what was meant


def _hint(body: bytes, error: str) -> str:
    """What an unknown field may have meant: the names that such a command has, and those of its options, which say
    their unit."""
    if _UNKNOWN_TYPE.search(error):
        return f"; there are: {', '.join(sorted(_kinds()))}"
    quoted = _UNKNOWN_FIELD.search(error)
    if quoted is None:
        return ""
    inner = next((kind for end, kind in _INNER.items() if error.endswith(f".{end}`")), None)
    known = sorted((inner or _shape_at(body, error)).__struct_fields__)
    meant = nearest(quoted[1], known, 1)
    return f"; did you mean {meant[0]}?" if meant else f"; there are: {', '.join(known)}"


def _shape_at(body: bytes, error: str) -> type[msgspec.Struct]:
    """Which kind of command an error is about."""
    document, place = msgspec.json.decode(body), _PLACE.search(error)
    command = document[int(place[1])] if place is not None else document
    return _kinds()[command["type"]][0]
