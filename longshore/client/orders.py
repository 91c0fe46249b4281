"""Orders: a call, or a routine's name with arguments, made into the Trigger that travels. It sends nothing.

Arguments are encoded once; what is over the inline limit is stowed in the payload store before anything is sent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypedDict
from uuid import UUID

from msgspec.structs import replace

from longshore.client.person import person
from longshore.core.batches import BATCH_ID, BATCH_ID_RULE
from longshore.core.cache_key import cache_key
from longshore.core.durations import duration
from longshore.core.errors import EncodingError, UsageError
from longshore.core.ids import ENTROPY_BYTES, Address, RunId, is_run_id, uuid7_from
from longshore.core.message import Fork, Options, Rerun, Reschedule, Trigger
from longshore.core.names import split_routine
from longshore.core.versions import PINNED
from longshore.payloads import AsyncCargo
from longshore.routines import Call
from longshore.routines.options import Debouncing, Duration, TriggerOptions, delay_ms, of_project, to_message
from longshore.serialization.arguments import encode_arguments
from longshore.serialization.values import Encoded

_IDS_PER_BLOCK: Final = 256
_PLAIN: Final = Options()


class RunOptions(TypedDict, total=False):
    """What a trigger may ask for. What is left out is as the routine says; `attempt_timeout` is for each attempt."""

    delay: Duration
    ttl: Duration
    deadline: Duration
    attempt_timeout: Duration
    max_attempts: int
    retry_first: Duration
    retry_factor: float
    retry_max: Duration
    idempotency_key: str
    idempotency_ttl: Duration
    producer: str
    debounce: Debouncing
    queue: str
    concurrency_key: str
    pool: str
    priority: float
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    version: str
    version_deadline: Duration
    batch_id: str


class Order(NamedTuple):
    """What to execute: a call, or a name with arguments for it."""

    what: Call[Any] | str
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None
    run_id: str | UUID | None = None


class RunIds:
    """New run ids, with randomness drawn in blocks (a system call for each costs more than the rest)."""

    __slots__ = ("_at", "_block")

    def __init__(self) -> None:
        self._block = b""
        self._at = 0

    def next(self) -> RunId:
        """A new UUIDv7."""
        at = self._at
        if at >= len(self._block):
            self._block = os.urandom(ENTROPY_BYTES * _IDS_PER_BLOCK)
            at = 0
        self._at = end = at + ENTROPY_BYTES
        random = int.from_bytes(self._block[at:end], "big") >> 6  # 74 of the 80 bits
        return RunId(uuid7_from(int(time.time() * 1000), random))


class Drafts:
    """Makes triggers whose input has not found its place yet."""

    def __init__(self, project: str, reply_to: str = "") -> None:
        self.project = project
        self._reply_to = reply_to
        self._ids = RunIds()

    def draft(self, order: Order, options: RunOptions, wants: str) -> tuple[Trigger, Encoded]:
        """The order without its input, and the input.

        Raises UsageError (a wrong option or id, a call used twice), EncodingError (an argument that cannot travel).
        """
        try:
            return self._draft(order, options, wants)
        except UsageError:
            if isinstance(order.what, Call):
                order.what.refused = True
            raise

    def _draft(self, order: Order, options: RunOptions, wants: str) -> tuple[Trigger, Encoded]:
        run_id = self._ids.next() if order.run_id is None else _given_id(order.run_id)
        if isinstance(order.what, str):
            found, reason = split_routine(order.what)
            if not found:
                raise UsageError(reason)
            routine, (args, kwargs), key = order.what, plain_arguments(order.args, order.kwargs), ""
            travelling = _named(routine, to_message(_travelling(options))) if options else _PLAIN
        else:
            call = _taken(order, options)
            routine, travelling, key = call.wanted, _unpinned(call.options), self._cache_key(call)
            args, kwargs = call.arguments
        if "batch_id" in options:
            travelling = replace(travelling, batch_id=batch_id_of(options["batch_id"]))
        if travelling.idempotency_key:
            travelling = of_project(travelling, self.project)
        made = Trigger(routine, run_id, b"", travelling, self._reply_to, wants, cache_key=key)
        return made, encode_arguments(args, kwargs)

    def _cache_key(self, call: Call[Any]) -> str:
        routine = call.routine
        if not routine.policy.cache or call.wanted != routine.id:
            return ""  # which arguments another version binds these to is known where it is
        try:
            digest = routine.signature.digest(call.arguments)
        except EncodingError:
            return ""  # the encoding that follows says it better
        return cache_key(self.project, routine.name, routine.version, digest)


class OrderBook(Drafts):
    """Makes triggers for one client."""

    def __init__(self, cargo: AsyncCargo, project: str, reply_to: str) -> None:
        super().__init__(project, reply_to)
        self._cargo = cargo

    async def trigger(self, order: Order, options: RunOptions, wants: str) -> Trigger:
        """The order as it travels. Raises as `draft`, and PayloadUnavailable when large arguments cannot be stowed."""
        made, encoded = self.draft(order, options, wants)
        return await self.laden(made, encoded)

    async def laden(self, made: Trigger, encoded: Encoded) -> Trigger:
        """The same with its input, and with this client as the one to answer. Raises PayloadUnavailable."""
        made.reply_to = self._reply_to
        if encoded.size <= self._cargo.cargo.inline_limit:
            made.input = encoded.inline()
        else:
            made.input = await self._cargo.stow(encoded, f"inputs/{made.run_id}")
        return made


def plain_arguments(
    args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Arguments as they were given beside a routine or its name. Raises UsageError."""
    args = () if args is None else args
    kwargs = {} if kwargs is None else kwargs
    if isinstance(args, str | bytes) or not isinstance(args, Sequence):
        raise UsageError(f"args={args!r} is not a list of arguments: write args=[...]")
    if not isinstance(kwargs, Mapping):
        raise UsageError(f"kwargs={kwargs!r} is not a mapping of names to arguments: write kwargs={{...}}")
    return args, kwargs


def _named(routine: str, options: Options) -> Options:
    """The options of a trigger by name. Raises UsageError when name and options do not name one version."""
    said, named = options.version, routine.partition("@")[2]
    if said == PINNED and not named:
        raise UsageError(
            f"option version: {PINNED!r} is for a call of an imported routine; write {routine}@1.2.0, or leave it out"
        )
    if said and named not in ("", said) and said != PINNED:
        raise UsageError(f"option version: {routine!r} and version={said!r} name two versions; give one of them")
    return _unpinned(options)


def _unpinned(options: Options | None) -> Options:
    if options is None:
        return _PLAIN
    return replace(options, version="") if options.version == PINNED else options


def _taken(order: Order, options: RunOptions) -> Call[Any]:
    call = order.what
    if not isinstance(call, Call):
        raise UsageError(
            f"{call!r} is neither a call nor a routine's name: write client.trigger(train(data)) or "
            'client.trigger("train", args=[...])'
        )
    if order.args is not None or order.kwargs is not None:
        raise UsageError("args and kwargs go with a routine's name; a call has its arguments already")
    if options:
        call = call.using(**_travelling(options))
    call.take()
    return call


def fork_of(run_id: RunId, at: str, version: str | None, fork_id: str | UUID | None) -> Fork:
    """The order to fork a run, under an id of its own: however often it is sent, it is one fork. Raises UsageError."""
    if not isinstance(at, str) or not at:
        raise UsageError(
            f"at={at!r}: a call is named by its address, a text as `longshore runs tree` shows it: '0/3:1'"
        )
    if version is not None and not isinstance(version, str):
        raise UsageError(f"version={version!r} is no text: write version='1.2.0'")
    own = RunIds().next() if fork_id is None else _given_id(fork_id)
    return Fork(run_id, Address(at), version or "", own, person())


def rerun_of(run_id: RunId, version: str | None, rerun_id: str | UUID | None, reason: str = "") -> Rerun:
    """The order to run again, under an id of its own: however often it is sent, it is one run. Raises UsageError."""
    if version is not None and not isinstance(version, str):
        raise UsageError(f"version={version!r} is no text: write version='1.2.0'")
    own = RunIds().next() if rerun_id is None else _given_id(rerun_id)
    return Rerun(run_id, version or "", own, person(), reason=reason)


def reschedule_of(run_id: RunId, to: Duration | datetime) -> Reschedule:
    """The order to give a run another time. Raises UsageError."""
    if not isinstance(to, datetime):
        return Reschedule(run_id, delay_ms=delay_ms("reschedule", to), by=person())
    if to.tzinfo is None:
        raise UsageError(f"reschedule: {to!r} has no zone: write for example datetime(2026, 11, 24, 18, tzinfo=UTC)")
    return Reschedule(run_id, at=to, by=person())


def _travelling(options: RunOptions) -> TriggerOptions:
    given: dict[str, Any] = dict(options)
    given.pop("batch_id", None)  # of a trigger alone: the calls of a workflow are in no batch
    if "attempt_timeout" in given:
        given["timeout"] = given.pop("attempt_timeout")
    return given  # type: ignore[return-value]  # `to_message` checks every name and value


def _given_id(run_id: str | UUID) -> RunId:
    text = str(run_id)
    if not is_run_id(text):
        raise UsageError(f"run_id {text!r} is no UUID in canonical form (36 characters, lower case)")
    return RunId(text)


def batch_id_of(given: object) -> str:
    """The name of a batch as it was given. Raises UsageError."""
    if not isinstance(given, str) or not BATCH_ID.fullmatch(given):
        raise UsageError(f"batch_id={given!r}: {BATCH_ID_RULE}")
    return given


def new_batch_id() -> str:
    """A name no other batch has."""
    return str(RunIds().next())


def seconds(timeout: Duration | None) -> float | None:
    """How long to wait, in seconds; None is for ever."""
    if timeout is None or type(timeout) is float:
        return timeout
    return duration(timeout).total_seconds()


def patience(name: str, timeout: float | timedelta | None) -> float | None:
    """As `seconds`, for a wait of trigger() or run(), where a text would be taken for the time of an attempt."""
    if isinstance(timeout, str):
        raise UsageError(
            f"{name}={timeout!r} is how long this call waits here, in seconds or as a timedelta; the time that each "
            "attempt may take is attempt_timeout=..., or call.using(timeout=...)"
        )
    return seconds(timeout)
