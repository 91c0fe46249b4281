"""`longshore runs fork`: run a workflow again from one of its calls on, as a new run. It decides nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from longshore.cli.fields import why_text
from longshore.cli.options import AsJson, RunId, checked_durations
from longshore.cli.waiting import follow

if TYPE_CHECKING:
    from longshore.cli.screen import Screen


def fork(
    run_id: RunId,
    at: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The call, as `runs tree` shows it where one failed, e.g. 0/3:1.")
    ],
    version: Annotated[
        str | None, typer.Option(help="Another version of the workflow, with the code repaired.")
    ] = None,
    fork_id: Annotated[str | None, typer.Option(help="Your own id (a UUID): the same again is the same run.")] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the end and print the result.")] = False,
    wait_timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Stop waiting after this; the run goes on.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Run a workflow again from one of its calls on: what came before is kept, that call and what follows is new."""
    from longshore.cli.screen import Screen

    checked_durations({"wait_timeout": wait_timeout})
    order = Order(run_id, at, version, fork_id, wait or wait_timeout is not None, wait_timeout)
    return asyncio.run(_fork(Screen(as_json=as_json), order))


@dataclass(frozen=True, slots=True)
class Order:
    """What to fork, and whether to wait for it."""

    run_id: str
    at: str
    version: str | None
    fork_id: str | None
    wait: bool
    wait_timeout: str | None


async def _fork(screen: Screen, order: Order) -> int:
    from longshore.cli.asking import asker
    from longshore.core.durations import duration

    patience = None if order.wait_timeout is None else duration(order.wait_timeout).total_seconds()
    async with asker() as client:
        run = await client.fork(order.run_id, at=order.at, version=order.version, fork_id=order.fork_id)
        if order.wait:
            return await follow(screen, run, patience=patience)
        info = await run.info()
    if screen.as_json:
        fields = {"run_id": run.id, "status": info["status"], "forked_from": order.run_id, "at": order.at}
        screen.document({**fields, "why_waiting": info["why_waiting"]})
        return 0
    screen.text(run.id)
    if info["status"] == "PENDING_VERSION":
        screen.remark(f"it waits: {why_text(info['why_waiting'])}", style="yellow")
    screen.remark(f"{info['status']}; `longshore runs watch {run.id}` follows it")
    return 0
