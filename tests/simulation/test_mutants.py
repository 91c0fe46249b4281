"""The simulation must be able to see: each named break of a rule makes it fail. (The one place where our own code is
replaced: that is what a mutant is.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from longshore.core.errors import LongshoreError
from longshore.core.ledger import commanding, delivering, ending, failing, ledger, recording, reporting, sessions
from longshore.core.outbox import Outbox
from longshore.core.run import Status
from tests.simulation import test_fleet
from tests.simulation.fleet import Fleet, check_histories

SEEDS = range(60)


def drop_the_fence(patch: pytest.MonkeyPatch) -> None:
    def anybody(state: Any, session_id: str, run_id: str, epoch: int) -> Any:
        run = state.runs.get(run_id)
        return run if run is not None and run.session else None

    patch.setattr(reporting, "owned", anybody)
    patch.setattr(commanding, "owned", anybody)


def skip_the_dedupe(patch: pytest.MonkeyPatch) -> None:
    def every(self: Any, round_: Any, session: Any, number: int) -> bool:
        session.taken = max(session.taken, number)
        round_.changes.taken[session.id] = session.taken
        return True

    patch.setattr(ledger.Ledger, "_is_next", every)


def ignore_processed_seq(patch: pytest.MonkeyPatch) -> None:
    def put_away(state: Any, round_: Any, run: Any, reason: str) -> None:
        recording.move(round_, run, Status.SUSPENDED, reason)
        state.runs.pop(run.id, None)
        round_.changes.suspended.append(run.id)

    patch.setattr(failing, "put_away", put_away)


def forget_the_parent(patch: pytest.MonkeyPatch) -> None:
    def only_in_memory(state: Any, round_: Any, run_id: str) -> Any:
        return state.runs.get(run_id)

    patch.setattr(delivering, "live", only_in_memory)


def trust_the_first_send(patch: pytest.MonkeyPatch) -> None:
    welcome = Outbox._welcome

    def forgetful(self: Any, message: Any, now: float) -> None:
        following = self._next
        welcome(self, message, now)
        self._next = max(self._next, following)

    patch.setattr(Outbox, "_welcome", forgetful)


def send_nothing_again_after_hello(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sessions, "_compare", lambda *_: None)


def wake_for_each_child(patch: pytest.MonkeyPatch) -> None:
    def at_once(state: Any, round_: Any, run: Any) -> None:
        if run.status is Status.SUSPENDED and run.flow.processed_seq < run.flow.last_seq:
            delivering.wake(state, round_, run, "some of its calls have ended")

    patch.setattr(delivering, "wake_rested", at_once)


def let_them_rest_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(delivering, "wake_rested", lambda *_: None)


def end_a_cleanup_with_its_worker(patch: pytest.MonkeyPatch) -> None:
    def lost(state: Any, round_: Any, run: Any, session: Any, loss: Any) -> None:
        ending.conclude(state, round_, run, Status.CANCELED, f"{loss.reason} while canceling")

    patch.setattr(failing, "_lost_in_cleanup", lost)


MUTANTS: list[Callable[[pytest.MonkeyPatch], None]] = [
    drop_the_fence,
    skip_the_dedupe,
    ignore_processed_seq,
    forget_the_parent,
    trust_the_first_send,
    send_nothing_again_after_hello,
    wake_for_each_child,
    let_them_rest_for_ever,
    end_a_cleanup_with_its_worker,
]


def fails(simulate: Callable[[int], object]) -> bool:
    for seed in SEEDS:
        try:
            simulate(seed)
        except (AssertionError, LongshoreError, KeyError):
            return True
    return False


@pytest.mark.once
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_simulation_sees_a_broken_rule(mutant: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    assert fails(lambda seed: test_fleet.simulate(seed, steps=1200))


def test_the_simulation_sees_commands_settled_before_the_commit() -> None:
    def simulate(seed: int) -> None:
        fleet = Fleet(seed)
        fleet.settle_before_commit = True
        fleet.faults.crash_before_commit = 0.1
        for _ in range(20):
            fleet.trigger("act", 1)
            fleet.step()
        fleet.run(steps=800, quiet_after=0)
        check_histories(fleet)

    assert fails(simulate)


def away_for_a_minute(fleet: Fleet) -> None:
    """The coordinator is stopped and goes on: the workers beat all the time, the Marks wait in its inbox with them."""
    fleet.trigger("act", 5)
    for _ in range(20):
        fleet.step()
    coordinate, fleet._coordinate = fleet._coordinate, lambda: None  # type: ignore[method-assign]
    for _ in range(240):
        fleet.step()
    fleet._coordinate = coordinate  # type: ignore[method-assign]
    for _ in range(20):
        fleet.step()


def test_who_does_not_listen_counts_no_silence() -> None:
    fleet = Fleet(1)
    fleet.faults = type(fleet.faults)(0, 0, 0, 0, 0, 0, 0, 0, 0)
    away_for_a_minute(fleet)
    assert fleet.world.ledger.counts.get("sessions_lost", 0) == 0


def judge_silence_by_the_clock(patch: pytest.MonkeyPatch) -> None:
    def by_the_clock(state: Any, round_: Any, term: int) -> None:
        for session in state.sessions.values():
            heard = session.last_heard_at
            if not session.closed and heard and (round_.now - heard).total_seconds() > state.config.lost_marks:
                sessions.lose(state, round_, session, "silent")

    patch.setattr(sessions, "mark", by_the_clock)


def test_the_simulation_sees_silence_judged_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    judge_silence_by_the_clock(monkeypatch)
    fleet = Fleet(1)
    fleet.faults = type(fleet.faults)(0, 0, 0, 0, 0, 0, 0, 0, 0)
    batches: list[object] = []
    take = fleet._take

    def marks_first(batch: Any, taken: Any = None) -> None:
        batches.append(batch)
        take(sorted(batch, key=lambda inbound: bool(inbound.session)), taken)

    fleet._take = marks_first  # type: ignore[method-assign]
    away_for_a_minute(fleet)
    assert fleet.world.ledger.counts.get("sessions_lost", 0) > 0
