"""What a round changes about how runs begin, beside the runs themselves: reruns, keys, debounces, shared runs. Plain
records; they decide nothing."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import msgspec

from longshore.core.ids import Address, RunId
from longshore.core.parts import Value
from longshore.core.run import Run

JointKey = tuple[RunId, int, Address]
"""(workflow, its generation, address of the call)."""


class Debounced(NamedTuple):
    """A debounce key: the run that its triggers are answered with, since the first of them. Until `ends_at` a leading
    one goes on, or a trailing one may be put off; the row is kept until `kept_until`."""

    row: str
    run_id: RunId
    first_at: datetime
    ends_at: datetime
    kept_until: datetime


class Joint(NamedTuple):
    """A workflow's call that is answered by a run which is not its own child."""

    parent_id: RunId
    generation: int
    address: Address
    run_id: RunId


class Renewed(NamedTuple):
    """A run that waits for its time is given the input and the options of a later trigger."""

    run: Run
    input: Value
    tags: list[str]
    metadata: dict[str, object]


class Beginnings(msgspec.Struct, gc=False):
    """A part of `Changes`."""

    reruns: list[tuple[RunId, RunId]] = []
    """New runs (in `Changes.inserted`) and those whose input, tags and metadata they take over, as they were when the
    batch was decided."""
    keyed: list[tuple[RunId, str, str]] = []
    """New runs, the idempotency keys they were triggered with, and whose these are."""
    keys_reset: list[str] = []
    debounced: dict[str, Debounced] = {}
    renewed: dict[RunId, Renewed] = {}
    joints: dict[JointKey, Joint] = {}
    joints_told: list[JointKey] = []
    keys_forgotten: tuple[datetime, int] | None = None
    """Idempotency keys, debounce keys and joints that mean nothing any more at this time: at most so many of each."""

    def is_durable(self) -> bool:
        """Whether there is anything to commit."""
        return bool(
            self.reruns
            or self.keyed
            or self.keys_reset
            or self.debounced
            or self.renewed
            or self.joints
            or self.joints_told
            or self.keys_forgotten
        )
