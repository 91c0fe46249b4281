"""Rows as the ledger knows them beside its runs: what has ended, results of equals, sessions, tokens, outcomes nobody
took. Plain records; they decide nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from longshore.core.ids import Address, RunId, SessionId, WorkerId
from longshore.core.message import Answer, Drain, Offer, Value
from longshore.core.run import Run


class FinalRun(msgspec.Struct, gc=False):
    """What is known of a run that has ended: enough to answer for it."""

    id: RunId
    routine: str
    version: str
    status: str
    attempt: int
    finished_at: datetime | None
    reply_to: str = ""
    correlation_id: str = ""
    plain: bool = False
    cached: bool = False
    reason: str = ""
    epoch: int = 0
    history_seq: int = 0


def final_of(run: Run) -> FinalRun:
    """What is told of a run that has ended."""
    return FinalRun(
        id=run.id,
        routine=run.routine,
        version=run.version,
        status=run.status._value_,
        attempt=run.attempt,
        finished_at=run.finished_at,
        reply_to=run.reply_to,
        correlation_id=run.correlation_id,
        plain=run.plain,
        cached=run.cached,
        reason=run.reason,
        epoch=run.epoch,
        history_seq=run.history_seq,
    )


class CacheHit(msgspec.Struct, gc=False):
    """An equal result: of which run, and the value."""

    run_id: RunId
    result: Value | None
    version: str = ""
    expires_at: datetime | None = None


class WorkerRow(msgspec.Struct, gc=False):
    """A session as it is kept."""

    session: SessionId
    worker_id: WorkerId
    pool: str
    slots: int
    status: str
    taken: int
    offers: list[Offer]
    host: str = ""
    pid: int = 0
    python: str = ""
    since: datetime | None = None
    drain: Drain | None = None
    """What it was told when it was ordered to leave."""


class TokenRow(msgspec.Struct, gc=False):
    """A token: where in which journal it is waited for, until when, and when it was completed."""

    token: str
    run_id: RunId
    generation: int
    address: Address
    expires_at: datetime | None = None
    completed_at: datetime | None = None
    completed_by: str = ""  # the order that did it: sent again it is told the same


class Annotation(msgspec.Struct, gc=False):
    """A run's metadata and tags. `given`: of a workflow, the metadata its code began with, as JSON text; None: not kept
    apart yet (in changes: it stays as it is)."""

    metadata: dict[str, Any]
    tags: list[str]
    given: str | None = None


class KeptSignal(NamedTuple):
    """A signal told to one generation of a workflow that the next one is told too: the same row under another seq."""

    run_id: RunId
    generation: int
    seq: int
    to_generation: int
    to_seq: int


class Answered(NamedTuple):
    """What an order was answered with: it gets the same when it comes again."""

    key: str
    answer: Answer
    expires_at: datetime


class Unheard(NamedTuple):
    """Hooks of a run that has ended while no worker had it, which no worker has said to have run: named to one again at
    `next_at`, given up at `until`."""

    run_id: RunId
    next_at: datetime
    until: datetime


class UnheardPage(NamedTuple):
    """Those that are due, the longest first, and when the next one behind them is (None: there is none)."""

    due: list[Unheard]
    next_at: datetime | None


class ReturnedReply(msgspec.Struct, gc=False):
    """An outcome nobody took."""

    run_id: RunId
    reply_to: str
    first_at: datetime
    next_at: datetime
