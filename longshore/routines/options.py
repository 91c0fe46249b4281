"""What a trigger may ask for, as people write it, and the same as it travels. Typed once, for sub-calls and clients.

It never decides what an option does: that is the ledger's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Literal, TypedDict, cast

import msgspec
from msgspec.structs import replace

from longshore.core.durations import duration
from longshore.core.errors import UsageError, nearest
from longshore.core.message import Debounce, Options
from longshore.core.metadata import unlike_json
from longshore.core.policy import MAX_ATTEMPTS_CAP
from longshore.core.queues import NAMESPACE
from longshore.core.versions import LATEST, PINNED, is_version
from longshore.routines.policy import Children

MAX_TAGS: Final = 10
MAX_TAG: Final = 128
MAX_TEXT: Final = 256
MAX_METADATA: Final = 256 * 1024
MAX_DELAY: Final = timedelta(days=30)
SHORTEST_KEY_MS: Final = 1000

Duration = str | float | timedelta
"""Seconds, `"1h30m"`, `"500ms"`, `"10d"` or a timedelta."""


Scope = Literal["global", "run"]
"""Whose an idempotency key is: the producer's, or (of a workflow's call) that workflow's own."""


class _DebounceKey(TypedDict):
    key: str
    delay: Duration


class Debouncing(_DebounceKey, total=False):
    """Of triggers that come within `delay` with the same key, one run is made: "trailing" (the default) with the last
    one's input and options, at most `max_delay` after the first; "leading" with the first one's, at once."""

    mode: Literal["trailing", "leading"]
    max_delay: Duration


class TriggerOptions(TypedDict, total=False):
    """Options of one run. What is left out is as the routine says."""

    delay: Duration
    ttl: Duration
    deadline: Duration
    timeout: Duration
    max_attempts: int
    retry_first: Duration
    retry_factor: float
    retry_max: Duration
    idempotency_key: str
    idempotency_scope: Scope
    idempotency_ttl: Duration
    producer: str
    debounce: Debouncing
    queue: str
    concurrency_key: str
    pool: str
    priority: float
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    version: str
    version_deadline: Duration
    on_parent_end: Children


_TEXTS: Final = frozenset({"idempotency_key", "producer", "queue", "concurrency_key", "pool"})
_DURATIONS: Final = frozenset(
    {"delay", "ttl", "deadline", "timeout", "retry_first", "retry_max", "version_deadline", "idempotency_ttl"}
)
_MAY_BE_ZERO: Final = frozenset({"delay", "retry_first", "retry_max"})


def to_message(options: TriggerOptions) -> Options:
    """The options as they travel. Raises UsageError naming the option and what it takes."""
    fields: dict[str, Any] = {}
    for name, value in options.items():
        if value is None:
            continue
        if name in _DURATIONS:
            fields[f"{name}_ms"] = _milliseconds(name, cast("Duration", value))
        elif name in _TEXTS:
            fields[name] = _text(name, value)
        elif name in _CHECKS:
            fields[name] = _CHECKS[name](value)
        else:
            raise _unknown(name)
    _check_retries(fields)
    _check_keys(fields)
    return Options(**fields)


def of_project(options: Options, project: str) -> Options:
    """The same, with the project as the producer of an idempotency key that names none."""
    if not options.idempotency_key or options.producer or options.idempotency_scope == "run":
        return options
    return replace(options, producer=project)


def _milliseconds(name: str, value: Duration) -> int:
    if name == "delay":
        return delay_ms("option delay", value)
    try:
        length = duration(value)
    except UsageError as error:
        raise UsageError(f"option {name}: {error}") from None
    if length > MAX_DELAY:
        raise UsageError(f"option {name}: {value!r} is over {MAX_DELAY.days} days")
    if name not in _MAY_BE_ZERO and not length:
        raise UsageError(f"option {name}: zero is too short; give a longer one, or leave it out")
    return _whole(length)


def delay_ms(name: str, value: Duration) -> int:
    """So many milliseconds later, from none to 30 days; `name` is what the value was given as. Raises UsageError."""
    try:
        length = duration(value)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None
    if length > MAX_DELAY:
        raise UsageError(f"{name}: {value!r} is over {MAX_DELAY.days} days")
    return _whole(length)


def _whole(length: timedelta) -> int:
    # Upwards: a limit is never shorter, a delay never earlier than it was asked for.
    return -(-length // timedelta(milliseconds=1))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"option {name}: {value!r} is not a text of at least one character")
    if len(value) > MAX_TEXT:
        raise UsageError(f"option {name}: {len(value)} characters, at most {MAX_TEXT} are kept")
    if name == "queue" and value == NAMESPACE:
        raise UsageError(f"option queue: {NAMESPACE!r} stands for the whole namespace; give a queue's name")
    return value


def _max_attempts(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_ATTEMPTS_CAP:
        raise UsageError(f"option max_attempts: {value!r} is not a whole number from 1 to {MAX_ATTEMPTS_CAP}")
    return value


def _retry_factor(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < math.inf:
        raise UsageError(f"option retry_factor: {value!r} is not a number from 1 on")
    return float(value)


def _check_retries(fields: dict[str, Any]) -> None:
    first, longest = fields.get("retry_first_ms"), fields.get("retry_max_ms")
    if first is not None and longest is not None and longest < first:
        raise UsageError("option retry_max: it is shorter than retry_first; give a longer one")


def _priority(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"option priority: {value!r} is not a number of seconds")
    if abs(value) > MAX_DELAY.total_seconds():
        raise UsageError(f"option priority: {value!r} is over {MAX_DELAY.days} days; it is seconds of head start")
    return float(value)


def _tags(value: object) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise UsageError(f'option tags: {value!r} is not a list of texts; write tags=["..."]')
    tags = list(dict.fromkeys(value)) if all(isinstance(tag, str) for tag in value) else list(value)
    if len(tags) > MAX_TAGS:
        raise UsageError(f"option tags: {len(tags)} tags, at most {MAX_TAGS} are kept")
    for tag in tags:
        if not isinstance(tag, str) or not 0 < len(tag) <= MAX_TAG:
            raise UsageError(f"option tags: {tag!r} is not a text of 1 to {MAX_TAG} characters")
    return tags


def _metadata(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise UsageError(f"option metadata: {value!r} is not a dict with texts as keys")
    metadata = dict(value)
    strange = unlike_json(metadata)
    if strange:
        raise UsageError(f"option metadata: only plain data (as in JSON) can be kept: {strange}")
    size = len(msgspec.json.encode(metadata))
    if size > MAX_METADATA:
        raise UsageError(
            f"option metadata: {size} bytes, at most {MAX_METADATA} are kept; pass large values as arguments"
        )
    return metadata


def _version(value: object) -> str:
    if not isinstance(value, str) or not (value in (LATEST, PINNED) or is_version(value)):
        raise UsageError(f"option version: {value!r} is no version: write '1.2.0', {LATEST!r} or {PINNED!r}")
    return value


def _on_parent_end(value: object) -> str:
    if value not in ("cancel", "abandon"):
        raise UsageError(f"option on_parent_end: {value!r} is neither 'cancel' nor 'abandon'")
    return str(value)


def _check_keys(fields: Mapping[str, Any]) -> None:
    ttl = fields.get("idempotency_ttl_ms")
    if ttl is not None and ttl < SHORTEST_KEY_MS:
        raise UsageError("option idempotency_ttl: a key is held for at least 1 s")
    for name in ("idempotency_scope", "idempotency_ttl_ms", "producer"):
        if name in fields and not fields.get("idempotency_key"):
            raise UsageError(f"option {name.removesuffix('_ms')}: it is for an idempotency_key, and there is none")
    if fields.get("producer") and fields.get("idempotency_scope") == "run":
        raise UsageError("option producer: a key in the scope 'run' is that workflow's own; leave one of the two out")
    if "debounce" in fields and fields.get("delay_ms"):
        raise UsageError("option debounce: it has a delay of its own; leave the option delay out")


def _scope(value: object) -> str:
    if value not in ("global", "run"):
        raise UsageError(f"option idempotency_scope: {value!r} is neither 'global' nor 'run'")
    return str(value)


def _debounce(value: object) -> Debounce:
    if not isinstance(value, Mapping) or not {"key", "delay"} <= value.keys() <= _DEBOUNCE:
        example = 'debounce={"key": "user-7", "delay": "5s", "mode": "trailing", "max_delay": "1m"}'
        raise UsageError(f"option debounce: {value!r} has not the form {example}; key and delay are needed")
    mode, longest = value.get("mode", "trailing"), value.get("max_delay")
    if mode not in ("trailing", "leading"):
        raise UsageError(f"option debounce: the mode {mode!r} is neither 'trailing' nor 'leading'")
    delay = delay_ms("option debounce: delay", value["delay"])
    if not delay:
        raise UsageError("option debounce: a delay of zero brings nothing together; give a longer one")
    limit = None if longest is None else delay_ms("option debounce: max_delay", longest)
    if limit is not None and limit < delay:
        raise UsageError(f"option debounce: max_delay {longest!r} is shorter than the delay {value['delay']!r}")
    return Debounce(_text("debounce: key", value["key"]), delay, mode, limit)


_DEBOUNCE: Final = frozenset({"key", "delay", "mode", "max_delay"})
_CHECKS: Final = {
    "idempotency_scope": _scope,
    "debounce": _debounce,
    "max_attempts": _max_attempts,
    "retry_factor": _retry_factor,
    "priority": _priority,
    "tags": _tags,
    "metadata": _metadata,
    "version": _version,
    "on_parent_end": _on_parent_end,
}


def _unknown(name: str) -> UsageError:
    known = list(TriggerOptions.__annotations__)
    meant = nearest(name, known)
    hint = f"did you mean {meant[0]}?" if meant else f"there are: {', '.join(known)}"
    return UsageError(f"there is no option {name!r}; {hint}")
