"""What a running routine may see of its run: `from longshore import context`.

Backed by one context variable that executors set. It never decides anything and never talks to the world itself:
progress goes where the executor said.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Coroutine, Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from longshore.core.errors import NoRunError, UsageError
from longshore.core.ids import RunId
from longshore.core.message import Edit
from longshore.core.schedules import ScheduledTick
from longshore.routines.metadata import Metadata

if TYPE_CHECKING:
    from random import Random
    from uuid import UUID

_NOTHING: Final[Mapping[str, Any]] = {}
_first: Final = threading.Lock()


class Durable(Protocol):
    """What only a workflow has: see the names of `Context`."""

    @property
    def now(self) -> datetime: ...

    @property
    def random(self) -> Random: ...

    def uuid4(self) -> UUID: ...

    def patch(self, name: str) -> bool: ...

    def continue_as(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> NoReturn: ...

    def wait_until(self, at: datetime) -> Coroutine[Any, Any, None]: ...

    def wait_for_signal(self, name: str) -> Coroutine[Any, Any, Any]: ...

    def create_token(self, timeout: str | float | timedelta | None) -> Coroutine[Any, Any, str]: ...

    def wait_for_token(self, token: str) -> Coroutine[Any, Any, Any]: ...


class Voice:
    """Where goes what the code of a run says of itself; this one says nothing. From any thread."""

    __slots__ = ()

    def progress(self, fraction: float, text: str) -> None:
        """How far it is, which is a sign of life, too."""

    def show_life(self) -> None:
        """A sign of life."""

    def keep(self, value: Any) -> None:
        """A checkpoint. Raises EncodingError."""

    def edit(self, target: str, edit: Edit) -> None:
        """A change of metadata or tags; of the run, its parent or its root."""


SILENCE: Final = Voice()


class RunContext:
    """One attempt of one run, as its own code sees it. `canceled` may be set from another thread.

    `silent`: what the code says is not passed on (a workflow replaying what it said before, or being put away).
    `voice` is set by the executor while the code runs; `durable` by the engine of a workflow, elsewhere it is None.
    """

    __slots__ = (
        "_given",
        "_metadata",
        "attempt",
        "canceled",
        "durable",
        "last_checkpoint",
        "routine",
        "run_id",
        "schedule",
        "silent",
        "voice",
    )

    def __init__(
        self,
        run_id: RunId,
        *,
        routine: str,
        attempt: int = 1,
        metadata: Mapping[str, Any] | None = None,
        voice: Voice = SILENCE,
    ) -> None:
        self.run_id = run_id
        self.routine = routine
        self.attempt = attempt
        self._given = metadata or _NOTHING
        self._metadata: Metadata | None = None  # made when first asked for: few runs do
        self.voice = voice
        self.last_checkpoint: Any = None
        self.canceled = False
        self.silent = False
        self.schedule: ScheduledTick | None = None
        self.durable: Durable | None = None

    @property
    def metadata(self) -> Metadata:
        """See `Context.metadata`."""
        with _first:
            if self._metadata is None:
                self._metadata = Metadata(self._given, self._edit)
        return self._metadata

    def _edit(self, target: str, edit: Edit) -> None:
        if not self.silent:
            self.voice.edit(target, edit)

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far the run is; see `Context.progress`."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress({fraction!r}): the fraction is a number from 0 to 1")
        if not self.silent:
            self.voice.progress(float(fraction), text)

    def checkpoint(self, value: Any) -> None:
        """See `Context.checkpoint`."""
        if not self.silent:
            self.voice.keep(value)
            self.last_checkpoint = value

    def heartbeat(self) -> None:
        """A sign of life. Nobody but the worker hears of it."""
        if not self.silent:
            self.voice.show_life()


CURRENT_RUN: Final[ContextVar[RunContext | None]] = ContextVar("longshore_run", default=None)


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that names the run in each record (`run_id`, `routine`, `attempt`) and keeps still in a replay."""

    def __init__(self, run: RunContext) -> None:
        name = run.routine.partition("@")[0]
        super().__init__(logging.getLogger(f"longshore.routine.{name}"))
        self._run = run

    def isEnabledFor(self, level: int) -> bool:
        """Whether such a record goes anywhere."""
        return not self._run.silent and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """The record's extra fields: the run's, then the caller's."""
        run = self._run
        own = {"run_id": run.run_id, "routine": run.routine, "attempt": run.attempt}
        kwargs["extra"] = own | dict(kwargs.get("extra") or {})
        return msg, kwargs


class Context:
    """The run that executes right here. Every attribute raises NoRunError where no routine is running."""

    __slots__ = ()

    @property
    def run_id(self) -> RunId:
        """The run's id, the same over all attempts."""
        return _here().run_id

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return _here().attempt

    @property
    def routine(self) -> str:
        """`name@version`."""
        return _here().routine

    @property
    def canceled(self) -> bool:
        """Whether somebody asked this run to end; code in a thread looks at it now and then and returns or raises."""
        return _here().canceled

    @property
    def metadata(self) -> Metadata:
        """The run's metadata: what it began with and what this code did since, as a mapping. `set`, `delete`, `append`,
        `increment`, `add_tags` and `remove_tags` change it, for all to see; `.parent` and `.root` have the same verbs
        for the run that called this one, and for the first of the tree."""
        return _here().metadata

    def add_tags(self, *tags: str) -> None:
        """Add tags to this run: at most 10, of 1 to 128 characters."""
        _here().metadata.add_tags(*tags)

    def remove_tags(self, *tags: str) -> None:
        """Take tags from this run, where it has them."""
        _here().metadata.remove_tags(*tags)

    @property
    def logger(self) -> RunLogger:
        """A logger whose records name the run."""
        return RunLogger(_here())

    @property
    def schedule(self) -> ScheduledTick | None:
        """Which tick of which schedule this run is of: timestamp, last_timestamp, timezone, schedule_id, upcoming (the
        next five). None where no schedule started it."""
        return _here().schedule

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far the run is, 0 to 1, with a word; also a sign of life."""
        _here().progress(fraction, text)

    def heartbeat(self) -> None:
        """A sign of life from code that takes long and has no progress to tell: with `heartbeat_timeout=` an attempt
        that gives none for so long is ended and tried again. Costs next to nothing, however often."""
        _here().heartbeat()

    def checkpoint(self, value: Any) -> None:
        """Keep this for the next attempt, in place of what was kept before; also a sign of life.

        The value is encoded at once and may be changed afterwards. It outlives this attempt, its worker and the
        coordinator; a run that makes checkpoints between its crashes is no poison. Over the inline limit it goes to the
        payload store, before this returns (on the loop of an `async def`: beside it). Many in a row cost one message.
        Raises EncodingError for what cannot travel, PayloadUnavailable, UsageError in a workflow.
        """
        _outside("checkpoint()").checkpoint(value)

    @property
    def last_checkpoint(self) -> Any:
        """What the code of this run, in this attempt or one before, kept last with `checkpoint`; None: nothing. Raises
        UsageError in a workflow."""
        return _outside("last_checkpoint").last_checkpoint

    # ------------------------------------------------------------------------------------------- inside a workflow only

    @property
    def now(self) -> datetime:
        """The workflow's time, aware UTC: of the latest fact it was told, still while its code runs, the same in a
        replay. Raises UsageError elsewhere."""
        return _inside("now", "datetime.now(UTC)").now

    @property
    def random(self) -> Random:
        """A `random.Random` of this run's own, which gives the same numbers in a replay; not for secrets. Raises
        UsageError elsewhere."""
        return _inside("random", "the module `random`").random

    def uuid4(self) -> UUID:
        """A random UUID, the same in a replay; not for secrets. Raises UsageError elsewhere."""
        return _inside("uuid4()", "uuid.uuid4()").uuid4()

    def patch(self, name: str) -> bool:
        """Whether a change of a workflow's code applies to this run: `if context.patch("name"): new way, else: old`.

        False in a run that passed this point before the change was made, and for the rest of that run (or generation);
        True in every other. Raises UsageError elsewhere, and when the name is no name.
        """
        return _inside("patch()", "the new code").patch(name)

    def continue_as(self, *args: Any, **kwargs: Any) -> NoReturn:
        """`context.continue_as(cursor, done)`: end this generation of the workflow here and begin the next one with
        these arguments of its own signature and an empty journal. The run, its id and its signals that nobody has taken
        stay; its open sub-routines are canceled, unless they were called with on_parent_end="abandon".

        For workflows that go on for ever. Nothing after it runs, and what a `finally` asks for has no effect. Raises
        ArgumentError for arguments that do not fit, UsageError elsewhere.
        """
        _inside("continue_as()", "a loop").continue_as(args, kwargs)

    def wait_until(self, at: datetime) -> Coroutine[Any, Any, None]:
        """`await context.wait_until(at)`: wait until that instant (a datetime with a time zone), however far away.

        Durable like every wait of a workflow: over restarts of workers and coordinators. Raises UsageError elsewhere.
        """
        return _inside("wait_until()", "asyncio.sleep or a trigger with delay=").wait_until(at)

    def wait_for_signal(self, name: str) -> Coroutine[Any, Any, Any]:
        """`value = await context.wait_for_signal("approved")`: the next signal of this name that this run was sent and
        nobody has taken (`client.signal`, `longshore runs signal`), also one from before the wait, in their order.

        `async with asyncio.timeout(...)` bounds it. Raises UsageError elsewhere.
        """
        return _inside("wait_for_signal()", "an argument").wait_for_signal(name)

    def create_token(self, timeout: str | float | timedelta | None = None) -> Coroutine[Any, Any, str]:
        """`token = await context.create_token(timeout="7d")`: a text that nobody can guess. Whoever has it may complete
        it once (`client.complete_token`, `longshore tokens complete`), until `timeout` is over (None: while the run
        lasts). Raises UsageError elsewhere.
        """
        return _inside("create_token()", "an argument").create_token(timeout)

    def wait_for_token(self, token: str) -> Coroutine[Any, Any, Any]:
        """`value = await context.wait_for_token(token)`: what a token of this run is completed with, before the wait or
        after it. Raises TokenExpired, TokenFailed with what was said, UsageError elsewhere.
        """
        return _inside("wait_for_token()", "an argument").wait_for_token(token)


def _inside(name: str, instead: str) -> Durable:
    run = _here()
    if run.durable is None:
        raise UsageError(
            f"{run.routine} uses context.{name}, which is for workflows: their code runs again when they are resumed. "
            f"Here use {instead}"
        )
    return run.durable


def _outside(name: str) -> RunContext:
    run = _here()
    if run.durable is not None:
        raise UsageError(
            f"{run.routine} uses context.{name}, which is for tasks and actions: a workflow goes on where it was by "
            "its journal. Leave it out, or move the work to a task"
        )
    return run


def _here() -> RunContext:
    run = CURRENT_RUN.get()
    if run is None:
        raise NoRunError(
            "longshore.context was used where no routine is running; it works inside a routine's body only"
        )
    return run


context: Final = Context()
