"""What is done before and after a routine's body, wherever it runs: arguments in, result or failure out, as one
Finished.

Synchronous and free of threads; `processes` use it inside the child. It never runs a routine and never sends anything.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, NamedTuple

from longshore.core.cache_key import cache_key
from longshore.core.errors import (
    AbortRun,
    ArgumentError,
    DecodeError,
    EncodingError,
    PayloadCorrupt,
    PayloadUnavailable,
    Rejected,
    RetryAfter,
    Stalled,
    UsageError,
)
from longshore.core.message import ClaimCheck, Failure, Finished, Start, Value
from longshore.payloads.cargo import Cargo
from longshore.routines.routine import Routine
from longshore.routines.ticks import with_tick
from longshore.serialization.arguments import Arguments, as_arguments, decode_arguments
from longshore.serialization.failures import encode_failure
from longshore.serialization.values import Encoded, decode, encode, encode_inline
from longshore.worker.attempt import Attempt
from longshore.worker.config import Clock, utcnow

COMPLETED: Final = "completed"
FAILED: Final = "failed"
ABORTED: Final = "aborted"
CANCELED: Final = "canceled"
TIMED_OUT: Final = "timed_out"
CRASHED: Final = "crashed"
OUT_OF_MEMORY: Final = "out_of_memory"
SYSTEM_FAILURE: Final = "system_failure"
NONDETERMINISM: Final = "nondeterminism"
CONTINUED: Final = "continued"

MOST_COPIED: Final = 16 << 20
_NO_ARGUMENTS: Final = Arguments((), {})


class Verdict(NamedTuple):
    """What an exception means for its attempt."""

    how: str
    retry: bool = True
    retry_after_ms: int | None = None


class Bench:
    """The parts that every executor of a process needs."""

    def __init__(self, cargo: Cargo, project: str, clock: Clock = utcnow) -> None:
        self._cargo = cargo
        self.project = project
        self.clock = clock

    def arguments(self, start: Start, routine: Routine[..., Any]) -> Arguments:
        """The bound arguments of a Start. Raises what `judge` knows."""
        given: tuple[Sequence[Any], Mapping[str, Any]] = self._unbound(start.input)
        if start.schedule is not None:
            given = with_tick(routine.function, *given, start.schedule)
        return routine.signature.bind(*given)

    def prepare(self, attempt: Attempt) -> Arguments:
        """The bound arguments of an attempt, whose context has what an attempt before kept. Raises what `judge`
        knows."""
        kept = attempt.start.checkpoint
        if kept is not None:
            try:
                attempt.context.last_checkpoint = self.load(kept)
            except (DecodeError, PayloadCorrupt) as error:
                raise type(error)(f"the checkpoint of the attempt before cannot be read: {error}") from error
        return self.arguments(attempt.start, attempt.routine)

    def keep(self, attempt: Attempt, value: Any) -> Value | None:
        """A checkpoint as it travels, stored if it is large; None if it is what was kept before. Blocks."""
        kept = self.result(value)
        if kept is None:
            return self.keep_encoded(attempt, encode(value))
        return None if kept == attempt.saved else kept

    def keep_encoded(self, attempt: Attempt, encoded: Encoded) -> Value | None:
        """The same for an encoded value."""
        kept = self.stow_encoded(encoded, attempt.key_prefix)
        before = attempt.saved
        if isinstance(kept, ClaimCheck) and isinstance(before, ClaimCheck) and kept.sha256 == before.sha256:
            self._cargo.store.delete(kept.key)
            return None
        return kept

    def _unbound(self, value: Value | None) -> Arguments:
        if not value:
            return _NO_ARGUMENTS
        if isinstance(value, bytes):
            return decode_arguments(value)
        return as_arguments(self._cargo.load(value))

    def load(self, value: Value) -> Any:
        """A value as it travels, decoded; a claim check is fetched."""
        return decode(value) if isinstance(value, bytes) else self._cargo.load(value)

    def is_heavy(self, start: Start) -> bool:
        """Whether its arguments or its checkpoint lie in the payload store, so that reading them blocks."""
        return isinstance(start.input, ClaimCheck) or isinstance(start.checkpoint, ClaimCheck)

    def result(self, value: Any) -> bytes | None:
        """The result if it is small, None if it must be stowed. Raises EncodingError."""
        return encode_inline(value, self._cargo.inline_limit)

    def stow(self, value: Any, prefix: str) -> Value:
        """A value, encoded and stored if it is large. Blocks."""
        return self._cargo.stow(encode(value), prefix)

    def freeze(self, value: Any) -> bytes | Encoded:
        """The value as it is now. One of more than 16 MiB is encoded as it is stored, and must not be changed until
        then. Raises EncodingError."""
        small = self.result(value)
        if small is not None:
            return small
        encoded = encode(value)
        return Encoded(encoded.size, [encoded.inline()]) if encoded.size <= MOST_COPIED else encoded

    def stow_encoded(self, encoded: Encoded, prefix: str) -> Value:
        """An encoded value, stored if it is large. Blocks."""
        return self._cargo.stow(encoded, prefix)

    def cache_key(self, routine: Routine[..., Any], arguments: Arguments) -> str:
        """The key under which equal calls share a result; "" if the arguments have no digest."""
        try:
            return cache_key(self.project, routine.name, routine.version, routine.signature.digest(arguments))
        except EncodingError:
            return ""  # coerced to something that cannot travel: equal calls cannot be told

    def completed(self, attempt: Attempt, result: Value, arguments: Arguments | None) -> Finished:
        """The report of a body that returned. Without arguments there is no cache key."""
        return Finished(
            run_id=attempt.run_id,
            epoch=attempt.epoch,
            how=COMPLETED,
            at=self.clock(),
            result=result,
            slot_us=attempt.slot_us,
            cache_key=self.cache_key(attempt.routine, arguments) if attempt.start.cache and arguments else "",
            traceparent=attempt.span,
        )

    def continued(self, attempt: Attempt, value: Value, unread: list[int]) -> Finished:
        """The report of a workflow that goes on as its next generation, with this input."""
        report = ended(attempt, Verdict(CONTINUED), None)
        report.result, report.unread = value, unread
        return report

    def overdue(self, attempt: Attempt) -> Finished:
        """The report of an attempt that is over its time while its code goes on."""
        error = attempt.overdue or TimeoutError()
        return ended(attempt, judge(attempt, error), encode_failure(error))

    def failed(self, attempt: Attempt, error: BaseException) -> Finished:
        """The report of an attempt that ended with an exception."""
        verdict = judge(attempt, error)
        shown = attempt.overdue or strip(error)
        return ended(attempt, verdict, encode_failure(shown))


def ended(attempt: Attempt, verdict: Verdict, failure: Failure | None) -> Finished:
    """The report of an attempt that ended without a result."""
    return Finished(
        run_id=attempt.run_id,
        epoch=attempt.epoch,
        how=verdict.how,
        at=datetime.now(UTC),
        error=failure,
        retry=verdict.retry,
        retry_after_ms=verdict.retry_after_ms,
        slot_us=attempt.slot_us,
        traceparent=attempt.span,
    )


def judge(attempt: Attempt, error: BaseException) -> Verdict:
    """What this exception means: whose fault it is, and whether another attempt can help."""
    if attempt.overdue is not None:
        return Verdict(FAILED if isinstance(attempt.overdue, Stalled) else TIMED_OUT)
    if attempt.canceled is not None:
        return Verdict(CANCELED)
    match error:
        case AbortRun():
            return Verdict(ABORTED, retry=False)
        case RetryAfter():
            return Verdict(FAILED, retry_after_ms=math.ceil(error.seconds_from(datetime.now(UTC)) * 1000))
        case PayloadUnavailable():
            return Verdict(FAILED)
        case EncodingError():
            return Verdict(FAILED, retry=False)
        case MemoryError() if attempt.routine.policy.isolation == "process":  # its own memory: nobody else's fault
            return Verdict(OUT_OF_MEMORY)
    if not attempt.user_code:
        match error:
            case ArgumentError():
                return Verdict(FAILED, retry=False)
            case DecodeError() | PayloadCorrupt():
                return Verdict(SYSTEM_FAILURE, retry=False)
        return Verdict(FAILED)
    if isinstance(error, UsageError) and not isinstance(error, Rejected):  # the code is wrong: again is the same again
        return Verdict(FAILED, retry=False)
    return Verdict(FAILED, retry=attempt.routine.policy.retries(error))


def check_wanted(attempt: Attempt) -> None:
    """Raise CancelledError if the attempt was canceled or withdrawn while it waited for its thread."""
    if attempt.canceled is not None or attempt.reported:
        raise asyncio.CancelledError(attempt.canceled or "withdrawn")


def strip(error: BaseException) -> BaseException:
    """The exception without the frames of the worker above the routine's own."""
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_globals.get("__package__") in _OWN and traceback.tb_next:
        traceback = traceback.tb_next
    return error.with_traceback(traceback)


_OWN: Final = ("longshore.worker", "longshore.engine")
