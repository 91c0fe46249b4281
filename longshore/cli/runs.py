"""`longshore runs ...`: look at runs, follow them, cancel them. Everything shown comes from the coordinator."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from longshore.cli import bulk
from longshore.cli.annotating import metadata
from longshore.cli.fields import as_fields, crashes_text, routine_id, time_of, took, why_text
from longshore.cli.fork import fork
from longshore.cli.groups import spread
from longshore.cli.holding import pause, reschedule, resume
from longshore.cli.keys import reset_key
from longshore.cli.listing import list_runs
from longshore.cli.options import AsJson, RunId, a_value
from longshore.cli.replay import replay_check
from longshore.cli.rerun import rerun
from longshore.cli.screen import Screen, seconds, to_json
from longshore.cli.tree import show_tree
from longshore.cli.waiting import watch_to_the_end

app = typer.Typer(help="Look at runs, follow them, cancel them, check code against them.", no_args_is_help=True)
app.command("replay-check")(replay_check)
for command in (fork, rerun, pause, resume, reschedule, metadata):
    app.command()(command)
app.command("reset-key")(reset_key)
app.command("list")(list_runs)


@app.command()
def show(run_id: RunId, as_json: AsJson = False) -> None:
    """One run: where it stands, since when, its result or error."""
    asyncio.run(_show(Screen(as_json=as_json), run_id))


async def _show(screen: Screen, run_id: str) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        run = client.handle(run_id)
        info = as_fields(await run.info())
        if info["status"] == "COMPLETED":
            info["result"] = await run.result()
    if screen.as_json:
        screen.document(info)
        return
    error = info.get("error") or {}
    screen.facts(
        [
            ("run", info["run_id"]),
            ("routine", routine_id(info)),
            ("status", info["status"]),
            ("cached", info.get("cached") or None),
            ("progress", _progress(info.get("progress"))),
            ("why", why_text(info.get("why_waiting"))),
            ("reason", info.get("reason") if info.get("finished_at") and info["status"] != "COMPLETED" else None),
            ("queue", info.get("queue")),
            ("concurrency key", info.get("concurrency_key")),
            ("priority", info.get("priority") or None),
            ("pool", info.get("pool")),
            ("attempt", _attempt(info)),
            ("crashes", info.get("crashes")),
            ("last crashes", crashes_text(info.get("crash_evidence"))),
            ("idempotency key", info.get("idempotency_key")),
            ("producer", info.get("producer")),
            ("tags", info.get("tags")),
            ("metadata", info.get("metadata")),
            ("rerun of", info.get("rerun_of")),
            ("schedule", info.get("schedule_id")),
            ("parent", info.get("parent_id")),
            ("root", info.get("root_id") if info.get("root_id") != run_id else ""),
            ("worker", info.get("worker_id")),
            ("created", time_of(info["created_at"])),
            ("due", time_of(info.get("due_at"))),
            ("ttl until", time_of(info.get("ttl_at"))),
            ("deadline", time_of(info.get("deadline_at"))),
            ("started", time_of(info.get("started_at"))),
            ("finished", time_of(info.get("finished_at"))),
            ("took", took(info)),
            ("result", to_json(info["result"]) if "result" in info else None),
            ("error", f"{error.get('type')}: {error.get('message')}" if error else None),
            ("traceback", (error.get("traceback") or "").rstrip()),
        ]
    )


def _attempt(info: dict[str, Any]) -> Any:
    most = info.get("max_attempts")
    return f"{info['attempt']} of {most}" if most else info["attempt"]


def _progress(said: dict[str, Any] | None) -> str | None:
    return f"{said['fraction']:.0%} {said['text']}".strip() if said else None


@app.command()
def history(run_id: RunId, as_json: AsJson = False) -> None:
    """Every change of status, and why."""
    asyncio.run(_history(Screen(as_json=as_json), run_id))


async def _history(screen: Screen, run_id: str) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        rows = [as_fields(row) for row in await client.handle(run_id).history()]
    if screen.as_json:
        for row in rows:
            screen.line(row)
        return
    start = time_of(rows[0]["at"]) if rows else None
    columns = ["NO#", "AFTER#", "FROM", "TO", "ATTEMPT#", "EPOCH#", "WORKER", "REASON"]
    screen.table(columns, [_change(row, start) for row in rows])


def _change(row: dict[str, Any], start: datetime | None) -> list[Any]:
    at = time_of(row["at"])
    after = seconds((at - start).total_seconds()) if at and start else ""
    reason = row["reason"] if row.get("valid", True) else f"refused: {row['reason']}"
    worker = row.get("worker_id") or ""
    return [row["seq"], after, row["from_status"], row["to_status"], row["attempt"], row["epoch"], worker, reason]


@app.command()
def tree(
    run_id: RunId,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Draw at most so many children of each run, the longest.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The run and its sub-routines: where the time went, what was offloaded, what came from the cache."""
    asyncio.run(_tree(Screen(as_json=as_json), run_id, limit))


async def _tree(screen: Screen, run_id: str, limit: int | None) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        rows = [as_fields(row) for row in await client.handle(run_id).tree()]
    if screen.as_json:
        screen.document(rows)
        return
    show_tree(screen, rows, limit=limit, now=datetime.now(UTC))


@app.command()
def why(run_id: RunId, as_json: AsJson = False) -> None:
    """Why the run waits, and for whom."""
    asyncio.run(_why(Screen(as_json=as_json), run_id))


async def _why(screen: Screen, run_id: str) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        run = client.handle(run_id)
        reason = await run.why_waiting()
        status = await run.status()
    if screen.as_json:
        screen.document(as_fields(reason) if reason else None)
        return
    if not reason:
        screen.text(f"it does not wait: {status}")
        return
    facts = as_fields(reason)
    screen.facts(
        [
            ("status", status),
            ("why", facts.get("text")),
            ("kind", facts.get("kind")),
            ("holders", facts.get("holders")),
            ("position", facts.get("position")),
            ("since", time_of(facts.get("since"))),
            ("next at", time_of(facts.get("next_at"))),
        ]
    )


@app.command()
def watch(
    run_id: RunId,
    timeout: Annotated[str | None, typer.Option(metavar="DURATION", help="Stop watching after this.")] = None,
    as_json: AsJson = False,
) -> int:
    """Follow a run to its end: each change as it comes. The exit status is 0 when it completed."""
    return asyncio.run(_watch(Screen(as_json=as_json), run_id, timeout))


async def _watch(screen: Screen, run_id: str, timeout: str | None) -> int:
    from longshore.cli.asking import asker
    from longshore.core.durations import duration

    patience = None if timeout is None else duration(timeout).total_seconds()
    async with asker() as client:
        return await watch_to_the_end(screen, client.handle(run_id), patience=patience)


@app.command()
@spread
def cancel(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN_ID]", help="One run; or conditions for many.")] = None,
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the history.")] = "",
    many: bulk.Many,
    as_json: AsJson = False,
) -> int:
    """Cancel a run and, by its routine's policy, its children; or all runs that fit every condition given."""
    if run_id is None or many.conditions():
        return bulk.order_many(Screen(as_json=as_json), "cancel", many, run_id=run_id, reason=reason)
    many.refuse_with_one()
    asyncio.run(_cancel(Screen(as_json=as_json), run_id, reason))
    return 0


async def _cancel(screen: Screen, run_id: str, reason: str) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        run = client.handle(run_id)
        await run.cancel(reason=reason)
        _show_status(screen, run_id, await run.status())


def _show_status(screen: Screen, run_id: str, status: str) -> None:
    if screen.as_json:
        screen.document({"run_id": run_id, "status": status})
        return
    screen.text(status)


@app.command()
def signal(
    run_id: RunId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the workflow waits for by this name.")],
    value: Annotated[str | None, typer.Option(metavar="JSON", help="What it gets; null if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell a workflow something: it gets it where it waits for this name, now or later."""
    given = a_value("--value", value)
    asyncio.run(_signal(Screen(as_json=as_json), run_id, name, given))


async def _signal(screen: Screen, run_id: str, name: str, value: Any) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        await client.signal(run_id, name, value)
    if screen.as_json:
        screen.document({"run_id": run_id, "name": name})
        return
    screen.text(f"run {run_id} is told {name!r}")
