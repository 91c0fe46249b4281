"""Queues with limits under anything in any order: what executes is counted from the runs after each step."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from longshore.core.changes import Changes, Inbound
from longshore.core.ids import RunId
from longshore.core.ledger import limiting, placing
from longshore.core.ledger.lanes import PARKED, lane_of
from longshore.core.message import LimitQueue, PauseQueue, ResumeQueue, Start, Trigger
from longshore.core.queues import NAMESPACE, Queue, QueueRow
from longshore.core.run import Run, Status
from tests.core.test_machine import Throwing
from tests.simulation.world import CLIENT

QUEUES = ["default", "q", "other"]
KEYS = ["", "a", "b", "c"]
COUNTED = (Status.DISPATCHED, Status.EXECUTING, Status.CANCELING)


def holds(run: Run) -> bool:
    """SPEC G, read from the run's row alone."""
    return run.status in COUNTED and not (run.flow is not None and run.flow.hung)


class Limited(Throwing):
    """The machine of all orders and losses, with queues on top."""

    def __init__(self) -> None:
        self.before: dict[tuple[str, str], int] = {}
        self.of_queue: dict[str, QueueRow] = {}
        self.starts_of: dict[str, list[datetime]] = {}
        super().__init__()

    def _look_at(self, changes: Changes) -> None:
        super()._look_at(changes)
        for name, row in changes.queues.items():
            if row is None or self.of_queue.get(name, QueueRow(name=name)).rate is None:
                self.starts_of.pop(name, None)
            if row is None:
                self.of_queue.pop(name, None)
            else:
                self.of_queue[name] = row
        runs = self.world.book.runs
        for directives in changes.directives.values():
            for directive in directives:
                if isinstance(directive, Start) and directive.canceling is None:
                    self._started(runs[directive.run_id], changes)

    def _started(self, run: Run, changes: Changes) -> None:
        placed = any(row.run_id == run.id and row.to_status == "DISPATCHED" for row in changes.history)
        if not placed or (run.flow is not None and run.flow.hung):
            return  # sent again with an unchanged epoch, or it has waited before
        now = self.world.now
        for name in (run.queue, NAMESPACE):
            row = self.of_queue.get(name)
            assert row is None or row.paused_at is None, f"started from a paused queue: {run}"
            if row is not None and row.rate is not None:
                times = self.starts_of.setdefault(name, [])
                times.append(now)
                period = timedelta(milliseconds=row.rate.per_ms)
                assert sum(1 for at in times if at > now - period) <= row.rate.starts

    # ------------------------------------------------------------------------------------------------- going in

    @rule(
        routine=st.sampled_from(["t", "other", "wf"]),
        queue=st.sampled_from(QUEUES),
        keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=4),
        priority=st.sampled_from([0.0, 0.0, 10.0]),
        delay_ms=st.sampled_from([None, None, 700]),
    )
    def trigger_into_queue(
        self, routine: str, queue: str, keys: list[str], priority: float, delay_ms: int | None
    ) -> None:
        triggers = []
        for key in keys:
            trigger = Trigger(routine, self.world.run_id(), b"in", reply_to=CLIENT)
            trigger.options.queue, trigger.options.concurrency_key = queue, key
            trigger.options.priority, trigger.options.delay_ms = priority, delay_ms
            triggers.append(trigger)
        self._take(Inbound(messages=triggers))

    @rule(
        queue=st.sampled_from([*QUEUES, NAMESPACE]),
        limits=st.fixed_dictionaries(
            {},
            optional={
                "limit": st.sampled_from([None, 0, 1, 2, 3]),
                "key_limit": st.sampled_from([None, 1, 2]),
                "rate": st.sampled_from([None, "1/1s", "3/1s", "2/1m"]),
                "max_size": st.sampled_from([None, 0, 2, 10]),
            },
        ),
    )
    def limit(self, queue: str, limits: dict[str, Any]) -> None:
        self._take(Inbound(messages=[LimitQueue(queue, **limits, create=True, ask_id="ask", reply_to=CLIENT)]))

    @rule(queue=st.sampled_from([*QUEUES, NAMESPACE]), paused=st.booleans())
    def pause(self, queue: str, paused: bool) -> None:
        order = PauseQueue(queue) if paused else ResumeQueue(queue)
        self._take(Inbound(messages=[order]))

    @rule()
    def rest(self) -> None:
        """Nothing is left to do at once: then no run waits that could go."""
        for _ in range(200):
            self._look_at(self.world.tick())
            if self.world.ledger.next_tick_at(self.world.now) > self.world.now:
                break
        else:
            pytest.fail("it never rests")
        for run in self.state.runs.values():
            if run.ticket and run.status is Status.QUEUED and not run.alone:
                assert not self._could_go(run), f"nothing holds it up: {run}"

    def _could_go(self, run: Run) -> bool:
        state, lane = self.state, self.state.lanes.all[lane_of(run)]
        takers = placing.takers(state, lane)
        if not takers or placing.choose(state, run, takers) is None:
            return False
        leader = state.same_key.get(run.cache_key) if run.cache_key else None
        if run.cache_key and (run.cache_key in state.filling or leader not in (None, run.id)):
            return False
        if not lane.queue:
            return True
        return limiting.room(state, lane.queue, self.world.now) > 0 and not self._is_full(
            lane.queue, run.concurrency_key
        )

    def _is_full(self, name: str, key: str) -> bool:
        queue = self.state.queues.get(name)
        return queue is not None and queue.is_full(key)

    # ------------------------------------------------------------------------------------------- what always holds

    @invariant()
    def limits_are_never_exceeded(self) -> None:
        """Who lowers a limit below what executes ends nothing; but nothing is added until there is room."""
        counted: Counter[tuple[str, str]] = Counter()
        for run in self.world.book.runs.values():
            if holds(run):
                counted.update([(run.queue, ""), (NAMESPACE, "")])
                if run.concurrency_key:
                    counted[run.queue, run.concurrency_key] += 1
        for name, limits in self.of_queue.items():
            assert limits.limit is None or counted[name, ""] <= max(limits.limit, self.before.get((name, ""), 0))
            for key in KEYS[1:]:
                most = max(limits.key_limit or 0, self.before.get((name, key), 0))
                assert limits.key_limit is None or counted[name, key] <= most
        self.before = dict(counted)

    @invariant()
    def what_queues_hold_is_what_the_runs_say(self) -> None:
        state = self.state
        for name, queue in state.queues.items():
            anew = limiting.counted_anew(state, queue.row)
            assert (queue.holding.keys(), queue.waiting.keys()) == (anew.holding.keys(), anew.waiting.keys())
            assert {key: held.keys() for key, held in queue.keys.items()} == {
                key: held.keys() for key, held in anew.keys.items()
            }
            kept = self.world.book.queues[name]
            assert msgspec.structs.replace(kept, starts=[]) == msgspec.structs.replace(queue.row, starts=[])
            again = Queue(kept).window
            assert (again is None) == (queue.window is None)
            assert (
                again is None or queue.window is None or again.left(self.world.now) == queue.window.left(self.world.now)
            )

    @invariant()
    def every_row_has_a_turn_or_waits_for_its_key(self) -> None:
        lanes = self.state.lanes
        rows: Counter[tuple[str, str]] = Counter()
        for lane in lanes.all.values():
            listed = {number: (turn, row) for turn, _, number, row in lane.turns}
            for name, row in lane.rows.items():
                rows[lane.queue, name] += 1
                if row.listed == PARKED:
                    assert (lane, row) in row.key.parked
                    assert self._is_full(lane.queue, name)
                else:
                    turn, same = listed[row.listed]
                    assert same is row and turn <= row.key.turn
        assert {name: key.rows for name, key in lanes.keys.items() if key.rows} == dict(rows)

    @invariant()
    def nothing_waits_beyond_a_size(self) -> None:
        waiting: dict[str, set[RunId]] = {}
        for run in self.world.book.runs.values():
            if run.epoch == 0 and run.finished_at is None:
                waiting.setdefault(run.queue, set()).add(run.id)
        for name, queue in self.state.queues.items():
            if queue.row.max_size is not None and name != NAMESPACE:
                assert queue.waiting.keys() == waiting.get(name, set())


Limited.TestCase.settings = settings(
    max_examples=20, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestQueuesUnderAnything = pytest.mark.timeout(280)(Limited.TestCase)  # what it finds is made small first
