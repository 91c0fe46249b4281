"""Who may start next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from longshore.worker.slots import FAIRNESS, PATIENCE, Slots

KINDS = ("thread", "loop", "process")


def make(total: int) -> Slots[str]:
    return Slots(total, KINDS)


def test_runs_start_in_order_while_there_are_slots() -> None:
    slots = make(2)
    assert slots.add("thread", ["a", "b", "c"], 0.0) == 2
    assert slots.take("thread", 9) == ["a", "b"]
    assert slots.take("thread", 9) == []
    assert (slots.busy, slots.waiting) == (2, 1)


def test_the_next_of_the_same_kind_starts_where_one_ended() -> None:
    slots = make(1)
    slots.add("loop", ["a", "b"], 0.0)
    slots.take("loop", 1)
    assert slots.turn("loop") == (["b"], [])
    assert slots.turn("loop") == ([], [])
    assert slots.busy == 0


def test_a_slot_that_its_own_kind_does_not_need_goes_to_another() -> None:
    slots = make(1)
    slots.add("loop", ["a"], 0.0)
    slots.take("loop", 1)
    slots.add("thread", ["t"], 0.0)
    assert slots.turn("loop") == ([], ["thread"])
    assert slots.take("thread", 1) == ["t"]


def test_a_kind_that_has_waited_longer_is_given_a_slot_before_a_stream_goes_on() -> None:
    slots = make(2)
    slots.add("loop", ["a", "b"], 0.0)
    slots.take("loop", 2)
    slots.add("thread", ["t"], 1.0)
    slots.add("loop", ["c", "d"], 1.0 + 2 * FAIRNESS)
    started, woken = slots.turn("loop", 2)
    assert (started, woken) == (["c"], ["thread"])
    assert slots.take("thread", 9) == ["t"]


def test_who_has_waited_too_long_waits_no_more() -> None:
    slots = make(1)
    slots.add("loop", ["a"], 0.0)
    slots.add("thread", ["t"], 1.0)
    assert slots.overdue(PATIENCE) == ["a"]
    assert slots.overdue(PATIENCE + 1) == ["t"]
    assert slots.waiting == 0


def test_a_withdrawn_one_is_not_started() -> None:
    slots = make(1)
    slots.add("loop", ["a", "b"], 0.0)
    assert slots.withdraw("a")
    assert not slots.withdraw("a")
    assert slots.take("loop", 2) == ["b"]


def test_after_closing_nothing_starts() -> None:
    slots = make(1)
    slots.add("loop", ["a", "b"], 0.0)
    slots.take("loop", 1)
    assert slots.close() == ["b"]
    slots.add("loop", ["c"], 0.0)
    assert slots.turn("loop") == ([], [])


def test_a_stuck_slot_is_counted_until_it_comes_back() -> None:
    slots = make(2)
    slots.add("thread", ["a"], 0.0)
    slots.take("thread", 1)
    slots.stick()
    assert (slots.stuck, slots.busy) == (1, 1)
    slots.unstick()
    slots.turn("thread")
    assert (slots.stuck, slots.busy) == (0, 0)


@given(
    total=st.integers(1, 4),
    acts=st.lists(st.tuples(st.sampled_from(["add", "take", "end", "late"]), st.sampled_from(KINDS)), max_size=80),
)
def test_no_more_run_than_there_are_slots_and_none_is_forgotten(total: int, acts: list[tuple[str, str]]) -> None:
    slots: Slots[int] = Slots(total, KINDS)
    running: dict[str, list[int]] = {kind: [] for kind in KINDS}
    given_, back, number, now = set(), set(), 0, 0.0
    for act, kind in acts:
        now += 0.3
        match act:
            case "add":
                slots.add(kind, [number], now)
                given_.add(number)
                number += 1
            case "take":
                running[kind] += slots.take(kind, 2)
            case "end" if running[kind]:
                back.add(running[kind].pop(0))
                started, woken = slots.turn(kind)
                running[kind] += started
                for other in woken:
                    running[other] += slots.take(other, total)
            case "late":
                back.update(slots.overdue(now))
        assert sum(map(len, running.values())) == slots.busy <= total
    left = set(slots.close())
    assert back | left | {one for line in running.values() for one in line} == given_
