"""For tests of your own routines: a workflow executed in memory, crashed and replayed at every fact it is told.

    from longshore.testing import crash_everywhere
    assert crash_everywhere(sweep(data)) == best

Called routines run here and now as plain functions, timers fire at once, nothing needs a broker, a coordinator or a
worker. It never touches a ledger.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

from longshore.core.errors import Nondeterminism, UsageError
from longshore.core.ids import ENTROPY_BYTES, Address, RunId, uuid7_from
from longshore.core.message import CallRow, Delivery, Wait
from longshore.core.run import Status
from longshore.engine.force import enter_task
from longshore.engine.generations import Continued
from longshore.engine.journal import CALL, SIGNAL, TIMER, TOKEN
from longshore.engine.lint import Finding
from longshore.engine.steps import Completed, NewCall, NewTimer, Nondeterministic, Outcome, Raised, Step
from longshore.engine.watching import Watch
from longshore.engine.workflow import WorkflowExecution
from longshore.routines.context import RunContext
from longshore.routines.reach import modules_of
from longshore.routines.routine import Call
from longshore.serialization.arguments import Arguments
from longshore.serialization.digests import digest
from longshore.serialization.failures import decode_failure, encode_failure
from longshore.serialization.values import decode, encode

R = TypeVar("R")

__all__ = ["crash_everywhere", "profile", "replay_always"]

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SHORT: Final = 60
_ADDRESS: Final = re.compile(" at 0x[0-9a-f]+")
"""What a text says of an object's place in memory."""
_MOST: Final = 100_000
"""Facts after which a workflow counts as endless."""

Asked = NewCall | NewTimer | Wait
Told = Callable[[], Any]
"""What a fact brings, made anew for each replay: an exception that was raised once has a traceback."""


def crash_everywhere(
    call: Call[R], *, signals: Iterable[tuple[str, Any]] = (), tokens: Iterable[Any] = (), seed: int | None = None
) -> R:
    """Execute a workflow in memory and give its result, while its worker dies around every fact it is told: before the
    ledger has what the code then asked for, when it has half of it, and after.

    `signals` are (name, value), told in order when somebody waits for them; `tokens` are values for the tokens in the
    order of their making. Facts come in the order they were asked for, calls before timers; with a `seed` in a random
    one. A called routine is not tried again when it fails. Raises what the workflow raises; Nondeterminism, with both
    sides, when a replay asks for something else; UsageError when it waits for what nobody tells it.
    """
    result: R = _Rehearsal(call, _World(signals, tokens, seed, crashes=True)).play()
    return result


def replay_always(
    call: Call[R], *, signals: Iterable[tuple[str, Any]] = (), tokens: Iterable[Any] = (), seed: int | None = None
) -> R:
    """As `crash_everywhere`, but only put away and replayed after every fact: quicker, and as a worker does it."""
    result: R = _Rehearsal(call, _World(signals, tokens, seed, crashes=False)).play()
    return result


def profile(
    call: Call[R], *, signals: Iterable[tuple[str, Any]] = (), tokens: Iterable[Any] = (), seed: int | None = None
) -> list[Finding]:
    """Execute a workflow in memory, as `replay_always` does, and give the lines that did what a replay may not do
    again: read the clock, drew by chance, went through a set of texts, through methods and libraries too.

    Empty is well. Each finding has `file`, `line`, `what` and `hazard`, and as a text says what to use instead. If
    there is none, it raises what `replay_always` raises.
    """
    rehearsal = _Rehearsal(call, _World(signals, tokens, seed, crashes=False))
    with Watch(call.routine) as watch:
        try:
            rehearsal.play()
        except Exception:
            if not watch.findings:
                raise
    return watch.findings


class _World:
    """What a workflow and those it calls share."""

    def __init__(
        self, signals: Iterable[tuple[str, Any]], tokens: Iterable[Any], seed: int | None, *, crashes: bool
    ) -> None:
        self.signals = list(signals)
        self.tokens = list(tokens)
        self.chance = None if seed is None else random.Random(seed)
        self.crashes = crashes
        self.now = _START


class _Fact(NamedTuple):
    delivery: Delivery
    told: Told


class _Rehearsal:
    """One workflow with its journal, generation after generation."""

    def __init__(self, call: Call[Any], world: _World) -> None:
        if not isinstance(call, Call) or call.routine.kind != "workflow":
            raise UsageError(f"{call!r} is no call of a workflow: write crash_everywhere(sweep(data))")
        call.take()
        self._routine = call.routine
        self._arguments = call.arguments
        self._world = world
        self._run_id = RunId(
            uuid7_from(int(time.time() * 1000), int.from_bytes(secrets.token_bytes(ENTROPY_BYTES)) >> 6)
        )
        self._generation = -1
        self._begin()

    def _begin(self) -> None:
        """A journal without a row."""
        self._generation += 1
        self._started_at = self._world.now
        self._rows: dict[Address, CallRow] = {}
        self._asked: dict[Address, Asked] = {}
        self._facts: list[_Fact] = []
        self._processed = -1

    def play(self) -> Any:
        """The result."""
        while isinstance(outcome := self._to_the_end(), Continued):
            self._arguments = _travelled(outcome.arguments)
            unread = [self._facts[seq - 1] for seq in outcome.unread]
            self._world.signals[:0] = [(fact.delivery.status, fact.told()) for fact in unread]
            self._begin()
        match outcome:
            case Completed(value=value):
                return decode(encode(value).inline())
            case Raised(exception=error):
                raise error
        raise AssertionError(outcome)

    def _to_the_end(self) -> Outcome:
        execution = self._fresh(-1)
        step = execution.begin()
        while True:
            self._compare(step)
            self._keep(step)
            if step.outcome is not None:
                return step.outcome
            if len(self._facts) >= _MOST:
                raise UsageError(f"{self._routine.id} was told {_MOST} facts and has not ended:\n{execution.stacks()}")
            execution.kill()
            execution, _ = self._replayed(self._rows, self._processed)
            fact = self._next_fact(execution)
            self._facts.append(fact)
            step = execution.deliver(fact.delivery, fact.told())

    # ------------------------------------------------------------------------------------------------------- replays

    def _fresh(self, processed: int) -> WorkflowExecution:
        function, (args, kwargs) = self._routine.function, self._arguments
        return WorkflowExecution(
            lambda: function(*args, **kwargs),
            started_at=self._started_at,
            run_context=RunContext(self._run_id, routine=self._routine.id),
            processed_seq=processed,
            generation=self._generation,
            bind=self._routine.signature.bind,
        )

    def _replayed(self, rows: dict[Address, CallRow], processed: int) -> tuple[WorkflowExecution, Step]:
        """Another worker's execution, which knows these rows and was told every fact; and its last step."""
        execution = self._fresh(processed)
        by_seq: dict[int, list[CallRow]] = {}
        for row in rows.values():
            by_seq.setdefault(row.asked_seq, []).append(row)
        execution.learn(by_seq.get(0, ()))
        step = self._checked(execution.begin())
        for fact in self._facts:
            if step.outcome is not None:
                break
            execution.learn(by_seq.get(fact.delivery.seq, ()))
            step = self._checked(execution.deliver(fact.delivery, fact.told()))
        return execution, step

    def _compare(self, step: Step) -> None:
        """Crash before the ledger has this step, and when it has half of its rows: the same must be asked for again."""
        self._checked(step)
        if not self._world.crashes:
            return
        asked = _rows(step)
        tokens = any(one.kind == TOKEN for one in step.waits)
        for known in {0, len(asked) // 2}:
            rows = self._rows | {row.address: row for row in asked[:known]}
            execution, again = self._replayed(rows, self._processed)
            execution.kill()
            first, second = (_shape(one, {row.address for row in asked[:known]}, tokens) for one in (step, again))
            if first != second:
                raise Nondeterminism(_difference(self._routine.id, step.seq, first, second))

    def _checked(self, step: Step) -> Step:
        if isinstance(step.outcome, Nondeterministic):
            raise Nondeterminism(step.outcome.failure)
        return step

    def _keep(self, step: Step) -> None:
        asked: list[Asked] = [*step.calls, *step.timers, *step.waits]
        self._asked.update((one.address, one) for one in asked)
        self._rows.update((row.address, row) for row in _rows(step))
        if step.outcome is None:
            self._processed = step.seq

    # --------------------------------------------------------------------------------------------------------- facts

    def _next_fact(self, execution: WorkflowExecution) -> _Fact:
        """What the workflow is told next."""
        waiting = [self._asked[address] for address in execution.waiting if address in self._asked]
        chance = self._world.chance
        if chance is not None:
            chance.shuffle(waiting)
        calls = [one for one in waiting if isinstance(one, NewCall)]
        timers = [one for one in waiting if _due(one) is not None]
        if calls and not (chance is not None and timers and chance.random() < 0.3):
            return self._outcome(calls[0])
        for one in waiting:
            if isinstance(one, Wait) and (fact := self._from_outside(one)) is not None:
                return fact
        if timers:
            first = min(timers, key=lambda one: _due(one) or _START)
            self._world.now = max(self._world.now, _due(first) or _START)
            return self._fact(TIMER, first.address, lambda: None)
        self._nothing(execution)

    def _nothing(self, execution: WorkflowExecution) -> NoReturn:
        raise UsageError(
            f"{self._routine.id} waits for what nobody tells it: give signals=[(name, value)] or tokens=[value]\n"
            f"{execution.stacks()}"
        )

    def _fact(self, kind: str, address: Address, told: Told, status: str = "") -> _Fact:
        self._world.now += timedelta(milliseconds=1)
        return _Fact(Delivery(len(self._facts) + 1, kind, address, self._world.now, status=status), told)

    def _from_outside(self, wait: Wait) -> _Fact | None:
        world = self._world
        if wait.kind == TOKEN and world.tokens:
            value = encode(world.tokens.pop(0)).inline()
            return self._fact(TOKEN, wait.address, lambda: decode(value), Status.COMPLETED)
        if wait.kind == SIGNAL:
            index = next((index for index, (name, _) in enumerate(world.signals) if name == wait.name), None)
            if index is not None:
                told = encode(world.signals.pop(index)[1]).inline()
                return self._fact(SIGNAL, Address(""), lambda: decode(told), wait.name)
        return None

    def _outcome(self, asked: NewCall) -> _Fact:
        arguments = _travelled(asked.call.arguments)
        try:
            value = encode(self._execute(asked.call, arguments)).inline()
        except Exception as error:  # noqa: BLE001 - the routine's own failure is what its caller is told
            failure = encode_failure(error)
            modules = modules_of(self._routine.function)
            return self._fact(
                "outcome", asked.address, lambda: decode_failure(failure, modules=modules, strict=True), Status.FAILED
            )
        return self._fact("outcome", asked.address, lambda: decode(value), Status.COMPLETED)

    def _execute(self, call: Call[Any], arguments: Arguments) -> Any:
        routine = call.routine
        if routine.kind == "workflow":
            return _Rehearsal(routine(*arguments.args, **arguments.kwargs), self._world).play()
        with enter_task(RunContext(self._run_id, routine=routine.id)):
            result = routine.function(*arguments.args, **arguments.kwargs)
            return _waited_for(result) if inspect.iscoroutine(result) else result


def _waited_for(work: Any) -> Any:
    """What a coroutine gives, on a loop of its own: the caller may be on one already."""
    found: list[Any] = []
    context = copy_context()

    def run() -> None:
        try:
            found.append(context.run(asyncio.run, work))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            found.append(error)
            found.append(None)

    thread = threading.Thread(target=run, name="longshore-testing")
    thread.start()
    thread.join()
    if len(found) > 1:
        raise found[0]
    return found[0]


def _travelled(arguments: Arguments) -> Arguments:
    """The arguments as they come out at the other end."""
    args, kwargs = decode(encode([list(arguments.args), arguments.kwargs]).inline())
    return Arguments(tuple(args), kwargs)


def _due(asked: Asked) -> datetime | None:
    return None if isinstance(asked, NewCall) else asked.due_at


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
