"""What a worker is told at its start. Facts only."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from longshore.core.ids import SessionId
from longshore.telemetry import semantics

SESSION_VARIABLE: Final = "LONGSHORE_SESSION"
"""In which a supervisor tells its child the session id, so that it can report the child's death."""

ADVISES_VARIABLE: Final = "LONGSHORE_ADVISES"
"""In which a supervisor tells all children but the first ("0") to leave advice on the routines' code to that one."""

SUPERVISOR_VARIABLE: Final = "LONGSHORE_SUPERVISOR"
"""In which a supervisor names its process id and the pipe whose end means that it is gone."""


Clock = Callable[[], datetime]
"""What time it is: an aware instant in UTC."""


def utcnow() -> datetime:
    """The time by the machine's clock."""
    return datetime.now(UTC)


def new_session() -> SessionId:
    """A session id: 128 random bits; who knows it is the worker."""
    return SessionId(os.urandom(16).hex())


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """How one worker process works. `slots` are tasks executing at once; workflows that wait need none."""

    pool: str = "default"
    slots: int = 16
    project: str = "default"
    heartbeat: timedelta = timedelta(seconds=2)
    grace: timedelta = timedelta(seconds=25)
    """How long tasks may go on after the first SIGTERM."""
    farewell: timedelta = timedelta(seconds=5)
    """How long the last reports may take to be confirmed when it leaves."""
    session: SessionId = field(default_factory=new_session)
    advises: bool = True
    """Whether it says at its start which lines of workflows would not do the same in a replay."""
    open_timeout: timedelta = timedelta(seconds=10)
    """How long the broker may take to answer at the start; later losses are waited out for ever."""
    store: Mapping[str, str | None] = field(default_factory=dict)
    """The arguments of `payloads.open_store`, for child processes, which open the store themselves."""
    messaging_system: str = semantics.SYSTEM_LOCAL
    """What spans call the bus."""
    max_hanging: int = 10_000
    """Workflows that wait are put away beyond this number: those that wait for no routine first, then the longest
    waiting."""
    suspend_after: timedelta = timedelta(minutes=5)
    """Workflows that have waited this long are put away."""
    clock: Clock = utcnow
    """What it tells the ledger of when something happened. Lengths of time are measured by the machine's own clock."""
    pump_limit: timedelta = timedelta(seconds=30)
    """A workflow that computes this long without waiting for anything is ended."""


class Exit(NamedTuple):
    """Why a worker ended. `code` is for the process: 0 when it was asked to."""

    code: int
    reason: str
