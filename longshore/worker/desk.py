"""What an executor sees of its worker: where attempts come from, where ends go, and the other executors beside it.

The words between executors and the bus's thread; it decides nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from longshore.core.message import (
    Annotated,
    Commands,
    Edit,
    Edits,
    Fetch,
    Finished,
    HooksRun,
    Released,
    Suspended,
    Value,
)
from longshore.routines.context import SILENCE, Voice
from longshore.telemetry.log import CURRENT, LogScope
from longshore.telemetry.spans import Telemetry
from longshore.worker.attempt import Attempt
from longshore.worker.bench import Bench
from longshore.worker.edits import Pending
from longshore.worker.slots import Slots
from longshore.worker.tray import Tray

log: Final = logging.getLogger("longshore.worker")


class Note(NamedTuple):
    """What an executor tells of an attempt. Without a report: its body has begun, or it has progress, a
    checkpoint or changed metadata to tell."""

    attempt: Attempt
    report: Finished | Commands | Annotated | Fetch | Suspended | Released | HooksRun | None = None
    progress: bool = False
    edited: bool = False


class Executor(Protocol):
    """Runs attempts of one kind, in threads or processes of its own."""

    def wake(self) -> None:
        """Attempts of this kind wait and slots may be free. From any thread; never blocks."""

    def interrupt(self, attempt: Attempt) -> None:
        """Its run is canceled, its time is over, or it is no longer wanted: end it if that can be done. From the bus's
        thread; may come when it has just ended."""

    def close(self) -> None:
        """Start nothing any more and end what can be ended. Blocks for a bounded time; twice is harmless."""


class Desk:
    """One per worker, shared by its executors."""

    def __init__(self, bench: Bench, slots: Slots[Attempt], tray: Tray[Note], telemetry: Telemetry) -> None:
        self.bench = bench
        self.slots = slots
        self.tray = tray
        self.telemetry = telemetry
        self.executors: Mapping[str, Executor] = {}

    def begin(self, attempt: Attempt) -> None:
        """The executor takes it up. Not rung: who is done within one flush is reported with one message."""
        attempt.begin(self.bench.clock())
        self.tray.put_quietly(Note(attempt))

    def end(self, attempt: Attempt, report: Finished) -> None:
        """Its body is over; what it has left behind has nothing to say."""
        attempt.context.voice = SILENCE
        self.tray.put(Note(attempt, report))

    def hand_back(self, attempt: Attempt, report: Released) -> None:
        """It could not be started."""
        self.tray.put(Note(attempt, report))

    def next(self, kind: str, ended: int = 1) -> list[Attempt]:
        """`ended` attempts of this kind gave their slots back: what starts in their place."""
        started, others = self.slots.turn(kind, ended)
        for other in others:
            self.executors[other].wake()
        return started

    def enter(self, attempt: Attempt, voice: Voice) -> object | None:
        """Just before the routine's code, in its own context: what it says, log lines and spans know the run."""
        attempt.user_code = True
        attempt.context.voice = voice
        CURRENT.set(LogScope(attempt.run_id, attempt.routine.id, attempt.span))
        return self.telemetry.attach(attempt.span) if attempt.span else None

    def progress(self, attempt: Attempt, fraction: float, text: str) -> None:
        """Something was said by the routine; only the latest is kept."""
        attempt.said = (fraction, text)
        self._ring(attempt)

    def saved(self, attempt: Attempt, value: Value | None) -> None:
        """Its code keeps a value (None: the one it has kept already); only the latest counts."""
        if value is not None:
            attempt.saved = value
        self._ring(attempt)

    def _ring(self, attempt: Attempt) -> None:
        attempt.show_life()
        if not attempt.talking:
            attempt.talking = True
            self.tray.put(Note(attempt, progress=True))

    def edit(self, attempt: Attempt, target: str, edit: Edit) -> None:
        """The routine changes metadata; what waits to be told is merged. One thread of an attempt at a time."""
        if attempt.edits is None:
            attempt.edits = Pending()
        if attempt.edits.add(target, edit):
            self.tray.put(Note(attempt, edited=True))

    def edit_all(self, attempt: Attempt, groups: Iterable[Edits]) -> None:
        """Many at once: what the code in a child process has changed."""
        for group in groups:
            for edit in group.edits:
                self.edit(attempt, group.target, edit)

    def last_edits(self, attempt: Attempt, pending: Pending) -> list[Edits]:
        """What a workflow has changed, to go with its next word, so that the ledger takes both or neither; what does
        not fit goes ahead."""
        *ahead, last = pending.take() or [[]]
        self.tray.put_all([Note(attempt, Annotated(attempt.run_id, attempt.epoch, group)) for group in ahead])
        return last
