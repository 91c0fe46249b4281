"""Where workflows are rehearsed: the runs of a rehearsal, the clock that jumps from one thing that happens to the next.

What happens to a run goes by the rules of the ledger (`core.policy`, `core.ledger.keys`); the verdict on an attempt is
the worker's. Nothing waits for time: the earliest of what is due comes next.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, NoReturn

from longshore.core.errors import RunExpired, RunTimedOut, UsageError
from longshore.core.ids import Address, RunId
from longshore.core.ledger import keys
from longshore.core.ledger.config import LedgerConfig
from longshore.core.message import Failure, Finished, Options
from longshore.core.policy import attempts_allowed, care_asked, next_delay, retries_of
from longshore.core.run import Status
from longshore.core.versions import LATEST, PINNED
from longshore.engine.generations import Continued
from longshore.engine.journal import SIGNAL, TIMER, TOKEN
from longshore.engine.steps import Completed, NewCall, Raised, Step
from longshore.routines.routine import Call, Routine
from longshore.serialization.values import decode, encode
from longshore.testing import bodies
from longshore.testing.play import Play
from longshore.testing.rehearsed import End, Rehearsed
from longshore.worker.bench import COMPLETED, SYSTEM_FAILURE, TIMED_OUT

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_MOST: Final = 100_000
"""Things that happened after which a workflow counts as endless."""
_EARLY: Final = 0.3
"""How often, by chance, a timer goes before what could happen now: calls may take long."""
_RULES: Final = LedgerConfig()
_FREES: Final = (Status.FAILED, Status.TIMED_OUT, Status.SYSTEM_FAILURE)
"""Ends after which an idempotency key is free."""
_ENDS: Final = {TIMED_OUT: Status.TIMED_OUT, SYSTEM_FAILURE: Status.SYSTEM_FAILURE}

Happening = Callable[[], None]


class Stage:
    """See the module. `perform` once."""

    def __init__(
        self, signals: Iterable[tuple[str, Any]], tokens: Iterable[Any], seed: int | None, *, crashes: bool
    ) -> None:
        self.crashes = crashes
        self.now = _START
        self._signals = list(signals)
        self._tokens = list(tokens)
        self._chance = None if seed is None else random.Random(seed)
        self._live: list[Rehearsed] = []
        self._journals: dict[RunId, Play] = {}
        """Of workflows that are under way."""
        self._told: dict[RunId, list[tuple[Play, Address]]] = {}
        """Who is told of the end of a run, and where."""
        self._next: deque[Happening] = deque()
        self._keys: dict[str, tuple[Rehearsed, datetime]] = {}

    def perform(self, call: Call[Any]) -> Any:
        """The result of a workflow. Raises what it raises."""
        root = self._book(call, encode([list(call.arguments.args), call.arguments.kwargs]).inline(), None)
        count = 0
        while self._happens():
            count += 1
            if count > _MOST:
                plays = "\n".join(play.stacks() for play in self._plays())
                raise UsageError(f"{root.routine.id} was told {_MOST} facts and has not ended:\n{plays}")
        end = root.end
        if end is None:
            self._nothing(root)
        if end.error is not None:
            raise end.error
        return decode(end.value)

    def _nothing(self, root: Rehearsed) -> NoReturn:
        idle = [play for play in self._plays() if not play.awaits_calls]
        first = idle[0].run if idle else root
        stacks = "\n".join(play.stacks() for play in idle)
        raise UsageError(
            f"{first.routine.id} waits for what nobody tells it: give signals=[(name, value)] or tokens=[value]\n"
            f"{stacks}"
        )

    # ---------------------------------------------------------------------------------------------------- what is next

    def _happens(self) -> bool:
        """Have the next thing happen. False: nothing does any more."""
        timers = [(at, play, address) for play in self._plays() for at, address in play.timers()]
        ready: list[Happening] = [*self._next, *(partial(self._begin, run) for run in self._due())]
        if self._chance is not None:
            early = bool(timers) and self._chance.random() < _EARLY
            ready = [] if early else ready
            self._chance.shuffle(ready)
        if ready:
            if ready[0] in self._next:
                self._next.remove(ready[0])
            ready[0]()
            return True
        if self._from_outside():
            return True
        soonest = self._soonest(timers)
        if soonest is None:
            return False
        at, happening = soonest
        self.now = max(self.now, at)
        happening()
        return True

    def _due(self) -> list[Rehearsed]:
        due = [run for run in self._live if run.at is not None and run.at <= self.now and not self._is_over(run)]
        return sorted(due, key=lambda run: run.at or _START)

    def _is_over(self, run: Rehearsed) -> bool:
        """Whether its time was over before it could begin."""
        limits = [run.deadline_at, None if run.begun else run.ttl_at]
        return any(limit is not None and run.at is not None and limit < run.at for limit in limits)

    def _soonest(self, timers: list[tuple[datetime, Play, Address]]) -> tuple[datetime, Happening] | None:
        """What time alone brings next."""
        coming: list[tuple[datetime, Happening]] = []
        for run in self._live:
            if run.deadline_at is not None:
                coming.append((run.deadline_at, partial(self._time_out, run)))
            if run.grace_at is not None:
                coming.append((run.grace_at, partial(self._end, run, End(Status.CANCELED))))
            if run.at is not None:
                coming.append((run.at, partial(self._begin, run)))
                if run.ttl_at is not None and not run.begun:
                    coming.append((run.ttl_at, partial(self._expire, run)))
        coming += [(at, partial(play.tell, TIMER, address)) for at, play, address in timers]
        return min(coming, key=lambda one: one[0], default=None)

    def _from_outside(self) -> bool:
        for play in self._plays():
            for wait in play.waits():
                if wait.kind == TOKEN and self._tokens:
                    value = encode(self._tokens.pop(0)).inline()
                    play.tell(TOKEN, wait.address, status=Status.COMPLETED, result=value)
                    return True
                names = [name for name, _ in self._signals]
                if wait.kind == SIGNAL and wait.name in names:
                    _, value = self._signals.pop(names.index(wait.name))
                    play.tell(SIGNAL, Address(""), status=wait.name, result=encode(value).inline())
                    return True
        return False

    def _plays(self) -> list[Play]:
        return list(self._journals.values())

    # --------------------------------------------------------------------------------------------------------- calls

    def asked(self, play: Play, step: Step) -> None:
        """A workflow's code has asked for this, or ended."""
        for new in step.calls:
            self._call(play, new)
        for address in step.closed:
            self._leave(play, address)
        run = play.run
        match step.outcome:
            case None:
                return
            case Completed(frozen=frozen):
                assert isinstance(frozen, bytes), "a play freezes all values"
                bodies.run_hooks(play.attempt, report := bodies.completed(play.attempt, frozen), decode(frozen))
                self._settle(run, report, None)
            case Raised(exception=error):
                report = bodies.failed(play.attempt, error)
                bodies.run_hooks(play.attempt, report)
                self._settle(run, report, error)
            case Continued(frozen=frozen, unread=unread):
                assert isinstance(frozen, bytes), "a play freezes all values"
                if run.canceled:
                    self._end(run, End(Status.CANCELED))
                    return
                self._give_back(play, set(unread))
                self._abandon(play)
                run.input = frozen
                self._next.append(partial(self._open, run, play.generation + 1))

    def _call(self, play: Play, new: NewCall) -> None:
        assert isinstance(new.frozen, bytes), "a play freezes all values"
        options = new.call.options or Options()
        row = keys.row_asked(options, new.call.routine.name, play.run.id)
        held = self._holder(row, options, play)
        run = self._book(new.call, new.frozen, play) if held is None else held
        if run.end is None:
            self._told.setdefault(run.id, []).append((play, new.address))
        else:
            self._next.append(partial(self._tell, play, new.address, run))

    def _book(self, call: Call[Any], value: bytes, play: Play | None) -> Rehearsed:
        options = call.options or Options()
        _refuse(call.routine, options, call.place)
        run = Rehearsed(call.routine, value, options, self.now, None if play is None else play.run, play)
        self._live.append(run)
        row = keys.row_asked(options, call.routine.name, run.id if play is None else play.run.id)
        if row:
            ttl = options.idempotency_ttl_ms
            kept = _RULES.idempotency_kept if ttl is None else timedelta(milliseconds=ttl)
            self._keys[row] = run, self.now + kept
        return run

    def _holder(self, row: str, options: Options, play: Play) -> Rehearsed | None:
        """The run that has this idempotency key."""
        held, until = self._keys.get(row, (None, self.now))
        if held is None or until <= self.now or (held.end is not None and held.end.status in _FREES):
            return None
        left = held.end is None and held.parent is play.run and held.journal is not play
        if options.idempotency_scope == keys.RUN and (held.canceled or left or _is_canceled(held)):
            return None
        above: Rehearsed | None = play.run
        while above is not None:
            if above is held:
                raise UsageError(f"{held.routine.id} calls itself by its own idempotency key: it would wait for itself")
            above = above.parent
        return held

    def _leave(self, play: Play, address: Address) -> None:
        """The code no longer waits at this address: what it has called itself is canceled."""
        for run in list(self._live):
            told = self._told.get(run.id, [])
            if (play, address) in told:
                told.remove((play, address))
                if run.journal is play and not (run.is_spared and play.run.canceled):
                    self._cancel(run, f"parent run {play.run.id} no longer waits for it")

    # -------------------------------------------------------------------------------------------------- life of a run

    def _begin(self, run: Rehearsed) -> None:
        """Begin its next attempt."""
        run.at = None
        run.begun = True
        if run.routine.kind == "workflow":
            self._open(run, 0)
        else:
            self._settle(run, *bodies.execute(run))

    def _open(self, run: Rehearsed, generation: int) -> None:
        if run.end is not None:
            return
        play = self._journals[run.id] = Play(self, run, generation)
        if not generation:
            bodies.run_first_hooks(play.attempt)
        play.begin()

    def _settle(self, run: Rehearsed, report: Finished, error: BaseException | None) -> None:
        """An attempt is over: the run is, or there is another one."""
        if run.canceled:
            self._end(run, End(Status.CANCELED, failure=report.error, error=error))
        elif report.how == COMPLETED:
            assert isinstance(report.result, bytes), "a rehearsal stores no values"
            self._end(run, End(Status.COMPLETED, report.result))
        elif report.how in _ENDS:
            self._end(run, _ended(run, _ENDS[report.how], report.error, error))
        else:
            self._try_again(run, report, error)

    def _try_again(self, run: Rehearsed, report: Finished, error: BaseException | None) -> None:
        allowed = attempts_allowed(run.offer, run.options.max_attempts)
        retries = retries_of(run.offer, care_asked(run.options))
        delay = next_delay(report, run.attempt, allowed, retries, self._jitter)
        if delay is None:
            self._end(run, End(Status.FAILED, failure=report.error, error=error))
            return
        play = self._journals.pop(run.id, None)
        if play is not None:
            self._give_back(play, None)
            self._abandon(play)
        run.attempt += 1
        run.at = self.now + delay

    def _jitter(self) -> float:
        return 0.5 if self._chance is None else self._chance.random()

    def _give_back(self, play: Play, unread: set[int] | None) -> None:
        """Signals that it was told (None: all of them) are told again."""
        told = [fact.delivery for fact in play.facts if fact.delivery.kind == SIGNAL]
        self._signals[:0] = [
            (one.status, decode(one.result))
            for one in told
            if isinstance(one.result, bytes) and (unread is None or one.seq in unread)
        ]

    def _time_out(self, run: Rehearsed) -> None:
        text = "the deadline of the whole run was over"
        self._end(run, _ended(run, Status.TIMED_OUT, Failure("longshore.core.errors.RunTimedOut", text), None))

    def _expire(self, run: Rehearsed) -> None:
        text = "its ttl was over before its first start"
        self._end(run, _ended(run, Status.EXPIRED, Failure("", text), None))

    def _cancel(self, run: Rehearsed, reason: str) -> None:
        """What has not begun ends at once; a workflow under way is told, and has its grace."""
        if run.end is not None or run.canceled:
            return
        run.canceled = reason
        play = self._journals.get(run.id)
        if play is None:
            self._end(run, End(Status.CANCELED))
            return
        play.attempt.canceled = reason
        run.grace_at = self.now + _RULES.cancel_grace
        self._abandon(play)
        self._next.append(partial(self._tell_canceled, play))

    def _tell_canceled(self, play: Play) -> None:
        if self._journals.get(play.run.id) is play:
            play.tell("cancel", Address(""))

    def _abandon(self, play: Play) -> None:
        """What a workflow has called and no longer needs is canceled, but for what is to go on without it."""
        for run in list(self._live):
            if run.journal is play and not run.is_spared:
                self._cancel(run, f"parent run {play.run.id} ended or was canceled")

    def _end(self, run: Rehearsed, end: End) -> None:
        run.end = end
        self._live.remove(run)
        play = self._journals.pop(run.id, None)
        if play is not None:
            play.close()
            self._abandon(play)
        for caller, address in self._told.pop(run.id, ()):
            self._next.append(partial(self._tell, caller, address, run))

    def _tell(self, play: Play, address: Address, run: Rehearsed) -> None:
        """Tell a caller how it ended, if it still waits."""
        end = run.end
        if end is None or self._journals.get(play.run.id) is not play or not play.waits_at(address):
            return
        result = end.value if end.status is Status.COMPLETED else None
        play.tell("outcome", address, status=end.status, result=result, error=end.failure, child_id=run.id)


def _is_canceled(run: Rehearsed) -> bool:
    return run.end is not None and run.end.status is Status.CANCELED


def _ended(run: Rehearsed, status: Status, failure: Failure | None, error: BaseException | None) -> End:
    """An end by time, with what whoever performs the run itself is raised."""
    kind = {Status.TIMED_OUT: RunTimedOut, Status.EXPIRED: RunExpired}.get(status)
    if kind is None:
        return End(status, error=error, failure=failure)
    text = f"{run.routine.id} ended as {status}: {failure.message if failure else ''}"
    raised = kind(text, run_id=run.id, status=status, error=failure)
    raised.__cause__ = error
    return End(status, error=raised, failure=failure if failure is not None and failure.type else None)


def _refuse(routine: Routine[..., Any], options: Options, place: str) -> None:
    """Raise UsageError for what a rehearsal cannot do."""
    if options.debounce is not None:
        raise UsageError(
            f"{place}: {routine.id} is called with debounce=..., which a rehearsal does not know: leave it out, or "
            "trigger it in a test with a coordinator"
        )
    if options.version not in ("", LATEST, PINNED, routine.version):
        raise UsageError(
            f"{place}: {routine.id} is called with version={options.version!r}, and a rehearsal has the imported one "
            f"only, {routine.version}: call that one, or leave the version out"
        )
