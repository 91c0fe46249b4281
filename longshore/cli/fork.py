"""`longshore runs fork`: run a workflow again from one of its calls on, as a new run. It decides nothing."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from longshore.cli.groups import Waiting, spread
from longshore.cli.options import AsJson, RunId
from longshore.cli.screen import Screen
from longshore.cli.waiting import begun


@spread
def fork(
    run_id: RunId,
    at: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The call, as `runs tree` shows it where one failed, e.g. 0/3:1.")
    ],
    *,
    version: Annotated[
        str | None, typer.Option(help="Another version of the workflow, with the code repaired.")
    ] = None,
    fork_id: Annotated[str | None, typer.Option(help="Your own id (a UUID): the same again is the same run.")] = None,
    waiting: Waiting,
    as_json: AsJson = False,
) -> int:
    """Run a workflow again from one of its calls on: what came before is kept, that call and what follows is new."""
    patience = waiting.patience()
    order = {"at": at, "version": version, "fork_id": fork_id}
    return asyncio.run(_fork(Screen(as_json=as_json), run_id, order, wait=waiting.is_asked, patience=patience))


async def _fork(
    screen: Screen, run_id: str, order: dict[str, str | None], *, wait: bool, patience: float | None
) -> int:
    from longshore.cli.asking import asker

    async with asker() as client:
        run = await client.handle(run_id).fork(**order)  # type: ignore[arg-type]
        return await begun(screen, run, wait=wait, patience=patience, forked_from=run_id, at=order["at"] or "")
