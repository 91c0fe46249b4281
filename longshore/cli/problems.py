"""What to say when something went wrong: one line, and what to do next. Pure: it prints nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from longshore.core.errors import (
    BrokerUnavailableError,
    LongshoreError,
    NotYetAccepted,
    PayloadCorrupt,
    PayloadUnavailable,
    Rejected,
    RunError,
    SettingsError,
    StoreUnavailableError,
    UnavailableError,
    UsageError,
)

FAILED: Final = 1
USAGE: Final = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as a person reads it. `status` is the exit status."""

    kind: str
    text: str
    advice: str = ""
    status: int = FAILED
    run_id: str = ""
    rule: str = ""

    def as_json(self) -> dict[str, Any]:
        """The same for a program: `{"error": {...}}`."""
        fields = {"type": self.kind, "message": self.text, "advice": self.advice, "run_id": self.run_id}
        fields["rule"] = self.rule
        return {"error": {name: value for name, value in fields.items() if value}}


class StoppedWaiting(LongshoreError):
    """Ctrl-C while waiting for a run, which goes on."""

    def __init__(self, run_id: str) -> None:
        super().__init__("stopped waiting; the run goes on")
        self.run_id = run_id


class WaitedLongEnough(TimeoutError):
    """The time somebody gave for the wait is over; the run goes on."""

    def __init__(self, run_id: str, patience: float) -> None:
        super().__init__(f"{run_id} has not ended within {patience:g} s; it goes on")
        self.run_id = run_id


_ADVICE: Final[tuple[tuple[type[LongshoreError], str], ...]] = (
    (
        BrokerUnavailableError,
        "start `longshore dev MODULE` in this folder, or set LONGSHORE_BROKER_URL; `longshore doctor` looks closer",
    ),
    (StoreUnavailableError, "check LONGSHORE_STORE_URL and the disk; `longshore doctor` looks closer"),
    (PayloadUnavailable, "check LONGSHORE_PAYLOAD_URL; `longshore doctor` looks closer"),
    (PayloadCorrupt, "client, coordinator and workers must share one LONGSHORE_PAYLOAD_URL; rerun what made the value"),
    (SettingsError, "correct the variable, or the same name in longshore.toml"),
)

_LOOK: Final = {
    "unknown_run": "`longshore runs list` shows the newest ones; LONGSHORE_NAMESPACE and the folder decide whose",
    "unknown_letter": "`longshore dead list` shows those that are there",
    "busy": "the same again in a moment",
    "unknown_token": "give it whole, as `context.create_token()` gave it; `longshore runs why RUN_ID` shows it, too",
    "expired_token": "`longshore runs show RUN_ID` shows how its workflow went on",
    "unknown_address": "`longshore runs tree RUN_ID --json` shows the address of every call",
    "not_a_call": "`longshore runs tree RUN_ID --json` shows the address of every call",
    "not_begun": "`longshore runs why RUN_ID` says what it waits for",
    "not_a_workflow": "`longshore runs show RUN_ID` shows what it is",
    "behind_cancel": "`longshore runs history RUN_ID` shows when it was canceled",
    "open_token": "`longshore tokens complete TOKEN` completes one, `longshore runs cancel RUN_ID` ends the run",
    "not_final": "`longshore runs cancel RUN_ID` ends it, `longshore runs watch RUN_ID` waits for its end",
    "not_pausable": "`longshore runs why RUN_ID` says what it waits for, `longshore runs show RUN_ID` how it ended",
    "not_delayed": "`longshore runs show RUN_ID` shows where it stands",
    "already_final": "`longshore runs show RUN_ID` shows how it ended",
    "unknown_schedule": "`longshore schedules list` shows those that are there",
    "schedule_exists": "`--replace` gives it the new plan; `--id` names another one",
    "unknown_worker": "`longshore workers list` shows those that are there",
    "unknown_queue": "`longshore queues list` shows those that are there; `--create` makes one",
    "max_size": "the same again when `longshore queues list` shows room",
    "too_many_signals": "the same again when the workflow has taken some",
    "not_blocked": "`longshore runs why RUN_ID` says what it waits for, `longshore runs show RUN_ID` how it ended",
}
"""What to do next, by the rule that refused."""
_NOT_NOW: Final = frozenset({"busy", "max_size", "too_many_signals"})
"""Rules about what is full at the moment: the same again, later, may do. All others are about what was ordered."""


def explain(error: BaseException) -> Problem | None:
    """What to say about an error; None for one that nobody expected (a defect: its traceback is the best text)."""
    match error:
        case KeyboardInterrupt():
            return Problem("Interrupted", "interrupted", status=FAILED)
        case StoppedWaiting(run_id=run_id) | WaitedLongEnough(run_id=run_id):
            advice = f"`longshore runs watch {run_id}` waits again, `longshore runs cancel {run_id}` ends it"
            kind = "Interrupted" if isinstance(error, StoppedWaiting) else "TimeoutError"
            return Problem(kind, str(error), advice, run_id=run_id)
        case NotYetAccepted():
            return _not_yet_accepted(error)
        case RunError():
            return _run_error(error)
        case TimeoutError():
            return Problem("TimeoutError", _first_line(error) or "the wait is over; the run goes on")
        case Rejected():
            return _rejected(error)
        case LongshoreError():
            return _of_the_tree(error)
        case OSError():
            return Problem(type(error).__name__, _first_line(error))
    return None


def _of_the_tree(error: LongshoreError) -> Problem:
    advice = next((text for kind, text in _ADVICE if isinstance(error, kind)), "")
    text = _first_line(error)
    rest = "\n".join(str(error).strip().splitlines()[1:]).strip()
    status = USAGE if isinstance(error, UsageError) else FAILED
    run_id = getattr(error, "run_id", "") if isinstance(error, UnavailableError) else ""
    return Problem(type(error).__name__, text, rest or advice, status, run_id)


def _not_yet_accepted(error: NotYetAccepted) -> Problem:
    run_id = getattr(error.run, "id", "")
    advice = "start `longshore coordinator` (or `longshore dev MODULE`)"
    if run_id:
        advice += f"; the trigger waits in the broker: `longshore runs watch {run_id}`"
    return Problem("NotYetAccepted", _first_line(error), advice, run_id=run_id)


def _rejected(error: Rejected) -> Problem:
    text = _first_line(error).removeprefix(f"rejected ({error.rule}): ")
    status = FAILED if error.rule in _NOT_NOW else USAGE
    return Problem("Rejected", text, _LOOK.get(error.rule, ""), status, error.run_id, error.rule)


def _run_error(error: RunError) -> Problem:
    advice = f"`longshore runs show {error.run_id}` shows the error, `longshore runs history {error.run_id}` the way"
    return Problem(type(error).__name__, _first_line(error), advice, run_id=error.run_id)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
