"""Orders on schedules as foreign programs write them, and arguments in JSON as the value that travels. It reads no body
itself.
"""

from __future__ import annotations

from typing import Final

import msgspec

from longshore.core.errors import DecodeError
from longshore.core.message import Command, CreateSchedule, DeleteSchedule, Options, PauseSchedule, ResumeSchedule
from longshore.core.schedules import ALLOW, GRACE_MS, SKIP, UTC_NAME
from longshore.serialization.wire import JSON_TEXT

NO_ARGS: Final = msgspec.Raw(b"[]")
NO_KWARGS: Final = msgspec.Raw(b"{}")


class _Foreign(msgspec.Struct, tag_field="type", forbid_unknown_fields=True):
    """The root: each gives the command that it means."""

    def own(self) -> Command:
        """The same as our own clients say it."""
        raise NotImplementedError


class ForeignSchedule(_Foreign, tag="create_schedule"):
    """Create a schedule."""

    routine: str
    schedule_id: str = ""
    cron: str = ""
    every_ms: int = 0
    timezone: str = UTC_NAME
    args: msgspec.Raw = NO_ARGS
    kwargs: msgspec.Raw = NO_KWARGS
    options: Options = msgspec.field(default_factory=Options)
    missed: str = SKIP
    catch_up_limit: int = 100
    grace_ms: int = GRACE_MS
    overlap: str = ALLOW
    spread_ms: int = 0
    paused: bool = False
    replace: bool = False
    by: str = ""

    def own(self) -> Command:
        """See CreateSchedule. Raises DecodeError for arguments that are none."""
        fields = msgspec.structs.asdict(self)
        args, kwargs = fields.pop("args"), fields.pop("kwargs")
        given = bytes(args) != bytes(NO_ARGS) or bytes(kwargs) != bytes(NO_KWARGS)
        value = json_input(f"schedule of {self.routine!r}", args, kwargs) if given else b""
        return CreateSchedule(**fields, input=value, plain=True)


class ForeignPauseSchedule(_Foreign, tag="pause_schedule"):
    """Pause a schedule."""

    schedule_id: str
    by: str = ""

    def own(self) -> Command:
        """See PauseSchedule."""
        return PauseSchedule(self.schedule_id, self.by, plain=True)


class ForeignResumeSchedule(_Foreign, tag="resume_schedule"):
    """Resume a schedule."""

    schedule_id: str
    by: str = ""

    def own(self) -> Command:
        """See ResumeSchedule."""
        return ResumeSchedule(self.schedule_id, self.by, plain=True)


class ForeignDeleteSchedule(_Foreign, tag="delete_schedule"):
    """Delete a schedule."""

    schedule_id: str
    by: str = ""

    def own(self) -> Command:
        """See DeleteSchedule."""
        return DeleteSchedule(self.schedule_id, self.by, plain=True)


ForeignScheduleOrder = ForeignSchedule | ForeignPauseSchedule | ForeignResumeSchedule | ForeignDeleteSchedule


def json_input(whose: str, args: msgspec.Raw, kwargs: msgspec.Raw) -> bytes:
    """Arguments in JSON as the value that travels. Raises DecodeError."""
    positional, named = bytes(args), bytes(kwargs)
    if not positional.startswith(b"["):
        raise DecodeError(f"{whose}: `args` must be a JSON array")
    if not named.startswith(b"{"):
        raise DecodeError(f"{whose}: `kwargs` must be a JSON object")
    return b"%c[%b,%b]" % (JSON_TEXT, positional, named)
