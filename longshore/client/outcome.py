"""How a run ended, as the error its caller gets. Pure: it fetches nothing and waits for nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from longshore.core.errors import (
    Rejected,
    RunCanceled,
    RunCrashed,
    RunError,
    RunExpired,
    RunFailed,
    RunSystemFailure,
    RunTimedOut,
)
from longshore.core.message import RunChanged
from longshore.core.run import Status
from longshore.serialization.failures import decode_failure

COMPLETED: Final = Status.COMPLETED.value

_ERRORS: Final[dict[str, tuple[type[RunError], str]]] = {
    Status.FAILED.value: (RunFailed, "failed"),
    Status.CANCELED.value: (RunCanceled, "was canceled"),
    Status.CRASHED.value: (RunCrashed, "crashed"),
    Status.TIMED_OUT.value: (RunTimedOut, "timed out"),
    Status.EXPIRED.value: (RunExpired, "expired before it started"),
    Status.SYSTEM_FAILURE.value: (RunSystemFailure, "could not be executed"),
}


def error_of(change: RunChanged, routine: str, modules: Collection[str]) -> RunError | Rejected:
    """The error for a final change without a result; the routine's own exception is its `__cause__`.

    Classes from these modules (where imported) and builtin ones come back as themselves, others as RemoteError.
    """
    if not change.status:
        return Rejected("unknown_run", change.reason or f"there is no run {change.run_id}", run_id=change.run_id)
    kind, words = _ERRORS.get(change.status, (RunSystemFailure, f"ended as {change.status}"))
    failure = change.error
    canceled = change.status == Status.CANCELED.value  # by whom and why says more than its CancelledError
    detail = change.reason if canceled or failure is None else _detail(failure.type, failure.message)
    text = f"{routine or 'run'} {change.run_id} {words}{f': {detail}' if detail else ''}"
    error = kind(text, run_id=change.run_id, status=change.status, error=failure)
    if failure is not None:
        error.__cause__ = decode_failure(failure, modules=modules)
    return error


def _detail(type_name: str, message: str) -> str:
    name = type_name.rpartition(".")[2]
    return f"{name}: {message}" if message else name
