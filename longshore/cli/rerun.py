"""`longshore runs rerun`: run again what has ended, from the beginning, as a new run. It decides nothing."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from longshore.cli import bulk
from longshore.cli.groups import Waiting, spread
from longshore.cli.options import AsJson
from longshore.cli.screen import Screen
from longshore.cli.waiting import begun
from longshore.core.errors import UsageError


@spread
def rerun(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN_ID]", help="One run; or conditions for many.")] = None,
    *,
    version: Annotated[str | None, typer.Option(help="This version; otherwise the newest there is.")] = None,
    rerun_id: Annotated[str | None, typer.Option(help="Your own id (a UUID): the same again is the same run.")] = None,
    waiting: Waiting,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the history.")] = "",
    many: bulk.Many,
    as_json: AsJson = False,
) -> int:
    """Run again what has ended, with the same input and options, as a new run of the newest version: one run, or all
    that fit every condition given."""
    screen, wait, patience = Screen(as_json=as_json), waiting.is_asked, waiting.patience()
    if run_id is not None and not many.conditions():
        many.refuse_with_one()
        order = {"version": version, "rerun_id": rerun_id, "reason": reason}
        return asyncio.run(_rerun(screen, run_id, order, wait=wait, patience=patience))
    if version or rerun_id or wait:
        raise UsageError("--version, --rerun-id, --wait and --wait-timeout go with one RUN_ID")
    return bulk.order_many(screen, "rerun", many, run_id=run_id, reason=reason)


async def _rerun(screen: Screen, run_id: str, order: dict[str, Any], *, wait: bool, patience: float | None) -> int:
    from longshore.cli.asking import asker

    async with asker() as client:
        run = await client.handle(run_id).rerun(**order)
        return await begun(screen, run, wait=wait, patience=patience, rerun_of=run_id)
