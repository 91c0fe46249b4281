"""Declaring routines: `@define.task(...)`, `@define.action(...)`, `@define.workflow(...)`.

Declaring checks what was written and gives a `Routine`. It registers nothing, connects to nothing, reads no settings.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta
from typing import Any, Final, Literal, ParamSpec, Protocol, Required, TypeVar, Unpack, overload

from longshore.core import versions
from longshore.core.durations import duration
from longshore.core.errors import DefinitionError, UsageError, nearest
from longshore.core.keeping import LARGEST
from longshore.core.names import MAX_NAME, is_name
from longshore.core.policy import MAX_ATTEMPTS_CAP
from longshore.core.queues import NAMESPACE
from longshore.core.sizes import size
from longshore.core.versions import LATEST, PINNED
from longshore.routines.hooks import NAMES, HookOptions, Hooks, is_async
from longshore.routines.options import MAX_DELAY, MAX_TEXT, Duration
from longshore.routines.policy import Children, ChildrenVersion, Isolation, Kind, OnCrash, Policy
from longshore.routines.routine import Routine
from longshore.serialization.arguments import Signature

P = ParamSpec("P")
R = TypeVar("R")

LEAST_MEMORY: Final = 64 << 20


class RoutineOptions(HookOptions, total=False):
    """What every routine may say of itself."""

    name: Required[str]
    version: str
    queue: str
    max_attempts: int
    timeout: Duration
    retry_on: type[BaseException] | str | Iterable[type[BaseException] | str]
    retry_first: Duration
    retry_factor: float
    retry_max: Duration
    on_crash: OnCrash
    children: Children
    on_parent_end: Children
    retention: Duration | Literal["off"]
    retention_count: int


class ActionOptions(RoutineOptions, total=False):
    """What an action may say of itself: where its body runs, and how long without a sign of life, in how
    much memory."""

    isolation: Isolation
    heartbeat_timeout: Duration
    memory_limit: str | int
    pool_on_oom: str


class TaskOptions(ActionOptions, total=False):
    """What a task may say of itself: how its results are shared."""

    cache: bool
    cache_ttl: Duration


class WorkflowOptions(RoutineOptions, total=False):
    """What a workflow may say of itself; it is cached only if asked. `children_version` is the version its calls ask
    for: "pinned" (as imported beside it) or "latest" (the newest offered when they are dispatched)."""

    cache: bool
    cache_ttl: Duration
    children_version: ChildrenVersion


class Declaration(Protocol):
    """Turns a function into a routine; of an `async def` the result is what it returns in the end."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Routine[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Routine[P, R]: ...


class WorkflowDeclaration(Protocol):
    """Turns an `async def` into a workflow."""

    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Routine[P, R]: ...


def task(bare: None = None, /, **options: Unpack[TaskOptions]) -> Declaration:
    """A pure function: equal arguments give equal results, so they are cached (never those of a `-dev` version).

    `def` runs in a thread by default, `async def` on a loop; `isolation="process"` gives it a process of its own that
    can be killed. Three attempts by default. Raises DefinitionError for a wrong declaration.
    """
    return _declare("task", bare, dict(options), TaskOptions)


def action(bare: None = None, /, **options: Unpack[ActionOptions]) -> Declaration:
    """A function that touches the world: never cached, otherwise like a task."""
    return _declare("action", bare, dict(options), ActionOptions)


def workflow(bare: None = None, /, **options: Unpack[WorkflowOptions]) -> WorkflowDeclaration:
    """An `async def` that calls other routines and survives the loss of its worker. One attempt by default."""
    return _declare("workflow", bare, dict(options), WorkflowOptions)


def _declare(kind: Kind, bare: object, options: dict[str, Any], allowed: type) -> Declaration:
    if bare is not None:
        suggestion = getattr(bare, "__name__", "a.name")
        raise DefinitionError(
            f'@define.{kind} needs a name: write @define.{kind}(name="{suggestion}", version="0.0.1")'
        )
    _check_options(kind, options, frozenset(allowed.__annotations__))
    name, version = options.pop("name", None), options.pop("version", versions.UNRELEASED)
    _check_name(kind, name, version)

    def declare(function: Callable[..., Any]) -> Routine[Any, Any]:
        where = f"{kind} {name!r} ({_place(function)})"
        try:
            _check_function(kind, function)
            policy = _policy(kind, version, function, options)
        except UsageError as error:
            raise DefinitionError(f"{where}: {error}") from None
        return Routine(
            name=name, version=version, kind=kind, policy=policy, function=function, signature=Signature(function)
        )

    return declare


def _check_options(kind: Kind, options: dict[str, Any], allowed: frozenset[str]) -> None:
    for option in options:
        if option in allowed:
            continue
        if kind == "action" and option in ("cache", "cache_ttl"):
            raise DefinitionError("an action touches the world and is never cached: leave cache out, or define a task")
        if kind == "workflow" and option == "heartbeat_timeout":
            raise DefinitionError("a workflow waits without a sign of life: leave heartbeat_timeout out")
        if kind == "workflow" and option == "isolation":
            raise DefinitionError("a workflow has a loop of its own: leave isolation out, or put heavy code in a task")
        meant = nearest(option, sorted(allowed))
        hint = f"did you mean {meant[0]}?" if meant else f"there are: {', '.join(sorted(allowed))}"
        raise DefinitionError(f"define.{kind} has no option {option!r}; {hint}")


def _check_name(kind: Kind, name: object, version: object) -> None:
    if name is None:
        raise DefinitionError(f'a {kind} needs a name (it is a contract between programs): define.{kind}(name="...")')
    if not isinstance(name, str) or not is_name(name):
        raise DefinitionError(
            f"name {name!r}: a name is a letter, then letters, digits, '_', '.', '-', all ASCII, "
            f"at most {MAX_NAME} characters"
        )
    try:
        versions.parse(version if isinstance(version, str) else repr(version))
    except ValueError as error:
        raise DefinitionError(f"{kind} {name!r}: {error}") from None


def _check_function(kind: Kind, function: object) -> None:
    if isinstance(function, Routine):
        raise DefinitionError("this is a routine already; one declaration per function")
    if not inspect.isfunction(function):
        raise DefinitionError(f"a routine is declared on a `def` or `async def` function, not on {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError("a routine returns one result: replace `yield` by returning a list")
    if kind == "workflow" and not inspect.iscoroutinefunction(function):
        raise DefinitionError("a workflow is an `async def` function: write `async def`, or define a task")


def _policy(kind: Kind, version: str, function: Callable[..., Any], options: dict[str, Any]) -> Policy:
    given = {name: value for name, value in options.items() if value is not None}
    first, longest = _length(given, "retry_first", 1), _length(given, "retry_max", 60)
    if longest < first:
        raise DefinitionError("retry_max is shorter than retry_first: give a longer retry_max")
    wanted = given.get("cache", kind == "task")
    if not isinstance(wanted, bool):
        raise DefinitionError(f"cache={wanted!r}: write True or False")
    isolation = _isolation(function, given.get("isolation"))
    classes, names = _retry_on(given.get("retry_on", Exception))
    return Policy(
        max_attempts=_attempts(given.get("max_attempts", 1 if kind == "workflow" else 3)),
        cache=wanted and versions.parse(version).released,
        cache_ttl=_limit(given, "cache_ttl"),
        isolation=isolation,
        queue=_queue(given.get("queue", "default")),
        timeout=_limit(given, "timeout"),
        heartbeat_timeout=_limit(given, "heartbeat_timeout"),
        memory_limit=_memory(isolation, given),
        pool_on_oom=_pool(isolation, given),
        hooks=_hooks(function, given),
        retry_on=classes,
        retry_on_names=names,
        retry_first=first,
        retry_factor=_factor(given.get("retry_factor", 2.0)),
        retry_max=longest,
        on_crash=_choice(given, "on_crash", ("retry", "fail")),
        keep="off" if given.get("retention") == "off" else _limit(given, "retention"),
        keep_count=_count(given.get("retention_count")),
        children=_choice(given, "children", ("cancel", "abandon")),
        children_version=_choice(given, "children_version", (PINNED, LATEST)),
        on_parent_end=_choice(given, "on_parent_end", ("cancel", "abandon")) if "on_parent_end" in given else None,
    )


_KEPT_LONG: Final = frozenset({"retention", "cache_ttl"})


def _length(given: dict[str, Any], option: str, default: Duration) -> timedelta:
    try:
        length = duration(given.get(option, default))
    except UsageError as error:
        raise DefinitionError(f"{option}: {error}") from None
    if length > MAX_DELAY and option not in _KEPT_LONG:
        raise DefinitionError(f"{option}: {given[option]!r} is over {MAX_DELAY.days} days")
    return length


def _limit(given: dict[str, Any], option: str) -> timedelta | None:
    if option not in given:
        return None
    length = _length(given, option, 0)
    if not length:
        raise DefinitionError(f"{option}={given[option]!r}: give a length above zero, or leave it out")
    return length


def _attempts(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_ATTEMPTS_CAP:
        raise DefinitionError(f"max_attempts={value!r}: write a whole number from 1 to {MAX_ATTEMPTS_CAP}")
    return value


def _count(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
        raise DefinitionError(f"retention_count={value!r}: write a whole number from 1 to {LARGEST:,}, or leave it out")
    return value


def _factor(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < math.inf:
        raise DefinitionError(f"retry_factor={value!r}: write a number from 1 on")
    return float(value)


def _queue(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise DefinitionError(f'queue={value!r}: write the name of a queue, or leave it out for "default"')
    if value == NAMESPACE or len(value) > MAX_TEXT:
        raise DefinitionError(
            f"queue={value[:40]!r}: write a name of at most {MAX_TEXT} characters that is not {NAMESPACE!r}"
        )
    return value


def _retry_on(value: object) -> tuple[tuple[type[BaseException], ...], frozenset[str]]:
    """The classes, and the names of classes (those of builtins without their module)."""
    given = tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)
    names = frozenset(one.removeprefix("builtins.") for one in given if isinstance(one, str))
    classes = tuple(one for one in given if isinstance(one, type) and issubclass(one, BaseException))
    wrong = [name for name in names if not all(part.isidentifier() for part in name.split("."))]
    if not given or wrong or len(classes) + sum(isinstance(one, str) for one in given) < len(given):
        raise DefinitionError(
            f"retry_on={value!r}: write an exception class or several, e.g. (OSError, TimeoutError), or their names, "
            'e.g. "httpx.ConnectError"'
        )
    return classes, names


def _isolation(function: Callable[..., Any], value: object) -> Isolation:
    asynchronous = inspect.iscoroutinefunction(function)
    match value:
        case None:
            return "loop" if asynchronous else "thread"
        case "process":
            return "process"
        case "loop" if asynchronous:
            return "loop"
        case "thread" if not asynchronous:
            return "thread"
        case "loop":
            raise DefinitionError('isolation="loop" is for `async def`: write `async def`, or isolation="thread"')
        case "thread":
            raise DefinitionError('isolation="thread" is for `def`: write `def`, or isolation="loop"')
    raise DefinitionError(f'isolation={value!r}: write "thread", "process" or "loop"')


def _hooks(function: Callable[..., Any], given: dict[str, Any]) -> Hooks:
    hooks = Hooks(**{name: given[name] for name in NAMES if name in given})
    asynchronous = inspect.iscoroutinefunction(function)
    for one in hooks.middleware:
        if is_async(one) != asynchronous:
            needed = "async def" if asynchronous else "def"
            raise DefinitionError(
                f"middleware={getattr(one, '__name__', one)}: around this body write it as `{needed}`"
            )
    return hooks


def _memory(isolation: Isolation, given: dict[str, Any]) -> int | None:
    if "memory_limit" not in given:
        return None
    _check_apart(isolation, "memory_limit")
    try:
        limit = size(given["memory_limit"])
    except UsageError as error:
        raise DefinitionError(f"memory_limit: {error}") from None
    if limit < LEAST_MEMORY:
        raise DefinitionError(
            f"memory_limit={given['memory_limit']!r}: an empty process needs 50 MiB; give 64MiB or more"
        )
    return limit


def _pool(isolation: Isolation, given: dict[str, Any]) -> str:
    value = given.get("pool_on_oom", "")
    if "pool_on_oom" in given:
        _check_apart(isolation, "pool_on_oom")
        if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME:
            raise DefinitionError(f"pool_on_oom={value!r}: write the name of a pool of workers with more memory")
    return str(value)


def _check_apart(isolation: Isolation, option: str) -> None:
    if isolation != "process":
        raise DefinitionError(
            f'{option} needs a process of its own: add isolation="process" (threads share the worker\'s memory)'
        )


def _choice(given: dict[str, Any], option: str, allowed: tuple[str, str]) -> Any:
    value = given.get(option, allowed[0])
    if value not in allowed:
        raise DefinitionError(f"{option}={value!r}: write {' or '.join(repr(one) for one in allowed)}")
    return value


def _place(function: object) -> str:
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(function)
