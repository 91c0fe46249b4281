"""Schedules in SQL: those asked for, those that are due, lists for people; how they are written. It decides nothing.

A tick writes no more than where the schedule stands; its plan and arguments are written when it is created.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from longshore.coordinator.store.columns import Micros, encode_pack, micros, moment, moment_of, names
from longshore.coordinator.store.statements import ManyKeys, ManyRows, marks_of, update, upsert
from longshore.core.ids import RunId
from longshore.core.schedules import SKIP, Due, Plan, Schedule, ScheduleChanges, ScheduledTick, ScheduleFacts

AT_ONCE: Final = 100
"""How many schedules that are due are read for one tick."""
_COLUMNS: Final = names(
    "id routine plan input seed paused next_at due_at last_at last_run_id note created_at updated_at"
)
_TICKED: Final = names("id next_at due_at last_at last_run_id note")
_SELECT: Final = "SELECT id, plan, input, seed, paused, next_at, last_at, last_run_id, note, created_at, updated_at "
_plan: Final = msgspec.msgpack.Decoder(Plan)
_tick: Final = msgspec.json.Decoder(ScheduledTick)


# ------------------------------------------------------------------------------------------------------------- writing


class ScheduleWriting:
    """The statements that write what a round changed of schedules."""

    def __init__(self, mark: str) -> None:
        self._kept = upsert("schedule", _COLUMNS, mark)
        self._ticked = update("schedule", _TICKED, mark)
        self._deleted = ManyKeys("DELETE FROM schedule WHERE id IN ({keys})", mark)

    def steps(self, changes: ScheduleChanges, at: Micros) -> list[tuple[ManyRows | ManyKeys, list[Any]]]:
        """Each with what it is to write, as that is now."""
        return [
            (self._kept, [_row(schedule, at) for schedule in changes.kept.values()]),
            (self._ticked, [_moved(schedule, at) for schedule in changes.ticked.values()]),
            (self._deleted, list(changes.deleted)),
        ]


def _row(schedule: Schedule, at: Micros) -> tuple[Any, ...]:
    return (
        schedule.id,
        schedule.plan.routine.partition("@")[0],
        encode_pack(schedule.plan),
        schedule.input,
        schedule.seed,
        1 if schedule.paused else 0,
        *_moved(schedule, at)[1:],
        at[schedule.created_at],
        at[schedule.updated_at],
    )


def _moved(schedule: Schedule, at: Micros) -> tuple[Any, ...]:
    times = at[schedule.next_at], at[schedule.due_at], at[schedule.last_at]
    return schedule.id, *times, schedule.last_run_id, schedule.note


# ------------------------------------------------------------------------------------------------------------- reading


def read_found(connection: Connection, facts: ScheduleFacts, ids: Iterable[str]) -> None:
    """The schedules of these ids."""
    asked = ManyKeys(f"{_SELECT} FROM schedule WHERE id IN ({{keys}})", marks_of(connection))
    facts.found = {row[0]: _schedule(row) for row in asked.rows(connection, list(ids))}


def read_due(connection: Connection, facts: ScheduleFacts, now: datetime) -> set[RunId]:
    """Those that are due, the first ones, and when the first of the others is. Gives the runs that must be known to
    decide them."""
    mark, at = marks_of(connection), micros(now)
    text = f"{_SELECT} FROM schedule WHERE due_at > 0 AND due_at <= {mark} ORDER BY due_at LIMIT {AT_ONCE}"
    facts.due = [Due(_schedule(row)) for row in connection.exec_driver_sql(text, (at,))]
    if len(facts.due) == AT_ONCE:
        facts.next_due_at = now
    else:
        text = f"SELECT MIN(due_at) FROM schedule WHERE due_at > 0 AND due_at > {mark}"
        facts.next_due_at = moment(connection.exec_driver_sql(text, (at,)).scalar() or 0)
    return {
        due.schedule.last_run_id for due in facts.due if due.schedule.plan.overlap == SKIP and due.schedule.last_run_id
    }


def read_listed(connection: Connection, *, routine: str = "", after: str = "", limit: int = 1000) -> list[Schedule]:
    """The schedules behind this id, in the order of their ids; of one routine only, if that is named."""
    mark = marks_of(connection)
    where, values = f"id > {mark}", [after]
    if routine:
        where, values = f"{where} AND routine = {mark}", [*values, routine]
    text = f"{_SELECT} FROM schedule WHERE {where} ORDER BY id LIMIT {limit}"
    return [_schedule(row) for row in connection.exec_driver_sql(text, tuple(values))]


def tick_of(stored: str) -> ScheduledTick | None:
    """What a run was told of its tick, from its column."""
    return _tick.decode(stored) if stored else None


def _schedule(row: Any) -> Schedule:
    name, plan, given, seed, paused, next_at, last_at, last_run_id, note, created_at, updated_at = row
    return Schedule(
        id=name,
        plan=_plan.decode(plan),
        seed=seed,
        input=bytes(given),
        paused=bool(paused),
        next_at=moment(next_at),
        last_at=moment(last_at),
        last_run_id=RunId(last_run_id),
        note=note,
        created_at=moment_of(created_at),
        updated_at=moment_of(updated_at),
    )
