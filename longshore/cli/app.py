"""The command line put together: which commands there are, and how an error leaves the process. Nothing else."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from typer.models import CommandInfo

from longshore.cli import demo, doctor, fleet, runs, serve, trigger
from longshore.cli.problems import FAILED, USAGE, Problem, explain

app = typer.Typer(
    name="longshore",
    help="Run Python routines on a fleet of workers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("dev")(serve.dev)
app.command("coordinator")(serve.coordinator)
app.command("worker")(serve.worker)
app.command("trigger")(trigger.trigger)
app.add_typer(runs.app, name="runs")
app.add_typer(fleet.workers, name="workers")
app.add_typer(fleet.dead, name="dead")
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


def _version(wanted: bool) -> None:
    if wanted:
        from longshore import __version__

        print(f"longshore {__version__}")
        raise typer.Exit


@app.callback()
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
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    if first in groups:
        inside = {command.name or getattr(command.callback, "__name__", "") for command in _commands(groups[first])}
        return f"longshore {first} {second}" if second in inside else f"longshore {first}"
    return f"longshore {first}" if first in {command.name for command in app.registered_commands} else "longshore"


def _commands(group: typer.Typer | None) -> list[CommandInfo]:
    return group.registered_commands if group is not None else []
