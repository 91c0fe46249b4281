"""Bodies from the bus as what the ledger takes: messages in order, or the reason why nobody can read them.

Pure: the same body gives the same messages, so that one that comes again is the same run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from longshore.broker.bus import Incoming
from longshore.core import envelope
from longshore.core.changes import Inbound, Internal, Unreadable
from longshore.core.errors import DecodeError
from longshore.core.ids import RunId, SessionId
from longshore.core.message import (
    MAX_BODY,
    Annotate,
    Ask,
    ChildDied,
    Command,
    Fork,
    Mark,
    Order,
    Rerun,
    Signal,
    Trigger,
)
from longshore.serialization.envelope import is_json, unpack_commands, unpack_reports
from longshore.telemetry.ids import valid

COMMANDS: Final = "commands"
REPORTS: Final = "reports"
BROKER: Final = "broker"
"""Where a dead letter came from: what clients sent, what workers sent, what the broker itself gave up."""
KEPT: Final = 64 * 1024
"""How much of an oversized body a dead letter keeps."""
OUTCOME: Final = "outcome"
REPLY_KEY: Final = re.compile(r"[A-Za-z0-9._:@+=~-]{1,200}", re.ASCII)
"""What a reply may be addressed to: a key on the replies exchange, never a path or an address."""


class Cut(bytes):
    """The beginning of a body that is too large to be read; `size` is that of the whole."""

    size: int


def cut(message: Incoming) -> Incoming:
    """The message with the beginning of its body only: many that are too large would fill the memory."""
    body = Cut(message.body[:KEPT])
    body.size = len(message.body)
    return replace(message, body=body)


def commands(message: Incoming) -> tuple[Inbound, list[Ask]]:
    """The commands of a body for the ledger, and the questions in it that are answered from the store."""
    if isinstance(message.body, Cut):
        return internal(_too_large(message, COMMANDS, message.body)), []
    try:
        found = unpack_commands(message.body, message.content_type)
    except DecodeError as error:
        return internal(_unreadable(message, COMMANDS, str(error))), []
    if is_json(message.content_type):
        _adopt(message, found)
    for one in found:
        if one.reply_to and not REPLY_KEY.fullmatch(one.reply_to):
            reason = f"its reply key {one.reply_to[:80]!r} points elsewhere: 1 to 200 letters, digits and `._:@+=~-`"
            return internal(_unreadable(message, COMMANDS, reason)), []
    questions = [one for one in found if type(one) is Ask and one.what != OUTCOME]
    if questions:
        found = [one for one in found if type(one) is not Ask or one.what == OUTCOME]
    return Inbound(messages=found, actor=message.user_id), questions


def reports(message: Incoming) -> Inbound:
    """The reports of a body, or our own Mark."""
    if isinstance(message.body, Cut):
        return internal(_too_large(message, REPORTS, message.body))
    try:
        found: Sequence[Any] = unpack_reports(message.body)
    except DecodeError as error:
        return internal(_unreadable(message, REPORTS, str(error)))
    if not found:
        return internal(_unreadable(message, REPORTS, "the body holds no message"))
    session, number = message.headers.get(envelope.SESSION, ""), message.headers.get(envelope.NUMBER)
    if type(found[0]) is ChildDied and not session:
        session = found[0].session
    if any((type(one) is Mark) is bool(session) for one in found):
        return internal(_unreadable(message, REPORTS, "reports need the header `session`, and only they have it"))
    return Inbound(
        messages=list(found),
        session=SessionId(str(session)),
        number=number if isinstance(number, int) else None,
        actor=message.user_id,
    )


def dead(message: Incoming) -> Inbound:
    """What the broker itself has dead-lettered."""
    return internal(_unreadable(message, BROKER, "given up by the broker: refused, or delivered too often"))


def internal(event: Internal) -> Inbound:
    """News from our own shell."""
    return Inbound(messages=[event])


def poison(inbound: Inbound, error: BaseException, traceback: str) -> Unreadable:
    """What a body becomes that made the ledger raise."""
    from longshore.serialization.envelope import pack

    try:
        body = b"".join(pack([one for one in inbound.messages if not isinstance(one, Internal)]))
    except Exception as broken:  # noqa: BLE001 - whatever is in it: it is on its way to the dead letters
        body = repr(broken).encode()
    headers: dict[str, str | int] = {envelope.SESSION: inbound.session} if inbound.session else {}
    if inbound.number is not None:
        headers[envelope.NUMBER] = inbound.number
    run_ids = [RunId(one) for message in inbound.messages if (one := getattr(message, "run_id", ""))]
    return Unreadable(
        source=REPORTS if inbound.session else COMMANDS,
        reason=f"the ledger could not decide it: {type(error).__name__}: {error}",
        body=body[:KEPT] if len(body) > MAX_BODY else body,
        size=len(body),
        headers=headers,
        traceback=traceback,
        run_ids=list(dict.fromkeys(run_ids)),
    )


def _too_large(message: Incoming, source: str, body: Cut) -> Unreadable:
    return _unreadable(message, source, f"a body of {body.size} bytes is over the limit of {MAX_BODY}")


def _unreadable(message: Incoming, source: str, reason: str) -> Unreadable:
    size = message.body.size if isinstance(message.body, Cut) else len(message.body)
    kept = {"content_type": message.content_type, "message_id": message.message_id, "user_id": message.user_id}
    foreign = is_json(message.content_type) or bytes(message.body[:1]) in (b"{", b"[")  # none of ours begins so
    waits = source == COMMANDS and foreign and REPLY_KEY.fullmatch(message.reply_to)
    return Unreadable(
        source=source,
        reason=reason,
        body=message.body[:KEPT] if size > MAX_BODY else message.body,
        size=size,
        headers={**{name: text for name, text in kept.items() if text}, **message.headers},
        reply_to=message.reply_to if waits else "",
        correlation_id=message.correlation_id if waits else "",
    )


def _adopt(message: Incoming, found: list[Command]) -> None:
    """What a foreign program says beside the body: who it is, where it listens, in which trace it stands."""
    traceparent = message.headers.get(envelope.TRACEPARENT, "")
    for position, command in enumerate(found):
        if isinstance(command, Order):
            command.reply_to = message.reply_to
            command.ask_id = message.correlation_id
        if isinstance(command, Signal) and not command.signal_id and message.message_id:
            command.signal_id = _derived(f"{message.user_id}\n{message.message_id}\n{position}")
        if isinstance(command, Rerun):
            command.wants = OUTCOME if message.reply_to else command.wants
            if not command.rerun_id and message.message_id:
                command.rerun_id = _derived(f"{message.user_id}\n{message.message_id}\n{position}")
        if isinstance(command, Annotate) and not command.annotate_id and message.message_id:
            command.annotate_id = _derived(f"{message.user_id}\n{message.message_id}\n{position}")
        if isinstance(command, Fork):
            command.wants = OUTCOME if message.reply_to else command.wants
            if not command.fork_id and message.message_id:
                command.fork_id = _derived(f"{message.user_id}\n{message.message_id}\n{position}")
        if not isinstance(command, Trigger):
            continue
        if not command.run_id and message.message_id:
            command.run_id = _derived(f"{message.user_id}\n{message.message_id}\n{position}")
        command.reply_to = message.reply_to
        command.wants = OUTCOME if message.reply_to else "accepted"
        command.correlation_id = message.correlation_id
        command.traceparent = valid(traceparent) if isinstance(traceparent, str) else ""


def _derived(text: str) -> RunId:
    """A UUID (version 8: made of our own) out of a text: the same each time."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return RunId(f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}")
