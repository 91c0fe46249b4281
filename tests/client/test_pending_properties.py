"""Whatever comes in whatever order, twice or never: each waiter is told once, and nothing is kept for nobody."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.client.pending import Book, Errand
from longshore.core.ids import RunId
from longshore.core.message import Accepted, Rejected, Reply, RunChanged, Trigger

IDS = [RunId(text) for text in "abc"]
ids = st.sampled_from(IDS)
replies = st.one_of(
    st.builds(lambda run_id: Accepted(run_id, "QUEUED"), ids),
    st.builds(lambda run_id, asked: Accepted(run_id, "QUEUED", asked_id=asked, existing=True), ids, ids),
    st.builds(lambda run_id: Rejected(run_id, "rule", "text"), ids),
    st.builds(RunChanged, ids, st.sampled_from(["EXECUTING", "COMPLETED", ""])),
)
steps = st.one_of(
    st.tuples(st.just("trigger"), ids, st.sampled_from(["accepted", "outcome"])),
    st.tuples(st.just("await"), ids, st.just("")),
    st.tuples(st.just("reply"), replies, st.just("")),
    st.tuples(st.just("forget"), st.integers(0, 20), st.just("")),
    st.tuples(st.just("late"), st.sampled_from([1, 6]), st.just("")),
)


class World:
    """A book, and what its waiters were told."""

    def __init__(self) -> None:
        self.book: Book[int] = Book()
        self.now = 0.0
        self.told: dict[int, list[Reply | Errand[int]]] = {}
        self.where: dict[int, RunId] = {}
        self.given_up: set[int] = set()

    def step(self, what: str, subject: object, more: str) -> None:
        waiter = len(self.told)
        match what, subject:
            case "trigger", str(run_id):
                self._waits(waiter, RunId(run_id))
                self.book.trigger(Trigger("add", RunId(run_id), wants=more), waiter, self.now, 5)
            case "await", str(run_id):
                self._waits(waiter, RunId(run_id))
                self.book.await_outcome(RunId(run_id), waiter, self.now)
            case "forget", int(one) if one in self.where:
                self.given_up.add(one)
                for run_id in IDS:
                    self.book.forget(run_id, one)
            case "late", int(seconds):
                self.now += seconds
                for errand in self.book.overdue(self.now):
                    self.told[errand.waiter].append(errand)
            case "reply", reply:
                for one, answer in self.book.take([reply]):  # type: ignore[list-item]
                    self.told[one].append(answer)

    def _waits(self, waiter: int, run_id: RunId) -> None:
        self.told[waiter] = []
        self.where[waiter] = run_id


@settings(max_examples=400)
@given(st.lists(steps, max_size=30))
def test_each_waiter_is_told_once_and_nothing_is_kept_for_nobody(script: list[tuple[str, object, str]]) -> None:
    world = World()
    for step in script:
        world.step(*step)
        assert all(len(answers) <= 1 for answers in world.told.values())
        waiting = {waiter for one in world.book.runs.values() for waiter in one.accepting + one.outcome}
        assert all(one.accepting or one.outcome for one in world.book.runs.values())
        answered = {waiter for waiter, answers in world.told.items() if answers}
        assert waiting == set(world.told) - answered - world.given_up
    for run_id in IDS:
        world.step("reply", RunChanged(run_id, "COMPLETED"), "")
    assert world.book.runs == {}
    assert all(errand.over for errand in world.book.again(0).errands)
