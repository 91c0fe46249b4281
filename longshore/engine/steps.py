"""What a workflow's step says: what its code newly asked for, and how it ended. Facts only.

Arguments and results are encoded when the code names them (`frozen`): what it does with the same objects later must not
travel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from longshore.core.ids import Address
from longshore.core.message import Differs, Wait
from longshore.engine.generations import Continued, Frozen
from longshore.routines.routine import Call


@dataclass(slots=True)
class Completed:
    """The workflow returned."""

    value: Any
    frozen: Frozen = None


@dataclass(slots=True)
class Raised:
    """The workflow raised; a CancelledError when it was canceled and did not object."""

    exception: BaseException


@dataclass(slots=True)
class Nondeterministic:
    """The code and its journal differ; `failure` shows both sides, as far as they are known here. Nothing more is
    executed."""

    failure: str
    differs: Differs | None = None


Outcome = Completed | Raised | Nondeterministic | Continued


@dataclass(slots=True)
class NewCall:
    """A routine call without a row."""

    address: Address
    call: Call[Any]
    digest: str
    place: str
    asked_seq: int
    frozen: Frozen = None


@dataclass(slots=True)
class NewTimer:
    """A timer without a row, due at an absolute instant; asked for as an `instant`, or as a length of time."""

    address: Address
    duration: timedelta
    digest: str
    due_at: datetime
    place: str
    asked_seq: int
    instant: bool = False


@dataclass(slots=True)
class Step:
    """What one delivery brought about. `closed` are addresses the code no longer waits for; `waits` come before calls,
    which may name them; `taken` are the signals (by seq) that it took."""

    seq: int
    calls: list[NewCall] = field(default_factory=list)
    timers: list[NewTimer] = field(default_factory=list)
    closed: list[Address] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    outcome: Outcome | None = None
