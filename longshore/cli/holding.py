"""`longshore runs pause | resume | reschedule`: have one run wait, let it go on, move its time. It decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from longshore.cli.options import AsJson, RunId, checked_durations
from longshore.cli.screen import Screen

if TYPE_CHECKING:
    from longshore.client import Run

NONE: Final[Mapping[str, str]] = {}
_AT_WORK: Final = dict.fromkeys(
    ("DISPATCHED", "EXECUTING"), "it is at work: it is BLOCKED when it next waits, fails or is handed back"
)


def pause(
    run_id: RunId,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the history.")] = "",
    as_json: AsJson = False,
) -> None:
    """Have a run wait until it is resumed: at once where it waits, else when it next waits, fails or is handed back."""
    asyncio.run(_order(run_id, as_json, lambda run: run.pause(reason), _AT_WORK))


def resume(
    run_id: RunId,
    reason: Annotated[str, typer.Option(help="What was repaired; it is kept in the history.")] = "",
    as_json: AsJson = False,
) -> None:
    """Let a BLOCKED run go on: one that was paused, or once what blocked it is repaired."""
    asyncio.run(_order(run_id, as_json, lambda run: run.resume(reason)))


def reschedule(
    run_id: RunId,
    delay: Annotated[str | None, typer.Option(metavar="DURATION", help="So long from now, e.g. 90, 5m, 1h30m.")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="At this time, e.g. 2026-11-24T18:00:00Z; without a zone: here.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give a DELAYED run another time, at most 30 days from now."""
    to = _time(delay, at)
    asyncio.run(_order(run_id, as_json, lambda run: run.reschedule(to)))


def _time(delay: str | None, at: str | None) -> str | datetime:
    from longshore.core.errors import UsageError

    if (delay is None) == (at is None):
        raise UsageError("give either --delay or --at\nwrite for example `--delay 5m` or `--at 2026-11-24T18:00:00Z`")
    if delay is not None:
        checked_durations({"delay": delay})
        return delay
    try:
        time = datetime.fromisoformat(at or "")
    except ValueError:
        raise UsageError(f"--at {at!r} is no time\nwrite for example `--at 2026-11-24T18:00:00Z`") from None
    return time if time.tzinfo else time.astimezone()


async def _order(
    run_id: str, as_json: bool, give: Callable[[Run[Any]], Awaitable[None]], remarks: Mapping[str, str] = NONE
) -> None:
    from longshore.cli.asking import asker

    screen = Screen(as_json=as_json)
    async with asker() as client:
        run = client.handle(run_id)
        await give(run)
        status = await run.status()
    if as_json:
        screen.document({"run_id": run_id, "status": status})
        return
    screen.text(status)
    if remark := remarks.get(status):
        screen.remark(remark)
