"""Rules of sessions (DESIGN 4, 6): the handshake, beats, silence counted in Marks, returns, the loss of a worker."""

from __future__ import annotations

from longshore.core.care import LONGEST_TAIL, Loss
from longshore.core.ids import SessionId
from longshore.core.ledger import delivering, failing, keeping, placing
from longshore.core.ledger.recording import direct
from longshore.core.ledger.state import Round, Session, State
from longshore.core.message import PROTOCOL, Abandon, Beat, CancelRun, ChildDied, Hello, Ping, Welcome
from longshore.core.run import Run, Status
from longshore.core.versions import is_version

LEFT = "its worker left"
LOST = Loss("its worker was lost")
BEATS_TO_GAP = 2
"""Beats that name the same directive behind ours, after which something was lost on the way."""


def hear(state: State, round_: Round, session: Session) -> None:
    """Any message is a beat. That directives come through again only Hello can tell."""
    session.heard = True
    session.silence = 0
    session.last_heard_at = round_.now
    if session.unresponsive:
        session.unresponsive = False
        round_.touched.add(session.id)


def hello(state: State, round_: Round, session_id: SessionId, message: Hello) -> None:
    """Open the session, or open it again: Welcome, then what it should hold and does not, with unchanged epochs. What
    this batch had for it before goes the same way."""
    round_.changes.directives.pop(session_id, None)
    round_.changes.pages = [page for page in round_.changes.pages if page[0] != session_id]
    if not PROTOCOL - 1 <= message.protocol <= PROTOCOL:
        _refuse(state, round_, session_id, message)
        return
    session = state.sessions.get(session_id)
    if session is None:
        session = _admit(state, round_, session_id, message)
    if session.closed:
        session.closed = False
        session.status = "INITIALIZING"  # the row below says so to whoever loads it
        failing.give_back_charge(state, round_, session)
    session.pool, session.slots = message.pool, message.slots
    session.worker_id, session.host, session.pid, session.python = (
        message.worker_id,
        message.host,
        message.pid,
        message.python,
    )
    state.orphaned.pop(session_id, None)
    session.draining = message.draining or session.drain is not None
    session.open = True
    session.sent = session.beat_stands = session.beat_sent = 0
    session.beat_directive = session.returned = -1
    hear(state, round_, session)
    state.add_offers(session, [offer for offer in message.offers if is_version(offer.version)])
    keeping.learn(state, round_, session.offers.values())
    round_.changes.workers[session.id] = session.row()
    if session.id not in round_.changes.opened:
        round_.changes.opened.append(session.id)
    round_.touched.add(session.id)
    round_.deliveries = {run_id: rest for run_id, rest in round_.deliveries.items() if run_id not in session.held}
    direct(round_, session, Welcome(term=state.term, taken=session.taken), numbered=False)
    if session.drain is not None and not message.draining:
        direct(round_, session, session.drain)
    _compare(state, round_, session, message)


def _refuse(state: State, round_: Round, session_id: SessionId, message: Hello) -> None:
    spoken = f"{PROTOCOL - 1} and {PROTOCOL}" if PROTOCOL > 1 else f"{PROTOCOL}"
    text = f"the worker speaks protocol {message.protocol}, this coordinator {spoken}: upgrade the older of them"
    welcome = Welcome(term=state.term, taken=0, refused=text)
    round_.changes.directives.setdefault(session_id, []).append(welcome)
    state.count("refused")


def _admit(state: State, round_: Round, session_id: SessionId, message: Hello) -> Session:
    known = round_.facts.sessions.get(session_id)
    session = Session(
        id=session_id,
        worker_id=message.worker_id,
        pool=message.pool,
        slots=message.slots,
        taken=known.taken if known else message.taken,
        since=round_.now,
        drain=known.drain if known else None,
    )
    state.sessions[session_id] = session
    return session


def _compare(state: State, round_: Round, session: Session, message: Hello) -> None:
    """What the worker holds against what we say it holds."""
    named = set()
    for held in message.held:
        run = state.runs.get(held.run_id)
        if run is not None and run.session == session.id and run.epoch == held.epoch:
            named.add(held.run_id)
        else:
            direct(round_, session, Abandon(run_id=held.run_id, epoch=held.epoch))
    for run_id in session.held:
        run = state.runs[run_id]
        if run_id in named:
            _remind(state, round_, session, run)
            continue
        direct(round_, session, placing.start_of(round_, run, session.offers.get((run.routine, run.version))))
        if run.flow is not None:
            state.unanswered.append((round_.now, run_id))


def _remind(state: State, round_: Round, session: Session, run: Run) -> None:
    """The worker holds the run; what was sent to it meanwhile may be lost."""
    flow = run.flow
    if flow is not None:
        if flow.processed_seq < flow.last_seq:
            delivering.send_again(state, round_, run, flow, session)
    elif run.status is Status.CANCELING:
        direct(round_, session, CancelRun(run_id=run.id, epoch=run.epoch, reason=run.reason))


def beat(state: State, round_: Round, session: Session, message: Beat) -> None:
    """A beat: stuck slots, and whether directives were lost. One that stands still behind ours for two Beats is a
    gap."""
    session.stuck = min(max(message.stuck, 0), session.slots)
    if message.draining and not session.draining:
        session.draining = True
        round_.touched.add(session.id)
    if not session.open:
        direct(round_, session, Ping(term=state.term, taken=session.taken, hello=True), numbered=False)
        return
    behind = message.directive < session.beat_sent
    session.beat_stands = session.beat_stands + 1 if behind and message.directive == session.beat_directive else 0
    session.beat_directive = message.directive
    session.beat_sent = session.sent
    if session.beat_stands >= BEATS_TO_GAP:
        ask_hello(state, round_, session, "directive_gap")
        session.beat_stands = 0
    elif message.held and message.held != session.digest and message.directive == session.sent:
        ask_hello(state, round_, session, "held_differs")


def ask_hello(state: State, round_: Round, session: Session, why: str) -> None:
    """Something was lost between us: have the worker open the session again. One Ping a batch says it."""
    state.count(why)
    sent = round_.changes.directives.get(session.id)
    if sent and isinstance(sent[-1], Ping) and sent[-1].hello:
        return
    direct(round_, session, Ping(term=state.term, taken=session.taken, hello=True), numbered=False)


def bye(state: State, round_: Round, session: Session) -> None:
    """The worker leaves; what it still holds by our book goes back."""
    close(state, round_, session, LEFT)


def mark(state: State, round_: Round, term: int) -> None:
    """A second of listening has passed: count silence (DESIGN 6)."""
    if term != state.term:
        return
    config = state.config
    state.marks += 1
    state.settling = max(0, state.settling - 1)
    for session in state.sessions.values():
        if session.closed:
            continue
        if session.heard:
            session.heard = False
        else:
            session.silence += 1
        if session.returned >= 0:
            session.returned += 1
        if session.silence >= config.lost_marks:
            lose(state, round_, session, f"its worker was silent for {session.silence} s")
        elif session.returned >= config.returned_marks and not state.settling:
            lose(state, round_, session, "its worker's connection is gone and it did not come back")
        elif session.silence >= config.unresponsive_marks and not session.unresponsive:
            session.unresponsive = True
            round_.touched.add(session.id)


def returned(state: State, round_: Round, session_id: SessionId) -> None:
    """A directive came back: the worker's queue is gone. No new work; lost if no Hello comes in time."""
    session = state.sessions.get(session_id)
    if session is None or session.closed:
        return
    session.open = False
    if session.returned < 0:
        session.returned = 0
    if not session.unresponsive:
        session.unresponsive = True
        round_.touched.add(session.id)


def child_died(state: State, round_: Round, message: ChildDied) -> None:
    """A supervisor saw the process of this session die: no need to wait for silence."""
    session = state.sessions.get(message.session)
    if session is not None and not session.closed:
        lose(state, round_, session, f"its worker process died ({message.how or 'unknown'})", message.tail)


def lose(state: State, round_: Round, session: Session, reason: str, tail: str = "") -> None:
    """The session is lost; its runs are taken from it, group by group. `tail` is evidence of what ended it."""
    state.count("sessions_lost")
    close(state, round_, session, reason, tail)


def close(state: State, round_: Round, session: Session, reason: str, tail: str = "") -> None:
    """Nothing more is placed here. `reason` is what the runs' histories will say."""
    session.closed = True
    session.open = False
    session.unresponsive = False
    session.status = "CLOSED"
    session.since = round_.now
    round_.changes.workers[session.id] = session.row()
    state.remove_offers(session)
    if session.held:
        state.orphaned[session.id] = None
        state.losses[session.id] = Loss(reason, charge=reason != LEFT, tail=tail[-LONGEST_TAIL:])


def take_back(state: State, round_: Round) -> None:
    """Take up to a group of runs from closed sessions."""
    for session_id in list(state.orphaned):
        session = state.sessions[session_id]
        loss = state.losses.get(session_id, LOST)
        for run_id in list(session.held)[: round_.room]:
            round_.room -= 1
            failing.crash(state, round_, state.runs[run_id], session, loss)
        if session.held:
            return
        del state.orphaned[session_id]
        state.losses.pop(session_id, None)


def reports_bound(state: State, round_: Round, number: int) -> None:
    """Our own connection is new: every count of silence is zero, every session is asked to open again."""
    state.report_queue = number
    state.settling = state.config.settling_marks
    for session in state.sessions.values():
        if session.closed:
            continue
        session.silence = 0
        session.returned = -1
        session.open = False
        direct(
            round_,
            session,
            Ping(term=state.term, taken=session.taken, report_queue=number, hello=True),
            numbered=False,
        )


def ping_quiet(state: State, round_: Round) -> None:
    """Ping sessions that hold runs and were sent nothing since the last round: a return tells that they are gone."""
    if state.pinged_at + state.config.ping_every > round_.now:
        return
    state.pinged_at = round_.now
    for session in state.sessions.values():
        if session.closed or not session.held:
            continue
        if not session.spoken:
            direct(
                round_,
                session,
                Ping(term=state.term, taken=session.taken, report_queue=state.report_queue),
                numbered=False,
            )
        session.spoken = False


def look_at_statuses(state: State, round_: Round) -> None:
    """INITIALIZING, IDLE, WORKING, HANGING, UNRESPONSIVE, TERMINATING, CLOSED: derived from what is held (SPEC C)."""
    for session_id in round_.touched:
        session = state.sessions[session_id]
        status = status_of(session)
        if status != session.status:
            session.status = status
            session.since = round_.now


def status_of(session: Session) -> str:
    """The worker status by SPEC C."""
    if session.closed:
        return "CLOSED"
    if session.draining:
        return "TERMINATING"
    if session.unresponsive:
        return "UNRESPONSIVE"
    if not session.held:
        return "IDLE"
    return "WORKING" if session.busy or session.starting else "HANGING"
