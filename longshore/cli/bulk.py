"""Orders for all runs that fit: `longshore runs cancel|rerun` with conditions, and `longshore bulk ...` to look."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longshore.cli.fields import as_fields, time_of
from longshore.cli.listing import table_of_runs
from longshore.cli.options import LONGEST_LIST, AsJson
from longshore.cli.screen import Screen
from longshore.cli.which import Which
from longshore.core.errors import UsageError

if TYPE_CHECKING:
    from longshore.client import BulkHandle, Client

app = typer.Typer(help="Look at orders for many runs, and abort them.", no_args_is_help=True)


@dataclass(frozen=True, kw_only=True)
class Many(Which):
    """Which runs an order is for, where it is for many, and how it is given."""

    everything: Annotated[bool, typer.Option("--all", help="Every run.")] = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Order nothing: say how many runs fit, and show the first of them.")
    ] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether it is meant.")] = False
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait until it is done.")] = False

    def refuse_with_one(self) -> None:
        """What is of many only does not go with one RUN_ID. Raises UsageError."""
        for name, given in (("--dry-run", self.dry_run), ("--detach", self.detach)):
            if given:
                raise UsageError(f"{name} is for many runs, and a RUN_ID names one\ngive conditions, or leave it out")

    def conditions(self) -> dict[str, Any]:
        """See Which.conditions."""
        return super().conditions() | ({"all": True} if self.everything else {})


def order_many(screen: Screen, what: str, many: Many, *, run_id: str | None, reason: str) -> int:
    """Order it for all runs that fit, once it is said to be meant. Exit status 1 where it was aborted."""
    from longshore.client.bulks import bulk_of

    which = many.conditions()
    if not which:
        raise UsageError(
            f"{what} needs a RUN_ID or conditions\nsay which run, or --tag, --status ...; --all is every run"
        )
    if run_id is not None:
        raise UsageError("a RUN_ID names one run, conditions name many\ngive the one or the others")
    bulk_of(what, which, reason, None)  # type: ignore[arg-type]  # refused here before anybody is asked
    if many.dry_run:
        asyncio.run(_preview(screen, what, which))
        return 0
    said = ", ".join(f"{name}={_shown(value)}" for name, value in which.items())
    if not many.yes and not _agreed(f"{what} every run with {said}?" if "all" not in which else f"{what} EVERY run?"):
        return 1
    return asyncio.run(_order(screen, what, which, reason, detach=many.detach))


async def _preview(screen: Screen, what: str, which: dict[str, Any]) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        found = await client.preview_runs(what, **which)
    if screen.as_json:
        screen.document(found)
        return
    fits = "over 100,000" if found["fits"] is None else str(found["fits"])
    screen.text(f"{fits} runs fit; nothing is ordered")
    if found["runs"]:
        table_of_runs(screen, found["runs"])
    if found["fits"] != len(found["runs"]):
        screen.remark("these are the oldest; `longshore runs list` with the same conditions shows the newest")


def _shown(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody can be asked here\nsay --yes")
    return typer.confirm(question, err=True)


async def _order(screen: Screen, what: str, which: dict[str, Any], reason: str, *, detach: bool) -> int:
    from longshore.cli.asking import asker

    async with asker() as client:
        ordered = client.cancel_runs if what == "cancel" else client.rerun_runs
        bulk = await ordered(reason=reason, **which)
        info = as_fields(await bulk.progress() if detach else await _followed(screen, bulk))
    _show_one(screen, info)
    return 1 if info["status"] == "aborted" else 0


async def _followed(screen: Screen, bulk: BulkHandle) -> Any:
    """How it ended; meanwhile how far it is. Ctrl-C leaves it going on."""
    with screen.status(f"bulk order {bulk.id}") as say:
        while True:
            try:
                return await bulk.wait(0.25)
            except TimeoutError:
                info = await bulk.progress()
                width = int(info["progress"] * 20)
                say(f"{'█' * width}{'░' * (20 - width)} {info['progress']:.0%}: {info['done']} done, "
                    f"{info['refused']} refused; `longshore bulk abort {bulk.id}` stops it")  # fmt: skip


def _show_one(screen: Screen, info: dict[str, Any]) -> None:
    if screen.as_json:
        screen.document(info)
        return
    names = ("what", "filter", "status", "matched", "done", "refused", "reason", "by")
    facts: list[tuple[str, Any]] = [("bulk order", info["bulk_id"]), *((name, info[name]) for name in names)]
    facts += [("progress", f"{info['progress']:.0%}"), ("ordered", time_of(info["created_at"]))]
    screen.facts([*facts, ("finished", time_of(info["finished_at"]))])


BulkId = Annotated[str, typer.Argument(metavar="BULK_ID", help="As the order and `list` show it.")]


@app.command("list")
def list_bulks(
    limit: Annotated[int, typer.Option(min=1, max=LONGEST_LIST, help="At most so many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest orders for many runs."""
    asyncio.run(_list(Screen(as_json=as_json), limit))


async def _list(screen: Screen, limit: int) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        found = await client.bulks(limit=limit)
    if screen.as_json:
        for one in found:
            screen.line(one)
        return
    if not found:
        screen.remark("no bulk orders yet: `longshore runs cancel --routine NAME`")
        return
    rows = [
        [one["bulk_id"], one["what"], one["status"], f"{one['progress']:.0%}", one["done"], one["refused"],
         time_of(one["created_at"]), one["by"]]
        for one in found
    ]  # fmt: skip
    screen.table(["BULK ORDER", "WHAT", "STATUS", "PROGRESS#", "DONE#", "REFUSED#", "ORDERED", "BY"], rows)


@app.command()
def show(bulk_id: BulkId, as_json: AsJson = False) -> None:
    """One order: how far it is."""
    asyncio.run(_with(Screen(as_json=as_json), bulk_id, abort=False))


@app.command()
def abort(bulk_id: BulkId, as_json: AsJson = False) -> None:
    """Go no further with an order; what is done stays done."""
    asyncio.run(_with(Screen(as_json=as_json), bulk_id, abort=True))


async def _with(screen: Screen, bulk_id: str, *, abort: bool) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        info = await _asked(client, bulk_id, abort=abort)
    _show_one(screen, as_fields(info))


async def _asked(client: Client, bulk_id: str, *, abort: bool) -> Any:
    bulk = client.bulk(bulk_id)
    return await bulk.abort() if abort else await bulk.progress()
