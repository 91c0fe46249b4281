"""`longshore runs metadata`: look at a run's metadata and tags, and change them. It decides nothing."""

from __future__ import annotations

import asyncio
import math
from typing import Annotated, Any

import typer

from longshore.cli.fields import as_fields
from longshore.cli.options import AsJson, RunId, loose
from longshore.cli.screen import Screen, to_json
from longshore.core.errors import UsageError

_Pairs = list[str] | None


def metadata(
    run_id: RunId,
    set_: Annotated[
        _Pairs, typer.Option("--set", metavar="KEY=VALUE", help="Make this the value (JSON or text).")
    ] = None,
    increment: Annotated[_Pairs, typer.Option(metavar="KEY[=N]", help="Add N (1) to the number under KEY.")] = None,
    append: Annotated[_Pairs, typer.Option(metavar="KEY=VALUE", help="Add an item to the list under KEY.")] = None,
    delete: Annotated[_Pairs, typer.Option(metavar="KEY", help="Let go of KEY.")] = None,
    add_tag: Annotated[_Pairs, typer.Option(metavar="TAG", help="Add a tag; a run has at most 10.")] = None,
    remove_tag: Annotated[_Pairs, typer.Option(metavar="TAG", help="Take a tag away.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a run's metadata and tags: all of what is given, or nothing of it. Without options they are shown."""
    changes: dict[str, Any] = {
        "set": _pairs("--set", set_),
        "increment": {key: _number(key, value) for key, value in _pairs("--increment", increment, 1).items()},
        "append": _pairs("--append", append),
        "delete": delete or [],
        "add_tags": add_tag or [],
        "remove_tags": remove_tag or [],
    }
    asyncio.run(_metadata(Screen(as_json=as_json), run_id, {name: one for name, one in changes.items() if one}))


def _pairs(option: str, given: _Pairs, usual: Any = None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in given or []:
        key, equals, value = text.partition("=")
        if not key or not (equals or usual is not None):
            raise UsageError(f"{option} {text!r} is not KEY=VALUE\nwrite for example `{option} epoch=3`")
        if key in found:
            raise UsageError(f"{option}: the key {key!r} is given twice\nkeep one of them")
        found[key] = loose(value) if equals else usual
    return found


def _number(key: str, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"--increment {key}={value}: {value!r} is no number\nwrite for example `--increment {key}=2`")
    return value


async def _metadata(screen: Screen, run_id: str, changes: dict[str, Any]) -> None:
    from longshore.cli.asking import asker

    async with asker() as client:
        run = client.handle(run_id)
        if changes:
            await run.metadata.change(**changes)
        info = as_fields(await run.info())
    if screen.as_json:
        screen.document({name: info[name] for name in ("run_id", "status", "metadata", "tags")})
        return
    screen.facts([*((key, to_json(value)) for key, value in info["metadata"].items()), ("tags", info["tags"])])
