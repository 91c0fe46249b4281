"""One journal of a workflow that is rehearsed: its worker is put away after every fact, or dies around it, and its code
replayed. What it asks for goes to the stage, which tells it what comes of it. It never executes what it calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

from longshore.core.errors import Nondeterminism
from longshore.core.ids import Address
from longshore.core.message import CallRow, Delivery, Wait
from longshore.engine.generations import Frozen
from longshore.engine.journal import CALL, TIMER, TOKEN
from longshore.engine.steps import Completed, NewCall, NewTimer, Nondeterministic, Raised, Step
from longshore.engine.workflow import WorkflowExecution
from longshore.routines.context import SILENCE, RunContext
from longshore.routines.reach import modules_of
from longshore.serialization.digests import digest
from longshore.serialization.values import encode
from longshore.testing.bodies import RunVoice, arguments_of
from longshore.testing.rehearsed import Rehearsed
from longshore.worker.flow import told_by

_SHORT: Final = 60
_ADDRESS: Final = re.compile(" at 0x[0-9a-f]+")
"""What a text says of an object's place in memory."""
_SOON: Final = timedelta(milliseconds=1)

Asked = NewCall | NewTimer | Wait
Told = Callable[[], Any]
"""What a fact brings, made anew for each replay: an exception that was raised once has a traceback."""


class Fact(NamedTuple):
    """Something a workflow was told."""

    delivery: Delivery
    told: Told


class Director(Protocol):
    """Who has the clock, and brings about what the code asks for."""

    now: datetime
    crashes: bool

    def asked(self, play: Play, step: Step, /) -> None: ...


class Play:
    """See the module."""

    def __init__(self, stage: Director, run: Rehearsed, generation: int) -> None:
        self.run = run
        self.generation = generation
        self.attempt = run.new_attempt()
        self.attempt.user_code = True
        self.facts: list[Fact] = []
        self._stage = stage
        self._modules = modules_of(run.routine.function)
        self._started_at = stage.now
        self._rows: dict[Address, CallRow] = {}
        self._asked: dict[Address, Asked] = {}
        self._processed = -1
        self._execution = self._fresh(-1, live=True)

    # ------------------------------------------------------------------------------------------------ what it is told

    def begin(self) -> None:
        """Start the code."""
        self._take(self._execution.begin())

    def tell(self, kind: str, address: Address, **what: Any) -> None:
        """Tell it a fact; `what` are the fields of its Delivery."""
        self._stage.now += _SOON
        delivery = Delivery(len(self.facts) + 1, kind, address, self._stage.now, **what)
        modules = self._modules
        fact = Fact(delivery, lambda: told_by(delivery, modules))
        self.facts.append(fact)
        self._take(self._execution.deliver(delivery, fact.told()))

    def close(self) -> None:
        """Put it away for good."""
        self._execution.kill()

    # ------------------------------------------------------------------------------------------- what it waits for

    def waits_at(self, address: Address) -> bool:
        """Whether its code waits there."""
        return address in self._execution.waiting

    @property
    def awaits_calls(self) -> bool:
        """Whether a routine is among what it waits for."""
        return self._execution.awaits_calls

    def waits(self) -> Iterator[Wait]:
        """The signals and tokens it waits for."""
        return (one for one in self._open() if isinstance(one, Wait))

    def timers(self) -> Iterator[tuple[datetime, Address]]:
        """When it goes on by time alone."""
        for one in self._open():
            if not isinstance(one, NewCall) and one.due_at is not None:
                yield one.due_at, one.address

    def stacks(self) -> str:
        """Where its code waits."""
        return self._execution.stacks()

    def _open(self) -> Iterator[Asked]:
        return (self._asked[address] for address in self._execution.waiting if address in self._asked)

    # ------------------------------------------------------------------------------------------------------- one step

    def _take(self, step: Step) -> None:
        """What the code newly asks for, and the replay after which it goes on."""
        self._compare(step)
        asked: list[Asked] = [*step.calls, *step.timers, *step.waits]
        self._asked.update((one.address, one) for one in asked)
        self._rows.update((row.address, row) for row in _rows(step))
        if step.outcome is None:
            self._processed = step.seq
            self._execution.kill()
            self._execution, _ = self._replayed(self._rows, self._processed, live=True)
        self._stage.asked(self, step)

    # ------------------------------------------------------------------------------------------------------- replays

    def _fresh(self, processed: int, *, live: bool = False) -> WorkflowExecution:
        function, (args, kwargs) = self.run.routine.function, arguments_of(self.run)
        start = self.attempt.start
        voice = RunVoice(self.run, self.attempt) if live else SILENCE
        return WorkflowExecution(
            lambda: function(*args, **kwargs),
            started_at=self._started_at,
            run_context=RunContext(
                self.run.id, routine=self.run.routine.id, attempt=start.attempt, metadata=start.metadata, voice=voice
            ),
            processed_seq=processed,
            generation=self.generation,
            bind=self.run.routine.signature.bind,
            freeze=_frozen,
        )

    def _replayed(
        self, rows: dict[Address, CallRow], processed: int, *, live: bool = False
    ) -> tuple[WorkflowExecution, Step]:
        """Another worker's execution, which knows these rows and was told every fact; and its last step."""
        execution = self._fresh(processed, live=live)
        by_seq: dict[int, list[CallRow]] = {}
        for row in rows.values():
            by_seq.setdefault(row.asked_seq, []).append(row)
        execution.learn(by_seq.get(0, ()))
        step = self._checked(execution.begin())
        for fact in self.facts:
            if step.outcome is not None:
                break
            execution.learn(by_seq.get(fact.delivery.seq, ()))
            step = self._checked(execution.deliver(fact.delivery, fact.told()))
        return execution, step

    def _compare(self, step: Step) -> None:
        """Crash before the ledger has this step, and when it has half of its rows: the same must be asked for again."""
        self._checked(step)
        if not self._stage.crashes:
            return
        asked = _rows(step)
        tokens = any(one.kind == TOKEN for one in step.waits)
        for known in {0, len(asked) // 2}:
            rows = self._rows | {row.address: row for row in asked[:known]}
            execution, again = self._replayed(rows, self._processed)
            execution.kill()
            first, second = (_shape(one, {row.address for row in asked[:known]}, tokens) for one in (step, again))
            if first != second:
                raise Nondeterminism(_difference(self.run.routine.id, step.seq, first, second))

    def _checked(self, step: Step) -> Step:
        if isinstance(step.outcome, Nondeterministic):
            raise Nondeterminism(step.outcome.failure)
        return step


def _frozen(value: Any) -> Frozen:
    return encode(value).inline()


def _rows(step: Step) -> list[CallRow]:
    """What the ledger would keep of a step."""
    calls = [
        CallRow(one.address, CALL, one.call.routine.name, one.digest, step.seq, place=one.place) for one in step.calls
    ]
    timers = [CallRow(one.address, TIMER, "", one.digest, step.seq, place=one.place) for one in step.timers]
    waits = [CallRow(one.address, one.kind, one.name, one.digest, step.seq, place=one.place) for one in step.waits]
    return [*waits, *calls, *timers]


def _shape(step: Step, known: set[Address], makes_tokens: bool) -> list[str]:
    """What a step asks for and how it ends, in words, but for the rows that are known. A token is another text each
    time until it is recorded, and so are the arguments of calls that are given it."""
    lines = [
        f"{row.address}: {row.kind} {'' if row.kind == TOKEN else row.name} "
        f"{'' if makes_tokens and row.kind == CALL else row.digest} at {row.place}"
        for row in _rows(step)
        if row.address not in known
    ]
    lines += [f"{address}: waited for no longer" for address in step.closed]
    match step.outcome:
        case Raised(exception=error):
            lines.append(f"raises {type(error).__name__}: {_ADDRESS.sub('', str(error))}")
        case Completed(value=value) if not makes_tokens:
            lines.append(f"returns {_returned(value)}")
        case outcome if outcome is not None:
            lines.append(type(outcome).__name__.lower())
    return lines


def _returned(value: Any) -> str:
    """A result as it can be compared, and looked at if it is short."""
    try:
        found = digest(value)
    except Exception as error:  # noqa: BLE001 - the user's own classes; who rehearses hears of it at the end
        return f"what cannot travel ({type(error).__name__})"
    shown = f"{value!r}, " if isinstance(value, str | bytes | int | float) and len(repr(value)) <= _SHORT else ""
    return f"{shown}digest {found[:16]}"


def _difference(routine: str, seq: int, first: Sequence[str], second: Sequence[str]) -> str:
    ours, theirs = [one for one in first if one not in second], [one for one in second if one not in first]
    return (
        f"{routine} does not do the same twice, in delivery {seq}\n"
        f"  at first: {'; '.join(ours) or 'nothing more'}\n"
        f"  replayed: {'; '.join(theirs) or 'nothing more'}\n"
        "It depends on something that differs each time: clock, chance, the order of a set, a global"
    )
