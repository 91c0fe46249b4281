"""`longshore runs replay-check`: recorded journals against the code in a module. Nothing is sent, stored or changed."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from longshore.cli.options import LONGEST_LIST, AsJson
from longshore.cli.problems import FAILED
from longshore.cli.screen import Screen
from longshore.core.errors import Rejected, UsageError
from longshore.core.ids import is_run_id

if TYPE_CHECKING:
    from longshore.client import Client
    from longshore.routines.catalog import Catalog
    from longshore.worker.replaying import Checked

_SEED: Final = "PYTHONHASHSEED"
_WORKERS_SEED: Final = "0"
"""As in workers: the order of a set of texts is the same."""

Words = Annotated[
    list[str],
    typer.Argument(metavar="[RUN_ID]... MODULE...", help="Runs (else by the options), then the code's modules."),
]


def replay_check(
    words: Words,
    status: Annotated[str | None, typer.Option(help="Runs with this status, e.g. HANGING.")] = None,
    routine: Annotated[str | None, typer.Option(help="Runs of this workflow.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LONGEST_LIST, help="At most so many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> int:
    """Replay recorded workflows against the code in MODULE, with dispatch off. Exit status 1 when one differs.

    Ask it before new code goes to the workers: what differs would be BLOCKED there.
    """
    if os.environ.get(_SEED) != _WORKERS_SEED:
        return _again()
    runs, modules = [word for word in words if is_run_id(word)], [word for word in words if not is_run_id(word)]
    if not modules:
        raise UsageError("which code?\nname its module behind the runs: `longshore runs replay-check RUN_ID MODULE`")
    if runs and (status or routine):
        raise UsageError("--status and --routine choose runs where none are named\ngive either those or run ids")
    return asyncio.run(_check(Screen(as_json=as_json), runs, modules, status and status.upper(), routine, limit))


def _again() -> int:
    """The same command with texts hashed as in workers."""
    command = [sys.executable, *_flags(), "-m", "longshore.cli", *sys.argv[1:]]
    return subprocess.run(command, env=os.environ | {_SEED: _WORKERS_SEED}, check=False).returncode


def _flags() -> list[str]:
    return [flag for option in sys.warnoptions for flag in ("-W", option)]


async def _check(
    screen: Screen, runs: list[str], modules: list[str], status: str | None, routine: str | None, limit: int
) -> int:
    from longshore.cli.asking import asker
    from longshore.routines.catalog import collect

    catalog = collect(modules)
    names = sorted({one.name for one in catalog if one.kind == "workflow"})
    if not names:
        raise UsageError(f"there is no workflow in {', '.join(modules)}\nname the module whose code is to be checked")
    if routine is not None and routine.partition("@")[0] not in names:
        raise UsageError(f"there is no workflow {routine!r} in {', '.join(modules)}\nthere are: {', '.join(names)}")
    async with asker() as client:
        found = runs or await _choose(client, [routine] if routine else names, status, limit)
        checked = [await _one(client, run_id, catalog) for run_id in found]
    _show(screen, checked)
    return FAILED if any(one.verdict == "differs" for one in checked) else 0


async def _choose(client: Client, routines: list[str], status: str | None, limit: int) -> list[str]:
    """The newest runs of these workflows."""
    rows = [row for name in routines for row in await client.runs(status=status, routine=name, limit=limit)]
    rows.sort(key=lambda row: row["no"], reverse=True)
    return [row["run_id"] for row in rows[:limit]]


async def _one(client: Client, run_id: str, catalog: Catalog) -> Checked:
    from longshore.client.places import cargo_of
    from longshore.settings import load
    from longshore.worker.bench import Bench
    from longshore.worker.replaying import SKIPPED, Checked, check

    try:
        journal = await client.handle(run_id).journal()
    except Rejected as refused:
        if refused.rule != "no_workflow":
            raise
        return Checked(run_id, "", "", "", "", SKIPPED, text=str(refused).partition("): ")[2])
    settings = load()
    cargo = cargo_of(settings)
    logging.disable()  # the code says again what it said before
    try:
        return await asyncio.to_thread(check, journal, catalog, Bench(cargo.cargo, settings.project))
    finally:
        logging.disable(logging.NOTSET)
        await cargo.close()


def _show(screen: Screen, checked: list[Checked]) -> None:
    from longshore.cli.fields import as_fields

    if screen.as_json:
        for one in checked:
            screen.line(as_fields(one))
        return
    if not checked:
        screen.remark("no runs to check")
        return
    columns = ["RUN", "RECORDED", "CODE", "STATUS", "FACTS#", "VERDICT"]
    screen.table(columns, [_row(one) for one in checked])
    for one in checked:
        if one.text:
            screen.text(f"\n{one.run_id}: {one.verdict}\n{one.text}")
    differ = sum(one.verdict == "differs" for one in checked)
    screen.remark(f"{len(checked)} checked, {differ} differ" + ("; nothing was written" if differ else ""))


def _row(one: Checked) -> list[Any]:
    recorded = f"{one.routine}@{one.version}" if one.version else one.routine
    return [one.run_id, recorded, one.code, one.status, one.deliveries, one.verdict]
