"""The ledger: the one object that decides every fact about a run. It holds the state and hands each message to its
family of rules. It never waits, never reads a clock, never draws a random number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from longshore.core.changes import (
    Changes,
    Facts,
    Inbound,
    Needs,
    ReplyReturned,
    ReportsBound,
    ReturnedReply,
    SessionReturned,
    Snapshot,
    Unreadable,
)
from longshore.core.ids import RunId, SessionId
from longshore.core.ledger import (
    canceling,
    commanding,
    delivering,
    explaining,
    placing,
    reporting,
    sessions,
    starting,
    ticking,
)
from longshore.core.ledger.caching import rank_of
from longshore.core.ledger.config import LedgerConfig
from longshore.core.ledger.recording import ended, outcome_of, reply
from longshore.core.ledger.state import Round, Session, State
from longshore.core.message import (
    Ask,
    Beat,
    Bye,
    Cancel,
    ChildDied,
    Commands,
    Fetch,
    Finished,
    Hello,
    Mark,
    Ping,
    Progress,
    Released,
    RunChanged,
    Started,
    Suspended,
    Trigger,
)
from longshore.core.run import WITH_WORKER, Run, Status

Entropy = Callable[[int], bytes]


class Ledger:
    """All decisions of one namespace. One round: `needs`, then `receive` with the facts; or `tick_needs`, then
    `tick`."""

    def __init__(self, config: LedgerConfig, snapshot: Snapshot, now: datetime) -> None:
        self._state = State(config, snapshot.term)
        self._restore(snapshot, now)

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
        needs = Needs()
        state = self._state
        for inbound in batch:
            if inbound.session and inbound.session not in state.sessions:
                needs.sessions.add(inbound.session)
            for message in inbound.messages:
                need = _NEEDS.get(type(message))
                if need is not None:
                    need(state, needs, message)
        return needs

    def receive(self, batch: Sequence[Inbound], facts: Facts, now: datetime, entropy: Entropy) -> Changes:
        """Decide a batch. If it raises, the shell reloads and takes the messages one by one."""
        state = self._state
        round_ = Round(now, facts, entropy)
        for inbound in batch:
            if inbound.session:
                self._take_reports(round_, inbound)
            else:
                for message in inbound.messages:
                    _COMMANDS[type(message)](state, round_, message, inbound.actor)
        return self._close(round_, place=state.config.event_path)

    def tick_needs(self, now: datetime) -> Needs:
        """What `tick` must be told about."""
        needs = Needs(suspended_due=True, replies_due=True, cursors=self._state.cursors_open)
        state = self._state
        needs.runs.update(state.to_resend[: state.config.group])
        for run_id in (*ticking.due_runs(state, now), *ticking.orphans(state)):
            run = state.runs.get(run_id)
            if run is not None and run.parent_id and run.parent_id not in state.runs:
                needs.runs.add(run.parent_id)
        return needs

    def tick(self, facts: Facts, now: datetime, entropy: Entropy) -> Changes:
        """Decide what time alone brings about."""
        round_ = Round(now, facts, entropy)
        ticking.tick(self._state, round_)
        return self._close(round_, place=True)

    def next_tick_at(self, now: datetime) -> datetime:
        """When `tick` is wanted next, never later than a second from now."""
        return ticking.next_at(self._state, now)

    def _close(self, round_: Round, *, place: bool) -> Changes:
        state = self._state
        if place:
            placing.place(state, round_)
        if round_.deliveries:
            delivering.send_deliveries(state, round_)
        if round_.touched:
            sessions.look_at_statuses(state, round_)
        return round_.changes

    def _take_reports(self, round_: Round, inbound: Inbound) -> None:
        """Take one body of a session, if its number is the next one."""
        state = self._state
        session = state.sessions.get(inbound.session)
        first = inbound.messages[0] if inbound.messages else None
        if isinstance(first, ChildDied):
            for message in inbound.messages:
                if isinstance(message, ChildDied):
                    sessions.child_died(state, round_, message.session, message.how)
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

    def why(self, run_id: RunId, now: datetime) -> dict[str, Any] | None:
        """Why a run in memory waits (see `explaining`)."""
        return explaining.why(self._state, run_id, now)

    def workers(self) -> list[dict[str, Any]]:
        """The sessions, as people see them."""
        return explaining.workers(self._state)

    # ------------------------------------------------------------------------------------------------ restart

    def _restore(self, snapshot: Snapshot, now: datetime) -> None:
        """Rebuild memory from rows: alarms, lanes, what each session holds."""
        state = self._state
        for row in snapshot.workers:
            session = Session(
                id=row.session,
                worker_id=row.worker_id,
                pool=row.pool,
                slots=row.slots,
                taken=row.taken,
                host=row.host,
                pid=row.pid,
                python=row.python,
                since=row.since,
                status=row.status,
                closed=row.status == "CLOSED",
            )
            state.sessions[session.id] = session
            if not session.closed:
                state.add_offers(session, row.offers)
        for run in snapshot.runs:
            self._restore_run(run, now)
        state.to_resend = list(snapshot.unsent)

    def _restore_run(self, run: Run, now: datetime) -> None:
        state = self._state
        state.runs[run.id] = run
        run.alone = run.crashes >= 2
        for at, kind in ((run.due_at, "due"), (run.ttl_at, "ttl"), (run.deadline_at, "deadline")):
            if at is not None:
                state.wake_at(at, run.id, kind)
        if run.flow is not None:
            for at in run.flow.timers.values():
                state.wake_at(at, run.id, "timer")
        if run.cancel_at is not None:
            state.wake_at(run.cancel_at + state.config.cancel_grace, run.id, "grace")
        if run.status is Status.PENDING_VERSION:
            state.pending.setdefault(run.routine, {})[run.id] = None
            if state.is_offered(run):
                state.releasing.add(run.routine)
        if run.status is Status.QUEUED or (run.status is Status.CANCELING and not run.session):
            ahead = run.epoch > 0 or run.status is Status.CANCELING
            state.enqueue(run, placing.AHEAD if ahead else rank_of(run))
        if run.status in WITH_WORKER and run.session:
            self._restore_hold(run, now)

    def _restore_hold(self, run: Run, now: datetime) -> None:
        state = self._state
        session = state.sessions.get(run.session)
        if session is None:
            session = state.sessions[run.session] = Session(
                id=run.session, worker_id=run.worker_id, pool="", slots=0, closed=True, status="CLOSED", since=now
            )
        placing.hold(state, session, run)
        if run.status is Status.HANGING:
            session.starting.discard(run.id)
        if run.cache_key and run.status is not Status.CANCELING:
            state.same_key[run.cache_key] = run.id
        if session.closed:
            state.orphaned[session.id] = None


# ---------------------------------------------------------------------------------------------------- dispatch tables


def _need_trigger(state: State, needs: Needs, message: Trigger) -> None:
    if message.run_id and message.run_id not in state.runs:
        needs.runs.add(message.run_id)
    if message.cache_key:
        needs.cache_keys.add(message.cache_key)
    if message.options.idempotency_key:
        name, _ = starting.split_routine(message.routine)
        needs.idempotency_keys.add(starting.idempotency_row(name, message.options.idempotency_key))


def _need_run(state: State, needs: Needs, message: Cancel) -> None:
    _need_with_parent(state, needs, message.run_id)


def _need_unreadable(state: State, needs: Needs, message: Unreadable) -> None:
    for run_id in message.run_ids:
        _need_with_parent(state, needs, run_id)


def _need_with_parent(state: State, needs: Needs, run_id: RunId) -> None:
    run = state.runs.get(run_id)
    if run is None:
        needs.runs.add(run_id)
    elif run.parent_id and run.parent_id not in state.runs:
        needs.runs.add(run.parent_id)


def _need_ask(state: State, needs: Needs, message: Ask) -> None:
    needs.runs.update(run_id for run_id in message.run_ids if run_id not in state.runs)


def _need_finished(state: State, needs: Needs, message: Finished | Released | Suspended) -> None:
    run = state.runs.get(message.run_id)
    if run is None:
        return
    if run.parent_id and run.parent_id not in state.runs:
        needs.runs.add(run.parent_id)
    for other_id in state.parked.get(run.cache_key, ()) if run.cache_key else ():
        other = state.runs.get(other_id)
        if other is not None and other.parent_id and other.parent_id not in state.runs:
            needs.runs.add(other.parent_id)


def _need_commands(state: State, needs: Needs, message: Commands) -> None:
    run = state.runs.get(message.run_id)
    if run is None:
        return
    needs.cache_keys.update(call.cache_key for call in message.calls if call.cache_key)
    wanted = set(message.closed)
    if run.epoch > 1:
        wanted.update(call.address for call in message.calls)
        wanted.update(timer.address for timer in message.timers)
    if wanted:
        needs.addresses.setdefault(run.id, set()).update(wanted)


def _need_returned(state: State, needs: Needs, message: ReplyReturned) -> None:
    needs.runs.update(message.run_ids)


_NEEDS: dict[type, Callable[[State, Needs, Any], None]] = {
    Trigger: _need_trigger,
    Cancel: _need_run,
    Ask: _need_ask,
    Finished: _need_finished,
    Released: _need_finished,
    Suspended: _need_finished,
    Commands: _need_commands,
    ReplyReturned: _need_returned,
    Unreadable: _need_unreadable,
}


def _ask(state: State, round_: Round, message: Ask, actor: str) -> None:
    """Register who waits for outcomes; answer at once for those that have ended."""
    for run_id in message.run_ids:
        final = ended(round_, run_id)
        if run_id in state.runs or run_id in round_.facts.runs:
            state.watchers.setdefault(run_id, set()).add(message.reply_to)
        elif final is not None:
            reply(round_, message.reply_to, outcome_of(final))
        else:
            reply(round_, message.reply_to, RunChanged(run_id=run_id, status="", reason=f"there is no run {run_id}"))


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
    state.count("dead")
    session_id, number = message.headers.get("session"), message.headers.get("number")
    session = state.sessions.get(SessionId(str(session_id))) if session_id else None
    if session is None:
        return
    if isinstance(number, int) and number == session.taken + 1:
        session.taken = number
        round_.changes.taken[session.id] = number
    reporting.unreadable(state, round_, session.id, message.run_ids, message.reason)


_COMMANDS: dict[type, Callable[[State, Round, Any, str], None]] = {
    Trigger: starting.trigger,
    Cancel: canceling.cancel_order,
    Ask: _ask,
    Mark: _mark,
    SessionReturned: _session_returned,
    ReplyReturned: _reply_returned,
    ReportsBound: _reports_bound,
    Unreadable: _unreadable,
}


def _beat(state: State, round_: Round, session: Session, message: Beat) -> None:
    sessions.beat(state, round_, session, message)


def _bye(state: State, round_: Round, session: Session, message: Bye) -> None:
    sessions.bye(state, round_, session)


def _progress(state: State, round_: Round, session: Session, message: Progress) -> None:
    """Progress is for those who watch; it changes nothing."""
    keys = state.watchers.get(message.run_id)
    run = state.runs.get(message.run_id)
    if keys and run is not None and run.session == session.id and run.epoch == message.epoch:
        changed = RunChanged(
            run_id=run.id,
            status=run.status.value,
            attempt=run.attempt,
            reason=f"{message.fraction:.0%} {message.text}".strip(),
            at=round_.now,
        )
        for key in keys:
            reply(round_, key, changed)


_REPORTS: dict[type, Callable[[State, Round, Session, Any], None]] = {
    Beat: _beat,
    Started: reporting.started,
    Finished: reporting.finished,
    Released: reporting.released,
    Suspended: reporting.suspended,
    Commands: commanding.commands,
    Fetch: commanding.fetch,
    Progress: _progress,
    Bye: _bye,
}
