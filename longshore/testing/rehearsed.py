"""One run of a rehearsal: what was asked of it, where it stands, how it ended. A record, no acts."""

from __future__ import annotations

import copy
import secrets
import time
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from longshore.core.ids import ENTROPY_BYTES, RunId, uuid7_from
from longshore.core.message import Edit, Failure, Options, Start
from longshore.core.metadata import Annotations
from longshore.core.run import Status
from longshore.routines.catalog import Catalog
from longshore.routines.metadata import PARENT, ROOT
from longshore.routines.routine import Routine
from longshore.worker.attempt import Attempt


class End(NamedTuple):
    """How a run ended. `error` is the exception itself, `failure` as it travels."""

    status: Status
    value: bytes = b""
    error: BaseException | None = None
    failure: Failure | None = None


class Rehearsed:
    """See the module. `at` is when its next attempt begins: None while it is under way. `journal` is that of its
    parent in which the call stands."""

    def __init__(
        self,
        routine: Routine[..., Any],
        value: bytes,
        options: Options,
        now: datetime,
        parent: Rehearsed | None = None,
        journal: object = None,
    ) -> None:
        self.id = new_id()
        self.routine = routine
        self.input = value
        self.options = options
        self.parent = parent
        self.journal = journal
        self.root: Rehearsed = self if parent is None else parent.root
        self.offer = routine.offer()
        self.attempt = 1
        self.created_at = now
        self.begun = False
        self.at: datetime | None = now + _length(options.delay_ms or 0)
        self.ttl_at = None if options.ttl_ms is None else now + _length(options.ttl_ms)
        self.deadline_at = None if options.deadline_ms is None else now + _length(options.deadline_ms)
        self.grace_at: datetime | None = None
        self.canceled = ""
        """Why, if it is."""
        self.annotations = Annotations(copy.deepcopy(options.metadata), options.tags)
        self.checkpoint: bytes | None = None
        self.end: End | None = None

    @property
    def is_spared(self) -> bool:
        """Whether it goes on when the workflow that called it ends."""
        word = self.options.on_parent_end or self.routine.policy.on_parent_end
        if not word and self.parent is not None:
            word = self.parent.routine.policy.children
        return word == "abandon"

    def new_attempt(self) -> Attempt:
        """The attempt that begins now, as a worker has it."""
        start = Start(
            run_id=self.id,
            epoch=self.attempt,
            attempt=self.attempt,
            routine=self.routine.name,
            version=self.routine.version,
            max_attempts=self.options.max_attempts or 0,
            timeout_ms=self.options.timeout_ms,
            tags=list(self.annotations.tags),
            metadata=copy.deepcopy(self.annotations.metadata),
        )
        attempt = Attempt(start, self.routine)
        attempt.hooks = Catalog([self.routine]).hooks.get(self.routine.id)
        return attempt

    def edit(self, target: str, edit: Edit) -> None:
        """Change the metadata or tags of this run, its parent or its root. What cannot be done changes nothing."""
        run: Rehearsed | None = self
        if target == PARENT:
            run = self.parent
        elif target == ROOT:
            run = self.root
        if run is not None:
            run.annotations.apply(copy.deepcopy(edit))


def new_id() -> RunId:
    """A run's id."""
    return RunId(uuid7_from(int(time.time() * 1000), int.from_bytes(secrets.token_bytes(ENTROPY_BYTES)) >> 6))


def _length(ms: int) -> timedelta:
    return timedelta(milliseconds=ms)
