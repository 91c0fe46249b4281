"""Routines that a schedule starts, each telling what it was told, wherever it is executed."""

from __future__ import annotations

from typing import Any

from longshore import ScheduledTick, context, define


@define.task(name="timed.task", version="1.0.0")
def task(city: str, schedule: ScheduledTick) -> Any:
    return [city, schedule == context.schedule, schedule.schedule_id]


@define.action(name="timed.apart", version="1.0.0", isolation="process")
def apart(payload: dict[str, Any]) -> Any:
    tick = context.schedule
    return [sorted(payload), len(payload["upcoming"]), tick is not None and tick.timestamp == payload["timestamp"]]


@define.action(name="timed.echo", version="1.0.0")
async def echo(tick: ScheduledTick | None) -> Any:
    return [tick, context.schedule]


@define.workflow(name="timed.flow", version="1.0.0")
async def flow(schedule: ScheduledTick | None = None) -> Any:
    tick, told = await echo(schedule)
    return [tick == context.schedule, tick is not None, told]


@define.action(name="timed.again", version="1.0.0", max_attempts=2, retry_first="100ms")
def again() -> Any:
    tick = context.schedule
    if context.attempt == 1:
        raise OSError("once more")
    return [tick is not None and tick.schedule_id, context.attempt]


@define.action(name="timed.plain", version="1.0.0")
def plain() -> Any:
    return context.schedule
