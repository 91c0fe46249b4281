"""Which instants a timetable names: cron expressions, time zones, changes to and from summer time. It decides nothing.

The ledger asks for it as a fact, because it is pure and a time zone is data of the world. The reading of cron fields is
cronsim's, which follows Debian's cron (docs/decisions/0025): where both minute and hour are given, a tick in the hour
that is left out in spring comes right behind it, and one in the hour that comes twice in autumn comes once; where
either begins with `*`, it is every real minute or hour.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from longshore.core.changes import Facts, Needs
from longshore.core.errors import nearest
from longshore.core.schedules import (
    CATCH_UP,
    UPCOMING,
    Calendar,
    Due,
    Refusal,
    Timetable,
    interval_ticks,
)

AT_ONCE: Final = 1000
"""How many ticks that are over one round is told of."""
FIELDS: Final = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L (the last), LW (the last weekday)",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 (0 and 7: Sunday) or SUN-SAT, 5L (the last Friday), MON#2 (the second Monday)",
}
"""What each field takes, in order."""
_UNREADABLE: Final = (CronSimError, ValueError, AssertionError, LookupError, TypeError)
_ZONE: Final = re.compile(r"[A-Za-z0-9_+/-]{1,64}", re.ASCII)
_TICK: Final = timedelta(microseconds=1)
_SHOWN: Final = 80
_Question = tuple[Timetable, datetime, datetime, int]


def fill(facts: Facts, needs: Needs, now: datetime) -> None:
    """Add the calendars to what the store answered about schedules."""
    asked = facts.schedules
    for timetable in needs.schedules.timetables:
        asked.calendars[timetable] = calendar(timetable, now, now, 0)
    for schedule in asked.found.values():
        behind = max(now, schedule.last_at or now)  # the clock may have gone back
        asked.calendars[schedule.plan.timetable] = calendar(schedule.plan.timetable, behind, behind, 0)
    room = AT_ONCE
    known: dict[_Question, Calendar] = {}
    for position, due in enumerate(asked.due):
        question = _question_of(due, now)
        if question not in known:
            known[question] = calendar(*question)
        due.calendar = known[question]
        room -= len(due.calendar.over)
        if room <= 0:
            del asked.due[position + 1 :]
            asked.next_due_at = now
            return


def _question_of(due: Due, now: datetime) -> _Question:
    """Many schedules of one midnight ask the same."""
    schedule, plan = due.schedule, due.schedule.plan
    assert schedule.next_at is not None, "what is due has a tick to come"
    most = plan.catch_up_limit if plan.missed == CATCH_UP else 1
    return plan.timetable, schedule.next_at - _TICK, now - schedule.offset, most


def calendar(timetable: Timetable, after: datetime, until: datetime, most: int, coming: int = UPCOMING) -> Calendar:
    """The ticks of a timetable: of those in (after, until] the latest `most`, and the next `coming` behind `until`; or
    why it has none."""
    if timetable.every_ms:
        return interval_ticks(timetable, after, until, most, coming)
    refusal = _cron_problem(timetable.cron) or _zone_problem(timetable.timezone)
    if refusal is not None:
        return Calendar(error=refusal)
    zone = ZoneInfo(timetable.timezone)
    try:
        ticks = _ticks(timetable.cron, zone, until)
        upcoming = [at for _, at in zip(range(coming), ticks, strict=False)]
    except _UNREADABLE:
        upcoming = []
    if not upcoming:
        text = f"the cron expression {timetable.cron[:_SHOWN]!r} names no day in the next 50 years"
        return Calendar(error=("cron", text))
    over = _over(timetable.cron, zone, (after, until), most, _step(upcoming)) if most else []
    return Calendar(over, upcoming)


def _over(cron: str, zone: ZoneInfo, between: tuple[datetime, datetime], most: int, step: timedelta) -> list[datetime]:
    """The latest ticks up to an instant: looked for from ever further back, because most are not wanted."""
    after, until = between
    span = step * (most + 1)
    while True:
        begin = max(after, until - span)
        found: deque[datetime] = deque(maxlen=most)
        for at in _ticks(cron, zone, begin):
            if at > until:
                break
            found.append(at)
        if begin == after or len(found) == most:
            return list(found)
        span *= 4


def _step(upcoming: list[datetime]) -> timedelta:
    return min((b - a for a, b in pairwise(upcoming)), default=timedelta(days=366))


def _ticks(cron: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """The instants behind `after`, in UTC, each once: two times of the hour that is left out are one instant."""
    latest = after
    begin = after.astimezone(UTC if zone.key == "UTC" else zone)
    if begin.fold:  # the hour comes for the second time; cronsim knows the first: it may name what is over
        begin = begin.replace(fold=0)
    for local in CronSim(cron, begin):
        at = local.astimezone(UTC)
        if at > latest:
            latest = at
            yield at


@lru_cache(maxsize=4096)
def _cron_problem(cron: str) -> Refusal | None:
    """What is wrong with a cron expression: which field, and what that takes."""
    fields = cron.split()
    if len(fields) != len(FIELDS):
        many = f"{len(fields)} field{'s' if len(fields) != 1 else ''}"
        return "cron", f"the cron expression {cron[:_SHOWN]!r} has {many}; it must have 5: {', '.join(FIELDS)}"
    for position, (name, takes) in enumerate(FIELDS.items()):
        alone = ["*"] * len(FIELDS)
        alone[position] = fields[position]
        try:
            CronSim(" ".join(alone), datetime(2024, 1, 1, tzinfo=UTC))
        except _UNREADABLE:
            text = f"{fields[position]!r} is no {name} in the cron expression {cron[:_SHOWN]!r}; it takes {takes}"
            return "cron", f"{text}, or *, lists (1,15), ranges (1-5) and steps (*/10)"
    return None


def _zone_problem(name: str) -> Refusal | None:
    if _ZONE.fullmatch(name):
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            pass
        else:
            return None
    meant = nearest(name[:_SHOWN], _zones())
    near = f"did you mean {' or '.join(meant)}?" if meant else "they are named like Europe/Berlin"
    return "timezone", f"{name[:_SHOWN]!r} is no time zone; {near}"


@cache
def _zones() -> list[str]:
    return sorted(available_timezones())
