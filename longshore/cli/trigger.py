"""`longshore trigger`: start a run by name and, if asked, wait for its result. The values are JSON."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longshore.cli.batch import send_batch
from longshore.cli.fields import why_text
from longshore.cli.options import AsJson, arguments, checked_durations, debouncing, metadata
from longshore.cli.waiting import follow
from longshore.core.durations import duration
from longshore.core.errors import UsageError

if TYPE_CHECKING:
    from longshore.cli.screen import Screen


def trigger(
    routine: Annotated[str, typer.Argument(metavar="ROUTINE", help="Its name, or name@version.")],
    args: Annotated[str | None, typer.Option(metavar="JSON", help="Positional arguments, a JSON list.")] = None,
    kwargs: Annotated[str | None, typer.Option(metavar="JSON", help="Named arguments, a JSON object.")] = None,
    arg: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="One argument; JSON, else text. Repeatable.")
    ] = None,
    run_id: Annotated[str | None, typer.Option(help="Your own id (a UUID): the same again is the same run.")] = None,
    delay: Annotated[str | None, typer.Option(metavar="DURATION", help="Start not before, e.g. 90, 5m, 1h30m.")] = None,
    ttl: Annotated[str | None, typer.Option(metavar="DURATION", help="Expires unless started by then.")] = None,
    timeout: Annotated[str | None, typer.Option(metavar="DURATION", help="For each attempt.")] = None,
    deadline: Annotated[str | None, typer.Option(metavar="DURATION", help="For the whole run.")] = None,
    max_attempts: Annotated[int | None, typer.Option(min=1, max=250, help="Tries, the first included.")] = None,
    retry_first: Annotated[
        str | None, typer.Option(metavar="DURATION", help="From the first try to the second.")
    ] = None,
    retry_factor: Annotated[float | None, typer.Option(min=1, help="How much longer each further delay is.")] = None,
    retry_max: Annotated[str | None, typer.Option(metavar="DURATION", help="The longest delay between tries.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="Triggers with the same key make one run.")] = None,
    idempotency_ttl: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long the key makes one run of them (30d).")
    ] = None,
    producer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose the idempotency key is (the project of the settings).")
    ] = None,
    debounce_key: Annotated[
        str | None, typer.Option(help="Triggers with it that come within --debounce-delay make one run.")
    ] = None,
    debounce_delay: Annotated[str | None, typer.Option(metavar="DURATION", help="See --debounce-key.")] = None,
    debounce_mode: Annotated[
        str | None, typer.Option(metavar="trailing|leading", help="It runs with the last input, or at once.")
    ] = None,
    debounce_max_delay: Annotated[
        str | None, typer.Option(metavar="DURATION", help="It is never put off longer than this.")
    ] = None,
    version: Annotated[str | None, typer.Option(help="Its version, or latest: the newest offered then.")] = None,
    version_deadline: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long it waits for a version nobody offers (30d).")
    ] = None,
    queue: Annotated[str | None, typer.Option(help="Whose limits hold; by default what its routine says.")] = None,
    concurrency_key: Annotated[str | None, typer.Option(help="A tenant, say: keys of a queue take turns.")] = None,
    pool: Annotated[str | None, typer.Option(help="Only workers with this label.")] = None,
    priority: Annotated[float | None, typer.Option(help="Seconds of head start.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A word to find it by. Repeatable.")] = None,
    metadata_json: Annotated[str | None, typer.Option("--metadata", metavar="JSON", help="A JSON object.")] = None,
    batch: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="One run per line: a JSON list or object of arguments; - is stdin."),
    ] = None,
    batch_id: Annotated[
        str | None, typer.Option(metavar="NAME", help="The batch's name: with it, the same line again is the same run.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the end and print the result.")] = False,
    wait_timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Stop waiting after this; the run goes on.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Start a run. With --wait, show how it goes and print its result."""
    from longshore.cli.screen import Screen

    positional, named = arguments(args, kwargs, arg or [])
    given: dict[str, Any] = {
        "delay": delay,
        "ttl": ttl,
        "attempt_timeout": timeout,
        "deadline": deadline,
        "max_attempts": max_attempts,
        "retry_first": retry_first,
        "retry_factor": retry_factor,
        "retry_max": retry_max,
        "idempotency_key": idempotency_key,
        "idempotency_ttl": idempotency_ttl,
        "producer": producer,
        "debounce": debouncing(debounce_key, debounce_delay, debounce_mode, debounce_max_delay),
        "version": version,
        "version_deadline": version_deadline,
        "queue": queue,
        "concurrency_key": concurrency_key,
        "pool": pool,
        "priority": priority,
        "tags": tag,
        "metadata": metadata(metadata_json),
    }
    lengths = ("delay", "ttl", "deadline", "retry_first", "retry_max", "version_deadline", "idempotency_ttl")
    checked_durations({"timeout": timeout, "wait_timeout": wait_timeout} | {name: given[name] for name in lengths})
    options = {name: value for name, value in given.items() if value not in (None, [], {})}
    if batch is not None or batch_id is not None:
        if batch is None:
            raise UsageError("--batch-id names the batch that --batch FILE sends\ngive --batch, or leave it out")
        if positional or named or run_id:
            raise UsageError(
                "--batch FILE has the arguments of every run\ngive it without --args, --kwargs, --arg, --run-id"
            )
        patience = None if wait_timeout is None else duration(wait_timeout).total_seconds()
        waits = wait or wait_timeout is not None
        sent = send_batch(Screen(as_json=as_json), routine, batch, batch_id, options, wait=waits, patience=patience)
        return asyncio.run(sent)
    order = Order(routine, positional, named, run_id, options)
    return asyncio.run(_trigger(Screen(as_json=as_json), order, wait or wait_timeout is not None, wait_timeout))


@dataclass(frozen=True, slots=True)
class Order:
    """What to start."""

    routine: str
    args: list[Any]
    kwargs: dict[str, Any]
    run_id: str | None
    options: dict[str, Any]


async def _trigger(screen: Screen, order: Order, wait: bool, wait_timeout: str | None) -> int:
    from longshore.cli.asking import asker
    from longshore.core.durations import duration

    patience = None if wait_timeout is None else duration(wait_timeout).total_seconds()
    async with asker() as client:
        run = await client.trigger(
            order.routine, args=order.args, kwargs=order.kwargs, run_id=order.run_id, **order.options
        )
        if wait:
            return await follow(screen, run, patience=patience)
        info = await run.info()
        if screen.as_json:
            screen.document({"run_id": run.id, "status": info["status"], "why_waiting": info["why_waiting"]})
            return 0
        screen.text(run.id)
        if info["status"] == "PENDING_VERSION":
            screen.remark(f"it waits: {why_text(info['why_waiting'])}", style="yellow")
        screen.remark(f"{info['status']}; `longshore runs watch {run.id}` follows it")
    return 0
