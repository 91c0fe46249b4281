"""`longshore runs list`: the newest runs that fit, however many. It decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from longshore.cli.fields import as_fields, routine_id, time_of, took, why_text
from longshore.cli.groups import spread
from longshore.cli.options import AsJson
from longshore.cli.screen import Screen
from longshore.cli.which import Which

PAGE = 500
"""Runs that are asked for at once."""


@spread
def list_runs(
    *,
    which: Which,
    version: Annotated[str | None, typer.Option(help="Runs of this version.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Runs of this schedule.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 50,
    cursor: Annotated[
        int | None, typer.Option(min=1, metavar="NO", help="Those behind the run with this `no` in its JSON.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The newest runs; with conditions those that fit every one of them."""
    wanted = {**which.conditions(), "version": version, "schedule": schedule}
    asyncio.run(_list(Screen(as_json=as_json), wanted, limit, cursor))


async def _list(screen: Screen, wanted: dict[str, Any], limit: int, cursor: int | None) -> None:
    from longshore.cli.asking import asker

    found: list[Any] = []
    left = limit
    async with asker() as client:
        while left:
            page = await client.runs(limit=min(left, PAGE), cursor=cursor, **wanted)
            left, cursor = left - len(page), page.next_cursor
            if screen.as_json:
                for run in page:
                    screen.line(run)
            else:
                found += page
            if cursor is None:
                break
    if screen.as_json:
        return
    if not found:
        given = any(value is not None for value in wanted.values())
        screen.remark("no runs" + (" that fit" if given else " yet: `longshore trigger ROUTINE`"))
        return
    table_of_runs(screen, found)
    if cursor is not None:
        screen.remark(f"there may be more: --limit N for more at once, or --cursor {cursor} for those behind these")


def table_of_runs(screen: Screen, runs: Sequence[Any]) -> None:
    """Each run on one line."""
    columns = ["RUN", "ROUTINE", "STATUS", "ATTEMPT#", "CREATED", "TOOK#", "WHY / TAGS"]
    screen.table(columns, [_row(run) for run in runs])


def _row(run: Any) -> list[Any]:
    run = as_fields(run)
    remark = why_text(run.get("why_waiting")) or ", ".join(run.get("tags") or [])
    status = f"{run['status']} (cached)" if run.get("cached") else run["status"]
    return [run["run_id"], routine_id(run), status, run["attempt"], time_of(run["created_at"]), took(run), remark]
