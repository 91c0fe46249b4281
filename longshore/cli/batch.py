"""`longshore trigger ROUTINE --batch FILE` sends one run per line; `longshore batches ...` looks at what was sent."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer

from longshore.cli.fields import as_fields, time_of
from longshore.cli.options import LONGEST_LIST, AsJson
from longshore.cli.screen import Screen
from longshore.core.errors import UsageError

app = typer.Typer(help="Look at batches of runs.", no_args_is_help=True)

LONGEST_LINE: Final = 64 << 20
SHOWN: Final = 20
"""So many failures are shown one by one."""
_PIECE: Final = 1 << 20


async def send_batch(
    screen: Screen, routine: str, path: str, batch_id: str | None, options: dict[str, Any], *, wait: bool,
    patience: float | None,
) -> int:  # fmt: skip
    """Send one run per line of a file (`-`: standard input); the exit status is 1 if any failed.

    A line is a list of positional arguments or an object of named ones. With an id of one's own for the batch the same
    line again is the same run.
    """
    from longshore.cli.asking import asker
    from longshore.client.orders import new_batch_id

    lines = await _lines_of(path)
    name = batch_id or new_batch_id()
    sent = failed = 0
    async with asker() as client:
        items = _orders(lines, routine, name if batch_id else "")
        options = {**options, "batch_id": name}
        runs = client.trigger_stream(items, return_exceptions=True, **options)
        with screen.status(f"batch {name}") as say:
            async with aclosing(runs) as each:
                number = 0
                async for run in each:
                    number += 1
                    bad = isinstance(run, Exception)
                    failed += bad
                    sent += not bad
                    _tell(screen, number, run, failed)
                    say(f"batch {name}: {sent} sent, {failed} failed")
        info: dict[str, Any] = {}
        if wait and sent:
            with screen.status(f"batch {name}: {sent} sent, waiting for their ends"):
                info = as_fields(await client.batch(name).wait(patience))
    return _sum_up(screen, {"batch_id": name, "sent": sent, "failed": failed}, info)


def _tell(screen: Screen, number: int, run: Any, failed: int) -> None:
    if not isinstance(run, Exception):
        if screen.as_json:
            screen.line({"item": number, "run_id": run.id, "existing": run.existing})
        return
    if screen.as_json:
        screen.line({"item": number, "error": {"type": type(run).__name__, "message": str(run)}})
    elif failed <= SHOWN:
        screen.remark(f"item {number}: {run}", style="red")
    elif failed == SHOWN + 1:
        screen.remark("more failures are counted, not shown", style="red")


def _sum_up(screen: Screen, facts: dict[str, Any], info: dict[str, Any]) -> int:
    statuses = info.get("statuses", {})
    if screen.as_json:
        screen.line(facts | ({"statuses": statuses} if info else {}))
    else:
        screen.text(facts["batch_id"])
        ended = "".join(f", {count} {status}" for status, count in statuses.items())
        screen.remark(f"{facts['sent']} sent, {facts['failed']} failed{ended}; `longshore batches show` tells more")
    return 1 if facts["failed"] or set(statuses) - {"COMPLETED"} else 0


# ------------------------------------------------------------------------------------------------------------ lines


async def _orders(lines: AsyncIterator[bytes], routine: str, batch_id: str) -> AsyncGenerator[Any, None]:
    """What to start for each line; for one that cannot be read the error."""
    from longshore.client import Order

    number = 0
    async for line in lines:
        number += 1
        if not line.strip():
            continue
        try:
            given = json.loads(line)
        except ValueError as error:
            yield UsageError(f"line {number} is not JSON: {error}")
            continue
        run_id = _run_id(batch_id, number) if batch_id else None
        if isinstance(given, list):
            yield Order(routine, given, None, run_id)
        elif isinstance(given, dict):
            yield Order(routine, None, given, run_id)
        else:
            yield UsageError(f"line {number} is neither a list of arguments nor an object with named ones")


def _run_id(batch_id: str, number: int) -> str:
    """The same for the same line of the same batch: a UUID (version 8: made of our own)."""
    digest = hashlib.sha256(f"{batch_id}\n{number}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"


async def _lines_of(path: str) -> AsyncIterator[bytes]:
    """The lines of a file, or of standard input as they come. Raises UsageError where it cannot be read."""
    if path == "-" and not stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode):
        reader = asyncio.StreamReader(limit=LONGEST_LINE)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        return aiter(reader)
    return _of_file(await asyncio.to_thread(_open, path))


def _open(path: str) -> BinaryIO:
    try:
        return sys.stdin.buffer if path == "-" else Path(path).open("rb")
    except OSError as error:
        text = f"--batch {path}: {error.strerror or error}"
        raise UsageError(f"{text}\ngive a file with one JSON value per line, or -") from error


async def _of_file(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while lines := await asyncio.to_thread(file.readlines, _PIECE):
            for line in lines:
                yield line


# ---------------------------------------------------------------------------------------------------------- looking


@app.command("list")
def list_batches(
    status: Annotated[str | None, typer.Option(help="Only those: open, sealed or aborted.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LONGEST_LIST, help="At most so many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest batches."""
    asyncio.run(_list(Screen(as_json=as_json), status, limit))


async def _list(screen: Screen, status: str | None, limit: int) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        found = await client.batches(status=status, limit=limit)
    if screen.as_json:
        for one in found:
            screen.line(one)
        return
    if not found:
        screen.remark("no batches" + (" that fit" if status else " yet: `longshore trigger ROUTINE --batch FILE`"))
        return
    rows = [
        [one["batch_id"], one["status"], one["runs"], one["refused"], time_of(one["created_at"]), one["reason"]]
        for one in found
    ]
    screen.table(["BATCH", "STATUS", "RUNS#", "REFUSED#", "CREATED", "REASON"], rows)


@app.command()
def show(
    batch_id: Annotated[str, typer.Argument(metavar="BATCH_ID", help="As `trigger --batch` and `list` show it.")],
    as_json: AsJson = False,
) -> None:
    """One batch: whether all of it came, and how many of its runs stand where."""
    asyncio.run(_show(Screen(as_json=as_json), batch_id))


async def _show(screen: Screen, batch_id: str) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        info = as_fields(await client.batch(batch_id).info())
    if screen.as_json:
        screen.document(info)
        return
    names = ("status", "reason", "items", "runs", "existing", "refused", "unfinished")
    facts: list[tuple[str, Any]] = [("batch", batch_id), *((name, info[name]) for name in names)]
    facts += [("created", time_of(info["created_at"])), ("closed", time_of(info["closed_at"]))]
    screen.facts(facts + list(info["statuses"].items()))
