"""Every error Longshore raises on purpose, in one tree.

LongshoreError
├── UsageError            fix your code or your settings
│   ├── DefinitionError       a routine is declared wrongly
│   ├── SettingsError         a setting is missing or wrong; names the variable
│   ├── ArgumentError         an argument does not fit the annotation; names the parameter
│   ├── EncodingError         a value cannot travel; names the path inside it
│   ├── NoRunError            `context` used outside a run
│   ├── ForbiddenInWorkflow   a socket, file or thread inside a workflow; names the alternative
│   ├── CircularWait          a call would wait for a run that waits for the caller; names the circle
│   └── Rejected              the ledger refuses by a rule; nothing stored
├── ProtocolError         the peer is wrong
│   ├── DecodeError           bytes that cannot be read
│   ├── PayloadCorrupt        what came back is not what was stored
│   └── Nondeterminism        replayed code asks for something else than it did
├── UnavailableError      try later
│   ├── BrokerUnavailableError
│   ├── StoreUnavailableError
│   ├── PayloadUnavailable
│   └── NotYetAccepted        confirmed by the broker, no coordinator has answered yet
├── RunError              how a run ended: RunFailed, RunCanceled, RunCrashed, RunTimedOut, RunExpired, RunSystemFailure
├── BatchAborted          a batch whose sender did not send all of it
├── TokenExpired, TokenFailed  what became of a token that a workflow waits for
├── RemoteError           a routine's own failure whose class is not known here
├── Stalled               an attempt gave no sign of life for its heartbeat_timeout
└── AbortRun, RetryAfter  raised by a routine to steer its own retries
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any


class LongshoreError(Exception):
    """The root of the tree above."""


class UsageError(LongshoreError):
    """Something in the caller's code or settings is wrong; repeating it changes nothing."""


class DefinitionError(UsageError):
    """A routine is declared wrongly: name, version, signature or option."""


class SettingsError(UsageError):
    """A setting is missing or wrong. `variable` is the environment variable to look at."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable}: {problem}")
        self.variable = variable


class ArgumentError(UsageError):
    """An argument does not fit the routine's annotations. `parameter` names it."""

    def __init__(self, message: str, *, parameter: str = "") -> None:
        super().__init__(message)
        self.parameter = parameter


class EncodingError(UsageError):
    """A value cannot travel. `path` says where inside the value, e.g. `$[3].model`."""

    def __init__(self, message: str, *, path: str = "$") -> None:
        super().__init__(message)
        self.path = path


class NoRunError(UsageError):
    """`longshore.context` was used where no routine is running."""


class ForbiddenInWorkflow(UsageError):
    """A workflow reached for the world (socket, file, thread, subprocess). Move that code to a task."""


class CircularWait(UsageError):
    """A workflow's call is answered by a run that itself waits for that workflow: through keys it shares, or through an
    equal run that is being computed. The text names the circle; nothing waits for it."""


class Rejected(UsageError):
    """The ledger refused by a rule and stored nothing. `rule` is its name, `run_id` the run it was about."""

    def __init__(self, rule: str, text: str, *, run_id: str = "") -> None:
        super().__init__(f"rejected ({rule}): {text}")
        self.rule = rule
        self.run_id = run_id


class ProtocolError(LongshoreError):
    """The peer sent something that the contract does not allow."""


class DecodeError(ProtocolError):
    """Bytes that cannot be read: unknown tag, wrong field, too deep, too large, cut short."""


class PayloadCorrupt(ProtocolError):
    """The stored object is missing for good or differs from its claim check."""


class Nondeterminism(ProtocolError):
    """A replayed workflow asks for something else than it asked for before."""


class UnavailableError(LongshoreError):
    """The world does not answer at the moment; the same call may succeed later."""


class BrokerUnavailableError(UnavailableError):
    """The broker did not take the message in time. Repeating with the same `run_id` is safe."""

    def __init__(self, message: str, *, run_id: str = "", may_have_been_sent: bool = False) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.may_have_been_sent = may_have_been_sent


class StoreUnavailableError(UnavailableError):
    """The database does not answer, is locked or full."""


class PayloadUnavailable(UnavailableError):
    """The payload store does not answer."""


class NotYetAccepted(UnavailableError):
    """The broker has the trigger, but no coordinator has answered yet. `run` is a handle that can be waited for."""

    def __init__(self, message: str, *, run: Any = None) -> None:
        super().__init__(message)
        self.run = run


class RunError(LongshoreError):
    """A run ended without a result. The routine's own exception, where known, is `__cause__`."""

    def __init__(self, message: str, *, run_id: str, status: str, error: Any = None) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.status = status
        self.error = error


class RunFailed(RunError):
    """Its code raised and no attempt was left."""


class RunCanceled(RunError):
    """Somebody canceled it."""


class RunCrashed(RunError):
    """Its worker was lost and its policy says that this ends it."""


class RunTimedOut(RunError):
    """The time of an attempt, or of the whole run, was over."""


class RunExpired(RunError):
    """Its ttl was over before it first started."""


class RunSystemFailure(RunError):
    """It could not be executed: its input is unreadable or missing, or its version never came."""


class RemoteError(LongshoreError):
    """A routine's failure whose class cannot be imported here. `type` names the class, `traceback` is its text."""

    def __init__(self, type_name: str, message: str, traceback: str = "") -> None:
        super().__init__(f"{type_name}: {message}" if message else type_name)
        self.type = type_name
        self.message = message
        self.traceback = traceback


class BatchAborted(LongshoreError):
    """The sender of a batch died or gave up before all of it was sent; the runs that had begun go on. `batch_id` names
    it, `info` are its fields."""

    def __init__(self, message: str, *, batch_id: str = "", info: Any = None) -> None:
        super().__init__(message)
        self.batch_id = batch_id
        self.info = info


class TokenExpired(LongshoreError):
    """A token's time was over before anybody completed it. `token` is its text."""

    def __init__(self, message: str, *, token: str = "") -> None:
        super().__init__(message)
        self.token = token


class TokenFailed(LongshoreError):
    """A token was completed with an error; the message is what was said. `token` is its text."""

    def __init__(self, message: str, *, token: str = "") -> None:
        super().__init__(message)
        self.token = token


class Stalled(LongshoreError):
    """An attempt gave no sign of life (`context.progress`, `context.heartbeat`) for longer than its
    heartbeat_timeout."""


class AbortRun(LongshoreError):
    """Raised by a routine: this run fails now, whatever attempts are left."""


class RetryAfter(LongshoreError):
    """Raised by a routine: try again then, if an attempt is left; at most 30 days later.

    `seconds` may also be a timedelta, or an instant (a datetime with a time zone). Raises UsageError for anything else.
    """

    def __init__(self, seconds: float | timedelta | datetime, message: str = "") -> None:
        spelled = _spelled(seconds)
        super().__init__(message or f"retry {spelled}")
        self.seconds = seconds

    def seconds_from(self, now: datetime) -> float:
        """How long to wait, seen from `now` (aware), in seconds; never negative."""
        when = self.seconds
        if isinstance(when, datetime):
            when = when - now
        return max(0.0, when.total_seconds() if isinstance(when, timedelta) else float(when))


def _spelled(when: object) -> str:
    if isinstance(when, datetime) and when.tzinfo is not None:
        return f"at {when.isoformat(timespec='seconds')}"
    if isinstance(when, timedelta):
        return f"after {when.total_seconds():g} s"
    if isinstance(when, int | float) and not isinstance(when, bool) and math.isfinite(when):
        return f"after {when:g} s"
    zone = ", and this one has no time zone" if isinstance(when, datetime) else ""
    raise UsageError(f"RetryAfter({when!r}): give seconds, a timedelta, or a datetime with a time zone{zone}")


def nearest(wanted: str, known: Sequence[str], limit: int = 3) -> list[str]:
    """The known names most like the wanted one, best first (for "did you mean" in errors and reasons)."""
    import difflib

    return difflib.get_close_matches(wanted, known, n=limit, cutoff=0.5)
