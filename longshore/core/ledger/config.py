"""The ledger's numbers, all with defaults that are right for a newcomer."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from longshore.core.keeping import Keep


class LedgerConfig(msgspec.Struct, kw_only=True, frozen=True):
    """How the ledger judges. Marks are seconds of the coordinator's own listening (DESIGN 6)."""

    unresponsive_marks: int = 10
    lost_marks: int = 30
    returned_marks: int = 5
    """Marks without a Hello after a directive came back, until the session is lost."""
    settling_marks: int = 30
    """For so many Marks after the coordinator's own (re)connect a return makes UNRESPONSIVE only."""
    ping_every: timedelta = timedelta(milliseconds=500)
    stream_ms: float = 50.0
    """How much measured work a slot may have lying before it."""
    stream_runs: int = 2000
    """The most runs lying before the slots of one worker."""
    flows_starting: int = 500
    """The most workflows a worker is given that have not yet reached their first wait."""
    version_patience: timedelta = timedelta(seconds=60)
    version_deadline: timedelta = timedelta(days=30)
    """How long a run waits for a version nobody offers before it ends as SYSTEM_FAILURE."""
    cancel_grace: timedelta = timedelta(seconds=60)
    wake_every: timedelta = timedelta(seconds=5)
    """A workflow that is put away is woken for one of several open calls this often at most."""
    redeliver_after: timedelta = timedelta(seconds=2)
    batch_patience: timedelta = timedelta(seconds=60)
    """For so long (counted in Marks) the sender of an open batch may be silent, unless the batch says otherwise."""
    batches_kept: timedelta = timedelta(days=30)
    """How long batches and bulk orders that are over are kept."""
    open_batches: int = 10_000
    """How many batches may be open at a time."""
    group: int = 1000
    """The most runs one step touches; more is done over several ticks."""
    reply_kept: timedelta = timedelta(hours=24)
    reply_retry: timedelta = timedelta(minutes=1)
    closed_kept: timedelta = timedelta(hours=24)
    """How long the row of a closed session is kept, for a worker that comes back."""
    idempotency_kept: timedelta = timedelta(days=30)
    signals_kept: timedelta = timedelta(hours=24)
    """How long the id of a signal is remembered when its journal is gone: sent again, it is not told again."""
    tokens_kept: timedelta = timedelta(days=30)
    """How long after the end of its run a token is known: completing it is answered with what became of the run."""
    unread_signals: int = 10_000
    """How many signals may wait for a run whose code has not taken them. Every one is in the memory of the worker that
    holds the run, and all of them go over to its next generation in one transaction."""
    unread_bytes: int = 64 * 1024 * 1024
    """And how many bytes their values may have together (claim checks count nothing): a worker should be able to hold
    several such runs."""
    history_kept: int = 10_000
    """How many of its latest history rows a run that continues keeps, beside the first."""
    rows_at_once: int = 1000
    """The most rows of each kind that one step lets go of, for one workflow."""
    retention: Keep = Keep(timedelta(days=30), 1_000_000)
    """How long runs are kept that have ended, and how many that are nobody's children. What a routine's author says
    goes first."""
    retention_grace: timedelta = timedelta(seconds=30)
    """What ended a moment ago stays, however much there is: whoever waits for it may be about to ask again."""
    retention_after: timedelta = timedelta(seconds=10)
    """Nothing goes in a coordinator's first moments: triggers that were taken before it began come again."""
    letters_kept: int = 10_000
    letters_age: timedelta = timedelta(days=30)
    """How many dead letters are kept, and for how long."""
    event_path: bool = True
    """False: nothing is placed or delivered when a message comes; the reconciler alone acts (a test mode)."""
    trace_all: bool = False
    """Give runs a trace even if their trigger brought none."""
