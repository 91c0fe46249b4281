"""One attempt of one run on this worker, from its Start to the moment the ledger has its end. A record, no acts.

The bus's thread owns it; the executor that runs it writes only `began`, `began_at`, `entered`, `handle` and `alive_at`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from longshore.core.message import Finished, Start, Value
from longshore.routines.context import RunContext
from longshore.routines.hooks import Hooks
from longshore.routines.routine import Routine
from longshore.telemetry import ids
from longshore.worker.edits import Pending

WORKFLOW: Final = "workflow"
"""The kind of attempts that the workflow host has; the other kinds are the isolations: thread, loop, process."""


def by_kind(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """The attempts of each kind, in order."""
    kinds: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        kinds.setdefault(attempt.kind, []).append(attempt)
    return kinds


class Attempt:
    """See the module."""

    __slots__ = (
        "alive_at",
        "began",
        "began_at",
        "canceled",
        "context",
        "edited_at",
        "edits",
        "entered",
        "epoch",
        "error",
        "handle",
        "hook_errors",
        "hooks",
        "kind",
        "overdue",
        "reported",
        "result",
        "routine",
        "run_id",
        "said",
        "said_at",
        "said_sent",
        "saved",
        "saved_sent",
        "sent",
        "settled",
        "settled_at",
        "span",
        "start",
        "stuck",
        "talking",
        "told",
        "user_code",
    )

    def __init__(self, start: Start, routine: Routine[..., Any]) -> None:
        self.start = start
        self.routine = routine
        self.run_id = start.run_id
        self.epoch = start.epoch
        self.kind: str = WORKFLOW if routine.kind == "workflow" else routine.policy.isolation
        self.context = RunContext(start.run_id, routine=routine.id, attempt=start.attempt, metadata=start.metadata)
        self.context.schedule = start.schedule
        self.span = ids.child(start.traceparent, os.urandom(ids.CHILD_BYTES)) if start.traceparent else ""
        self.began = 0.0  # perf_counter
        self.began_at: datetime | None = None
        self.entered = False  # the executor is inside: from here on it can be interrupted
        self.user_code = False  # the routine's own code has begun
        self.handle: Any = None  # what its executor needs to interrupt it
        self.told = False  # Started was reported
        self.reported = False  # its end was reported, or must not be any more
        self.sent = False  # its end is in a numbered body: the ledger has it before it sees the next Beat
        self.canceled: str | None = None  # the reason
        self.overdue: Exception | None = None  # its time is over, or it was silent for too long
        self.hooks: Hooks | None = None
        self.error: BaseException | None = None  # what the body raised, if there are hooks to be told
        self.result: Any = None  # what it returned, likewise
        self.settled: Finished | None = None  # the body is over, and this is said when its hooks are
        self.settled_at = 0.0
        self.hook_errors: list[str] = []
        self.stuck = False  # its end was reported, and it still holds its slot
        self.said = (0.0, "")  # the latest progress, and the one reported last
        self.said_sent = self.said
        self.saved: Value | None = start.checkpoint  # the latest checkpoint, and the one reported last
        self.saved_sent = self.saved
        self.said_at = 0.0  # when one of them was last reported
        self.alive_at = 0.0  # its last sign of life, by the worker's clock
        self.edits: Pending | None = None  # what its code changes of metadata, from its first change on
        self.edited_at = 0.0  # when that was last reported
        self.talking = False  # the bus's thread was told that there is progress or a checkpoint to report

    def begin(self, at: datetime | None = None) -> None:
        """The executor takes it up (now, if no instant is given): its slot is held from here on."""
        self.began = time.perf_counter()
        self.began_at = at or datetime.now(UTC)

    @property
    def timeout(self) -> float | None:
        """Seconds one attempt may take, by the trigger or by the routine's author."""
        if self.start.timeout_ms is not None:
            return self.start.timeout_ms / 1000
        limit = self.routine.policy.timeout
        return None if limit is None else limit.total_seconds()

    @property
    def silence(self) -> float | None:
        """Seconds it may go on without a sign of life."""
        limit = self.routine.policy.heartbeat_timeout
        return None if limit is None else limit.total_seconds()

    def show_life(self) -> None:
        """It lives. From any thread."""
        self.alive_at = time.monotonic()

    def settle(self, report: Finished) -> None:
        """The body is over; its hooks run."""
        self.settled_at = time.monotonic()
        self.settled = report

    @property
    def slot_us(self) -> int:
        """How long it has held its slot, in microseconds."""
        return int((time.perf_counter() - self.began) * 1e6) if self.began else 0

    @property
    def key_prefix(self) -> str:
        """Under which its payloads are stored."""
        return f"runs/{self.run_id}"
