"""The command line put together: which commands there are, and how an error leaves the process. Nothing else.

Only the command that was typed is loaded: all ten take 40 ms more (measured).
"""

from __future__ import annotations

import os
import sys
from copy import copy
from importlib import import_module
from typing import Annotated, Any, Final

import typer

from longshore.cli.problems import FAILED, USAGE, Problem, explain

COMMANDS: Final = {
    "dev": "serve.dev",
    "coordinator": "serve.coordinator",
    "worker": "serve.worker",
    "trigger": "trigger.trigger",
    "runs": "runs.app",
    "batches": "batch.app",
    "bulk": "bulk.app",
    "tokens": "tokens.app",
    "schedules": "schedules.app",
    "events": "events.events",
    "workers": "fleet.workers",
    "queues": "queues.app",
    "dead": "fleet.dead",
    "outbox": "outbox.app",
    "doctor": "doctor.doctor",
    "demo": "demo.demo",
}
"""Each command or group, in the order of the help, and where it is."""


def _build(word: str, second: str) -> typer.Typer:
    """The command line with the one command that the words name, of its group as well; with all of them where they name
    none."""
    app = typer.Typer(
        name="longshore",
        help="Run Python routines on a fleet of workers.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name in [word] if word in COMMANDS else COMMANDS:
        found = _load(name)
        if isinstance(found, typer.Typer):
            app.add_typer(_only(found, second), name=name)
        else:
            app.command(name)(found)
    return app


def _only(group: typer.Typer, word: str) -> typer.Typer:
    """The group with the one command that `word` names; as it is if it names none. (Each command costs 1 ms.)"""
    named = [command for command in group.registered_commands if _name(command) == word]
    if not named:
        return group
    alone = copy(group)
    alone.registered_commands, alone.registered_groups = named, []
    return alone


def _name(command: Any) -> str:
    """As it is typed."""
    return command.name or getattr(command.callback, "__name__", "").replace("_", "-")


def _load(name: str) -> Any:
    module, _, attribute = COMMANDS[name].partition(".")
    return getattr(import_module(f"longshore.cli.{module}"), attribute)


def _version(wanted: bool) -> None:
    if wanted:
        from longshore import __version__

        print(f"longshore {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Run Python routines on a fleet of workers."""


def run(arguments: list[str]) -> int:
    """Execute one command; gives the exit status: 0 done, 1 failed, 2 usage."""
    from longshore.cli.screen import Screen

    screen = Screen(as_json="--json" in arguments)
    try:
        app = _build(*(*arguments, "", "")[:2])
        status = app(args=arguments, prog_name="longshore", standalone_mode=False)
    except typer.Abort:
        return FAILED
    except typer.TyperException as error:
        screen.problem(_usage(error, arguments))
        return USAGE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has left: nothing more to say
        return FAILED
    except (Exception, KeyboardInterrupt) as error:  # the outermost edge: known ones become words
        problem = explain(error)
        if problem is None:
            raise
        screen.problem(problem)
        return problem.status
    return status if isinstance(status, int) else 0


def _usage(error: typer.TyperException, arguments: list[str]) -> Problem:
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    path = _known(arguments)
    text = text or f"`{path}` needs a command"
    return Problem("UsageError", text, f"see `{path} --help`", USAGE)


def _known(arguments: list[str]) -> str:
    """`longshore` and those of the first two words that name a command."""
    first, second = (*arguments, "", "")[:2]
    if first not in COMMANDS:
        return "longshore"
    group = _load(first)
    if not isinstance(group, typer.Typer):
        return f"longshore {first}"
    inside = {_name(command) for command in group.registered_commands}
    return f"longshore {first} {second}" if second in inside else f"longshore {first}"
