"""`longshore demo`: a workflow over the source of Python's standard library, and what can be seen of it.

On the embedded default: coordinator, local bus and worker processes live in a folder of their own; the demo is an
ordinary client.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from longshore.cli.fields import as_fields
from longshore.cli.options import AsJson
from longshore.cli.screen import Screen, seconds, size

if TYPE_CHECKING:
    from longshore.client import Client, Run

LOOK_EVERY: Final = 0.2
MODULE: Final = "longshore.demo"


def demo(
    folder: Annotated[
        Path | None, typer.Option(help="Keep ledger and payloads in this folder instead of a temporary one.")
    ] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="How many worker processes.")] = None,
    as_json: AsJson = False,
) -> None:
    """A workflow over real input on the embedded default: progress, results, where the time went, the cache."""
    screen = Screen(as_json=as_json)
    with _place(folder) as place:
        asyncio.run(_demo(screen, place, processes, kept=folder is not None))


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="longshore-demo-") as temporary:
        yield Path(temporary)


@dataclass(slots=True)
class Seen:
    """What was observed while a run went on."""

    elapsed: float = 0.0
    result: Any = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    states: dict[str, list[str]] = field(default_factory=dict)

    def note(self, worker: dict[str, Any]) -> None:
        """Remember a worker's status where it is news."""
        states = self.states.setdefault(worker["worker_id"], [])
        if not states or states[-1] != worker["status"]:
            states.append(worker["status"])

    @property
    def cached(self) -> int:
        """How many runs the cache answered."""
        return sum(bool(row.get("cached")) for row in self.rows)

    @property
    def offloaded(self) -> list[dict[str, Any]]:
        """Runs whose input or result travelled as a claim check, the largest first."""
        large = [row for row in self.rows if row.get("input_size") or row.get("result_size")]
        return sorted(large, key=lambda row: -max(row.get("input_size") or 0, row.get("result_size") or 0))


async def _demo(screen: Screen, place: Path, processes: int | None, *, kept: bool) -> None:
    from longshore.assembly.crew import Crew, cores
    from longshore.assembly.dev import embedded, open_house
    from longshore.client import Client

    crew = Crew((MODULE,), slots=2, processes=processes or min(cores(), 4))
    settings = embedded(place)
    logging.getLogger("longshore.client").addHandler(logging.NullHandler())  # what is waited for is shown here
    _introduce(screen, place, crew.processes)
    begin = time.monotonic()
    async with open_house(settings, crew) as house, Client(settings=settings) as client:
        await house.wait_for_workers()
        screen.remark(f"coordinator, local bus and {crew.processes} worker processes are up after {_since(begin)}\n")
        first = await _watched(screen, client)
        second = await _watched(screen, client)
        workers = [as_fields(worker) for worker in await client.workers()]
    if screen.as_json:
        screen.document(_document(first, second, workers))
        return
    _show_result(screen, first)
    _show_way(screen, first)
    _show_second(screen, first, second)
    _show_next(screen, place if kept else None)


def _introduce(screen: Screen, place: Path, processes: int) -> None:
    screen.remark("Longshore demo: a report on the source of Python's own standard library", style="bold")
    screen.remark("one task per package folder, each in a process that can be killed; then a second stage joins them")
    screen.remark(f"no service is needed: ledger (SQLite), payloads and bus socket are in {place}")


def _since(begin: float) -> str:
    return seconds(time.monotonic() - begin)


async def _watched(screen: Screen, client: Client) -> Seen:
    """Start the report, look on until its end."""
    from longshore.demo import report

    seen = Seen()
    begin = time.monotonic()
    run = await client.trigger(report())
    with _progress(screen) as show:
        ending = asyncio.ensure_future(run.result())
        try:
            while not ending.done():
                await _look(client, run, seen)
                show(seen)
                await asyncio.wait([ending], timeout=LOOK_EVERY)
            seen.result = await ending
        finally:
            ending.cancel()
        seen.elapsed = time.monotonic() - begin
        await _look(client, run, seen)
        show(seen)
    return seen


async def _look(client: Client, run: Run[Any], seen: Seen) -> None:
    workers, rows = await asyncio.gather(client.workers(), run.tree())
    seen.rows = [as_fields(row) for row in rows]
    for worker in workers:
        seen.note(as_fields(worker))


@contextmanager
def _progress(screen: Screen) -> Iterator[Any]:
    """Gives a function that shows how far a run is: a bar in a terminal, a line per quarter elsewhere."""
    from longshore.core.run import FINAL

    def counts(seen: Seen) -> tuple[int, int]:
        children = [row for row in seen.rows if row.get("parent_id")]
        return sum(row["status"] in FINAL for row in children), len(children)

    if not screen.terminal:
        said = -1

        def tell(seen: Seen) -> None:
            nonlocal said
            done, known = counts(seen)
            quarter = 4 * done // known if known > 1 else 0
            if quarter > said:
                said = quarter
                screen.remark(f"  {done} of {known} sub-routines done")

        yield tell
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen.remarks) as bar:
        line = bar.add_task("sub-routines", total=None)

        def draw(seen: Seen) -> None:
            done, known = counts(seen)
            states = ", ".join(states[-1] for states in seen.states.values())
            bar.update(line, completed=done, total=known or None, description=f"sub-routines  workers: {states}")

        yield draw


def _show_result(screen: Screen, seen: Seen) -> None:
    totals = seen.result["totals"]
    screen.text()
    counted = ("packages", "files", "lines", "classes", "functions")
    told = ", ".join(f"{totals[name]:,} {name}" for name in counted)
    screen.text(f"{told} in {seconds(seen.elapsed)}", style="bold")
    columns = ["package", "files", "lines", "functions", "classes"]
    rows = [[part[name] for name in columns] for part in seen.result["packages"]]
    screen.text()
    screen.table(["PACKAGE", "FILES#", "LINES#", "FUNCTIONS#", "CLASSES#"], rows, title="The largest packages")
    longest = [
        [row["lines"], row["name"], f"{row['package']} {row['file']}:{row['line']}"]
        for row in seen.result["longest_functions"]
    ]
    screen.text()
    screen.table(["LINES#", "FUNCTION", "WHERE"], longest, title="The longest functions")
    screen.text()
    imported = [[row["times"], row["module"]] for row in seen.result["most_imported"]]
    screen.table(["TIMES#", "MODULE"], imported, title="The most imported modules")


def _show_way(screen: Screen, seen: Seen) -> None:
    from longshore.cli.tree import show_tree

    screen.text()
    screen.text("Where the time went", style="bold")
    show_tree(screen, seen.rows, limit=8, now=datetime.now(UTC))
    screen.text()
    offloaded = [
        [row["routine"], size(row.get("input_size")), size(row.get("result_size")), row["run_id"]]
        for row in seen.offloaded[:5]
    ]
    title = f"Offloaded: {len(seen.offloaded)} runs had a value over 64 KiB; only its claim check travelled"
    screen.table(["ROUTINE", "INPUT#", "RESULT#", "RUN"], offloaded, title=title)
    screen.text()
    states = [[worker, " → ".join(states)] for worker, states in seen.states.items()]
    screen.table(["WORKER", "STATES SEEN"], states, title="What the workers went through")


def _show_second(screen: Screen, first: Seen, second: Seen) -> None:
    screen.text()
    screen.text(
        f"The same again took {seconds(second.elapsed)} instead of {seconds(first.elapsed)}: "
        f"{second.cached} of {len(second.rows) - 1} sub-routines were answered from the cache, "
        f"{'with the same result' if second.result == first.result else 'but the result differs'}",
        style="bold",
    )


def _show_next(screen: Screen, place: Path | None) -> None:
    enter = f"cd {place} && " if place else ""
    screen.text()
    screen.text("Where to look next", style="bold")
    screen.facts(
        [
            ("the same, step by step", f"{enter}longshore dev {MODULE}"),
            ("  in a second terminal", f"{enter}longshore trigger stdlib.report --wait"),
            ("  then", "longshore runs list; longshore runs tree RUN_ID; longshore workers list"),
            ("the routines' source", __import__(MODULE, fromlist=["demo"]).__file__),
            ("what is wrong here?", "longshore doctor"),
        ]
    )


def _document(first: Seen, second: Seen, workers: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "result": first.result,
        "seconds": round(first.elapsed, 3),
        "runs": first.rows,
        "offloaded": len(first.offloaded),
        "worker_states": first.states,
        "workers": workers,
        "second": {
            "seconds": round(second.elapsed, 3),
            "cached": second.cached,
            "runs": len(second.rows),
            "same_result": second.result == first.result,
        },
    }
