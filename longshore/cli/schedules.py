"""`longshore schedules ...`: start routines by the clock, look at what is to come, pause and delete it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

import typer

from longshore.cli.fields import as_fields, time_of
from longshore.cli.groups import Arguments, RunOptions, spread
from longshore.cli.options import AsJson, checked_durations
from longshore.cli.screen import Screen
from longshore.core.durations import spell
from longshore.core.errors import UsageError

app = typer.Typer(help="Start routines by the clock.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="The schedule's id, as `schedules list` shows it.")]
MOST_NEXT: Final = 100


@dataclass(frozen=True, kw_only=True)
class Plan:
    """When a schedule starts its runs. A field has the name that the client gives its option."""

    cron: Annotated[
        str | None, typer.Option(metavar="EXPR", help="minute hour day-of-month month day-of-week: '0 3 * * MON-FRI'.")
    ] = None
    every: Annotated[str | None, typer.Option(metavar="DURATION", help="Instead of cron, e.g. 30s, 10m, 1d.")] = None
    timezone: Annotated[
        str | None, typer.Option("--timezone", "--zone", help="Of the cron expression, e.g. Europe/Berlin; else UTC.")
    ] = None
    missed: Annotated[
        Literal["skip", "catch_up"],
        typer.Option(help="Ticks that passed without a coordinator: start the latest if it is not too late, or all."),
    ] = "skip"
    catch_up_limit: Annotated[int | None, typer.Option(min=1, max=1000, help="The latest so many (100).")] = None
    grace: Annotated[str | None, typer.Option(metavar="DURATION", help="How late is not too late (5m).")] = None
    overlap: Annotated[
        Literal["allow", "skip"], typer.Option(help="While the run before has not ended: start another one, or not.")
    ] = "allow"
    spread: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Begin somewhere within this time, always at the same place.")
    ] = None
    paused: Annotated[bool, typer.Option("--paused", help="Create it, and start nothing yet.")] = False
    replace: Annotated[bool, typer.Option("--replace", help="Give the schedule of this id another plan.")] = False

    def given(self) -> dict[str, Any]:
        """What was typed, as the client takes it. Raises UsageError for a length that cannot be read."""
        checked_durations({"every": self.every, "grace": self.grace, "spread": self.spread})
        if self.catch_up_limit is not None and self.missed != "catch_up":
            raise UsageError("--catch-up-limit is of the ticks that are caught up\ngive it with --missed catch_up")
        if self.grace is not None and self.missed != "skip":
            raise UsageError("--grace is for --missed skip: with catch_up a tick is never too late\nleave it out")
        return {name: value for name, value in asdict(self).items() if value is not None}


@app.command()
@spread
def create(
    routine: Annotated[str, typer.Argument(metavar="ROUTINE", help="Its name: each run takes the newest version.")],
    *,
    schedule_id: Annotated[str | None, typer.Option("--id", help="The schedule's id; else the routine's name.")] = None,
    plan: Plan,
    arguments: Arguments,
    options: RunOptions,
    as_json: AsJson = False,
) -> None:
    """Start a routine again and again: by a cron expression, or every so often."""
    positional, named = arguments.values()
    order = {"args": positional, "kwargs": named, **plan.given(), **options.given()}
    asyncio.run(_create(Screen(as_json=as_json), routine, schedule_id or "", order))


async def _create(screen: Screen, routine: str, schedule_id: str, options: dict[str, Any]) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        made = as_fields(await client.schedules.create(routine, id=schedule_id, **options))
    if screen.as_json:
        screen.document(made)
        return
    screen.text(made["schedule_id"])
    what = "created" if made["created"] else "changed" if made["changed"] else "it was there already, as it is"
    screen.remark(f"{what}; {_to_come(made)}")


def _to_come(schedule: Mapping[str, Any]) -> str:
    if schedule["paused"]:
        return f"paused: `longshore schedules resume {schedule['schedule_id']}`"
    return f"next at {time_of(schedule['next_at'])}"


@app.command("list")
def list_schedules(
    routine: Annotated[str | None, typer.Option(help="Only schedules of this routine.")] = None,
    as_json: AsJson = False,
) -> None:
    """The schedules and when they are due."""
    asyncio.run(_list(Screen(as_json=as_json), routine))


async def _list(screen: Screen, routine: str | None) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        found = [as_fields(schedule) for schedule in await client.schedules.list(routine=routine)]
    if screen.as_json:
        for schedule in found:
            screen.line(schedule)
        return
    if not found:
        screen.remark("no schedules" + (" of it" if routine else ": `longshore schedules create ROUTINE --cron ...`"))
        return
    columns = ["ID", "ROUTINE", "WHEN", "NEXT", "LAST", "NOTE"]
    screen.table(columns, [_row(schedule) for schedule in found])


def _row(schedule: Mapping[str, Any]) -> list[Any]:
    following = "paused" if schedule["paused"] else time_of(schedule["next_at"])
    head = [schedule["schedule_id"], schedule["routine"], _when(schedule), following]
    return [*head, time_of(schedule["last_at"]), schedule["note"]]


def _when(schedule: Mapping[str, Any]) -> str:
    if schedule["every_ms"]:
        return f"every {_length(schedule['every_ms'])}"
    return f"{schedule['cron']} {schedule['timezone']}"


def _length(milliseconds: int) -> str:
    return spell(timedelta(milliseconds=milliseconds))


@app.command()
def show(schedule_id: Id, as_json: AsJson = False) -> None:
    """One schedule: its plan, its arguments, its latest run."""
    asyncio.run(_show(Screen(as_json=as_json), schedule_id))


async def _show(screen: Screen, schedule_id: str) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        found = as_fields(await client.schedules.get(schedule_id))
    if screen.as_json:
        screen.document(found)
        return
    limit = f", at most {found['catch_up_limit']}" if found["missed"] == "catch_up" else ""
    screen.facts(
        [
            ("schedule", found["schedule_id"]),
            ("routine", found["routine"]),
            ("arguments", ", ".join(found["arguments"] or [])),
            ("when", _when(found)),
            ("next at", "paused" if found["paused"] else time_of(found["next_at"])),
            ("last tick", time_of(found["last_at"])),
            ("last run", found["last_run_id"]),
            ("missed", f"{found['missed']}{limit}, in time up to {_length(found['grace_ms'])} late"),
            ("overlap", found["overlap"]),
            ("spread", _length(found["spread_ms"]) if found["spread_ms"] else ""),
            ("options", found["options"]),
            ("note", found["note"]),
            ("created", time_of(found["created_at"])),
            ("changed", time_of(found["updated_at"])),
        ]
    )


@app.command()
def pause(schedule_id: Id, as_json: AsJson = False) -> None:
    """No ticks from now on, until it is resumed."""
    asyncio.run(_order(Screen(as_json=as_json), "pause", schedule_id))


@app.command()
def resume(schedule_id: Id, as_json: AsJson = False) -> None:
    """Ticks again, from the next one on; those of the pause are gone."""
    asyncio.run(_order(Screen(as_json=as_json), "resume", schedule_id))


async def _order(screen: Screen, verb: str, schedule_id: str) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        found = as_fields(await getattr(client.schedules, verb)(schedule_id))
    if screen.as_json:
        screen.document(found)
        return
    screen.text(f"{found['schedule_id']}: {_to_come(found)}")


@app.command()
def delete(schedule_id: Id, as_json: AsJson = False) -> None:
    """Forget a schedule. Its runs stay."""
    asyncio.run(_delete(Screen(as_json=as_json), schedule_id))


async def _delete(screen: Screen, schedule_id: str) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        await client.schedules.delete(schedule_id)
    if screen.as_json:
        screen.document({"schedule_id": schedule_id, "deleted": True})
        return
    screen.text(f"{schedule_id}: deleted; `longshore runs list --schedule {schedule_id}` shows its runs")


@app.command("next")
def show_next(
    schedule_id: Id,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=MOST_NEXT, help="So many.")] = 5,
    as_json: AsJson = False,
) -> None:
    """The next ticks, in the schedule's time zone."""
    asyncio.run(_next(Screen(as_json=as_json), schedule_id, count))


async def _next(screen: Screen, schedule_id: str, count: int) -> None:
    from zoneinfo import ZoneInfo

    from longshore.cli.asking import asker

    async with asker() as client:
        told = await client.ask("schedule_next", id=schedule_id, count=count)
    if screen.as_json:
        screen.document(told)
        return
    zone = ZoneInfo(told["timezone"])
    for at in told["upcoming"]:
        moment = time_of(at)
        assert moment is not None
        screen.text(moment.astimezone(zone).strftime("%a %Y-%m-%d %H:%M:%S %Z"))
    if told["paused"]:
        screen.remark(f"it is paused: `longshore schedules resume {schedule_id}`")
