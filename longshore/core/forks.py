"""A fork as facts and as a change: what is recorded at a call of a journal, and what of it a new run begins with.

What is kept is a question of rows, which the store answers and copies (docs/decisions/0010). It decides nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from longshore.core.ids import Address, RunId
from longshore.core.parts import CallRow
from longshore.core.run import Run


class OpenToken(msgspec.Struct, gc=False):
    """A token made up to the call, neither completed nor expired, and the run that is told what becomes of it ("":
    nobody knows the token any more)."""

    token: str
    address: Address
    owner: RunId
    due_at: datetime | None = None


class ForkPoint(msgspec.Struct, gc=False):
    """A run's row, whatever its status, and what its present journal has at one address: `call`, or (None) the recorded
    calls `near` it.

    `at` is the stamp of the fact in whose pump it was asked (None: of the beginning). `dropped_seq` is the first pump
    of which something is asked anew, be it only this call; `appended` is how many later facts are kept. `unread`
    are the signals, and the bytes of their values, told since what is processed.
    """

    run: Run
    call: CallRow | None = None
    near: list[CallRow] = []
    at: datetime | None = None
    dropped_seq: int = 0
    appended: int = 0
    unread: int = 0
    unread_bytes: int = 0
    tokens: list[OpenToken] = []
    going: bool = False  # some of its tree are gone, or will be


class NewFork(NamedTuple):
    """What a new run, which is in `Changes.inserted`, takes over: of which generation of which run, up to the call at
    `address`, asked in pump `seq`. Later facts are stamped with `at`; open tokens end `later`."""

    run_id: RunId
    source: RunId
    generation: int
    address: Address
    seq: int
    at: datetime
    later: timedelta
