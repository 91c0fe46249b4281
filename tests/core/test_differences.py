"""Both sides of a difference, as a person reads them: the reason of a run whose code was changed."""

from __future__ import annotations

import pytest

from longshore.core.differences import THE_CODE, call_of, listed, with_recorded
from longshore.core.ids import Address
from longshore.core.message import Call, Cancel, Commands, Differs, Failure, Finished
from longshore.serialization.arguments import encode_arguments
from tests.core.stages import S, Stage, stage

DIGEST = "0123456789abcdef"
TEXT = (
    "the code does not match the journal at address 0:0, in delivery 0\n"
    f"  recorded: {call_of('t', DIGEST)} at old.py:1, in delivery 0\n"
    f"{THE_CODE}{call_of('t', listed(['2', 'n=5']))} at new.py:2\n"
    "Put the old code back."
)
SPOKEN = TEXT.replace(DIGEST, "(1, n=5)")


def test_the_recorded_arguments_stand_in_place_of_their_digest_and_a_line_says_which_differ() -> None:
    lines = with_recorded(TEXT, DIGEST, ["1", "n=5"], ["2", "n=5"]).split("\n")
    assert lines[1:] == [
        "  recorded: call of 't' with arguments (1, n=5) at old.py:1, in delivery 0",
        "  the code: call of 't' with arguments (2, n=5) at new.py:2",
        "  the difference: argument 1: 1 was recorded, the code says 2",
        "Put the old code back.",
    ]


@pytest.mark.parametrize("asked", [None, ["1", "n=5"]])
def test_what_does_not_differ_or_is_not_known_is_not_named(asked: list[str] | None) -> None:
    assert with_recorded(TEXT, DIGEST, ["1", "n=5"], asked) == SPOKEN


def test_of_many_arguments_that_differ_three_are_named_and_each_side_is_cut() -> None:
    was, now = [f"{number:060}" for number in range(6)], [f"{number:060}" for number in range(6, 11)]
    text = with_recorded(f"recorded: {call_of('t', DIGEST)}", DIGEST, was, now)
    recorded, difference = text.split("\n")
    assert len(recorded) < 260 and recorded.endswith("…)")
    assert [f"argument {number}: " in difference for number in range(1, 6)] == [True] * 3 + [False] * 2
    assert difference.endswith("; and 3 more")
    assert "argument 6: 1 was recorded, the code says nothing" in with_recorded("", "d", ["0"] * 5 + ["1"], ["0"] * 5)


def differing(given: bytes, differs: Differs | None, *, cancel: bool = False) -> Stage:
    """A workflow that made a call with this input, and whose code makes another one in a replay."""
    scene = stage(S.EXECUTING, kind="workflow")
    world, start = scene.world, scene.directive
    call = Call(Address("0:0"), "t", DIGEST, given, world.run_id())
    world.report(scene.worker, Commands(start.run_id, start.epoch, world.now, upto_seq=0, calls=[call]))
    if cancel:
        scene.cancel()
    error = Failure("longshore.core.errors.Nondeterminism", TEXT)
    report = Finished(start.run_id, start.epoch, "nondeterminism", world.now, error=error, differs=differs)
    world.report(scene.worker, report)
    return scene


def test_a_blocked_run_says_what_the_recorded_call_was_given() -> None:
    given = encode_arguments([1], {"n": 5}).inline()
    scene = differing(given, Differs(Address("0:0"), ["2", "n=5"]))
    reason = scene.world.row(scene.run_id).reason
    assert scene.status is S.BLOCKED
    assert reason == "nondeterminism: " + with_recorded(TEXT, DIGEST, ["1", "n=5"], ["2", "n=5"])


def test_a_cleanup_that_does_not_match_its_journal_says_it_too() -> None:
    scene = differing(encode_arguments([1], {"n": 5}).inline(), Differs(Address("0:0")), cancel=True)
    assert scene.status is S.CANCELED
    assert scene.world.row(scene.run_id).reason == f"no; in its cleanup nondeterminism: {SPOKEN}"


@pytest.mark.parametrize(
    "differs", [None, Differs(Address("0:9"), ["2"]), Differs(Address("0:0"), ["2"])], ids=["nowhere", "new", "unread"]
)
def test_what_nobody_can_read_stays_a_digest(differs: Differs | None) -> None:
    scene = differing(b"in", differs)
    assert scene.world.row(scene.run_id).reason == f"nondeterminism: {TEXT}"


def test_a_difference_of_a_run_that_is_not_there_needs_nothing() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    gone = scene.world.run_id()
    scene.world.report(
        scene.worker, Finished(gone, 1, "nondeterminism", scene.world.now, differs=Differs(Address("0")))
    )
    scene.world.command(Cancel(scene.run_id))
    assert scene.status is S.CANCELING
