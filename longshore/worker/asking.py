"""What a workflow newly asked for, as Commands: inputs encoded, ids and keys given, split into parts that fit.

Synchronous; a large input is stored here, so that its caller chooses the thread. It sends nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from longshore.core.ids import ENTROPY_BYTES, Address, RunId, uuid7
from longshore.core.message import Call, Commands, Edits, Options, Timer, Value, Wait
from longshore.core.versions import LATEST, PINNED
from longshore.engine.steps import NewCall, NewTimer
from longshore.routines.options import of_project
from longshore.routines.routine import Call as RoutineCall
from longshore.telemetry import ids
from longshore.worker.attempt import Attempt
from longshore.worker.bench import Bench

MAX_CALLS: Final = 500
MAX_CLOSED: Final = 5000
MAX_BYTES: Final = 512 * 1024
"""What one Commands message may hold."""
_ROW: Final = 400
"""Bytes allowed for what stands beside a call's input."""


class Asked(NamedTuple):
    """What goes into the Commands of one workflow at one moment."""

    attempt: Attempt
    upto_seq: int | None
    calls: Sequence[NewCall]
    timers: Sequence[NewTimer]
    closed: Sequence[Address]
    waits: Sequence[Wait] = ()
    taken: tuple[int, int] = (0, 0)
    edits: Sequence[Edits] = ()

    @property
    def is_heavy(self) -> bool:
        """Whether something is to be stored first, which blocks."""
        return not all(isinstance(new.frozen, bytes) for new in self.calls)


def commands(bench: Bench, asked: Asked) -> list[Commands]:
    """The messages, the last of which carries `upto_seq`. Raises EncodingError or PayloadUnavailable."""
    attempt = asked.attempt
    now = bench.clock()
    closed = set(asked.closed)
    entropy = _entropy(len(asked.calls))
    parts = [
        Commands(attempt.run_id, attempt.epoch, now, waits=list(asked.waits[first : first + MAX_CALLS]))
        for first in range(0, len(asked.waits), MAX_CALLS)
    ]
    for calls in _fitting([_call(bench, attempt, new, now, entropy()) for new in asked.calls]):
        own = [call.address for call in calls if call.address in closed]
        closed.difference_update(own)
        parts.append(Commands(attempt.run_id, attempt.epoch, now, calls=calls, closed=own))
    for first in range(0, len(asked.timers), MAX_CALLS):
        timers = [
            Timer(new.address, new.digest, new.due_at, new.place, new.asked_seq, new.instant)
            for new in asked.timers[first : first + MAX_CALLS]
        ]
        parts.append(Commands(attempt.run_id, attempt.epoch, now, timers=timers))
    left = [address for address in asked.closed if address in closed]
    parts += [
        Commands(attempt.run_id, attempt.epoch, now, closed=left[first : first + MAX_CLOSED])
        for first in range(0, len(left), MAX_CLOSED)
    ]
    merged = _merged(parts) or [Commands(attempt.run_id, attempt.epoch, now)]
    merged[-1].upto_seq = asked.upto_seq
    merged[-1].taken, merged[-1].taken_bytes = asked.taken
    merged[-1].edits = list(asked.edits)
    return merged


def _call(bench: Bench, attempt: Attempt, new: NewCall, now: datetime, entropy: bytes) -> Call:
    call, routine = new.call, new.call.routine
    version = _version(call, attempt)
    child_id = RunId(uuid7(now, entropy))
    assert new.frozen is not None, "the bench freezes all values"
    value: Value = new.frozen if isinstance(new.frozen, bytes) else bench.stow_encoded(new.frozen, f"inputs/{child_id}")
    return Call(
        address=new.address,
        routine=routine.name,
        digest=new.digest,
        input=value,
        child_id=child_id,
        version=version,
        options=_options(call, bench.project),
        cache_key=bench.cache_key(routine, call.arguments)
        if routine.policy.cache and version == routine.version
        else "",
        place=new.place,
        traceparent=ids.child(attempt.span, os.urandom(ids.CHILD_BYTES)) if attempt.span else "",
        asked_seq=new.asked_seq,
    )


def _version(call: RoutineCall[Any], attempt: Attempt) -> str:
    """Which version the call asks for: as it says, else as the author of the workflow does. "" is the newest offered,
    pinned is the one imported beside the workflow."""
    said = call.options.version if call.options is not None else ""
    said = said or attempt.routine.policy.children_version
    if said == LATEST:
        return ""
    return call.routine.version if said == PINNED else said


def _options(call: RoutineCall[Any], project: str) -> Options | None:
    """What the call asks for, else what the author of the called routine says of it as a child. Its version stands
    beside them. A key is this project's unless it says another."""
    options, word = call.options, call.routine.policy.on_parent_end
    if options is not None and options.idempotency_key:
        options = of_project(options, project)
    if options is not None and options.version:
        options = msgspec.structs.replace(options, version="")
    if word is None or (options is not None and options.on_parent_end):
        return options
    return msgspec.structs.replace(options or Options(), on_parent_end=word)


def _entropy(count: int) -> Callable[[], bytes]:
    block = os.urandom(ENTROPY_BYTES * count)
    pieces = iter(range(0, len(block), ENTROPY_BYTES))

    def draw() -> bytes:
        first = next(pieces)
        return block[first : first + ENTROPY_BYTES]

    return draw


def _fitting(calls: list[Call]) -> Iterator[list[Call]]:
    part: list[Call] = []
    size = 0
    for call in calls:
        weight = _ROW + (len(call.input) if isinstance(call.input, bytes) else 0)
        if call.options is not None and call.options.metadata:
            weight += len(msgspec.msgpack.encode(call.options.metadata))
        if part and (len(part) == MAX_CALLS or size + weight > MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(call)
        size += weight
    if part:
        yield part


def _merged(parts: list[Commands]) -> list[Commands]:
    """Few small parts in one message: the usual case is one part of everything."""
    rows = sum(len(part.calls) + len(part.timers) + len(part.closed) + len(part.waits) for part in parts)
    fits = sum(len(part.calls) > 0 for part in parts) <= 1 and rows <= MAX_CALLS
    if len(parts) < 2 or not fits:
        return parts
    first = parts[0]
    for part in parts[1:]:
        first.calls += part.calls
        first.timers += part.timers
        first.closed += part.closed
        first.waits += part.waits
    return [first]
