"""What the coordinator says to clients."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from longshore.core.ids import RunId
from longshore.core.parts import Failure, Message, Value


class Accepted(Message):
    """The ledger has the run, durably. `existing`: the run was there before (same id or idempotency key)."""

    run_id: RunId
    status: str
    asked_id: RunId = RunId("")  # what the trigger named, when an idempotency key led to another run
    existing: bool = False
    correlation_id: str = ""
    reason: str = ""


class Rejected(Message):
    """The ledger refuses by a rule; nothing is stored."""

    run_id: RunId
    rule: str
    text: str
    correlation_id: str = ""


class RunChanged(Message):
    """A run changed its status, or its metadata and tags. Final ones carry the outcome."""

    run_id: RunId
    status: str
    attempt: int = 0
    reason: str = ""
    at: datetime | None = None
    result: Value | None = None
    error: Failure | None = None
    cached: bool = False
    correlation_id: str = ""
    metadata: dict[str, Any] | None = None  # what it is now, where that is what has changed
    tags: list[str] | None = None
    seq: int = 0  # of the history row that says so


class Answer(Message):
    """The answer to an Ask: plain data, or `error` as {rule, text}."""

    ask_id: str
    data: Any = None
    error: dict[str, str] | None = None


Reply = Accepted | Rejected | RunChanged | Answer
