"""What a workflow that lives for ever called in earlier generations goes by its age; what is still read stays."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from longshore.core.cursors import FORGET_BELOW, FORGET_LEFT
from longshore.core.ids import Address, RunId, SessionId
from longshore.core.keeping import Keep
from longshore.core.message import Answer, Call, Commands, Finished, Fork, Options, Start
from longshore.core.run import FINAL
from tests.core.stages import S
from tests.core.test_keeping import DAY, pass_by
from tests.simulation.keeping import LARGE
from tests.simulation.world import CLIENT, World, task, workflow

OLD = timedelta(days=30)
NO_OPTIONS = Options()


class Forever:
    """A workflow that goes on as its next generation again and again."""

    def __init__(self, world: World, worker: SessionId, routine: str = "wf") -> None:
        self.world, self.worker = world, worker
        self.run_id = world.trigger(routine)
        self.start = self.begun(self.run_id)
        self.asked = 0

    def begun(self, run_id: RunId) -> Start:
        (start,) = [one for one in self.world.sent[self.worker] if isinstance(one, Start) and one.run_id == run_id]
        self.world.sent[self.worker].remove(start)
        self.world.begin(self.worker, start)
        return start

    def call(self, start: Start, *routines: str, options: Options = NO_OPTIONS) -> list[RunId]:
        ids = [self.world.run_id() for _ in routines]
        calls = [
            Call(Address(f"0:{self.asked + index}"), routine, "d", b"x", one, options=options, asked_seq=0)
            for index, (routine, one) in enumerate(zip(routines, ids, strict=True))
        ]
        self.asked += len(routines)
        self.world.report(self.worker, Commands(start.run_id, start.epoch, self.world.now, upto_seq=0, calls=calls))
        return ids

    def calls(self, *routines: str, options: Options = NO_OPTIONS) -> list[RunId]:
        """Children that have ended, but for those of workflows."""
        return self.finished(*self.call(self.start, *routines, options=options))

    def finished(self, *run_ids: RunId) -> list[RunId]:
        for run_id in run_ids:
            self.world.finish(self.worker, self.begun(run_id))
        return list(run_ids)

    def goes_on(self) -> None:
        flow = self.world.row(self.run_id).flow
        assert flow is not None
        epoch, now = self.start.epoch, self.world.now
        done = Finished(self.run_id, epoch, "continued", now, result=b"next", upto_seq=flow.last_seq)
        self.world.report(self.worker, done)
        self.world.settle()
        self.start, self.asked = self.begun(self.run_id), 0


def house(age: timedelta | None = OLD, count: int | None = None) -> tuple[World, SessionId, Forever]:
    world = World(retention=Keep(age, count))
    worker = world.join(offers=[workflow(), task(), task("u", keep_ms=100 * DAY * 1000)], slots=1000)
    return world, worker, Forever(world, worker)


def test_what_an_earlier_generation_called_goes_by_its_age_while_the_workflow_lives() -> None:
    world, _, forever = house()
    first = forever.calls("t", "t")
    forever.goes_on()
    pass_by(world, 20 * DAY)
    second = forever.calls("t")
    forever.goes_on()
    present = forever.calls("t")
    pass_by(world, 11 * DAY)
    assert world.book.gone == set(first)
    pass_by(world, 20 * DAY)
    assert world.book.gone == {*first, *second}, "what the present generation called is read when it is replayed"
    assert set(present) <= world.book.runs.keys() and FORGET_LEFT not in world.book.cursors
    assert world.status(forever.run_id) is S.HANGING


@pytest.mark.parametrize(("age", "count", "days"), [(OLD, 5, 30), (None, 5, 1), (None, None, 0)])
def test_its_routine_says_how_long_else_the_settings_and_a_day_where_a_number_alone_bounds_them(
    age: timedelta | None, count: int | None, days: int
) -> None:
    world, _, forever = house(age, count)
    left, own = forever.calls("t"), forever.calls("u")
    forever.goes_on()
    pass_by(world, (days or 90) * DAY - 7200)
    assert not world.book.gone
    pass_by(world, 7200 + 3700)
    assert world.book.gone == (set(left) if days else set())
    pass_by(world, 100 * DAY)
    assert world.book.gone == {*own, *(left if days else ())}


def test_a_child_that_lives_stays_and_goes_with_all_below_it_once_everything_there_has_ended() -> None:
    world, worker, forever = house()
    options = Options(on_parent_end="abandon")
    (child,) = forever.call(forever.start, "wf", options=options)
    start = forever.begun(child)
    (done, lives) = forever.call(start, "t", "t", options=options)
    forever.finished(done)
    forever.goes_on()
    pass_by(world, 40 * DAY)
    assert not world.book.gone
    world.finish(worker, start, upto_seq=1)
    pass_by(world, 40 * DAY)
    assert not world.book.gone, "one below it lives"
    forever.finished(lives)
    pass_by(world, 2 * 3600)
    assert world.book.gone == {child, done, lives}


def test_a_child_with_very_many_below_it_goes_in_steps_the_lowest_first_and_nothing_of_it_is_forked_meanwhile() -> None:
    world, worker, forever = house()
    (child,) = forever.call(forever.start, "wf")
    start = forever.begun(child)
    below = forever.call(start, *["t"] * 3 * LARGE)
    forever.finished(*below)
    flow = world.row(child).flow
    assert flow is not None
    world.finish(worker, start, upto_seq=flow.last_seq)
    forever.goes_on()
    world.now += timedelta(days=31)
    for _ in range(40):
        world.tick(0.06)
        if any(one.kind == FORGET_BELOW for one in world.book.cursors.values()):
            break
    world.command(Fork(child, Address("0:1"), fork_id=world.run_id(), ask_id="a", reply_to=CLIENT))
    said = [one for _, one in world.replies if isinstance(one, Answer)][-1]
    assert said.error is not None and said.error["rule"] == "going" and child in world.book.runs
    pass_by(world, 1)
    assert world.book.gone == {child, *below}
    assert not any(one.kind == FORGET_BELOW for one in world.book.cursors.values())


def shared(world: World, forever: Forever) -> tuple[RunId, RunId]:
    """A child that has ended, with a run below it that holds a key."""
    (child,) = forever.call(forever.start, "wf")
    start = forever.begun(child)
    (below,) = forever.call(start, "t", options=Options(idempotency_key="k"))
    forever.finished(below)
    world.finish(forever.worker, start, upto_seq=1)
    return child, below


def test_what_a_fork_tells_stays() -> None:
    world, _, forever = house()
    child, below = shared(world, forever)
    fork = world.run_id()
    world.command(Fork(child, Address("0:1"), fork_id=fork))
    assert fork in world.book.runs
    forever.goes_on()
    pass_by(world, 31 * DAY)
    assert not {child, below} & world.book.gone


def test_what_another_workflow_shares_stays_until_that_has_gone_on_too() -> None:
    world, worker, forever = house()
    child, below = shared(world, forever)
    other = Forever(world, worker)
    other.call(other.start, "t", options=Options(idempotency_key="k"))
    world.settle()
    assert [one.child_id for one in world.book.delivery_log(other.run_id)] == [below]
    forever.goes_on()
    pass_by(world, 31 * DAY)
    assert not {child, below} & world.book.gone
    other.goes_on()
    pass_by(world, 2 * 3600)
    assert {child, below} <= world.book.gone


def test_a_ledger_with_a_workflow_that_lives_for_ever_does_not_grow() -> None:
    """A year of a generation each day, some of them with children that have children, and what lives in between."""
    world, worker, forever = house(timedelta(days=10))
    chance = random.Random(7)
    sizes = []
    for _ in range(365):
        forever.calls(*["t"] * chance.randint(1, 4))
        (child,) = forever.call(forever.start, "wf", options=Options(on_parent_end="abandon"))
        start = forever.begun(child)
        below = forever.call(start, *["t"] * chance.choice([0, 1, 3, 2 * LARGE]))
        forever.finished(*below)
        forever.goes_on()
        flow = world.row(child).flow
        assert flow is not None
        world.finish(worker, start, upto_seq=flow.last_seq)
        pass_by(world, DAY)
        log = world.book.delivery_log(forever.run_id)
        assert all(one.child_id in world.book.runs for one in log if one.kind == "outcome")
        sizes.append(len(world.book.runs))
    assert max(sizes[200:]) <= 1.3 * max(sizes[20:100]) and max(sizes) < 200
    assert len(world.book.gone) > 365 * 3 and not world.book.gone & world.book.runs.keys()
    assert {run.status for run in world.book.runs.values() if run.id != forever.run_id} <= FINAL
