"""`longshore runs rerun`: run again what has ended, from the beginning, as a new run. It decides nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from longshore.cli import bulk
from longshore.cli.fields import why_text
from longshore.cli.options import AsJson, checked_durations
from longshore.cli.waiting import follow
from longshore.core.errors import UsageError

if TYPE_CHECKING:
    from longshore.cli.screen import Screen


def rerun(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN_ID]", help="One run; or conditions for many.")] = None,
    version: Annotated[str | None, typer.Option(help="This version; otherwise the newest there is.")] = None,
    rerun_id: Annotated[str | None, typer.Option(help="Your own id (a UUID): the same again is the same run.")] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the end and print the result.")] = False,
    wait_timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Stop waiting after this; the run goes on.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, of many; it is kept in the history.")] = "",
    status: bulk.Status = None,
    routine: bulk.Routine = None,
    tag: bulk.Tag = None,
    queue: bulk.Queue = None,
    batch: bulk.Batch = None,
    parent: bulk.Parent = None,
    created_after: bulk.After = None,
    created_before: bulk.Before = None,
    everything: bulk.All = False,
    yes: bulk.Yes = False,
    detach: bulk.Detach = False,
    as_json: AsJson = False,
) -> int:
    """Run again what has ended, with the same input and options, as a new run of the newest version: one run, or all
    that fit every condition given."""
    from longshore.cli.screen import Screen

    texts = {"routine": routine, "tag": tag, "queue": queue, "batch_id": batch, "parent_id": parent}
    which = bulk.conditions(status=status, after=created_after, before=created_before, everything=everything, **texts)
    if which or run_id is None:
        if version or rerun_id or wait or wait_timeout:
            raise UsageError("--version, --rerun-id, --wait and --wait-timeout go with one RUN_ID")
        order = {"run_id": run_id, "reason": reason, "yes": yes, "detach": detach}
        return bulk.order_many(Screen(as_json=as_json), "rerun", which, **order)  # type: ignore[arg-type]
    from longshore.core.durations import duration

    checked_durations({"wait_timeout": wait_timeout})
    patience = None if wait_timeout is None else duration(wait_timeout).total_seconds()
    waits = wait or wait_timeout is not None
    return asyncio.run(_rerun(Screen(as_json=as_json), (run_id, version, rerun_id), waits, patience))


async def _rerun(screen: Screen, order: tuple[str, str | None, str | None], waits: bool, patience: float | None) -> int:
    from longshore.cli.asking import asker

    run_id, version, rerun_id = order
    async with asker() as client:
        run = await client.handle(run_id).rerun(version=version, rerun_id=rerun_id)
        if waits:
            return await follow(screen, run, patience=patience)
        info = await run.info()
    if screen.as_json:
        fields = {"run_id": run.id, "status": info["status"], "rerun_of": run_id}
        screen.document({**fields, "why_waiting": info["why_waiting"]})
        return 0
    screen.text(run.id)
    if info["status"] == "PENDING_VERSION":
        screen.remark(f"it waits: {why_text(info['why_waiting'])}", style="yellow")
    screen.remark(f"{info['status']}; `longshore runs watch {run.id}` follows it")
    return 0
