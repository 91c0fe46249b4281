"""`longshore trigger`: start a run by name and, if asked, wait for its result. The values are JSON."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from longshore.cli.batch import send_batch
from longshore.cli.groups import Arguments, TriggerOptions, Waiting, spread
from longshore.cli.options import AsJson
from longshore.cli.screen import Screen
from longshore.cli.waiting import begun
from longshore.core.errors import UsageError


@spread
def trigger(
    routine: Annotated[str, typer.Argument(metavar="ROUTINE", help="Its name, or name@version.")],
    *,
    arguments: Arguments,
    run_id: Annotated[str | None, typer.Option(help="Your own id (a UUID): the same again is the same run.")] = None,
    options: TriggerOptions,
    batch: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="One run per line: a JSON list or object of arguments; - is stdin."),
    ] = None,
    batch_id: Annotated[
        str | None, typer.Option(metavar="NAME", help="The batch's name: with it, the same line again is the same run.")
    ] = None,
    waiting: Waiting,
    as_json: AsJson = False,
) -> int:
    """Start a run. With --wait, show how it goes and print its result."""
    screen, (positional, named), given = Screen(as_json=as_json), arguments.values(), options.given()
    wait, patience = waiting.is_asked, waiting.patience()
    if batch is None and batch_id is None:
        order = {"args": positional, "kwargs": named, "run_id": run_id, **given}
        return asyncio.run(_trigger(screen, routine, order, wait=wait, patience=patience))
    if batch is None:
        raise UsageError("--batch-id names the batch that --batch FILE sends\ngive --batch, or leave it out")
    if positional or named or run_id:
        raise UsageError(
            "--batch FILE has the arguments of every run\ngive it without --args, --kwargs, --arg, --run-id"
        )
    return asyncio.run(send_batch(screen, routine, batch, batch_id, given, wait=wait, patience=patience))


async def _trigger(screen: Screen, routine: str, order: dict[str, Any], *, wait: bool, patience: float | None) -> int:
    from longshore.cli.asking import asker

    async with asker() as client:
        run = await client.trigger(routine, **order)
        if run.existing:
            screen.remark("there was a run already, by its id, its idempotency key or its debounce: no new one is made")
        return await begun(screen, run, wait=wait, patience=patience, existing=run.existing)
