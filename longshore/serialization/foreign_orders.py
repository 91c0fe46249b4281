"""Orders about runs as foreign programs write them: JSON with only the fields that are theirs to say.

It reads nothing itself (`envelope` does); whatever else stands in such a message is refused.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from longshore.core.ids import RunId
from longshore.core.message import Annotate, Cancel, Command, Edit, Pause, Rerun, Reschedule, ResetKey, Resume


class _Foreign(msgspec.Struct, tag_field="type", forbid_unknown_fields=True):
    """The root: each gives the command that it means."""

    run_id: str

    def own(self) -> Command:
        """The same as our own clients say it."""
        raise NotImplementedError


class ForeignCancel(_Foreign, tag="cancel"):
    """Cancel a run."""

    reason: str = ""
    by: str = ""

    def own(self) -> Command:
        """See Cancel."""
        return Cancel(RunId(self.run_id), self.reason, plain=True, by=self.by)


class ForeignPause(_Foreign, tag="pause"):
    """Pause a run."""

    by: str = ""
    reason: str = ""

    def own(self) -> Command:
        """See Pause."""
        return Pause(RunId(self.run_id), self.by, self.reason, plain=True)


class ForeignResume(_Foreign, tag="resume"):
    """Resume a run."""

    by: str = ""
    reason: str = ""

    def own(self) -> Command:
        """See Resume."""
        return Resume(RunId(self.run_id), self.by, self.reason, plain=True)


class ForeignReschedule(_Foreign, tag="reschedule"):
    """Give a run another time."""

    delay_ms: int | None = None
    at: datetime | None = None
    by: str = ""

    def own(self) -> Command:
        """See Reschedule."""
        return Reschedule(RunId(self.run_id), self.delay_ms, self.at, self.by, plain=True)


class ForeignReset(msgspec.Struct, tag_field="type", tag="reset_key", forbid_unknown_fields=True):
    """Free an idempotency key."""

    routine: str
    key: str
    run_id: str = ""
    producer: str = ""

    def own(self) -> Command:
        """See ResetKey."""
        return ResetKey(self.routine, self.key, RunId(self.run_id), self.producer, plain=True)


class ForeignRerun(_Foreign, tag="rerun"):
    """Run again what has ended."""

    version: str = ""
    rerun_id: str = ""
    by: str = ""

    def own(self) -> Command:
        """See Rerun."""
        return Rerun(RunId(self.run_id), self.version, RunId(self.rerun_id), self.by, plain=True)


class ForeignAnnotate(_Foreign, tag="annotate"):
    """Change a run's metadata and tags."""

    edits: list[Edit]
    annotate_id: str = ""
    by: str = ""

    def own(self) -> Command:
        """See Annotate."""
        return Annotate(RunId(self.run_id), self.edits, self.annotate_id, self.by, plain=True)


ForeignOrder = (
    ForeignReset | ForeignRerun | ForeignCancel | ForeignPause | ForeignResume | ForeignReschedule | ForeignAnnotate
)
