"""Rules of schedules: creating, pausing, deleting them, and the one run that each tick makes.

A tick is decided in the round that moves its schedule on, in one transaction; the id of its run is derived from
schedule and tick. So a tick never makes two runs, whoever crashes. No schedule is kept in memory: only when the first
is due.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from longshore.core.changes import Needs
from longshore.core.ledger import starting
from longshore.core.ledger.recording import reply
from longshore.core.ledger.state import Round, State
from longshore.core.message import (
    Answer,
    ClaimCheck,
    CreateSchedule,
    DeleteSchedule,
    PauseSchedule,
    ResumeSchedule,
    Trigger,
)
from longshore.core.names import split_routine
from longshore.core.schedules import (
    CATCH_UP,
    ID,
    MOST_INPUT,
    SKIP,
    Due,
    Plan,
    Refusal,
    Schedule,
    ScheduledTick,
    Timetable,
    after_tick,
    fields_of,
    plan_problem,
    run_id_of,
    shown,
)

LOOK_AGAIN: Final = timedelta(minutes=1)
"""How often the store is asked for schedules that are due, whatever memory says."""
SEED_BYTES: Final = 16
SHOWN: Final = 80
FORBIDDEN: Final = {
    **dict.fromkeys(
        ("idempotency_key", "idempotency_scope", "idempotency_ttl_ms", "debounce"), "every tick is a run of its own"
    ),
    "on_parent_end": "what a schedule starts has no parent",
    "batch_id": "a batch is one client's",
    "delay_ms": "use spread_ms, or another time",
}
"""Options that a schedule's runs cannot have, and why."""

Order = CreateSchedule | PauseSchedule | ResumeSchedule | DeleteSchedule
ById = PauseSchedule | ResumeSchedule | DeleteSchedule


# --------------------------------------------------------------------------------------------------------------- needs


def need_creation(state: State, needs: Needs, message: CreateSchedule) -> None:
    """What `create` must be told."""
    needs.schedules.ids.add(id_of(message))
    plan = plan_of(message)
    if plan_problem(plan) is None:
        needs.schedules.timetables.add(plan.timetable)


def need_schedule(state: State, needs: Needs, message: ById) -> None:
    """What the other orders must be told."""
    needs.schedules.ids.add(message.schedule_id)


def is_time(state: State, now: datetime) -> bool:
    """Whether a tick is to look for schedules that are due."""
    return state.schedules_at <= now


def id_of(message: CreateSchedule) -> str:
    """The schedule's id; the routine's name unless it was given one."""
    return message.schedule_id or split_routine(message.routine)[0]


def plan_of(message: CreateSchedule) -> Plan:
    """What was ordered, as it is kept."""
    return Plan(
        routine=message.routine,
        timetable=Timetable(message.cron, message.every_ms, message.timezone),
        options=message.options,
        missed=message.missed,
        catch_up_limit=message.catch_up_limit,
        grace_ms=message.grace_ms,
        overlap=message.overlap,
        spread_ms=message.spread_ms,
    )


# -------------------------------------------------------------------------------------------------------------- orders


def create(state: State, round_: Round, message: CreateSchedule, actor: str) -> None:
    """Make a schedule, or give one another plan."""
    plan, existing = plan_of(message), round_.facts.schedules.found.get(id_of(message))
    refusal = _creation_problem(round_, message, plan)
    if refusal is None and existing is not None:
        if _is_same(existing, plan, message):
            _answer(round_, message, fields_of(existing) | {"created": False, "changed": False})
            return
        if not message.replace:
            text = f"there is a schedule {existing.id} already, with another plan: say replace, or take another id"
            refusal = "schedule_exists", text
    if refusal is not None:
        _refuse(state, round_, message, refusal)
        return
    schedule = _made(round_, message, plan) if existing is None else _replaced(round_, message, plan, existing)
    if message.paused:
        schedule.paused, schedule.next_at = True, None
    _keep(state, round_, schedule)
    _answer(round_, message, fields_of(schedule) | {"created": existing is None, "changed": True})


def _creation_problem(round_: Round, message: CreateSchedule, plan: Plan) -> Refusal | None:
    name, reason = split_routine(message.routine)
    if not name:
        return "routine", reason
    if not ID.fullmatch(id_of(message)):
        text = f"{message.schedule_id[:SHOWN]!r} is no schedule id: 1 to 200 letters, digits and `_.:/@+-`"
        return "schedule_id", text
    if isinstance(message.input, ClaimCheck) or len(message.input) > MOST_INPUT:
        text = f"a schedule's arguments have at most {MOST_INPUT} bytes: they are kept with it; pass where more lies"
        return "input", text
    for option, why in FORBIDDEN.items():
        if getattr(plan.options, option):
            return option, f"a schedule has no option {option}: {why}"
    return plan_problem(plan) or starting.check_options(plan.options) or _calendar_problem(round_, plan.timetable)


def _calendar_problem(round_: Round, timetable: Timetable) -> Refusal | None:
    return round_.facts.schedules.calendars[timetable].error


def _is_same(existing: Schedule, plan: Plan, message: CreateSchedule) -> bool:
    """Whether this very order was carried out already."""
    kept = msgspec.structs.replace(existing.plan, timetable=_without_anchor(existing.plan.timetable))
    return kept == plan and existing.input == message.input and (existing.paused or not message.paused)


def _without_anchor(timetable: Timetable) -> Timetable:
    return msgspec.structs.replace(timetable, anchor=None)


def _made(round_: Round, message: CreateSchedule, plan: Plan) -> Schedule:
    calendar = round_.facts.schedules.calendars[plan.timetable]
    return Schedule(
        id=id_of(message),
        plan=_anchored(plan, round_.now),
        seed=round_.random(SEED_BYTES).hex(),
        input=message.input,
        next_at=calendar.upcoming[0],
        created_at=round_.now,
        updated_at=round_.now,
    )


def _replaced(round_: Round, message: CreateSchedule, plan: Plan, existing: Schedule) -> Schedule:
    """The schedule with its new plan. Its timetable goes on where it was, unless that is another one: a deployment
    every five minutes must not put off for ever what is due every ten."""
    if _without_anchor(existing.plan.timetable) != plan.timetable:
        made = _made(round_, message, plan)
        made.created_at, made.last_at, made.last_run_id = existing.created_at, existing.last_at, existing.last_run_id
        if existing.paused:  # by a person, who is not to be overruled by a deployment
            made.paused, made.next_at = True, None
        return made
    plan = msgspec.structs.replace(plan, timetable=existing.plan.timetable)
    return msgspec.structs.replace(existing, plan=plan, input=message.input, updated_at=round_.now, note="")


def _anchored(plan: Plan, now: datetime) -> Plan:
    """An interval counts from the second in which it was ordered."""
    if not plan.timetable.every_ms:
        return plan
    return msgspec.structs.replace(
        plan, timetable=msgspec.structs.replace(plan.timetable, anchor=now.replace(microsecond=0))
    )


def pause(state: State, round_: Round, message: PauseSchedule, actor: str) -> None:
    """No ticks from now on. Of one that is paused: nothing."""
    schedule = _known(state, round_, message)
    if schedule is None:
        return
    if not schedule.paused:
        schedule.paused, schedule.next_at = True, None
        _noted(round_, schedule, "paused", message)
        _keep(state, round_, schedule)
    _answer(round_, message, fields_of(schedule))


def resume(state: State, round_: Round, message: ResumeSchedule, actor: str) -> None:
    """Ticks again, from the next one on. Of one that is not paused: nothing."""
    schedule = _known(state, round_, message)
    if schedule is None:
        return
    if schedule.paused:
        calendar = round_.facts.schedules.calendars[schedule.plan.timetable]
        if calendar.error is not None:
            _refuse(state, round_, message, calendar.error)
            return
        schedule.paused, schedule.next_at = False, calendar.upcoming[0]
        _noted(round_, schedule, "resumed", message)
        _keep(state, round_, schedule)
    _answer(round_, message, fields_of(schedule))


def _noted(round_: Round, schedule: Schedule, what: str, message: ById) -> None:
    schedule.note = what + (f" by {message.by[:SHOWN]}" if message.by else "")
    schedule.updated_at = round_.now


def delete(state: State, round_: Round, message: DeleteSchedule, actor: str) -> None:
    """Forget it; its runs stay."""
    schedule = _known(state, round_, message)
    if schedule is None:
        return
    round_.changes.schedules.kept.pop(schedule.id, None)
    round_.changes.schedules.deleted[schedule.id] = None
    del round_.facts.schedules.found[schedule.id]
    _answer(round_, message, fields_of(schedule) | {"deleted": True})


def _known(state: State, round_: Round, message: ById) -> Schedule | None:
    schedule = round_.facts.schedules.found.get(message.schedule_id)
    if schedule is None:
        text = f"there is no schedule {message.schedule_id[:SHOWN]!r}"
        _refuse(state, round_, message, ("unknown_schedule", text))
    return schedule


def _keep(state: State, round_: Round, schedule: Schedule) -> None:
    changes, facts = round_.changes.schedules, round_.facts.schedules
    changes.kept[schedule.id] = schedule
    changes.deleted.pop(schedule.id, None)
    if schedule.plan.timetable not in facts.calendars:  # of an interval that is counted from now on
        facts.calendars[schedule.plan.timetable] = facts.calendars[_without_anchor(schedule.plan.timetable)]
    facts.found[schedule.id] = schedule
    _look_at(state, schedule.due_at)


def _look_at(state: State, at: datetime | None) -> None:
    if at is not None:
        state.schedules_at = min(state.schedules_at, at)


def _refuse(state: State, round_: Round, message: Order, refusal: Refusal) -> None:
    state.count("invalid_order")
    if message.reply_to:
        answer = Answer(message.ask_id, error={"rule": refusal[0], "text": refusal[1]})
        reply(round_, message.reply_to, answer, plain=message.plain)


def _answer(round_: Round, message: Order, data: dict[str, Any]) -> None:
    if message.reply_to:
        reply(round_, message.reply_to, Answer(message.ask_id, data), plain=message.plain)


# --------------------------------------------------------------------------------------------------------------- ticks


def start_due(state: State, round_: Round) -> None:
    """Start what is due, as far as this round has room."""
    if not is_time(state, round_.now):
        return
    facts, later = round_.facts.schedules, round_.now + LOOK_AGAIN
    state.schedules_at = later if facts.next_due_at is None else min(facts.next_due_at, later)
    for due in facts.due:
        _take(state, round_, due)
        _look_at(state, due.schedule.due_at)


def _take(state: State, round_: Round, due: Due) -> None:
    """Start the runs of a schedule's ticks, oldest first, and move it on behind the last of them."""
    schedule, calendar = due.schedule, due.calendar
    if calendar.error is not None:
        schedule.paused, schedule.next_at = True, None
        schedule.note = f"paused: {calendar.error[1]}"
        round_.changes.schedules.kept[schedule.id] = schedule
        return
    round_.changes.schedules.ticked[schedule.id] = schedule
    chosen = _chosen(round_, due)
    _note_passed_over(state, schedule, calendar.over, chosen)
    for tick in chosen:
        if round_.room <= 0:
            schedule.next_at = tick
            return
        round_.room -= 1
        _start(state, round_, due, tick)
    schedule.next_at = calendar.upcoming[0]


def _chosen(round_: Round, due: Due) -> list[datetime]:
    """Which of the ticks that are over get their run: all (up to the limit), or the latest if it is not too late."""
    plan, over = due.schedule.plan, due.calendar.over
    if plan.missed == CATCH_UP:
        return over[-plan.catch_up_limit :]
    grace = timedelta(milliseconds=plan.grace_ms)
    return [tick for tick in over[-1:] if round_.now - (tick + due.schedule.offset) <= grace]


def _note_passed_over(state: State, schedule: Schedule, over: list[datetime], chosen: list[datetime]) -> None:
    first = schedule.next_at
    if not over or first is None or (chosen and chosen[0] <= first):
        return
    state.count("schedule_missed")
    upto = f"before {shown(chosen[0])}" if chosen else f"up to {shown(over[-1])}"
    schedule.note = f"ticks from {shown(first)} {upto} were passed over: no coordinator was there in time"


def _start(state: State, round_: Round, due: Due, tick: datetime) -> None:
    schedule, plan = due.schedule, due.schedule.plan
    if plan.overlap == SKIP and _is_live(state, round_, schedule):
        state.count("schedule_overlap")
        schedule.note = f"the tick of {shown(tick)} was passed over: run {schedule.last_run_id} had not ended"
        return
    run_id = run_id_of(schedule, tick)
    message = Trigger(plan.routine, run_id, schedule.input, plan.options)
    refusal = starting.begin_triggered(state, round_, message, run_id, f"schedule {schedule.id}")
    if refusal is not None:
        state.count("schedule_refused")
        schedule.note = f"the run of {shown(tick)} was refused: {refusal[1]}"
        return
    new = round_.changes.inserted[-1] if round_.changes.inserted else None
    if new is not None and new.run.id == run_id:  # else it is there: nothing ever makes it twice
        upcoming = after_tick(due.calendar, tick)
        new.schedule = ScheduledTick(schedule.id, tick, schedule.last_at, plan.timetable.timezone, upcoming)
    schedule.last_at, schedule.last_run_id = tick, run_id


def _is_live(state: State, round_: Round, schedule: Schedule) -> bool:
    """Whether the schedule's latest run has not ended."""
    run_id = schedule.last_run_id
    return run_id in state.runs or run_id in round_.put_away or run_id in round_.facts.runs
