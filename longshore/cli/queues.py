"""`longshore queues ...`: who waits and executes in each queue, its limits, pausing it. It decides nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from longshore.cli.fields import as_fields, time_of
from longshore.cli.options import AsJson
from longshore.cli.screen import Screen
from longshore.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from longshore.client import Client

app = typer.Typer(help="Look at queues, limit them, pause them.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="QUEUE", help="Its name, as `queues list` shows it; * is the namespace.")]
Create = Annotated[bool, typer.Option("--create", help="A queue that no run and no routine names yet.")]
COLUMNS: Final = ["NAME", "QUEUED#", "EXECUTING#", "LIMIT#", "PER KEY#", "RATE", "MAX SIZE#", "PAUSED", "OLDEST"]
NONE: Final = "none"


@app.command("list")
def list_queues(as_json: AsJson = False) -> None:
    """Every queue with a limit, an offer or runs: what waits, what executes, since when the oldest waits."""
    asyncio.run(_list(Screen(as_json=as_json)))


async def _list(screen: Screen) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        found = [as_fields(queue) for queue in await client.queues()]
    if screen.as_json:
        for queue in found:
            screen.line(queue)
        return
    if not found:
        screen.remark("no queues: none has a limit, a routine that is offered, or a run")
        return
    screen.table(COLUMNS, [_row(queue) for queue in found])


def _row(queue: dict[str, Any]) -> list[Any]:
    limits = [queue["limit"], queue["key_limit"], queue["rate"], queue["max_size"]]
    counted = [queue["name"], queue["queued"], queue["executing"]]
    return [*counted, *limits, _paused(queue), time_of(queue["oldest_at"])]


def _paused(queue: dict[str, Any]) -> str:
    at = time_of(queue["paused_at"])
    return f"since {at.astimezone():%Y-%m-%d %H:%M:%S}" if at else ""


@app.command()
def pause(queue: Name, create: Create = False, as_json: AsJson = False) -> None:
    """Start nothing more from a queue. What executes ends; workflows that have waited go on."""
    asyncio.run(_order(Screen(as_json=as_json), lambda client: client.pause_queue(queue, create=create)))


@app.command()
def resume(queue: Name, as_json: AsJson = False) -> None:
    """Let a paused queue go on."""
    asyncio.run(_order(Screen(as_json=as_json), lambda client: client.resume_queue(queue)))


@app.command()
def limit(
    queue: Name,
    concurrency: Annotated[
        str | None, typer.Option(metavar="N", help="Runs that execute at once; 0 starts nothing.")
    ] = None,
    per_key: Annotated[str | None, typer.Option(metavar="N", help="The same, of each concurrency key.")] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="N/PERIOD", help="Starts in any such period, e.g. 10/1m, 5/s.")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(metavar="N", help="Runs that wait for their first start; more are refused.")
    ] = None,
    create: Create = False,
    as_json: AsJson = False,
) -> None:
    """Set limits of a queue, from now on. What is left out stays; `none` lifts a limit."""
    given: dict[str, Any] = {
        "limit": _whole("--concurrency", concurrency),
        "key_limit": _whole("--per-key", per_key),
        "rate": None if rate == NONE else rate,
        "max_size": _whole("--max-size", max_size),
    }
    said = {"limit": concurrency, "key_limit": per_key, "rate": rate, "max_size": max_size}
    options = {name: given[name] for name, text in said.items() if text is not None}
    if not options:
        raise UsageError("nothing to change: give --concurrency, --per-key, --rate or --max-size (a number, or none)")
    asyncio.run(_order(Screen(as_json=as_json), lambda client: client.limit_queue(queue, create=create, **options)))


def _whole(option: str, text: str | None) -> int | None:
    """The number of an option; None where a limit is lifted, or nothing said."""
    if text is None or text == NONE:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UsageError(
            f"{option} {text[:40]!r} is no number of runs\nwrite for example `{option} 5`, or `{option} {NONE}`"
        )
    return int(text)


async def _order(screen: Screen, order: Callable[[Client], Awaitable[Any]]) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        rule = as_fields(await order(client))
    if screen.as_json:
        screen.document(rule)
        return
    screen.text(_words(rule))


def _words(rule: dict[str, Any]) -> str:
    """A queue's rule on one line."""
    limits = [
        ("at once", rule["limit"]),
        ("of each key", rule["key_limit"]),
        ("starts", rule["rate"]),
        ("waiting", rule["max_size"]),
    ]
    said = [f"{value} {name}" for name, value in limits if value is not None]
    most = f"at most {', '.join(said)}" if said else "no limits"
    whole = f"{rule['name']}: {most}"
    paused = _paused(rule)
    return f"{whole}; paused {paused}" if paused else whole
