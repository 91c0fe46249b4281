"""Anything in any order at the ledger, while what must always hold is looked at after each step."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from longshore.core.changes import Changes, Inbound, ReplyReturned, ReportsBound, SessionReturned
from longshore.core.ids import Address, RunId, SessionId, WorkerId
from longshore.core.ledger import Ledger
from longshore.core.ledger.lanes import lane_of
from longshore.core.ledger.state import State
from longshore.core.message import (
    Annotate,
    Annotated,
    Ask,
    Beat,
    Bye,
    Call,
    Cancel,
    ChildDied,
    Commands,
    CompleteToken,
    DrainWorker,
    Edit,
    Edits,
    Failure,
    Fetch,
    Finished,
    Held,
    Hello,
    Offer,
    Options,
    Released,
    Resume,
    Signal,
    Start,
    Started,
    Suspended,
    Timer,
    Trigger,
    Wait,
)
from longshore.core.policy import attempts_allowed
from longshore.core.run import FINAL, WITH_WORKER, Run, Status
from tests.simulation.cleanups import check_cleanups
from tests.simulation.world import CLIENT, World, task, workflow

OFFERS = [task(cache=True, max_attempts=2), task("other", max_attempts=2, on_crash="fail"), workflow(max_attempts=2)]
NAMES = ["w1", "w2", "w3"]
HOWS = ["completed", "failed", "aborted", "timed_out", "canceled"]
HOWS += ["system_failure", "nondeterminism", "crashed", "continued"]
SLOTS = 2
BOOM = Failure("builtins.ValueError", "boom")
STREAM_MS = 50.0


class Throwing(RuleBasedStateMachine):
    """Whatever a client, a worker, the bus or the machine it runs on can do."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(group=5, trace_all=True)
        self.state: State = self.world.ledger._state
        self.starts: list[tuple[SessionId, Start]] = []
        self.bodies: list[Inbound] = []
        self.ends: dict[RunId, Any] = {}
        self.owners: dict[tuple[RunId, int], SessionId] = {}
        self.bound = 0
        for name in NAMES[:2]:
            self.hello(name=name, offers=OFFERS, keep=True, draining=False)
        for routine in ("t", "wf", "other"):
            self.trigger(routine=routine, key="", pool="", options={}, once="", wants="outcome", twice=False)

    # ------------------------------------------------------------------------------------------------- going in

    def _take(self, *batch: Inbound) -> None:
        self._look_at(self.world.take(*batch))

    def _look_at(self, changes: Changes) -> None:
        """What may be looked at only while a batch passes."""
        touched = changes.updated.keys() | changes.ended.keys()
        assert len(touched) <= 5 + 5 + len(changes.inserted) + 8, len(touched)
        for run_id, outcome in changes.ended.items():
            assert run_id not in self.ends, "a run ends once"
            self.ends[run_id] = outcome.run.status
        for session, directives in changes.directives.items():
            for directive in directives:
                if isinstance(directive, Start):
                    owner = self.owners.setdefault((directive.run_id, directive.epoch), session)
                    assert owner == session, "an epoch belongs to one session"
                    self.starts.append((session, directive))

    @rule(
        routine=st.sampled_from(["t", "t@1.0.0", "t@2.0.0", "other", "wf", "nobody"]),
        key=st.sampled_from(["", "", "k"]),
        pool=st.sampled_from(["", "", "", "default", "none"]),
        options=st.sampled_from(
            [
                {},
                {},
                {"delay_ms": 1500},
                {"ttl_ms": 900},
                {"deadline_ms": 2500},
                {"max_attempts": 1},
                {"priority": 5.0},
                {"version_deadline_ms": 1500},
                {"version": "latest"},
            ]
        ),
        once=st.sampled_from(["", "", "once"]),
        wants=st.sampled_from(["accepted", "outcome"]),
        twice=st.booleans(),
    )
    def trigger(
        self, routine: str, key: str, pool: str, options: dict[str, Any], once: str, wants: str, twice: bool
    ) -> None:
        trigger = Trigger(routine, self.world.run_id(), b"in", reply_to=CLIENT, wants=wants, cache_key=key)
        trigger.options.pool, trigger.options.idempotency_key = pool, once
        for name, value in options.items():
            setattr(trigger.options, name, value)
        self._take(*[Inbound(messages=[trigger])] * (1 + twice))

    @precondition(lambda self: self.world.book.runs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.world.book.runs)))
        self._take(Inbound(messages=[Cancel(run_id, "no", ask_id="ask", reply_to=CLIENT)]))

    @precondition(lambda self: self.world.book.runs)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        runs = self.world.book.runs
        blocked = sorted(run.id for run in runs.values() if run.status is Status.BLOCKED)
        run_id = data.draw(st.sampled_from(blocked or sorted(runs)))
        self._take(Inbound(messages=[Resume(run_id, "ann", ask_id="ask", reply_to=CLIENT)]))

    @precondition(lambda self: self.world.book.runs)
    @rule(data=st.data(), number=st.integers(0, 9), twice=st.booleans())
    def signal(self, data: st.DataObject, number: int, twice: bool) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.world.book.runs)))
        self._take(*[Inbound(messages=[Signal(run_id, "a", b"x", f"{number or ''}")])] * (1 + twice))

    @precondition(lambda self: self.world.book.runs)
    @rule(data=st.data(), number=st.integers(0, 9), twice=st.booleans(), op=st.sampled_from(["increment", "append"]))
    def annotate(self, data: st.DataObject, number: int, twice: bool, op: str) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.world.book.runs)))
        order = Annotate(run_id, [Edit(op, f"{number % 2}", 1)], f"{number or ''}", ask_id="a", reply_to=CLIENT)
        self._take(*[Inbound(messages=[order])] * (1 + twice))

    @precondition(lambda self: self.starts)
    @rule(data=st.data(), whose=st.sampled_from(["self", "parent", "root"]), off=st.sampled_from([0, 0, 0, 1]))
    def edit(self, data: st.DataObject, whose: str, off: int) -> None:
        session, start = data.draw(st.sampled_from(self.starts[-8:]))
        edits = [Edits(whose, [Edit("increment", "n", 1), Edit("add_tag", "red")])]
        self._send(session, Annotated(start.run_id, start.epoch + off, edits))

    @precondition(lambda self: self.world.book.tokens)
    @rule(data=st.data(), twice=st.booleans())
    def complete(self, data: st.DataObject, twice: bool) -> None:
        token = data.draw(st.sampled_from([*sorted(self.world.book.tokens)[-5:], "nonsense"]))
        self._take(*[Inbound(messages=[CompleteToken(token, b"x", ask_id="a", reply_to=CLIENT)])] * (1 + twice))

    @precondition(lambda self: self.world.book.runs)
    @rule(data=st.data(), key=st.sampled_from([CLIENT, "other-client"]))
    def ask(self, data: st.DataObject, key: str) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.world.book.runs)))
        self._take(Inbound(messages=[Ask("outcome", "a", key, [run_id])]))
        self._take(Inbound(messages=[ReplyReturned(key, [run_id])]))

    @rule(
        name=st.sampled_from(NAMES),
        offers=st.lists(st.sampled_from([*OFFERS, task(version="2.0.0")]), unique_by=lambda o: (o.routine, o.version)),
        keep=st.booleans(),
        draining=st.booleans(),
    )
    def hello(self, name: str, offers: list[Offer], keep: bool, draining: bool) -> None:
        session = SessionId(f"session-{name}")
        known = self.state.sessions.get(session)
        held = [Held(run_id, self.state.runs[run_id].epoch) for run_id in (known.held if known and keep else ())]
        hello = Hello(worker_id=name, pool="default", slots=SLOTS, offers=offers, held=held)  # type: ignore[arg-type]
        hello.draining = draining and len(name) > 1 and offers == []
        self._take(Inbound(messages=[hello], session=session))

    @precondition(lambda self: self.starts)
    @rule(
        data=st.data(),
        what=st.sampled_from(
            ["started", "commands", "more", "hang", "suspended", "released", "reason", "lost", "fetch"]
        ),
        off=st.sampled_from([0, 0, 0, 0, 0, 1, -1]),
    )
    def report(self, data: st.DataObject, what: str, off: int) -> None:
        session, start = data.draw(st.sampled_from(self.starts[-8:]))
        self._send(session, self._report(what, start, off))

    @precondition(lambda self: self.starts)
    @rule(
        data=st.data(), how=st.sampled_from(["completed", "completed", *HOWS]), slot_us=st.sampled_from([0, 9, 10**6])
    )
    def finish(self, data: st.DataObject, how: str, slot_us: int) -> None:
        session, start = data.draw(st.sampled_from(self.starts[-8:]))
        now, seq = self.world.now, self._seq(start.run_id)
        if how == "continued" and self.world.book.runs[start.run_id].kind != "workflow":
            how = "completed"
        result = b"out" if how in ("completed", "continued") else None
        error = None if result else BOOM
        report = Finished(start.run_id, start.epoch, how, now, now, result, error, slot_us=slot_us, upto_seq=seq)
        self._send(session, report)

    def _seq(self, run_id: RunId) -> int:
        flow = self.world.book.runs[run_id].flow
        return flow.last_seq if flow else 0

    def _report(self, what: str, start: Start, off: int) -> Any:
        run_id, epoch, now = start.run_id, start.epoch + off, self.world.now
        seq = self._seq(run_id)
        if self.world.book.runs[run_id].kind != "workflow" and what in ("commands", "more", "hang", "suspended"):
            what = "started"
        number = len(self.world.book.calls.get((run_id, 0), {})) + seq
        child, due = self.world.run_id(), now + timedelta(seconds=seq % 3)
        spared = Options(on_parent_end=["", "cancel", "abandon"][number % 3])
        calls = [
            Call(Address(f"0:{number}"), "t", "d", b"x", child, asked_seq=seq, cache_key="k" if number % 2 else ""),
            Call(Address(f"1:{number}"), "wf", "d", b"x", self.world.run_id(), options=spared, asked_seq=seq),
        ]
        timers = [Timer(Address(f"2:{number}"), "d", due, asked_seq=seq)]
        waits = [
            Wait(Address(f"3:{number}"), "signal", "a", "d", seq),
            Wait(Address(f"4:{number}"), "token", f"{run_id[-4:]}/{number}/{epoch}", "d", seq, due_at=due),
        ]
        old = sorted(self.world.book.calls.get((run_id, 0), {}))[:2]
        reports: dict[str, Callable[[], Any]] = {
            "started": lambda: Started(run_id, epoch, now),
            "commands": lambda: Commands(run_id, epoch, now, seq, calls, timers, old, waits),
            "more": lambda: Commands(run_id, epoch, now, None, calls[:1]),
            "hang": lambda: Commands(run_id, epoch, now, seq, timers=timers, waits=waits[:1]),
            "suspended": lambda: Suspended(run_id, epoch, max(0, seq - 1)),
            "released": lambda: Released(run_id, epoch),
            "reason": lambda: Released(run_id, epoch, "no such routine"),
            "lost": lambda: Released(run_id, epoch, lost=True),
            "fetch": lambda: Fetch(run_id, epoch),
        }
        return reports[what]()

    def _send(self, session: SessionId, *reports: Any) -> None:
        known = self.state.sessions.get(session)
        row = self.world.book.workers.get(session)
        number = (known.taken if known else row.taken if row else 0) + 1
        body = Inbound(messages=list(reports), session=session, number=number)
        self.bodies.append(body)
        self._take(body)

    @precondition(lambda self: self.bodies)
    @rule(data=st.data(), ahead=st.integers(0, 2))
    def late(self, data: st.DataObject, ahead: int) -> None:
        body = data.draw(st.sampled_from(self.bodies[-10:]))
        self._take(Inbound(messages=body.messages, session=body.session, number=(body.number or 0) + ahead * 5))

    @rule(name=st.sampled_from(NAMES), wrong=st.booleans(), stuck=st.integers(0, SLOTS))
    def beat(self, name: str, wrong: bool, stuck: int) -> None:
        known = self.state.sessions.get(SessionId(f"session-{name}"))
        digest = known.digest + wrong if known else 7
        beat = Beat(directive=known.sent if known else 3, stuck=stuck, held=digest)
        self._take(Inbound(messages=[beat], session=SessionId(f"session-{name}")))

    @rule(name=st.sampled_from(NAMES), what=st.sampled_from(["returned", "died", "bye"]))
    def leave(self, name: str, what: str) -> None:
        session = SessionId(f"session-{name}")
        if what == "bye":
            self._take(Inbound(messages=[Bye()], session=session))
        elif what == "died":
            self._take(Inbound(messages=[ChildDied(session)], session=SessionId("supervisor")))
        else:
            self._take(Inbound(messages=[SessionReturned(session)]))

    @rule(name=st.sampled_from(NAMES[2:]), grace=st.sampled_from([None, 0, 5]))
    def drain(self, name: str, grace: int | None) -> None:
        order = DrainWorker(WorkerId(name), grace_ms=grace, ask_id="a", reply_to=CLIENT)
        self._take(Inbound(messages=[order]))
        session = self.state.sessions.get(SessionId(f"session-{name}"))
        assert session is None or session.closed or session.draining

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, 61.0]))
    def tick(self, seconds: float) -> None:
        self._look_at(self.world.tick(seconds))
        for _ in range(300):
            if self.world.ledger.next_tick_at(self.world.now) > self.world.now:
                return
            self._look_at(self.world.tick(0.001))
        raise AssertionError("the ledger wants to tick for ever")

    @rule(count=st.sampled_from([1, 6, 31]))
    def marks(self, count: int) -> None:
        self.world.marks(count)
        for session, directives in self.world.sent.items():
            self.starts += [(session, one) for one in directives if isinstance(one, Start)]
        self.world.sent.clear()
        self.ends = {run.id: run.status for run in self.world.book.runs.values() if run.status in FINAL}

    @rule()
    def restart(self) -> None:
        self.world.restart()
        self.state = self.world.ledger._state
        self.bound += 1
        self._take(Inbound(messages=[ReportsBound(self.bound)]))

    # --------------------------------------------------------------------------------------------- what always holds

    @invariant()
    def every_run_has_one_outcome_and_its_history_follows_the_table(self) -> None:
        for run_id, rows in self.world.book.history.items():
            valid = [row for row in rows if row.valid]
            assert sum(row.to_status in FINAL for row in valid) <= 1
            assert self.world.book.runs[run_id].status == valid[-1].to_status
            assert [row.seq for row in rows] == list(range(1, len(rows) + 1))

    @invariant()
    def what_comes_from_outside_is_told_once(self) -> None:
        for log in self.world.book.deliveries.values():
            ids = [row.address for row in log if row.kind == "signal" and row.address]
            answered = [row.address for row in log if row.kind in ("token", "timer")]
            assert len(ids) == len(set(ids)) and len(answered) == len(set(answered))
            assert [row.seq for row in log] == list(range(1, len(log) + 1))

    @invariant()
    def attempts_stay_within_the_policy(self) -> None:
        offers = {offer.routine: offer for offer in OFFERS}
        for run in self.world.book.runs.values():
            offer = offers.get(run.routine, OFFERS[0])
            assert run.attempt <= attempts_allowed(offer, run.max_attempts)
            assert run.crashes <= 3 and run.losses <= 10

    @invariant()
    def slots_are_never_given_twice(self) -> None:
        for session in self.state.sessions.values():
            tasks = {run_id for run_id in session.held if self.state.runs[run_id].kind != "workflow"}
            assert session.busy == tasks and session.long <= session.busy and session.starting <= session.held.keys()
            assert len(session.long) <= session.slots
            assert len(session.busy) <= session.slots + self.state.config.stream_runs

    @invariant()
    def sessions_hold_exactly_the_runs_that_name_them(self) -> None:
        for run in self.state.runs.values():
            assert bool(run.session) == any(run.id in session.held for session in self.state.sessions.values())
            assert not run.session or run.id in self.state.sessions[run.session].held
            assert not run.session or run.status in WITH_WORKER

    @invariant()
    def every_run_has_a_waker(self) -> None:
        alarms = {(run_id, kind) for _, _, run_id, kind in self.state.alarms}
        for run in self.world.book.runs.values():
            if run.status not in FINAL:
                assert self._waker(run, alarms), f"{run.status}: nobody wakes {run}"

    def _waker(self, run: Run, alarms: set[tuple[RunId, str]]) -> bool:
        if run.status is Status.SUSPENDED:
            flow = run.flow
            assert run.id not in self.state.runs and flow is not None
            if flow.processed_seq < flow.last_seq:  # facts came while it rests: the clock wakes it
                assert flow.open_calls and flow.rest_until is not None and flow.rest_until > self.world.now
            children = [one for one in self.world.book.runs.values() if one.parent_id == run.id]
            open_ = any(c.status not in FINAL and c.parent_generation == flow.generation for c in children)
            assert bool(flow.open_calls) <= open_, "it waits for a child whose end it will never hear of"
            return open_ or bool(flow.timers) or True  # code may wait for nothing; that is its own fault
        live = self.state.runs[run.id]
        assert run.status is not Status.CANCELING or (run.id, "grace") in alarms
        if run.status in (Status.DELAYED, Status.RETRYING):
            return (run.id, "due") in alarms
        if run.status is Status.PENDING_VERSION:
            return run.id in self.state.pending[run.routine] and (run.id, "due") in alarms
        if run.status is Status.BLOCKED or live.session:
            return True
        if live.ticket:
            lane = self.state.lanes.all[lane_of(live)]
            heap = lane.rows[live.concurrency_key].heap if live.concurrency_key and lane.queue else lane.heap
            return any(ticket == live.ticket for _, ticket, _ in heap)
        leader = self.state.same_key.get(run.cache_key)
        return run.cache_key in self.state.filling or (leader is not None and leader != run.id)

    @invariant()
    def a_cleanup_ends_with_its_code_and_no_sooner(self) -> None:
        said = [message for body in self.bodies for message in body.messages if isinstance(message, Finished)]
        check_cleanups(self.world.book, {(report.run_id, report.epoch) for report in said})

    @invariant()
    def memory_is_what_a_restart_would_load(self) -> None:
        term, unsent = self.world.book.term, list(self.world.book.unsent)
        fresh = Ledger(self.world.config, self.world.book.snapshot(), self.world.now)._state
        self.world.book.term, self.world.book.unsent = term, unsent
        assert fresh.runs.keys() == self.state.runs.keys()
        for run in fresh.runs.values():
            assert _durable(run) == _durable(self.state.runs[run.id])
        for session in fresh.sessions.values():
            ours = self.state.sessions.get(session.id)
            assert ours is None or (ours.taken, ours.closed, ours.drain, ours.held.keys(), ours.digest) == (
                session.taken,
                session.closed,
                session.drain,
                session.held.keys(),
                session.digest,
            )

    @invariant()
    def no_outcome_was_lost_on_its_way_to_a_parent(self) -> None:
        assert self.world.ledger.counts.get("parent_unknown", 0) == 0

    @invariant()
    def every_waiting_run_can_say_why(self) -> None:
        for run in self.world.book.runs.values():
            why = self.world.ledger.why(run.id, self.world.now, run)
            assert (why is None) == (run.status in FINAL)
            assert why is None or (why["kind"] and why["text"] and why["since"])


def _durable(run: Run) -> dict[str, Any]:
    """A run as its row keeps it."""
    fields = {name: getattr(run, name) for name in run.__struct_fields__ if name not in ("ticket", "flow")}
    flow = run.flow
    if flow is not None:
        fields["flow"] = [flow.generation, flow.last_seq, flow.processed_seq, flow.open_calls, flow.cancel_seq]
        fields["rest_until"] = flow.rest_until
        fields["timers"] = flow.timers
    return fields


Throwing.TestCase.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestWhateverIsThrownAtTheLedger = pytest.mark.timeout(280)(Throwing.TestCase)  # what it finds is made small first
