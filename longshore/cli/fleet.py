"""`longshore workers ...` and `longshore dead ...`: who works, and what nobody could read."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from longshore.cli.drain import drain
from longshore.cli.fields import as_fields, time_of
from longshore.cli.options import LONGEST_LIST, AsJson
from longshore.cli.screen import Screen

workers = typer.Typer(help="Look at the workers, and have them leave.", no_args_is_help=True)
workers.command("drain")(drain)
dead = typer.Typer(help="Look at messages nobody could read or decide.", no_args_is_help=True)


@workers.command("list")
def list_workers(
    everyone: Annotated[bool, typer.Option("--all", help="Also those that left a short while ago (CLOSED).")] = False,
    as_json: AsJson = False,
) -> None:
    """The workers, what they hold and what they offer."""
    asyncio.run(_workers(Screen(as_json=as_json), everyone))


async def _workers(screen: Screen, everyone: bool) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        known = [as_fields(worker) for worker in await client.workers()]
    found = [worker for worker in known if everyone or worker["status"] != "CLOSED"]
    if screen.as_json:
        for worker in found:
            screen.line(worker)
        return
    if not found:
        left = f" ({len(known)} left a short while ago: `--all` shows them)" if known else ""
        screen.remark(f"no workers: start one with `longshore worker MODULE`{left}")
        return
    rows = [
        [
            worker["worker_id"],
            worker["status"],
            worker["pool"],
            f"{worker['free_slots']}/{worker['slots']}",
            len(worker["held"]),
            time_of(worker.get("since")),
            worker["offers"],
        ]
        for worker in found
    ]
    screen.table(["WORKER", "STATUS", "POOL", "FREE#", "HELD#", "SINCE", "OFFERS"], rows)


@dead.command("list")
def list_dead(
    limit: Annotated[int, typer.Option(min=1, max=LONGEST_LIST, help="At most so many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest dead letters and their reasons."""
    asyncio.run(_dead(Screen(as_json=as_json), limit))


async def _dead(screen: Screen, limit: int) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        letters = [as_fields(letter) for letter in await client.dead(limit=limit)]
    if screen.as_json:
        for letter in letters:
            screen.line(letter)
        return
    if not letters:
        screen.remark("no dead letters")
        return
    rows = [[item["id"], time_of(item["at"]), item["source"], item["size"], item["reason"]] for item in letters]
    screen.table(["ID#", "AT", "FROM", "BYTES#", "REASON"], rows)


@dead.command("show")
def show_dead(
    letter: Annotated[int, typer.Argument(metavar="ID", help="Its number, as `dead list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """One dead letter, whole."""
    asyncio.run(_show_dead(Screen(as_json=as_json), letter))


async def _show_dead(screen: Screen, letter: int) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        found = as_fields(await client.dead_letter(letter))
    if screen.as_json:
        screen.document(found)
        return
    screen.facts(list(found.items()))
