"""Whatever is ordered at once, in whatever order, the history of a run is one line: no seq is missing, each row begins
where the one before ended, and each order is answered once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore.core.changes import HistoryRow, Inbound
from longshore.core.ids import RunId
from longshore.core.message import Annotate, Answer, Cancel, Edit, Pause, Reschedule, Resume, Signal
from longshore.core.run import Status
from tests.core.stages import S, stage
from tests.simulation.world import World

WORDS = ["cancel", "pause", "resume", "signal", "annotate", "wrong", "reschedule"]
STATUSES = [S.DELAYED, S.QUEUED, S.EXECUTING, S.HANGING, S.SUSPENDED, S.BLOCKED, S.RETRYING, S.COMPLETED]


def order(word: str, run_id: RunId, number: int) -> Any:
    told: dict[str, Any] = {"ask_id": str(number), "reply_to": "client"}
    match word:
        case "cancel":
            return Cancel(run_id, "no", **told)
        case "pause":
            return Pause(run_id, "ann", **told)
        case "resume":
            return Resume(run_id, "bob", **told)
        case "signal":
            return Signal(run_id, "go", b"x", str(number), **told)
        case "reschedule":
            return Reschedule(run_id, number % 7 * 1000, **told)
    edit = Edit("increment", "n", 1) if word == "annotate" else Edit("append", "n", 1)
    return Annotate(run_id, [edit], f"a{number}", **told)


def check_line(rows: list[HistoryRow]) -> None:
    """One line: without a gap, each row from where the one before ended; what is refused leads nowhere."""
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    stands = ""
    for row in rows:
        assert row.from_status == stands, row
        assert row.valid or row.to_status == stands, row
        stands = row.to_status


@given(
    status=st.sampled_from(STATUSES),
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=100),
    cuts=st.lists(st.integers(1, 40), max_size=20),
    ticks=st.booleans(),
)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_orders_that_contradict_one_another_leave_one_line(
    status: Status, words: list[str], cuts: list[int], ticks: bool
) -> None:
    scene = stage(status, kind="workflow" if status in (S.HANGING, S.SUSPENDED) else "task")
    world = scene.world
    orders = [order(word, scene.run_id, number) for number, word in enumerate(words)]
    while orders:
        size = cuts.pop() if cuts else len(orders)
        batch, orders = orders[:size], orders[size:]
        world.take(*[Inbound(messages=[one]) for one in batch])
        if ticks:
            world.now += timedelta(seconds=1)
            world.settle()
    rows = world.history(scene.run_id)
    check_line(rows)
    assert rows[-1].to_status == world.status(scene.run_id)
    answers = [one.ask_id for _, one in world.replies if isinstance(one, Answer)]
    own = [ask_id for ask_id in answers if ask_id.isdecimal()]
    assert sorted(own, key=int) == [str(number) for number in range(len(words))]
    _check_counts(world, scene.run_id, words)


def _check_counts(world: World, run_id: RunId, words: list[str]) -> None:
    """What was refused because of where the run stands is in the history once, as is what was done; edits of one batch
    share a row."""
    errors = {one.ask_id for _, one in world.replies if isinstance(one, Answer) and one.error is not None}
    refused = [row for row in world.history(run_id) if not row.valid]
    recorded = [n for n, word in enumerate(words) if word != "cancel" and str(n) in errors]
    assert len([row for row in refused if not row.reason.startswith("cancel refused")]) == len(recorded)
    done = [n for n, word in enumerate(words) if word == "annotate" and str(n) not in errors]
    assert world.book.metadata.get(run_id, {}).get("n", 0) in (len(done), [1] * len(done)) or "wrong" in words
