"""Words that several commands share: their options, and how text becomes a value. Pure; it reads no environment."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import typer

from longshore.core.durations import duration
from longshore.core.errors import UsageError

AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout: one document, or one line per item.")]
RunId = Annotated[str, typer.Argument(metavar="RUN_ID", help="The run's id, as `trigger` and `runs list` show it.")]
Modules = Annotated[
    list[str], typer.Argument(metavar="MODULE...", help="Modules with routines, importable from the current folder.")
]
Pool = Annotated[str, typer.Option(help="The label under which runs with `pool=` find this worker.")]
Slots = Annotated[int, typer.Option(min=1, help="How many tasks one process executes at a time.")]

LONGEST_LIST: Final = 1000


def arguments(args: str | None, kwargs: str | None, single: list[str]) -> tuple[list[Any], dict[str, Any]]:
    """The routine's arguments out of `--args JSON`, `--kwargs JSON` and any number of `--arg name=value`.

    Raises UsageError that names the option and shows what it should look like.
    """
    positional = _json("--args", args, list, '[1, "two"]') if args else []
    named = _json("--kwargs", kwargs, dict, '{"epochs": 3}') if kwargs else {}
    for text in single:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--arg {text!r} is not name=value\nwrite for example `--arg epochs=3`")
        if name in named:
            raise UsageError(f"the argument {name!r} is given twice\nkeep one of them")
        named[name] = loose(value)
    return positional, named


def metadata_of(text: str | None) -> dict[str, Any]:
    """The object of `--metadata JSON`."""
    return _json("--metadata", text, dict, '{"ticket": 17}') if text else {}


def a_value(option: str, text: str | None) -> Any:
    """The value of an option that takes any JSON; None without it. Raises UsageError."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        example = f"{option} true` or `{option} '\"yes\"'"
        raise UsageError(f"{option} is not JSON ({error})\nwrite for example `{example}`") from None


def debouncing(key: str | None, delay: str | None, mode: str | None, max_delay: str | None) -> dict[str, str] | None:
    """The option `debounce` out of four of the command line; None without any. Raises UsageError."""
    if key is None and delay is None and mode is None and max_delay is None:
        return None
    if key is None or delay is None:
        example = "--debounce-key user-7 --debounce-delay 5s"
        raise UsageError(f"a debounce needs a key and a delay\nwrite for example `{example}`")
    checked_durations({"debounce_delay": delay, "debounce_max_delay": max_delay})
    given = {"key": key, "delay": delay, "mode": mode, "max_delay": max_delay}
    return {name: text for name, text in given.items() if text is not None}


def checked_durations(given: dict[str, Any]) -> None:
    """See that every duration among the options can be read, before anything is sent. Raises UsageError naming it."""
    for name, text in given.items():
        if text is None:
            continue
        try:
            duration(text)
        except UsageError as error:
            raise UsageError(f"--{name.replace('_', '-')} {text!r}: {error}") from None


def loose(text: str) -> Any:
    """JSON where it is JSON (numbers, true, null, lists, objects, quoted text), else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json(option: str, text: str, kind: type, example: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{option} is not JSON ({error})\nwrite for example `{option} '{example}'`") from None
    if not isinstance(value, kind):
        wanted = "a list" if kind is list else "an object"
        raise UsageError(f"{option} must be {wanted}, not {text}\nwrite for example `{option} '{example}'`")
    return value
