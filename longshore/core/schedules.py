"""What a schedule is: when it is due, what it starts, and what the run of one tick is told.

Pure records and arithmetic. Which instants a cron expression names is a fact that the shell brings (`Calendar`): here
is no time zone and no clock.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from longshore.core.ids import RunId, uuid7_from
from longshore.core.parts import Options, Value

SKIP: Final = "skip"
CATCH_UP: Final = "catch_up"
ALLOW: Final = "allow"
UPCOMING: Final = 5
"""How many of the next ticks a run is told."""
SECOND_MS: Final = 1000
DAY_MS: Final = 86_400 * SECOND_MS
SHORTEST_MS: Final = SECOND_MS
LONGEST_MS: Final = 366 * DAY_MS
MOST_SPREAD_MS: Final = DAY_MS
MOST_GRACE_MS: Final = 30 * DAY_MS
GRACE_MS: Final = 5 * 60 * SECOND_MS
MOST_CAUGHT_UP: Final = 1000
MOST_INPUT: Final = 64 * 1024
MOST_CRON: Final = 200
ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,199}", re.ASCII)
UTC_NAME: Final = "UTC"

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

Refusal = tuple[str, str]
"""(rule, text)."""


@dataclass(frozen=True, slots=True)
class ScheduledTick:
    """What the run of one tick is told: `context.schedule`, and the argument `schedule` of a routine that has one.

    `timestamp` is the instant the schedule names, not when the run began; `last_timestamp` that of the run before
    (None: this is the first); both, and the `upcoming` five, are aware and in UTC. `timezone` is the schedule's.
    """

    schedule_id: str
    timestamp: datetime
    last_timestamp: datetime | None = None
    timezone: str = UTC_NAME
    upcoming: list[datetime] = field(default_factory=list)


class Timetable(msgspec.Struct, frozen=True, omit_defaults=True):
    """When: a cron expression in a time zone, or an interval counted from `anchor` (None: from now on)."""

    cron: str = ""
    every_ms: int = 0
    timezone: str = UTC_NAME
    anchor: datetime | None = None


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was ordered."""

    routine: str
    timetable: Timetable
    options: Options = msgspec.field(default_factory=Options)
    missed: str = SKIP
    catch_up_limit: int = 100
    grace_ms: int = GRACE_MS
    overlap: str = ALLOW
    spread_ms: int = 0


class Schedule(msgspec.Struct, kw_only=True):
    """A schedule as it is kept. `next_at` is the tick to come (None: paused, or there is none), `last_at` the latest
    one that made a run, `last_run_id` that run; `note` says what people should know, e.g. which ticks were passed
    over. `seed` makes its run ids its own."""

    id: str
    plan: Plan
    seed: str
    input: Value = b""
    paused: bool = False
    next_at: datetime | None = None
    last_at: datetime | None = None
    last_run_id: RunId = RunId("")
    note: str = ""
    created_at: datetime
    updated_at: datetime

    @property
    def offset(self) -> timedelta:
        """How long after each tick its run begins: by its spread, and always the same."""
        return spread_of(self.id, self.plan.spread_ms)

    @property
    def due_at(self) -> datetime | None:
        """When the next run begins."""
        return None if self.next_at is None else self.next_at + self.offset


class Calendar(msgspec.Struct):
    """The ticks of a timetable around an instant: the latest that are over (oldest first, it included), and the next
    ones. `error`: it is no timetable, and why."""

    over: list[datetime] = []
    upcoming: list[datetime] = []
    error: Refusal | None = None


class Due(msgspec.Struct):
    """A schedule whose time has come, with the ticks from its `next_at` on."""

    schedule: Schedule
    calendar: Calendar = msgspec.field(default_factory=Calendar)


class ScheduleNeeds(msgspec.Struct, gc=False):
    """What the ledger must know of schedules for a round: these by id, the ticks of these timetables, and whether any
    is `due`."""

    ids: set[str] = set()
    timetables: set[Timetable] = set()
    due: bool = False

    @property
    def any(self) -> bool:
        """Whether there is anything to read."""
        return self.due or bool(self.ids or self.timetables)


class ScheduleFacts(msgspec.Struct, gc=False):
    """What the shell answers: the schedules asked for, the calendars of their timetables and of those asked for (next
    ticks only), those that are due (the first ones, with what is over), and when the first of the others is."""

    found: dict[str, Schedule] = {}
    calendars: dict[Timetable, Calendar] = {}
    due: list[Due] = []
    next_due_at: datetime | None = None


class ScheduleChanges(msgspec.Struct, gc=False):
    """New and changed schedules, those of which only the ticks moved on, and those that are gone."""

    kept: dict[str, Schedule] = {}
    ticked: dict[str, Schedule] = {}
    deleted: dict[str, None] = {}

    @property
    def any(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.kept or self.ticked or self.deleted)


def spread_of(schedule_id: str, spread_ms: int) -> timedelta:
    """A part of the spread, by the schedule's id: many schedules of one instant begin all over it."""
    if not spread_ms:
        return timedelta(0)
    digest = hashlib.sha256(schedule_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") % spread_ms * _MILLISECOND


def run_id_of(schedule: Schedule, tick: datetime) -> RunId:
    """The id of the run of one tick: however often it is decided, it is the same run."""
    micros = (tick - _START) // timedelta(microseconds=1)
    digest = hashlib.sha256(f"{schedule.seed}\n{schedule.id}\n{micros}".encode()).digest()
    return RunId(uuid7_from(micros // 1000, int.from_bytes(digest[:10], "big") >> 6))


def interval_ticks(
    timetable: Timetable, after: datetime, until: datetime, most: int, coming: int = UPCOMING
) -> Calendar:
    """The ticks of an interval: of those in (after, until] the latest `most`, and the next `coming` behind `until`."""
    every = timetable.every_ms * _MILLISECOND
    anchor = timetable.anchor or until.replace(microsecond=0)
    passed = max(0, (until - anchor) // every)  # the number of the last tick that is over; 0: none is
    first = max(1, (after - anchor) // every + 1, passed - most + 1)
    over = [anchor + number * every for number in range(first, passed + 1)]
    return Calendar(over, [anchor + (passed + number) * every for number in range(1, coming + 1)])


def after_tick(calendar: Calendar, tick: datetime) -> list[datetime]:
    """The next ticks behind one of a calendar."""
    return [at for at in (*calendar.over, *calendar.upcoming) if at > tick][:UPCOMING]


def plan_problem(plan: Plan) -> Refusal | None:
    """(rule, what is wrong) with what can be told without a calendar; None if nothing is."""
    table = plan.timetable
    if bool(table.cron) == bool(table.every_ms):
        return "timetable", "a schedule has either cron or every (every_ms in JSON): give one of them"
    if len(table.cron) > MOST_CRON:
        return "cron", f"the cron expression has {len(table.cron)} characters; at most {MOST_CRON} are read"
    if table.every_ms and table.timezone != UTC_NAME:
        return "timezone", "a time zone goes with cron: an interval is the same everywhere"
    for rule, value, low, high in (
        ("every_ms", table.every_ms or SHORTEST_MS, SHORTEST_MS, LONGEST_MS),
        ("spread_ms", plan.spread_ms, 0, MOST_SPREAD_MS),
        ("grace_ms", plan.grace_ms, 0, MOST_GRACE_MS),
        ("catch_up_limit", plan.catch_up_limit, 1, MOST_CAUGHT_UP),
    ):
        if not low <= value <= high:
            return rule, f"{rule} is {value}; it must be from {low} to {high}"
    for rule, word, allowed in (("missed", plan.missed, (SKIP, CATCH_UP)), ("overlap", plan.overlap, (ALLOW, SKIP))):
        if word not in allowed:
            return rule, f"{rule} is {word[:64]!r}; it must be {' or '.join(allowed)}"
    return None


def fields_of(schedule: Schedule) -> dict[str, Any]:
    """A schedule as people and programs are told of it; times in RFC 3339."""
    plan, table = schedule.plan, schedule.plan.timetable
    return {
        "schedule_id": schedule.id,
        "routine": plan.routine,
        "cron": table.cron,
        "every_ms": table.every_ms,
        "timezone": table.timezone,
        "paused": schedule.paused,
        "next_at": shown(schedule.due_at),
        "last_at": shown(schedule.last_at),
        "last_run_id": schedule.last_run_id,
        "missed": plan.missed,
        "catch_up_limit": plan.catch_up_limit,
        "grace_ms": plan.grace_ms,
        "overlap": plan.overlap,
        "spread_ms": plan.spread_ms,
        "options": msgspec.to_builtins(plan.options),
        "note": schedule.note,
        "created_at": shown(schedule.created_at),
        "updated_at": shown(schedule.updated_at),
    }


def shown(at: datetime | None) -> str | None:
    """A time in RFC 3339, UTC."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
