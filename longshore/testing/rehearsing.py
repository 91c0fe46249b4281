"""The three ways to rehearse a workflow. They decide nothing: the stage does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from longshore.core.errors import UsageError
from longshore.engine.lint import Finding
from longshore.engine.watching import Watch
from longshore.routines.routine import Call
from longshore.testing.stage import Stage

R = TypeVar("R")


def crash_everywhere(
    call: Call[R], *, signals: Iterable[tuple[str, Any]] = (), tokens: Iterable[Any] = (), seed: int | None = None
) -> R:
    """Execute a workflow in memory and give its result, while its worker dies around every fact it is told: before the
    ledger has what the code then asked for, when it has half of it, and after.

    `signals` are (name, value), told in order when somebody waits for them; `tokens` are values for the tokens in the
    order of their making. Facts come in the order they were asked for, calls before timers; with a `seed` in a random
    one. Time jumps over delays, retries and timers. Raises what the workflow raises in its last attempt, RunTimedOut or
    RunExpired where its options say so; Nondeterminism, with both sides, when a replay asks for something else;
    UsageError when it waits for what nobody tells it, or asks for what cannot be rehearsed.
    """
    result: R = Stage(signals, tokens, seed, crashes=True).perform(_workflow(call))
    return result


def replay_always(
    call: Call[R], *, signals: Iterable[tuple[str, Any]] = (), tokens: Iterable[Any] = (), seed: int | None = None
) -> R:
    """As `crash_everywhere`, but only put away and replayed after every fact: quicker, and as a worker does it."""
    result: R = Stage(signals, tokens, seed, crashes=False).perform(_workflow(call))
    return result


def profile(
    call: Call[R], *, signals: Iterable[tuple[str, Any]] = (), tokens: Iterable[Any] = (), seed: int | None = None
) -> list[Finding]:
    """Execute a workflow in memory, as `replay_always` does, and give the lines that did what a replay may not do
    again: read the clock, drew by chance, went through a set of texts, through methods and libraries too.

    Empty is well. Each finding has `file`, `line`, `what` and `hazard`, and as a text says what to use instead. If
    there is none, it raises what `replay_always` raises.
    """
    stage = Stage(signals, tokens, seed, crashes=False)
    with Watch(_workflow(call).routine) as watch:
        try:
            stage.perform(call)
        except Exception:
            if not watch.findings:
                raise
    return watch.findings


def _workflow(call: Call[R]) -> Call[R]:
    if not isinstance(call, Call) or call.routine.kind != "workflow":
        raise UsageError(f"{call!r} is no call of a workflow: write crash_everywhere(sweep(data))")
    call.take()
    return call
