"""The ledger: the one object that decides every fact about a run. It holds the state and hands each message to its
family of rules. It never waits, never reads a clock, never draws a random number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from longshore.core.changes import (
    Changes,
    Facts,
    Inbound,
    Needs,
    ObjectsRemoved,
    ReplyReturned,
    ReportsBound,
    SessionReturned,
    Snapshot,
    Unreadable,
)
from longshore.core.ids import RunId, SessionId
from longshore.core.ledger import (
    annotating,
    batching,
    bulking,
    canceling,
    checkpointing,
    coming,
    commanding,
    continuing,
    delivering,
    draining,
    explaining,
    forgetting,
    forking,
    hooking,
    keeping,
    keys,
    limiting,
    needing,
    pausing,
    placing,
    progressing,
    queueing,
    repeating,
    reporting,
    rerunning,
    rescheduling,
    restoring,
    scheduling,
    sessions,
    signaling,
    starting,
    ticking,
)
from longshore.core.ledger.config import LedgerConfig
from longshore.core.ledger.counting import Counting
from longshore.core.ledger.recording import ended, outcome_of, reply
from longshore.core.ledger.state import Round, Session, State
from longshore.core.message import (
    AbortBatch,
    AbortBulk,
    Annotate,
    Annotated,
    Ask,
    Beat,
    Bulk,
    Bye,
    Cancel,
    Checkpoint,
    ChildDied,
    Commands,
    CompleteToken,
    CreateSchedule,
    DeleteSchedule,
    DrainWorker,
    Fetch,
    Finished,
    Fork,
    Hello,
    HooksRun,
    LimitQueue,
    Mark,
    OpenBatch,
    Pause,
    PauseQueue,
    PauseSchedule,
    Ping,
    Progress,
    Rejected,
    Released,
    Rerun,
    Reschedule,
    ResetKey,
    Resume,
    ResumeQueue,
    ResumeSchedule,
    RunChanged,
    SealBatch,
    Signal,
    Started,
    Suspended,
    Trigger,
)
from longshore.core.records import ReturnedReply
from longshore.core.run import Run

Entropy = Callable[[int], bytes]


class Ledger:
    """All decisions of one namespace. One round: `needs`, then `receive` with the facts; or `tick_needs`, then
    `tick`."""

    def __init__(self, config: LedgerConfig, snapshot: Snapshot, now: datetime) -> None:
        self._state = State(config, snapshot.term, now)
        restoring.restore(self._state, snapshot, now)

    @property
    def counts(self) -> dict[str, int]:
        """How often things happened that are no rows (late reports, gaps, invalid orders, lost sessions)."""
        return self._state.counts

    @property
    def size(self) -> int:
        """How many runs are in memory."""
        return len(self._state.runs)

    # ------------------------------------------------------------------------------------------------ rounds

    def needs(self, batch: Sequence[Inbound]) -> Needs:
        """What `receive` must be told about to decide this batch."""
        return needing.of_batch(self._state, batch)

    def receive(self, batch: Sequence[Inbound], facts: Facts, now: datetime, entropy: Entropy) -> Changes:
        """Decide a batch. If it raises, the shell reloads and takes the messages one by one."""
        state = self._state
        round_ = Round(now, facts, entropy, state.config.group)
        for inbound in batch:
            if inbound.session:
                self._take_reports(round_, inbound)
            else:
                for message in inbound.messages:
                    _COMMANDS[type(message)](state, round_, message, inbound.actor)
        return self._close(round_, place=state.config.event_path)

    def tick_needs(self, now: datetime) -> Needs:
        """What `tick` must be told about."""
        return needing.of_tick(self._state, now)

    def tick(self, facts: Facts, now: datetime, entropy: Entropy) -> Changes:
        """Decide what time alone brings about."""
        round_ = Round(now, facts, entropy, self._state.config.group)
        ticking.tick(self._state, round_)
        return self._close(round_, place=True)

    def next_tick_at(self, now: datetime) -> datetime:
        """When `tick` is wanted next, never later than a second from now."""
        return ticking.next_at(self._state, now)

    def coming_at(self) -> datetime | None:
        """See `coming.coming_at`."""
        return coming.coming_at(self._state)

    def at_work(self) -> Iterable[tuple[RunId, int]]:
        """See `coming.at_work`."""
        return coming.at_work(self._state)

    @property
    def is_tidying(self) -> bool:
        """See `coming.is_tidying`."""
        return coming.is_tidying(self._state)

    def _close(self, round_: Round, *, place: bool) -> Changes:
        state = self._state
        if place:
            placing.place(state, round_)
        if round_.rated:
            limiting.keep_rates(state, round_)
        if round_.deliveries:
            delivering.send_deliveries(state, round_)
        if round_.touched:
            sessions.look_at_statuses(state, round_)
        if round_.annotating:
            annotating.close(state, round_)
        round_.changes.suspended = list(round_.put_away)
        if round_.changes.ended:
            keeping.count(state, round_, round_.changes.ended.values())
        return round_.changes

    def _take_reports(self, round_: Round, inbound: Inbound) -> None:
        """Take one body of a session, if its number is the next one."""
        state = self._state
        session = state.sessions.get(inbound.session)
        first = inbound.messages[0] if inbound.messages else None
        if isinstance(first, ChildDied):
            for message in inbound.messages:
                if isinstance(message, ChildDied):
                    sessions.child_died(state, round_, message)
            return
        if isinstance(first, Hello):
            sessions.hello(state, round_, inbound.session, first)
            return
        if session is None or session.closed:
            self._answer_stranger(round_, inbound.session)
            return
        sessions.hear(state, round_, session)
        if inbound.number is not None and not self._is_next(round_, session, inbound.number):
            return
        for message in inbound.messages:
            _REPORTS[type(message)](state, round_, session, message)

    def _is_next(self, round_: Round, session: Session, number: int) -> bool:
        state = self._state
        if number <= session.taken:
            state.count("duplicate_report")
            return False
        if number > session.taken + 1:
            sessions.ask_hello(state, round_, session, "report_gap")
            return False
        session.taken = number
        round_.changes.taken[session.id] = number
        return True

    def _answer_stranger(self, round_: Round, session_id: SessionId) -> None:
        """A session that is not open here speaks: ask it to say Hello."""
        state = self._state
        session = state.sessions.get(session_id)
        if session is not None:
            sessions.ask_hello(state, round_, session, "stranger")
            return
        state.count("stranger")
        ping = Ping(term=state.term, taken=0, report_queue=state.report_queue, hello=True)
        round_.changes.directives.setdefault(session_id, []).append(ping)

    # ------------------------------------------------------------------------------------------------ answers

    def why(self, run_id: RunId, now: datetime, suspended: Run | None = None) -> dict[str, Any] | None:
        """Why a run waits (see `explaining`). One that is put away is not in memory: its row is to be given."""
        return explaining.why(self._state, run_id, now, suspended)

    def count_queues(self) -> Counting:
        """What there is to say of every queue, to be counted step by step."""
        return Counting(self._state)

    def progress(self, run_id: RunId) -> dict[str, Any] | None:
        """How far a run last said it is (see `progressing`)."""
        return progressing.latest(self._state, run_id)

    def workers(self) -> list[dict[str, Any]]:
        """The sessions, as people see them."""
        return explaining.workers(self._state)


# ---------------------------------------------------------------------------------------------------- dispatch tables


def _ask(state: State, round_: Round, message: Ask, actor: str) -> None:
    """Register who waits for outcomes; answer at once for those that have ended."""
    kept = state.config.retention.text
    for run_id in message.run_ids:
        final = ended(round_, run_id)
        if run_id in state.runs or run_id in round_.facts.runs:
            progressing.watch(state, round_, run_id, message.reply_to)
        elif final is not None:
            reply(round_, message.reply_to, outcome_of(final))
        else:
            text = f"there is no run {run_id}; it may have been deleted: what has ended is kept {kept}"
            reply(round_, message.reply_to, RunChanged(run_id=run_id, status="", reason=text))


def _mark(state: State, round_: Round, message: Mark, actor: str) -> None:
    sessions.mark(state, round_, message.term)


def _session_returned(state: State, round_: Round, message: SessionReturned, actor: str) -> None:
    sessions.returned(state, round_, message.session)


def _reply_returned(state: State, round_: Round, message: ReplyReturned, actor: str) -> None:
    """An outcome nobody took is kept and tried again; who asked through a key that is gone is forgotten."""
    config = state.config
    for run_id in message.run_ids:
        watchers = state.watchers.get(run_id)
        if watchers is not None:
            watchers.discard(message.reply_to)
            if not watchers:
                del state.watchers[run_id]
        final = round_.facts.final.get(run_id)
        if final is None or final.reply_to != message.reply_to or final.finished_at is None:
            continue
        if final.finished_at + config.reply_kept > round_.now:
            again = ReturnedReply(run_id, message.reply_to, round_.now, round_.now + config.reply_retry)
            round_.changes.returned.append(again)


def _reports_bound(state: State, round_: Round, message: ReportsBound, actor: str) -> None:
    sessions.reports_bound(state, round_, message.number)


def _unreadable(state: State, round_: Round, message: Unreadable, actor: str) -> None:
    round_.changes.dead.append(message)
    forgetting.dead_letters(state, round_)
    state.count("dead")
    if message.reply_to:
        refusal = Rejected(RunId(""), "unreadable", message.reason, message.correlation_id)
        reply(round_, message.reply_to, refusal, plain=True)
    session_id, number = message.headers.get("session"), message.headers.get("number")
    session = state.sessions.get(SessionId(str(session_id))) if session_id else None
    if session is None:
        return
    if isinstance(number, int):
        if number <= session.taken:
            return
        if number > session.taken + 1:
            sessions.ask_hello(state, round_, session, "report_gap")
            return
        session.taken = number
        round_.changes.taken[session.id] = number
    reporting.unreadable(state, round_, session.id, message.run_ids, message.reason)


_ORDERS: dict[type, repeating.Rule] = {
    Cancel: canceling.cancel_order,
    Resume: continuing.resume_order,
    Pause: pausing.pause_order,
    Rerun: rerunning.rerun_order,
    ResetKey: keys.reset_order,
    Reschedule: rescheduling.reschedule_order,
    Signal: signaling.signal,
    CompleteToken: signaling.complete_token,
    Fork: forking.fork,
    LimitQueue: queueing.limit,
    PauseQueue: queueing.pause,
    ResumeQueue: queueing.resume,
    Annotate: annotating.annotate,
    DrainWorker: draining.drain_order,
    CreateSchedule: scheduling.create,
    PauseSchedule: scheduling.pause,
    ResumeSchedule: scheduling.resume,
    DeleteSchedule: scheduling.delete,
    OpenBatch: batching.open_batch,
    SealBatch: batching.seal,
    AbortBatch: batching.abort,
    Bulk: bulking.order,
    AbortBulk: bulking.abort,
}
_COMMANDS: dict[type, Callable[[State, Round, Any, str], None]] = {
    Trigger: starting.trigger,
    Ask: _ask,
    Mark: _mark,
    SessionReturned: _session_returned,
    ReplyReturned: _reply_returned,
    ReportsBound: _reports_bound,
    ObjectsRemoved: keeping.removed,
    Unreadable: _unreadable,
    **{kind: repeating.once(rule) for kind, rule in _ORDERS.items()},
}


def _beat(state: State, round_: Round, session: Session, message: Beat) -> None:
    sessions.beat(state, round_, session, message)


def _bye(state: State, round_: Round, session: Session, message: Bye) -> None:
    sessions.bye(state, round_, session)


_REPORTS: dict[type, Callable[[State, Round, Session, Any], None]] = {
    Beat: _beat,
    Started: reporting.started,
    Finished: reporting.finished,
    Released: reporting.released,
    Suspended: reporting.suspended,
    Commands: commanding.commands,
    Fetch: commanding.fetch,
    Checkpoint: checkpointing.checkpoint,
    HooksRun: hooking.heard,
    Progress: progressing.progress,
    Annotated: annotating.annotated,
    Bye: _bye,
}
