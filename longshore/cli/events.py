"""`longshore events`: changes of runs as they come, whoever triggered them. It ends with Ctrl-C."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from longshore.cli.fields import as_fields, time_of
from longshore.cli.options import AsJson
from longshore.cli.screen import Screen


def events(
    run: Annotated[str | None, typer.Option("--run", metavar="RUN_ID", help="Only this run, or its tree.")] = None,
    routine: Annotated[str | None, typer.Option(help="Only runs of this routine, NAME or NAME@VERSION.")] = None,
    status: Annotated[str | None, typer.Option(help="Only changes to this status, e.g. FAILED.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every change of every run, as it is committed. Ctrl-C ends it."""
    asyncio.run(_events(Screen(as_json=as_json), {"run_id": run, "routine": routine, "status": status}, count))


async def _events(screen: Screen, wanted: dict[str, str | None], count: int | None) -> None:
    from longshore.cli.asking import asker

    shown = 0
    async with asker() as client:
        try:
            async for change in client.events(**wanted):
                _show(screen, as_fields(change))
                shown += not change.gap
                if shown == count:
                    return
        except asyncio.CancelledError:
            return


def _show(screen: Screen, change: dict[str, Any]) -> None:
    if screen.as_json:
        screen.line(change)
        return
    at = time_of(change["at"])
    clock = "" if at is None else f"{at:%H:%M:%S}.{at.microsecond // 1000:03}"
    if change["gap"]:
        screen.text(f"{clock}  {change['reason']}")
        return
    version = f"@{change['version']}" if change["version"] else ""
    refused = "" if change["valid"] else "refused: "
    name = f"{change['routine']}{version}"
    screen.text(f"{clock}  {change['run_id']}  {name}  {change['to_status']}  {refused}{change['reason']}")
