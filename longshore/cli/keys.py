"""`longshore runs reset-key`: free an idempotency key. It decides nothing."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from longshore.cli.options import AsJson
from longshore.cli.screen import Screen


def reset_key(
    routine: Annotated[str, typer.Argument(metavar="ROUTINE", help="The name of the routine.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="The idempotency key, as its trigger gave it.")],
    run: Annotated[
        str | None, typer.Option(metavar="RUN_ID", help="The workflow whose calls have it, in the scope `run`.")
    ] = None,
    producer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose key it is (the project of the settings).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Free an idempotency key: the next trigger with it is a new run."""
    asyncio.run(_reset(routine, key, run, producer, as_json))


async def _reset(routine: str, key: str, run: str | None, producer: str | None, as_json: bool) -> None:
    from longshore.cli.asking import asker

    screen = Screen(as_json=as_json)
    async with asker() as client:
        told = await client.reset_idempotency_key(routine, key, run_id=run, producer=producer)
    if as_json:
        screen.document(dict(told))
    elif told["reset"]:
        screen.text(f"the key is free; run {told['run_id']} held it")
    else:
        screen.text(
            f"no run held this key of the producer {told['producer']}" if told["producer"] else "no run held this key"
        )
