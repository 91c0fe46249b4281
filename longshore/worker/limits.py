"""Ends attempts that take longer than their timeout, or give no sign of life for longer than their heartbeat timeout.

What can be stopped is told to stop; what cannot, or does not, is reported over and keeps its slot. It measures with the
worker's own clock and asks nobody. It lives in the bus's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from longshore.core.errors import Stalled
from longshore.worker import hooking, threads
from longshore.worker.attempt import WORKFLOW, Attempt
from longshore.worker.deadlines import Deadlines
from longshore.worker.desk import log
from longshore.worker.roster import clock

PATIENCE: Final = 5.0
"""Seconds that code which was told to stop has for it."""


class Limits:
    """See the module. `interrupt` ends an attempt if that can be done; `give_up` reports one over whose code goes
    on."""

    def __init__(self, interrupt: Callable[[Attempt], None], give_up: Callable[[Attempt], None]) -> None:
        self._interrupt = interrupt
        self._give_up = give_up
        self._timeouts = Deadlines()
        self._pulses = Deadlines()
        self._hooks = Deadlines()

    def begin(self, attempt: Attempt) -> None:
        """Its body has begun. Active time of a workflow is next to nothing: its host counts it."""
        if attempt.hooks is not None:
            self._hooks.add(clock() + hooking.LIMIT, attempt)
        if attempt.kind == WORKFLOW:
            return
        timeout, silence = attempt.timeout, attempt.silence
        if timeout is not None:
            self._timeouts.add(clock() + timeout, attempt)
        if silence is not None:
            attempt.alive_at = clock()
            self._pulses.add(attempt.alive_at + silence, attempt)

    def look(self, now: float) -> None:
        """See who is over his time. `now` is the clock's."""
        for attempt in self._timeouts.due(now):
            if not (attempt.reported or attempt.settled):
                self._end(attempt, attempt.overdue or timed_out(attempt), now)
        for attempt in self._pulses.due(now):
            if not (attempt.reported or attempt.settled) and attempt.overdue is None:
                self._feel(attempt, now)
        for attempt in self._hooks.due(now):
            if not attempt.reported:
                self._look_at_hooks(attempt, now)

    def _look_at_hooks(self, attempt: Attempt, now: float) -> None:
        if attempt.settled is None:
            self._hooks.add(now + hooking.LIMIT, attempt)
        elif now - attempt.settled_at < hooking.LIMIT:
            self._hooks.add(attempt.settled_at + hooking.LIMIT, attempt)
        else:
            log.error("the hooks of run %s take over %g s: its outcome is told", attempt.run_id, hooking.LIMIT)
            self._give_up(attempt)

    def _feel(self, attempt: Attempt, now: float) -> None:
        silence = attempt.silence or 0.0
        again = attempt.alive_at + silence
        if again > now:
            self._pulses.add(again, attempt)
        else:
            self._end(attempt, stalled(attempt, now - attempt.alive_at), now)

    def _end(self, attempt: Attempt, error: Exception, now: float) -> None:
        if attempt.kind != threads.KIND and attempt.overdue is None:
            attempt.overdue = error
            attempt.context.canceled = True
            self._timeouts.add(now + PATIENCE, attempt)
        else:
            attempt.overdue = error
            self._give_up(attempt)
        self._interrupt(attempt)


def timed_out(attempt: Attempt) -> TimeoutError:
    """The exception that a timeout is reported as."""
    return TimeoutError(f"{attempt.routine.id} took longer than its timeout of {attempt.timeout:g} s")


def stalled(attempt: Attempt, seconds: float) -> Stalled:
    """The exception that a silence is reported as."""
    return Stalled(
        f"{attempt.routine.id} gave no sign of life for {seconds:.1f} s, and its heartbeat_timeout is "
        f"{attempt.silence:g} s: call context.heartbeat() or context.progress(...) more often, or give it longer"
    )
