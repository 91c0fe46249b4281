"""What the code of an attempt says of itself, by where it runs: in a thread, on the loop, as a workflow. (A child
process has a voice of its own: `voice`.)

HOT PATH: every attempt gets one small object; it refers to its attempt until that ends. It decides nothing.
"""

from __future__ import annotations

from typing import Any

from longshore.core.message import Edit
from longshore.routines.context import Voice
from longshore.worker.attempt import Attempt
from longshore.worker.desk import Desk
from longshore.worker.edits import Pending
from longshore.worker.keeping import Keeping


class AttemptVoice(Voice):
    """In a thread."""

    __slots__ = ("_attempt", "_desk")

    def __init__(self, desk: Desk, attempt: Attempt) -> None:
        self._desk = desk
        self._attempt = attempt

    def progress(self, fraction: float, text: str) -> None:
        """See Voice."""
        self._desk.progress(self._attempt, fraction, text)

    def show_life(self) -> None:
        """See Voice."""
        self._attempt.show_life()

    def keep(self, value: Any) -> None:
        """See Voice."""
        self._desk.saved(self._attempt, self._desk.bench.keep(self._attempt, value))

    def edit(self, target: str, edit: Edit) -> None:
        """See Voice."""
        self._desk.edit(self._attempt, target, edit)


class LoopVoice(AttemptVoice):
    """On the loop, which a large checkpoint must not hold up."""

    __slots__ = ("_keeping",)

    def __init__(self, desk: Desk, attempt: Attempt, keeping: Keeping) -> None:
        super().__init__(desk, attempt)
        self._keeping = keeping

    def keep(self, value: Any) -> None:
        """See Voice."""
        self._keeping.keep(self._attempt, value)


class WorkflowVoice(AttemptVoice):
    """A workflow's: what it edits goes with its next word to the ledger, and its journal is its checkpoint."""

    __slots__ = ("_edits",)

    def __init__(self, desk: Desk, attempt: Attempt, edits: Pending) -> None:
        super().__init__(desk, attempt)
        self._edits = edits

    def show_life(self) -> None:
        """Its pumps are watched, not its silence."""

    def keep(self, value: Any) -> None:
        """Nothing is kept."""

    def edit(self, target: str, edit: Edit) -> None:
        """See Voice."""
        self._edits.add(target, edit)
