"""Schedules as a client has them: `client.schedules.create(...)`, the same verbs without await. It keeps nothing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar, Unpack, cast

from longshore.client.conversation import Conversation
from longshore.client.fields import Fields, row, rows
from longshore.client.orders import RunOptions, plain_arguments
from longshore.client.person import person
from longshore.core.durations import duration
from longshore.core.errors import UsageError, nearest
from longshore.core.message import CreateSchedule, DeleteSchedule, Options, PauseSchedule, ResumeSchedule
from longshore.core.schedules import (
    GRACE_MS,
    LONGEST_MS,
    MOST_CAUGHT_UP,
    MOST_GRACE_MS,
    MOST_INPUT,
    MOST_SPREAD_MS,
    SHORTEST_MS,
    UPCOMING,
    UTC_NAME,
    ScheduledTick,
)
from longshore.routines import Call
from longshore.routines.options import Duration, TriggerOptions, to_message
from longshore.routines.routine import Routine
from longshore.routines.ticks import with_tick
from longshore.serialization.arguments import encode_arguments

T = TypeVar("T")

PAGE: Final = 200
_MILLISECOND: Final = timedelta(milliseconds=1)
_WORDS: Final = {"missed": ("skip", "catch_up"), "overlap": ("allow", "skip")}
_LENGTHS: Final = {
    "every": (SHORTEST_MS, LONGEST_MS, "1s to 366d"),
    "grace": (0, MOST_GRACE_MS, "0 to 30d"),
    "spread": (0, MOST_SPREAD_MS, "0 to 1d"),
}

Listed = list[Fields]
What = Routine[..., Any] | Call[Any] | str


class ScheduleOptions(RunOptions, total=False):
    """What a schedule may ask for, beside the options of its runs (but delay, debounce, idempotency).

    `cron` (5 fields, in `timezone`) or `every`; `missed`: of the ticks that passed while no coordinator was there,
    "skip" starts the latest if it is at most `grace` late (5 minutes), "catch_up" all, at most the latest
    `catch_up_limit` (100); `overlap="skip"`: no run while the one before has not ended; `spread`: each schedule begins
    somewhere within this time behind its ticks, always at the same place.
    """

    cron: str
    every: Duration
    timezone: str
    missed: Literal["skip", "catch_up"]
    catch_up_limit: int
    grace: Duration
    overlap: Literal["allow", "skip"]
    spread: Duration
    paused: bool
    replace: bool


class Schedules:
    """`client.schedules`: create, look at, pause, resume and delete schedules."""

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk

    async def create(
        self,
        what: What,
        *,
        id: str = "",
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> Fields:
        """Start a routine again and again: `create(nightly, cron="0 3 * * *", timezone="Europe/Berlin")`.

        `what` is a routine, a call with its arguments, or a routine's name; without a version in the name, each run
        takes the newest one. `id` is the routine's name unless it is given. The same again changes nothing; another
        plan for the same id is Rejected (`schedule_exists`) unless `replace=True`. Raises UsageError, EncodingError,
        Rejected (`cron`, `timezone`, ...). Gives its fields, with `created` and `changed`.
        """
        return row(await self._talk.order(order_of(what, id, args, kwargs, options)))

    async def list(self, *, routine: str | None = None) -> Listed:
        """All schedules, in the order of their ids; of one routine only, if it is named."""
        found: Listed = []
        while True:
            after = found[-1]["schedule_id"] if found else None
            page = await self._talk.ask("schedules", [], routine=routine, after=after, limit=PAGE)
            found += rows(page)
            if len(page) < PAGE:
                return found

    async def get(self, id: str) -> Fields:
        """One schedule, with its arguments as they would be written. Raises Rejected (`unknown_schedule`)."""
        return row(await self._talk.ask("schedule", [], id=_named(id)))

    async def pause(self, id: str) -> Fields:
        """No ticks from now on; those of the pause are gone. Raises Rejected (`unknown_schedule`)."""
        return row(await self._talk.order(PauseSchedule(_named(id), person())))

    async def resume(self, id: str) -> Fields:
        """Ticks again, from the next one on. Raises Rejected (`unknown_schedule`)."""
        return row(await self._talk.order(ResumeSchedule(_named(id), person())))

    async def delete(self, id: str) -> None:
        """Forget it; its runs stay. Raises Rejected (`unknown_schedule`)."""
        await self._talk.order(DeleteSchedule(_named(id), person()))

    async def next(self, id: str, count: int = 5) -> Sequence[datetime]:
        """Its next ticks (up to 100), aware, in UTC; of a paused one, those it would have. Raises Rejected."""
        told = await self._talk.ask("schedule_next", [], id=_named(id), count=count)
        return [datetime.fromisoformat(at) for at in told["upcoming"]]


class SyncSchedules:
    """The verbs of Schedules without await."""

    def __init__(self, call: Callable[[Coroutine[Any, Any, Any]], Any], schedules: Schedules) -> None:
        self._call = call
        self._schedules = schedules

    def create(
        self,
        what: What,
        *,
        id: str = "",
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> Fields:
        """See Schedules.create."""
        found: Fields = self._call(self._schedules.create(what, id=id, args=args, kwargs=kwargs, **options))
        return found

    def list(self, *, routine: str | None = None) -> Listed:
        """See Schedules.list."""
        found: Listed = self._call(self._schedules.list(routine=routine))
        return found

    def get(self, id: str) -> Fields:
        """See Schedules.get."""
        found: Fields = self._call(self._schedules.get(id))
        return found

    def pause(self, id: str) -> Fields:
        """See Schedules.pause."""
        found: Fields = self._call(self._schedules.pause(id))
        return found

    def resume(self, id: str) -> Fields:
        """See Schedules.resume."""
        found: Fields = self._call(self._schedules.resume(id))
        return found

    def delete(self, id: str) -> None:
        """See Schedules.delete."""
        self._call(self._schedules.delete(id))

    def next(self, id: str, count: int = 5) -> Sequence[datetime]:
        """See Schedules.next."""
        found: Sequence[datetime] = self._call(self._schedules.next(id, count))
        return found


# ------------------------------------------------------------------------------------------------------------ the order


def order_of(
    what: What,
    schedule_id: str,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    options: ScheduleOptions,
) -> CreateSchedule:
    """The order as it travels. Raises UsageError, EncodingError."""
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    own = {name: given.pop(name) for name in tuple(given) if name in _OWN}
    _check_names(given)
    if "attempt_timeout" in given:
        given["timeout"] = given.pop("attempt_timeout")
    routine, value, travelling = _order_of(what, args, kwargs, cast("TriggerOptions", given))
    made = CreateSchedule(
        routine=routine,
        schedule_id=_text("id", schedule_id),
        cron=_text("cron", own.get("cron", "")),
        every_ms=_milliseconds("every", own["every"]) if "every" in own else 0,
        timezone=_text("timezone", own.get("timezone", UTC_NAME)),
        input=value,
        options=travelling,
        missed=_word("missed", own),
        catch_up_limit=_limit(own.get("catch_up_limit", 100)),
        grace_ms=_milliseconds("grace", own["grace"]) if "grace" in own else GRACE_MS,
        overlap=_word("overlap", own),
        spread_ms=_milliseconds("spread", own["spread"]) if "spread" in own else 0,
        paused=_truth("paused", own),
        replace=_truth("replace", own),
        by=person(),
    )
    _check_missed(own)
    return made


_OWN: Final = frozenset(ScheduleOptions.__annotations__) - frozenset(RunOptions.__annotations__)
_SOME_DAY: Final = datetime(2000, 1, 1, tzinfo=UTC)
_SOME_TICK: Final = ScheduledTick("a schedule", _SOME_DAY, _SOME_DAY, upcoming=[_SOME_DAY] * UPCOMING)
"""What stands for the tick while arguments are tried."""
_OF_ONE_RUN: Final = {
    "delay": "take another time, or spread",
    "batch_id": "a batch is one client's",
    **dict.fromkeys(("idempotency_key", "idempotency_ttl", "producer", "debounce"), "every tick is a run of its own"),
}
"""Options of a trigger that the runs of a schedule cannot have, and why."""
_TAKEN: Final = tuple(name for name in ScheduleOptions.__annotations__ if name not in _OF_ONE_RUN)


def _check_names(given: Mapping[str, Any]) -> None:
    for name in given:
        if name in _OF_ONE_RUN:
            raise UsageError(f"a schedule has no option {name!r}: {_OF_ONE_RUN[name]}; there are: {', '.join(_TAKEN)}")
        if name not in _TAKEN:
            meant = nearest(name, _TAKEN)
            hint = f"did you mean {meant[0]}?" if meant else f"there are: {', '.join(_TAKEN)}"
            raise UsageError(f"a schedule has no option {name!r}; {hint}")


def _order_of(
    what: What, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, options: TriggerOptions
) -> tuple[str, bytes, Options]:
    """The routine's name, its arguments, and the options of its runs."""
    if isinstance(what, Call):
        call = what.using(**options) if options else what
        call.take()
        if args is not None or kwargs is not None:
            raise UsageError("args and kwargs go with a routine or its name; a call has its arguments already")
        return call.routine.name, _input(*call.arguments), call.options or Options()
    if isinstance(what, Routine):
        given, named = plain_arguments(args, kwargs)
        # Raises ArgumentError where they do not fit, given a tick; defaults are those of its day.
        what.signature.bind(*with_tick(what.function, given, named, _SOME_TICK))
        return what.name, _input(given, named), to_message(options)
    if not isinstance(what, str):
        raise UsageError(
            f"{what!r} is no routine, call or name: write client.schedules.create(nightly, cron=...) or "
            'client.schedules.create("nightly", args=[...], cron=...)'
        )
    return what, _input(*plain_arguments(args, kwargs)), to_message(options)


def _input(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    if not args and not kwargs:
        return b""
    encoded = encode_arguments(args, kwargs)
    if encoded.size > MOST_INPUT:
        raise UsageError(
            f"the arguments of a schedule have {encoded.size} bytes; at most {MOST_INPUT} are kept with it: pass where "
            "the rest lies"
        )
    return bytes(encoded.inline())


def _named(schedule_id: object) -> str:
    if not isinstance(schedule_id, str) or not schedule_id:
        raise UsageError(f"{schedule_id!r} is no schedule's id: a text, as client.schedules.list() shows it")
    return schedule_id


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name}={value!r} is not a text")
    return value


def _word(name: str, own: Mapping[str, Any]) -> str:
    allowed = _WORDS[name]
    value = own.get(name, allowed[0])
    if value not in allowed:
        raise UsageError(f"{name}={value!r}: write {' or '.join(map(repr, allowed))}")
    return str(value)


def _check_missed(own: Mapping[str, Any]) -> None:
    """What is about the other way with missed ticks would have no effect. Raises UsageError."""
    missed = _word("missed", own)
    for name, of in (("catch_up_limit", "catch_up"), ("grace", "skip")):
        if name in own and missed != of:
            raise UsageError(f'{name} goes with missed="{of}", and this is missed="{missed}": leave one of them out')


def _truth(name: str, own: Mapping[str, Any]) -> bool:
    value = own.get(name, False)
    if not isinstance(value, bool):
        raise UsageError(f"{name}={value!r}: write True or False")
    return value


def _limit(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_CAUGHT_UP:
        raise UsageError(f"catch_up_limit={value!r}: write a whole number from 1 to {MOST_CAUGHT_UP}")
    return value


def _milliseconds(name: str, value: Duration) -> int:
    low, high, words = _LENGTHS[name]
    try:
        length = duration(value) // _MILLISECOND
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None
    if not low <= length <= high:
        raise UsageError(f"{name}={value!r}: write a duration from {words}")
    return length
