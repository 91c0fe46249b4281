"""Every order there is under a bus that breaks and processes that die, from seeds; and each rule broken on purpose."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from longshore.core.errors import LongshoreError
from longshore.core.ids import ENTROPY_BYTES, RunId, uuid7
from longshore.core.ledger import (
    batching,
    bulking,
    canceling,
    debouncing,
    keys,
    limiting,
    pausing,
    placing,
    rescheduling,
    scheduling,
)
from longshore.core.ledger.lanes import Lanes
from longshore.core.queues import Queue
from longshore.core.run import Status
from tests.simulation import orders

LIVED_THROUGH = {
    "a limit was reached", "a run was paused", "a run was rescheduled", "a debounced run was put off", "ticks",
    "a batch was sealed", "a batch was aborted", "a bulk cancel was done", "a bulk rerun was done", "refused: max_size",
    "runs that are gone", "crashes",
}  # fmt: skip


def test_every_order_is_carried_out_once_whatever_breaks() -> None:
    total: Counter[str] = Counter()
    for seed in range(7):
        total += orders.simulate(seed, event_path=seed != 6)
    assert {what for what in LIVED_THROUGH if not total[what]} == set(), total


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20_000, 20_400))
def test_every_order_is_carried_out_once_whatever_breaks_from_hundreds_of_seeds(seed: int) -> None:
    orders.simulate(seed, event_path=seed % 7 != 0)


# -------------------------------------------------------------------------------------------------------------- mutants

Patch = pytest.MonkeyPatch


def let_go_what_a_limit_holds(patch: Patch) -> None:
    patch.setattr(limiting, "room", lambda *_: limiting.UNLIMITED)


def let_go_what_a_key_holds(patch: Patch) -> None:
    patch.setattr(Queue, "is_full", lambda *_: False)


def count_none_that_are_being_canceled(patch: Patch) -> None:
    cancel = canceling.cancel

    def and_vacate(state: Any, round_: Any, run: Any, reason: str, actor: str = "") -> None:
        cancel(state, round_, run, reason, actor)
        if run.status is Status.CANCELING:
            limiting.vacate(state, run)

    patch.setattr(canceling, "cancel", and_vacate)


def forget_over_a_restart_what_queues_hold(patch: Patch) -> None:
    patch.setattr(limiting, "counted_anew", lambda _, row: Queue(row))


def forget_over_a_restart_what_has_started(patch: Patch) -> None:
    counted = limiting.counted_anew
    patch.setattr(limiting, "counted_anew", lambda state, row: counted(state, msgspec.structs.replace(row, starts=[])))


def leave_what_waits_for_its_key(patch: Patch) -> None:
    patch.setattr(Lanes, "unpark", lambda *_: None)


def forget_to_pause_what_is_at_work(patch: Patch) -> None:
    def blind(state: Any, round_: Any, run: Any) -> None:
        run.pausing = ""

    for module in (pausing, *_importing("hold_if_asked")):
        patch.setattr(module, "hold_if_asked", blind)


def _importing(name: str) -> list[Any]:
    import sys

    return [
        one for one in sys.modules.values() if one.__name__.startswith("longshore.core.ledger") and name in vars(one)
    ]


def reschedule_earlier_than_ordered(patch: Patch) -> None:
    due_at = rescheduling._due_at

    def earlier(order: Any, now: Any) -> Any:
        found = due_at(order, now)
        return found if isinstance(found, tuple) else found - timedelta(seconds=1)

    patch.setattr(rescheduling, "_due_at", earlier)


def begin_a_run_for_each_debounced_trigger(patch: Patch) -> None:
    patch.setattr(debouncing, "held", lambda *_: None)


def take_a_debounced_trigger_again_that_came_twice(patch: Patch) -> None:
    again = debouncing.again

    def forgetting(state: Any, round_: Any, asked: Any, options: Any, value: Any, actor: str) -> None:
        again(state, round_, asked, options, value, actor)
        round_.facts.idempotency.pop(asked.id)
        round_.changes.idempotency.pop()

    patch.setattr(debouncing, "again", forgetting)


def give_a_key_to_each_who_asks(patch: Patch) -> None:
    patch.setattr(keys, "holder", lambda *_: None)


def count_an_item_twice(patch: Patch) -> None:
    joined = batching.joined

    def twice(state: Any, round_: Any, batch_id: str) -> None:
        joined(state, round_, batch_id)
        if batch_id in state.batches and round_.random(1)[0] < 64:
            state.batches[batch_id].runs += 1

    patch.setattr(batching, "joined", twice)


def leave_batches_open(patch: Patch) -> None:
    patch.setattr(batching, "give_up_silent", lambda *_: None)


def lose_open_batches_over_a_restart(patch: Patch) -> None:
    patch.setattr(batching, "restore", lambda *_: None)


def begin_a_bulk_order_again_that_came_twice(patch: Patch) -> None:
    patch.setattr(bulking, "_known", lambda *_: None)


def tell_the_parent_of_nothing_a_bulk_order_ends(patch: Patch) -> None:
    from tests.simulation.book import Book

    read_runs = Book.read_runs

    def without_parents(self: Any, facts: Any, run_ids: Any) -> None:
        bulk = {run_id for page in facts.bulk_pages for _, run_id in page.runs}
        parents = {self.runs[one].parent_id for one in bulk if one in self.runs}
        read_runs(self, facts, [one for one in run_ids if one not in parents])

    patch.setattr(Book, "read_runs", without_parents)


def leave_the_last_tick_due(patch: Patch) -> None:
    take = scheduling._take

    def again(state: Any, round_: Any, due: Any) -> None:
        next_at = due.schedule.next_at
        take(state, round_, due)
        if round_.random(1)[0] < 64:
            due.schedule.next_at = next_at

    patch.setattr(scheduling, "_take", again)
    patch.setattr(scheduling, "run_id_of", lambda _, tick: RunId(uuid7(tick, secrets.token_bytes(ENTROPY_BYTES))))


def catch_up_with_the_last_tick_alone(patch: Patch) -> None:
    patch.setattr(scheduling, "_chosen", lambda _, due: due.calendar.over[-1:])


def place_on_who_is_to_leave(patch: Patch) -> None:
    open_takers = placing._open_takers

    def all_of_them(state: Any, pool: str, routine: str, version: str) -> Any:
        leaving = [one for one in state.sessions.values() if one.draining]
        for one in leaving:
            one.draining = False
        found = open_takers(state, pool, routine, version)
        for one in leaving:
            one.draining = True
        return found

    patch.setattr(placing, "_open_takers", all_of_them)


MUTANTS: list[Callable[[Patch], None]] = [
    let_go_what_a_limit_holds,
    let_go_what_a_key_holds,
    count_none_that_are_being_canceled,
    forget_over_a_restart_what_queues_hold,
    forget_over_a_restart_what_has_started,
    leave_what_waits_for_its_key,
    forget_to_pause_what_is_at_work,
    reschedule_earlier_than_ordered,
    begin_a_run_for_each_debounced_trigger,
    take_a_debounced_trigger_again_that_came_twice,
    give_a_key_to_each_who_asks,
    count_an_item_twice,
    leave_batches_open,
    lose_open_batches_over_a_restart,
    begin_a_bulk_order_again_that_came_twice,
    tell_the_parent_of_nothing_a_bulk_order_ends,
    leave_the_last_tick_due,
    catch_up_with_the_last_tick_alone,
    place_on_who_is_to_leave,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_orders_see_a_broken_rule(mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutant(monkeypatch)
    for seed in range(40):
        try:
            orders.simulate(seed)
        except (AssertionError, LongshoreError, KeyError, IndexError):
            monkeypatch.undo()
            orders.simulate(seed)  # it was the mutant that was seen
            return
    raise AssertionError("nothing was seen")
