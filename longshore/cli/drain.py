"""`longshore workers drain`: have workers finish and leave, and follow them. It decides nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from longshore.cli.fields import as_fields
from longshore.cli.options import AsJson, checked_durations
from longshore.cli.screen import Screen
from longshore.core.errors import UsageError

if TYPE_CHECKING:
    from longshore.client import Client

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at the workers that are waited for."""
CLOSED: Final = "CLOSED"

Said = dict[str, dict[str, Any]]
"""What is shown of each worker, by its id."""


def drain(
    worker: Annotated[
        list[str] | None, typer.Argument(metavar="[WORKER]...", help="Their ids, as `workers list` shows them.")
    ] = None,
    pool: Annotated[str | None, typer.Option(help="All workers with this label.")] = None,
    host: Annotated[str | None, typer.Option(help="All worker processes on this machine.")] = None,
    version: Annotated[
        str | None, typer.Option(metavar="[NAME@]VERSION", help="All workers that offer this version.")
    ] = None,
    grace: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long what executes may go on (else: as started, 25 s).")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until they have left.")] = False,
    wait_timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Stop waiting after this; they go on leaving.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Have workers take nothing new, hand back what has not begun, finish the rest and leave. They are not started
    again."""
    checked_durations({"grace": grace, "wait_timeout": wait_timeout})
    order = Order(worker or [], {"pool": pool, "host": host, "version": version, "grace": grace})
    if not (worker or pool or host or version):
        raise UsageError(
            "which workers are to leave?\ngive their ids, or --pool, --host or --version; `longshore workers list` "
            "shows them"
        )
    return asyncio.run(_drain(Screen(as_json=as_json), order, wait or wait_timeout is not None, wait_timeout))


@dataclass(frozen=True, slots=True)
class Order:
    """Who is to leave, and how."""

    workers: list[str]
    filters: dict[str, str | None]


class NotYetGone(TimeoutError):
    """The time somebody gave for the wait is over; the workers go on leaving."""


async def _drain(screen: Screen, order: Order, wait: bool, wait_timeout: str | None) -> int:
    from longshore.cli.asking import asker
    from longshore.core.durations import duration

    patience = None if wait_timeout is None else duration(wait_timeout).total_seconds()
    async with asker() as client:
        told = [
            as_fields(one) for name in order.workers or [""] for one in await client.drain_worker(name, **order.filters)
        ]
        for one in told:
            _show(screen, one)
        if wait:
            await _wait(screen, client, {one["worker_id"]: one for one in told}, patience)
    return 0


async def _wait(screen: Screen, client: Client, leaving: Said, patience: float | None) -> None:
    try:
        async with asyncio.timeout(patience):
            while leaving:
                await asyncio.sleep(LOOK_EVERY)
                leaving = _changes(screen, leaving, await client.workers())
    except TimeoutError:
        raise NotYetGone(f"{', '.join(sorted(leaving))}: not gone within {patience:g} s; they go on leaving") from None


def _changes(screen: Screen, leaving: Said, workers: list[Any]) -> Said:
    """Show what has changed; gives those that are still there. Who is not known any more left some time ago."""
    now: Said = {}
    for row in workers:
        if row["worker_id"] in leaving and now.get(row["worker_id"], {}).get("status", CLOSED) == CLOSED:
            fields = {"worker_id": row["worker_id"], "status": row["status"], "held": len(row["held"])}
            now[row["worker_id"]] = fields
    for name, before in leaving.items():
        one = now.get(name, {"worker_id": name, "status": CLOSED, "held": 0})
        if one != before:
            _show(screen, one)
    return {name: one for name, one in now.items() if one["status"] != CLOSED}


def _show(screen: Screen, one: dict[str, Any]) -> None:
    if screen.as_json:
        screen.line(one)
        return
    held = f"{one['status']}, {one['held']} run{'s' if one['held'] != 1 else ''} held"
    screen.text(f"{one['worker_id']}  {'has left' if one['status'] == CLOSED else held}")
