"""Which version a run asks for, keeps, and how long it waits for one that nobody offers."""

from __future__ import annotations

import pytest

from longshore.core.ids import Address
from longshore.core.message import Call, Commands, Options
from tests.core.stages import BOOM, S, Stage
from tests.simulation.world import World, task, workflow

HOUR = 3600


@pytest.mark.parametrize("routine", ["t@1.0.0", "t"])
def test_the_version_is_part_of_the_name_or_an_option_or_both(routine: str) -> None:
    world = World()
    old = world.join("old", offers=[task(version="1.0.0")])
    world.join("new", offers=[task(version="2.0.0")])
    run_id = world.trigger(routine, version="1.0.0")
    assert (world.row(run_id).asked_version, len(world.starts(old))) == ("1.0.0", 1)


def test_latest_is_the_newest_offered_when_it_is_dispatched() -> None:
    world = World()
    run_id = world.trigger("t", version="latest", pool="p")
    world.join("old", offers=[task(version="1.0.0")])
    world.join("new", offers=[task(version="2.0.0")], pool="p")
    assert (world.row(run_id).asked_version, world.row(run_id).version) == ("", "2.0.0")


def test_a_version_nobody_offers_is_waited_for_until_its_own_deadline_over_a_restart() -> None:
    world = World()
    world.join(offers=[task()])
    run_id = world.trigger("t", version="9.9.9", version_deadline_ms=HOUR * 1000)
    why = world.ledger.why(run_id, world.now)
    assert why is not None and why["kind"] == "version" and why["next_at"] == world.row(run_id).due_at
    world.tick(HOUR - 1)
    world.restart()
    world.tick()
    assert world.status(run_id) is S.PENDING_VERSION
    world.tick(1)
    assert world.status(run_id) is S.SYSTEM_FAILURE
    assert "its version never came: no worker offers t@9.9.9" in world.row(run_id).reason


def test_the_deadline_begins_anew_whenever_the_version_goes_missing() -> None:
    world = World()
    worker = world.join(offers=[task()])
    run_id = world.trigger("t", version="1.0.0", version_deadline_ms=HOUR * 1000, pool="elsewhere")
    Stage(world, run_id, worker).lose()
    world.tick(60)
    assert world.status(run_id) is S.PENDING_VERSION
    world.restart()
    other = world.join("w2", offers=[task()])
    assert (world.status(run_id), world.row(run_id).due_at) == (S.QUEUED, None)
    world.tick(2 * HOUR)
    assert world.status(run_id) is S.QUEUED
    Stage(world, run_id, other).lose()
    world.tick(60)
    world.tick(HOUR - 1)
    assert world.status(run_id) is S.PENDING_VERSION
    world.tick(1)
    assert world.status(run_id) is S.SYSTEM_FAILURE


def test_retries_keep_the_version_of_the_first_start_though_a_newer_one_has_come_and_it_has_gone() -> None:
    world = World()
    old = world.join("old", offers=[task(version="1.0.0", max_attempts=3)])
    run_id = world.trigger("t", version="latest")
    (start,) = world.starts(old)
    new = world.join("new", offers=[task(version="2.0.0", max_attempts=3)])
    world.finish(old, start, "failed", error=BOOM)
    Stage(world, run_id, old).lose()
    world.tick(2)
    world.tick(61)
    world.tick(61)
    assert (world.status(run_id), world.starts(new)) == (S.PENDING_VERSION, [])
    why = world.ledger.why(run_id, world.now)
    assert why is not None and why["text"] == "no worker offers t@1.0.0; offered versions: 2.0.0"
    back = world.join("back", offers=[task(version="1.0.0", max_attempts=3)])
    (again,) = world.starts(back)
    assert (again.run_id, again.version, again.attempt) == (run_id, "1.0.0", 2)


def test_a_call_asks_for_the_version_beside_it_or_in_its_options_and_else_for_the_newest() -> None:
    world = World()
    flows = world.join("flows", offers=[workflow()], slots=0)
    world.join("old", offers=[task(version="1.0.0")])
    world.join("new", offers=[task(version="2.0.0")])
    run_id = world.trigger("wf")
    ids = [world.run_id() for _ in range(4)]
    calls = [
        Call(Address("0:0"), "t", "d", b"", ids[0], "1.0.0"),
        Call(Address("0:1"), "t", "d", b"", ids[1]),
        Call(Address("0:2"), "t", "d", b"", ids[2], options=Options(version="1.0.0")),
        Call(Address("0:3"), "t", "d", b"", ids[3], options=Options(version="latest", version_deadline_ms=5)),
    ]
    world.report(flows, Commands(run_id, 1, world.now, 0, calls))
    assert [world.row(child).version for child in ids] == ["1.0.0", "2.0.0", "1.0.0", "2.0.0"]
    assert world.row(ids[3]).version_deadline_ms == 5
