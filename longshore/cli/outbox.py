"""`longshore outbox relay`: send what programs have committed to an outbox in their own database."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

import typer

from longshore.cli.options import AsJson
from longshore.cli.screen import Screen
from longshore.core.durations import duration
from longshore.core.errors import UsageError

app = typer.Typer(help="Triggers that commit with the rows of your own database.", no_args_is_help=True)


@app.callback()
def _outbox() -> None:
    """Triggers that commit with the rows of your own database."""


@app.command()
def relay(
    database_url: Annotated[
        str,
        typer.Option(envvar="LONGSHORE_OUTBOX_DATABASE_URL", metavar="URL", help="SQLAlchemy's URL of your database."),
    ],
    table: Annotated[str, typer.Option(help="The outbox's table.")] = "longshore_outbox",
    poll: Annotated[str, typer.Option(metavar="DURATION", help="How often it looks for what was committed.")] = "1s",
    batch: Annotated[int, typer.Option(min=1, max=1000, help="How many rows it sends at a time.")] = 500,
    as_json: AsJson = False,
) -> None:
    """Send what is committed to an outbox until SIGTERM or Ctrl-C. Several relays may run beside each other."""
    try:
        seconds = duration(poll).total_seconds()
    except UsageError as error:
        raise UsageError(f"--poll {poll!r}: {error}") from None
    asyncio.run(_relay(Screen(as_json=as_json), database_url, table, seconds, batch))


async def _relay(screen: Screen, url: str, table: str, poll: float, batch: int) -> None:
    from longshore.cli.asking import asker
    from longshore.outbox.standalone import engine_at, relay_at

    engine = engine_at(url)
    try:
        async with asker() as client:
            relay = await relay_at(engine, client, table, poll=poll, batch=batch)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, relay.stop)
            where = engine.url.render_as_string()
            if screen.as_json:
                screen.line({"event": "ready", "table": table, "database": where})
            else:
                screen.text(f"relays what is committed to {table} in {where}")
            await relay.run()
    finally:
        await asyncio.to_thread(engine.dispose)
    if screen.as_json:
        screen.line({"event": "stopped", "sent": relay.sent})
    else:
        screen.remark(f"{relay.sent} sent")
