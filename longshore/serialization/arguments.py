"""A routine's arguments: bound to its signature, filled with defaults, coerced by its annotations, encoded.

It never calls the routine. Arguments that already have exactly the annotated simple type cost no pydantic call (1 us
for one int, measured). What cannot be resolved or has no schema passes through unchecked.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, get_origin, get_type_hints

from longshore.core.errors import ArgumentError, DecodeError, EncodingError
from longshore.serialization.digests import digest
from longshore.serialization.values import Encoded, decode, encode

_EXACT: Final = frozenset({int, str, float, bool, bytes})
_LAZY: Final = (
    Iterable,
    Iterator,
    Generator,
    AsyncIterable,
    AsyncIterator,
)  # pydantic would wrap these in an iterator of its own
_NONE: Final = inspect.Parameter.empty
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

Coerce = Callable[[Any], Any]


class Arguments(NamedTuple):
    """Bound arguments: what can be positional is, in the order of the signature; defaults are filled in."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _Slot:
    """One parameter: its name, default, and how its values are coerced."""

    __slots__ = ("coerce", "default", "exact", "keyword", "name")

    def __init__(self, parameter: inspect.Parameter, annotation: Any) -> None:
        self.name = parameter.name
        self.default = parameter.default
        self.keyword = parameter.kind is not inspect.Parameter.POSITIONAL_ONLY
        self.exact: type | None = annotation if isinstance(annotation, type) and annotation in _EXACT else None
        self.coerce: Coerce | None = None if annotation is _NONE else _coercion(annotation)


class _Plan:
    """The slots of a signature, by kind."""

    __slots__ = ("keywords", "positional", "rest", "spread")

    def __init__(self, function: Callable[..., Any], parameters: Sequence[inspect.Parameter]) -> None:
        hints = _annotations(function, parameters)
        slots = [(parameter.kind, _Slot(parameter, hints.get(parameter.name, _NONE))) for parameter in parameters]
        self.positional = [slot for kind, slot in slots if kind in _POSITIONAL]
        self.keywords = [slot for kind, slot in slots if kind is inspect.Parameter.KEYWORD_ONLY]
        self.spread = next((slot for kind, slot in slots if kind is inspect.Parameter.VAR_POSITIONAL), None)
        self.rest = next((slot for kind, slot in slots if kind is inspect.Parameter.VAR_KEYWORD), None)


class Signature:
    """What a function may be called with. Annotations are read on first `bind`, when forward references are there."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._name = getattr(function, "__qualname__", repr(function))
        self._parameters = tuple(inspect.signature(function).parameters.values())
        self._plan: _Plan | None = None

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
        """The arguments bound, default-filled and coerced. Raises ArgumentError naming the parameter and the value."""
        plan = self._plan
        if plan is None:
            plan = self._plan = _Plan(self._function, self._parameters)
        slots = plan.positional
        values: list[Any] = []
        for slot, value in zip(slots, args, strict=False):
            fits = type(value) is slot.exact or slot.coerce is None
            values.append(value if fits else self._coerced(slot, value))
        if not kwargs and not plan.keywords and len(args) == len(slots):
            return Arguments(tuple(values), {})
        return self._bind_rest(plan, args, dict(kwargs), values)

    def _bind_rest(self, plan: _Plan, args: Sequence[Any], given: dict[str, Any], values: list[Any]) -> Arguments:
        taken = len(values)
        for slot in plan.positional[:taken]:
            if slot.keyword and slot.name in given:
                raise ArgumentError(f"{self._name}() got argument {slot.name!r} twice", parameter=slot.name)
        values += [self._named(slot, given) for slot in plan.positional[taken:]]
        if len(args) > taken:
            if plan.spread is None:
                raise ArgumentError(
                    f"{self._name}() takes {len(plan.positional)} positional arguments, {len(args)} were given"
                )
            values += [self._coerced(plan.spread, value) for value in args[taken:]]
        named = {slot.name: self._named(slot, given) for slot in plan.keywords}
        if given and plan.rest is None:
            name = next(iter(given))
            raise ArgumentError(f"{self._name}() has no parameter {name!r}", parameter=name)
        for name, value in given.items():
            named[name] = self._coerced(plan.rest, value, name) if plan.rest else value
        return Arguments(tuple(values), named)

    def _named(self, slot: _Slot, given: dict[str, Any]) -> Any:
        if slot.keyword and slot.name in given:
            return self._coerced(slot, given.pop(slot.name))
        if slot.default is _NONE:
            raise ArgumentError(self._lacks(slot, given), parameter=slot.name)
        try:
            return self._coerced(slot, slot.default)
        except ArgumentError:  # `x: int = None`: a default may be what no caller could pass
            return slot.default

    def _lacks(self, slot: _Slot, given: dict[str, Any]) -> str:
        """The text for a missing argument; it names a given one that no parameter has: often the same, misspelt."""
        text = f"{self._name}() needs an argument for {slot.name!r}"
        stray = next((name for name in given if name not in {one.name for one in self._parameters}), "")
        takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in self._parameters)
        return text if takes_any or not stray else f"{text}; it has no parameter {stray!r}"

    def _coerced(self, slot: _Slot, value: Any, name: str = "") -> Any:
        if slot.coerce is None or type(value) is slot.exact:
            return value
        try:
            return slot.coerce(value)
        except (ValueError, TypeError, AssertionError, RecursionError) as error:
            name = name or slot.name
            raise ArgumentError(
                f"{self._name}() argument {name!r}: {_shown(value)} does not fit its annotation: {_reason(error)}",
                parameter=name,
            ) from error

    def digest(self, arguments: Arguments) -> str:
        """The digest of bound arguments: the same for every way of writing the same call."""
        return digest([list(arguments.args), arguments.kwargs])


def encode_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Encoded:
    """Arguments as bytes. Raises EncodingError naming the path of what cannot travel."""
    try:
        return encode([list(args), dict(kwargs)])
    except EncodingError as error:
        path = (
            error.path.replace("$[0]", "args", 1)
            if error.path.startswith("$[0]")
            else error.path.replace("$[1]", "kwargs", 1)
        )
        raise EncodingError(str(error).replace(error.path, path, 1), path=path) from error


def decode_arguments(data: bytes | memoryview) -> Arguments:
    """The arguments in these bytes, of Longshore's own or a foreign client. Raises DecodeError."""
    return as_arguments(decode(data))


def as_arguments(value: Any) -> Arguments:
    """A decoded value as arguments. Raises DecodeError for anything else."""
    if type(value) is list and len(value) == 2 and type(value[0]) is list and type(value[1]) is dict:
        args, kwargs = value
        if all(type(name) is str for name in kwargs):
            return Arguments(tuple(args), kwargs)
    raise DecodeError("the value is not a pair of positional and named arguments")


# ------------------------------------------------------------------------------------------------------ annotations


def _annotations(function: Callable[..., Any], parameters: Sequence[inspect.Parameter]) -> dict[str, Any]:
    """The annotations by name; those that cannot be resolved are left out."""
    written = {parameter.name: parameter.annotation for parameter in parameters if parameter.annotation is not _NONE}
    try:
        hints = get_type_hints(inspect.unwrap(function), include_extras=True)
        return {name: hints[name] for name in written if name in hints}
    except Exception:  # noqa: BLE001 - annotations are the user's own code and may raise anything when evaluated
        return {name: found for name, text in written.items() if (found := _evaluated(function, text)) is not _NONE}


def _evaluated(function: Callable[..., Any], annotation: Any) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, getattr(inspect.unwrap(function), "__globals__", {}))  # the routine's own source text
    except Exception:  # noqa: BLE001 - as above
        return _NONE


def _coercion(annotation: Any) -> Coerce | None:
    """A validator for the annotation; None where there is nothing to check or no schema for it."""
    if annotation is Any or annotation is object or annotation in _LAZY or get_origin(annotation) in _LAZY:
        return None
    from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

    try:
        return TypeAdapter(annotation).validate_python
    except PydanticSchemaGenerationError:
        pass
    except (PydanticUserError, NameError, TypeError):
        return None
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True)).validate_python
    except (PydanticSchemaGenerationError, PydanticUserError, NameError, TypeError):
        return None


def _shown(value: Any) -> str:
    try:
        return f"{reprlib.repr(value)} ({type(value).__name__})"
    except Exception:  # noqa: BLE001 - a user's __repr__ may raise anything
        return f"a {type(value).__name__}"


def _reason(error: BaseException) -> str:
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    found = errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        f"{'.'.join(map(str, one['loc']))}: {one['msg']}" if one["loc"] else one["msg"] for one in found[:3]
    )
