"""How a routine that a schedule starts is given its tick as an argument. It reads a signature and calls nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from longshore.core.schedules import ScheduledTick

NAME: Final = "schedule"
"""The parameter that is given the tick."""
_FREE: Final = frozenset({"Any", "typing.Any", "t.Any", "object"})
"""Annotations, as texts, that say nothing."""
_BY_POSITION: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def with_tick(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], tick: ScheduledTick
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The arguments with the tick in its place, if the function has one: the parameter `schedule`, unless the schedule
    itself gives that something; or else, where the schedule gives no arguments at all, the only one it needs."""
    parameters = list(inspect.signature(function).parameters.values())
    for position, parameter in enumerate(parameters):
        if parameter.name != NAME:
            continue
        if parameter.kind in _BY_POSITION and position < len(args):
            value = _value(parameter, tick) if args[position] is None else args[position]
            return [*args[:position], value, *args[position + 1 :]], kwargs
        return args, {**kwargs, NAME: _value(parameter, tick)} if kwargs.get(NAME) is None else kwargs
    needed = [one for one in parameters if one.kind in _BY_POSITION and one.default is inspect.Parameter.empty]
    if len(needed) == 1 and not args and not kwargs:
        return [_value(needed[0], tick)], kwargs
    return args, kwargs


def _value(parameter: inspect.Parameter, tick: ScheduledTick) -> Any:
    """The tick, or its fields where the annotation wants something else: a dict, or a model of the user's own."""
    annotation = parameter.annotation
    written = annotation if isinstance(annotation, str) else str(annotation)
    free = annotation in (inspect.Parameter.empty, Any, object) or written in _FREE
    as_it_is = free or ScheduledTick.__name__ in written
    return tick if as_it_is else asdict(tick)
