"""Options that several commands have, as values: a parameter of a command whose type is one of these (a dataclass)
stands for an option of each field, with the field's default. They only read what was typed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from longshore.cli.options import arguments, checked_durations, debouncing, metadata_of
from longshore.core.durations import duration

T = TypeVar("T")


def spread(command: Callable[..., T]) -> Callable[..., T]:
    """The command as it is to be registered: with an option for each field of its parameters that are dataclasses."""
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(hints[name]) and isinstance(hints[name], type):
            groups[name] = hints[name]
            parameters += _options_of(groups[name])
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(command)
    def typed(**given: Any) -> T:
        values = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        return command(**given, **values)

    del typed.__wrapped__  # whoever asks for its parameters is told those below
    typed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what `inspect` looks for
    return typed


def _options_of(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(group)
    ]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The arguments of a routine."""

    args: Annotated[str | None, typer.Option(metavar="JSON", help="Positional arguments, a JSON list.")] = None
    kwargs: Annotated[str | None, typer.Option(metavar="JSON", help="Named arguments, a JSON object.")] = None
    arg: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="One argument; JSON, else text. Repeatable.")
    ] = None

    def values(self) -> tuple[list[Any], dict[str, Any]]:
        """The positional ones and the named ones. Raises UsageError."""
        return arguments(self.args, self.kwargs, self.arg or [])


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Whether and how long a command waits for the run that it starts."""

    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the end and print the result.")] = False
    wait_timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Stop waiting after this; the run goes on.")
    ] = None

    @property
    def is_asked(self) -> bool:
        """A timeout asks for it, too."""
        return self.wait or self.wait_timeout is not None

    def patience(self) -> float | None:
        """For how many seconds; None: for ever. Raises UsageError."""
        checked_durations({"wait_timeout": self.wait_timeout})
        return None if self.wait_timeout is None else duration(self.wait_timeout).total_seconds()


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run may be asked for, whatever starts it. A field has the name that the client gives its option."""

    ttl: Annotated[str | None, typer.Option(metavar="DURATION", help="Expires unless started by then.")] = None
    attempt_timeout: Annotated[str | None, typer.Option("--timeout", metavar="DURATION", help="For each attempt.")] = (
        None
    )
    deadline: Annotated[str | None, typer.Option(metavar="DURATION", help="For the whole run.")] = None
    max_attempts: Annotated[int | None, typer.Option(min=1, max=250, help="Tries, the first included.")] = None
    retry_first: Annotated[str | None, typer.Option(metavar="DURATION", help="From the first try to the second.")] = (
        None
    )
    retry_factor: Annotated[float | None, typer.Option(min=1, help="How much longer each further delay is.")] = None
    retry_max: Annotated[str | None, typer.Option(metavar="DURATION", help="The longest delay between tries.")] = None
    version: Annotated[str | None, typer.Option(help="Its version, or latest: the newest offered then.")] = None
    version_deadline: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long it waits for a version nobody offers (30d).")
    ] = None
    queue: Annotated[str | None, typer.Option(help="Whose limits hold; by default what its routine says.")] = None
    concurrency_key: Annotated[str | None, typer.Option(help="A tenant, say: keys of a queue take turns.")] = None
    pool: Annotated[str | None, typer.Option(help="Only workers with this label.")] = None
    priority: Annotated[float | None, typer.Option(help="Seconds of head start.")] = None
    tags: Annotated[list[str] | None, typer.Option("--tag", help="A word to find it by. Repeatable.")] = None
    metadata: Annotated[str | None, typer.Option(metavar="JSON", help="A JSON object.")] = None

    def given(self) -> dict[str, Any]:
        """Those that were typed, as the client takes them. Raises UsageError for one that cannot be read."""
        lengths = ("ttl", "deadline", "retry_first", "retry_max", "version_deadline")
        checked_durations({"timeout": self.attempt_timeout} | {name: getattr(self, name) for name in lengths})
        own = {field.name: getattr(self, field.name) for field in fields(RunOptions)}
        return _typed(own | {"metadata": metadata_of(self.metadata)})


@dataclass(frozen=True, kw_only=True)
class TriggerOptions(RunOptions):
    """What a trigger may ask for: of the run, and whether it makes one."""

    delay: Annotated[str | None, typer.Option(metavar="DURATION", help="Start not before, e.g. 90, 5m, 1h30m.")] = None
    idempotency_key: Annotated[str | None, typer.Option(help="Triggers with the same key make one run.")] = None
    idempotency_ttl: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long the key makes one run of them (30d).")
    ] = None
    producer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose the idempotency key is (the project of the settings).")
    ] = None
    debounce_key: Annotated[
        str | None, typer.Option(help="Triggers with it that come within --debounce-delay make one run.")
    ] = None
    debounce_delay: Annotated[str | None, typer.Option(metavar="DURATION", help="See --debounce-key.")] = None
    debounce_mode: Annotated[
        str | None, typer.Option(metavar="trailing|leading", help="It runs with the last input, or at once.")
    ] = None
    debounce_max_delay: Annotated[
        str | None, typer.Option(metavar="DURATION", help="It is never put off longer than this.")
    ] = None

    def given(self) -> dict[str, Any]:
        """See RunOptions.given."""
        checked_durations({"delay": self.delay, "idempotency_ttl": self.idempotency_ttl})
        own = {
            "delay": self.delay,
            "idempotency_key": self.idempotency_key,
            "idempotency_ttl": self.idempotency_ttl,
            "producer": self.producer,
            "debounce": debouncing(self.debounce_key, self.debounce_delay, self.debounce_mode, self.debounce_max_delay),
        }
        return super().given() | _typed(own)


def _typed(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, [], {})}
