"""Orders for all runs that fit: `longshore runs cancel|rerun` with conditions, and `longshore bulk ...` to look."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longshore.cli.fields import as_fields, time_of
from longshore.cli.options import LONGEST_LIST, AsJson
from longshore.cli.screen import Screen
from longshore.core.errors import UsageError

if TYPE_CHECKING:
    from longshore.client import BulkHandle, Client

app = typer.Typer(help="Look at orders for many runs, and abort them.", no_args_is_help=True)


@dataclass(frozen=True, kw_only=True)
class Many:
    """Which runs an order is for, where it is for many, and how it is given."""

    status: Annotated[list[str] | None, typer.Option(help="Runs with this status. Repeatable.")] = None
    routine: Annotated[str | None, typer.Option(help="Runs of this routine: its name, or name@version.")] = None
    tag: Annotated[str | None, typer.Option(help="Runs with this tag.")] = None
    queue: Annotated[str | None, typer.Option(help="Runs of this queue.")] = None
    concurrency_key: Annotated[str | None, typer.Option("--key", help="Runs with this concurrency key.")] = None
    batch_id: Annotated[str | None, typer.Option("--batch", help="Runs of this batch.")] = None
    parent_id: Annotated[str | None, typer.Option("--parent", help="Sub-routines of this run.")] = None
    created_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="Created then or later, e.g. 2026-01-31T08:00Z.")
    ] = None
    created_before: Annotated[str | None, typer.Option(metavar="TIME", help="Created before then.")] = None
    everything: Annotated[bool, typer.Option("--all", help="Every run.")] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether it is meant.")] = False
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait until it is done.")] = False

    def refuse_with_one(self) -> None:
        """What is of many only does not go with one RUN_ID. Raises UsageError."""
        if self.detach:
            raise UsageError("--detach is for many runs, and a RUN_ID names one\ngive conditions, or leave it out")

    def conditions(self) -> dict[str, Any]:
        """The ones that were typed, as the client takes them; empty without any. Raises UsageError for a time that is
        none."""
        texts = ("routine", "tag", "queue", "concurrency_key", "batch_id", "parent_id")
        found: dict[str, Any] = {"status": self.status or None} | {name: getattr(self, name) for name in texts}
        found["created_after"] = _moment("created-after", self.created_after)
        found["created_before"] = _moment("created-before", self.created_before)
        found["all"] = self.everything or None
        return {name: value for name, value in found.items() if value is not None}


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.utcoffset() is None:
        raise UsageError(
            f"--{option} {text!r} is no time with its zone\nwrite for example `--{option} 2026-01-31T08:00Z`"
        )
    return at


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
    said = ", ".join(f"{name}={_shown(value)}" for name, value in which.items())
    if not many.yes and not _agreed(f"{what} every run with {said}?" if "all" not in which else f"{what} EVERY run?"):
        return 1
    return asyncio.run(_order(screen, what, which, reason, detach=many.detach))


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
