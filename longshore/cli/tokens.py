"""`longshore tokens ...`: complete what workflows wait for at a token. The values are JSON."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from longshore.cli.options import AsJson, a_value
from longshore.cli.screen import Screen

app = typer.Typer(help="Complete what workflows wait for.", no_args_is_help=True)


@app.callback()
def _tokens() -> None:
    """Complete what workflows wait for."""


@app.command()
def complete(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="As `context.create_token()` gave it.")],
    value: Annotated[str | None, typer.Option(metavar="JSON", help="What the workflow gets; null if left out.")] = None,
    error: Annotated[str | None, typer.Option(metavar="TEXT", help="Instead: the workflow gets TokenFailed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Complete a token, once: another time, or after the end of its run, nothing is done, and said so."""
    given = a_value("--value", value)
    asyncio.run(_complete(Screen(as_json=as_json), token, given, error))


async def _complete(screen: Screen, token: str, value: Any, error: str | None) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        done = await client.complete_token(token, value, error=error)
    if screen.as_json:
        screen.document({"run_id": done.run_id, "completed": done.completed, "text": done.text})
        return
    screen.text(done.text)
