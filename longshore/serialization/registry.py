"""How objects are taken apart and put together: enums, named tuples, dataclasses, pydantic models, registered types.

Taking apart gives a tag, a small head and items that are values again. Putting together never calls a user's
constructor except a pydantic model's own validation and what was registered. `codec` is the one registry; registering
is the user's own act.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, TypeVar

from longshore.core.errors import DecodeError, DefinitionError, EncodingError
from longshore.serialization import arrays, classes
from longshore.serialization.parts import Parts, TakeApart

T = TypeVar("T")

DATACLASS: Final = "D"
MODEL: Final = "P"
ENUM: Final = "E"
NAMED_TUPLE: Final = "N"
REGISTERED: Final = "R"


class Codec:
    """Which types can travel, beside the built-in ones."""

    def __init__(self) -> None:
        self._plans: dict[type, TakeApart | None] = {}
        self._readers: dict[str, Callable[[Any], Any]] = {}
        self._registered: dict[str, type] = {}
        self._allowed: set[str] = set()

    def register(self, cls: type[T], name: str, encode: Callable[[T], Any], decode: Callable[[Any], T]) -> None:
        """Let values of exactly this type travel: `encode` gives a value that can travel, `decode` turns it back.

        `name` is the wire name: it must stay the same and be registered on both sides. Raises DefinitionError for a
        name that another class has.
        """
        owner = self._registered.get(name)
        if owner is not None and classes.dotted(owner) != classes.dotted(cls):
            raise DefinitionError(f"codec name {name!r} belongs to {classes.dotted(owner)}: choose another")
        self._registered[name] = cls
        self._readers[name] = decode
        self._plans[cls] = _registered_plan(name, encode)

    def allow(self, *modules: str) -> None:
        """Let classes in these modules (and below them) be imported when a value names them."""
        self._allowed.update(modules)

    def plan(self, cls: type) -> TakeApart | None:
        """How to take values of exactly this class apart; None when nobody claims it."""
        try:
            return self._plans[cls]
        except KeyError:
            plan = self._plans[cls] = _plan(cls)
            return plan

    def build(self, tag: str, head: Any, items: list[Any]) -> Any:
        """The object whose parts these are. Raises DecodeError when its class is unknown here or they do not fit."""
        if tag == REGISTERED:
            return self._registered_value(head, items)
        if tag == arrays.ARRAY:
            return arrays.build(head, items)
        builder = _BUILDERS.get(tag)
        if builder is None:
            raise DecodeError(f"the mark {tag!r} is unknown: was this written by a newer Longshore?")
        head = head if isinstance(head, list) else [head]
        if not all(isinstance(part, str) for part in head):
            raise DecodeError(f"the head of a {tag!r} is not text")
        return builder(classes.find(head[0], self._allowed), head[1:], items)

    def _registered_value(self, name: Any, items: list[Any]) -> Any:
        reader = self._readers.get(name) if isinstance(name, str) else None
        if reader is None:
            raise DecodeError(f"the value holds a {name!r}, which nobody registered here: codec.register it")
        if len(items) != 1:
            raise DecodeError(f"a registered {name!r} has {len(items)} parts, not one")
        try:
            return reader(items[0])
        except Exception as error:  # the registrant's own code: its failure is a fact about the value
            raise DecodeError(f"the decoder registered for {name!r} failed: {type(error).__name__}: {error}") from error


def _registered_plan(name: str, encode: Callable[[Any], Any]) -> TakeApart:
    def take_apart(value: Any) -> Parts:
        try:
            return Parts(REGISTERED, name, [encode(value)])
        except Exception as error:  # the registrant's own code: its failure is a fact about the value
            raise EncodingError(
                f"the encoder registered for {name!r} failed: {type(error).__name__}: {error}"
            ) from error

    return take_apart


def _plan(cls: type) -> TakeApart | None:
    if issubclass(cls, Enum):
        return _enum_plan(cls)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        named = classes.name_of(cls)
        return lambda value: Parts(NAMED_TUPLE, named, list(value))
    if dataclasses.is_dataclass(cls):
        return _dataclass_plan(cls)
    if _is_model(cls):
        return _model_plan(cls)
    return arrays.plan(cls)


def _is_model(cls: type) -> bool:
    pydantic = sys.modules.get("pydantic")  # whoever has a model has imported it
    return pydantic is not None and issubclass(cls, pydantic.BaseModel)


# ------------------------------------------------------------------------------------------------------ enums


def _enum_plan(cls: type[Enum]) -> TakeApart:
    name = classes.name_of(cls)

    def take_apart(value: Enum) -> Parts:
        if value.name in cls.__members__:
            return Parts(ENUM, [name, str(value.name)], [])
        return Parts(ENUM, name, [value.value])  # a combination of flags

    return take_apart


def _build_enum(cls: type, names: list[str], items: list[Any]) -> Any:
    if not issubclass(cls, Enum):
        raise DecodeError(f"{classes.dotted(cls)} is not an Enum")
    if len(names) + len(items) != 1:
        raise DecodeError(f"a member of {classes.dotted(cls)} needs one name or one value")
    return cls[names[0]] if names else cls(items[0])


# ---------------------------------------------------------------------------------------- tuples and dataclasses


def _build_named_tuple(cls: type, names: list[str], items: list[Any]) -> Any:
    if not (issubclass(cls, tuple) and hasattr(cls, "_fields")) or len(items) != len(cls._fields):
        raise DecodeError(f"{classes.dotted(cls)} is not a named tuple of {len(items)} fields")
    return tuple.__new__(cls, items)


def _dataclass_plan(cls: type) -> TakeApart:
    name = classes.name_of(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    head = [name, *names]

    def take_apart(value: Any) -> Parts:
        try:
            return Parts(DATACLASS, head, [getattr(value, field) for field in names])
        except AttributeError:  # a field without a value yet
            present = [field for field in names if hasattr(value, field)]
            return Parts(DATACLASS, [name, *present], [getattr(value, field) for field in present])

    return take_apart


def _build_dataclass(cls: type, names: list[str], items: list[Any]) -> Any:
    if not dataclasses.is_dataclass(cls):
        raise DecodeError(f"{classes.dotted(cls)} is not a dataclass")
    given = dict(zip(names, items, strict=True))
    value = object.__new__(cls)
    for field in dataclasses.fields(cls):
        if field.name in given:
            object.__setattr__(value, field.name, given.pop(field.name))
        elif field.default is not dataclasses.MISSING:
            object.__setattr__(value, field.name, field.default)
        elif field.default_factory is not dataclasses.MISSING:
            object.__setattr__(value, field.name, field.default_factory())
        elif field.init:
            raise DecodeError(f"{classes.dotted(cls)} has a field {field.name!r} that the bytes lack: versions differ")
    if given:
        raise DecodeError(f"{classes.dotted(cls)} has no field {next(iter(given))!r}: versions differ")
    return value


# ------------------------------------------------------------------------------------------------------ pydantic


def _model_plan(cls: type) -> TakeApart:
    name = classes.name_of(cls)
    fields = list(cls.model_fields)  # type: ignore[attr-defined]

    def take_apart(value: Any) -> Parts:
        state = {field: value.__dict__[field] for field in fields if field in value.__dict__}
        return Parts(MODEL, name, [{**state, **(value.__pydantic_extra__ or {})}, sorted(value.model_fields_set)])

    return take_apart


def _build_model(cls: type, names: list[str], items: list[Any]) -> Any:
    if not _is_model(cls) or names:
        raise DecodeError(f"{classes.dotted(cls)} is not a pydantic model")
    state, given = items
    root = bool(getattr(cls, "__pydantic_root_model__", False))
    validate = cls.model_validate  # type: ignore[attr-defined]
    try:
        model = validate(state["root"] if root else state, by_alias=False, by_name=True)
    except ValueError as error:
        raise DecodeError(f"the bytes do not fit {classes.dotted(cls)}: {error}") from error
    model.model_fields_set.intersection_update(given)
    return model


_BUILDERS: Final[dict[str, Callable[[type, list[str], list[Any]], Any]]] = {
    ENUM: _build_enum,
    NAMED_TUPLE: _build_named_tuple,
    DATACLASS: _build_dataclass,
    MODEL: _build_model,
}

codec: Final = Codec()
"""The registry. `codec.register(type, name, encode, decode)`; `codec.allow("package.models")`."""
