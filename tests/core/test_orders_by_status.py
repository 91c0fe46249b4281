"""Every order about a run in every status: what the table allows leads where it says; all else is refused and recorded,
and nothing else changes. And every report of its own worker, in every status it can have one in."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest

from longshore.core import message
from longshore.core.ids import Address, RunId
from longshore.core.message import (
    Annotate,
    Annotated,
    Answer,
    Cancel,
    Checkpoint,
    Commands,
    Edit,
    Fetch,
    Finished,
    Fork,
    Pause,
    Progress,
    Released,
    Report,
    Rerun,
    Reschedule,
    Resume,
    Signal,
    Started,
    Suspended,
)
from longshore.core.run import ALLOWED, FINAL, WAITING, WITH_WORKER, Run, Status
from tests.core.stages import BOOM, S, Stage, stage

ASKED: Final[dict[str, Any]] = {"ask_id": "ask", "reply_to": "client"}
ORDERS: Final[dict[type, Callable[[RunId], Any]]] = {
    Cancel: lambda run: Cancel(run, **ASKED),
    Pause: lambda run: Pause(run, **ASKED),
    Resume: lambda run: Resume(run, **ASKED),
    Reschedule: lambda run: Reschedule(run, delay_ms=5000, **ASKED),
    Signal: lambda run: Signal(run, "go", **ASKED),
    Fork: lambda run: Fork(run, Address("0:7"), **ASKED),
    Rerun: lambda run: Rerun(run, **ASKED),
    Annotate: lambda run: Annotate(run, [Edit("set", "stage", 1)], **ASKED),
}
"""An order of each kind that names a run."""

STAYS: Final = "stays"
"""The order is taken, and changes no status."""
AT_REST: Final = WAITING - {S.BLOCKED}

TAKEN: Final[dict[type, dict[Status, str]]] = {
    Cancel: {
        **dict.fromkeys(WAITING - {S.SUSPENDED}, S.CANCELED),
        **dict.fromkeys((WITH_WORKER - {S.CANCELING}) | {S.SUSPENDED}, S.CANCELING),
    },
    Pause: {**dict.fromkeys(AT_REST | {S.HANGING}, S.BLOCKED), S.DISPATCHED: STAYS, S.EXECUTING: STAYS},
    Resume: {S.BLOCKED: S.QUEUED},
    Reschedule: {S.DELAYED: S.DELAYED},
    Signal: {S.HANGING: STAYS, S.SUSPENDED: S.QUEUED, S.PENDING_VERSION: STAYS},
    Fork: {},
    Rerun: dict.fromkeys(FINAL, STAYS),
    Annotate: dict.fromkeys(WAITING | WITH_WORKER, STAYS),
}
"""Where each order leads; statuses that are not here refuse it. The run is a task, and a workflow where only they can
be (HANGING, SUSPENDED); what nobody offers may be one."""

REACHED: Final = [status for status in Status if status is not S.CRASHED]


def in_status(status: Status) -> Stage:
    made = stage(status, kind="workflow" if status in (S.HANGING, S.SUSPENDED) else "task")
    made.world.replies.clear()
    made.world.sent.clear()
    for session in made.world.ledger._state.sessions.values():
        session.draining = True  # nothing is placed at once again
    return made


def without(run: Run, *names: str) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(run).items() if name not in names}


def members(union: Any) -> set[type]:
    """Those that are about a run: they must name it."""
    return {
        one
        for one in typing.get_args(union)
        if any(field.name == "run_id" and field.required for field in msgspec.structs.fields(one))
    }


def test_every_order_that_names_a_run_is_tried_in_every_status() -> None:
    assert members(message.Command) == ORDERS.keys() == TAKEN.keys()


@pytest.mark.parametrize("status", REACHED)
@pytest.mark.parametrize("kind", ORDERS, ids=lambda kind: kind.__name__)
def test_an_order_leads_where_the_table_says_or_is_refused_and_recorded(kind: type, status: Status) -> None:
    made = in_status(status)
    world, run_id = made.world, made.run_id
    before, rows, known = without(world.row(run_id), "history_seq"), len(world.history(run_id)), len(world.book.runs)
    changes = world.command(ORDERS[kind](run_id))
    fresh = world.history(run_id)[rows:]
    told = next(one for _, one in world.replies if isinstance(one, Answer))
    to = TAKEN[kind].get(status)
    if to is None:
        (row,) = fresh
        assert (row.valid, row.from_status, row.to_status) == (False, status, status), row
        assert f"{kind.__name__.lower()} refused: " in row.reason
        assert told.error is not None or (kind, status) == (Cancel, S.CANCELING), "it is being canceled, as was ordered"
        assert without(world.row(run_id), "history_seq") == before and len(world.book.runs) == known
        assert not (changes.directives or changes.ended or changes.inserted or changes.deliveries)
        return
    assert told.error is None and all(row.valid for row in fresh)
    assert made.status == (status if to == STAYS else to)
    assert all((row.from_status, row.to_status) in ALLOWED or row.from_status == row.to_status for row in fresh)
    assert len(world.book.runs) == known + (kind is Rerun)


# ------------------------------------------------------------------------------------------------------------- reports


HOWS: Final = ("completed", "failed", "aborted", "timed_out", "canceled", "system_failure", "nondeterminism", "crashed",
               "out_of_memory")  # fmt: skip
REPORTS: Final[dict[str, Callable[[Stage, int], Report]]] = {
    "Started": lambda made, epoch: Started(made.run_id, epoch, made.world.now),
    "Released": lambda made, epoch: Released(made.run_id, epoch),
    "Released with a reason": lambda made, epoch: Released(made.run_id, epoch, "unknown routine"),
    "Released, interrupted": lambda made, epoch: Released(made.run_id, epoch, lost=True),
    "Suspended": lambda made, epoch: Suspended(made.run_id, epoch, 0),
    "Commands": lambda made, epoch: Commands(made.run_id, epoch, made.world.now, upto_seq=0),
    "Fetch": lambda made, epoch: Fetch(made.run_id, epoch),
    "Progress": lambda made, epoch: Progress(made.run_id, epoch, 0.5),
    "Checkpoint": lambda made, epoch: Checkpoint(made.run_id, epoch, value=b"v"),
    "Annotated": lambda made, epoch: Annotated(made.run_id, epoch, []),
    **{
        f"Finished {how}": lambda made, epoch, how=how: Finished(  # type: ignore[misc]
            made.run_id, epoch, how, made.world.now, result=b"r" if how == "completed" else None,
            error=None if how == "completed" else BOOM,
        )
        for how in HOWS
    },
}  # fmt: skip

ENDS: Final = {
    "completed": S.COMPLETED,
    "failed": S.RETRYING,
    "canceled": S.RETRYING,
    "aborted": S.FAILED,
    "timed_out": S.TIMED_OUT,
    "system_failure": S.SYSTEM_FAILURE,
    "nondeterminism": S.BLOCKED,
    "crashed": S.QUEUED,
    "out_of_memory": S.QUEUED,
}
LEADS: Final[dict[Status, dict[str, str]]] = {
    S.DISPATCHED: {
        "Started": S.EXECUTING,
        **dict.fromkeys(("Released", "Released with a reason", "Released, interrupted"), S.QUEUED),
        **{f"Finished {how}": ENDS[how] for how in HOWS},
    },
    S.EXECUTING: {
        **dict.fromkeys(("Released", "Released with a reason", "Released, interrupted"), S.QUEUED),
        **{f"Finished {how}": ENDS[how] for how in HOWS},
    },
    S.HANGING: {
        **dict.fromkeys(("Released", "Released with a reason", "Released, interrupted", "Suspended"), S.SUSPENDED),
        **{f"Finished {how}": ENDS[how] for how in HOWS},
    },
    S.CANCELING: {
        **dict.fromkeys(("Released", "Released with a reason", "Released, interrupted"), S.CANCELED),
        **{f"Finished {how}": S.CANCELED for how in HOWS},
    },
}
"""Where a report of the run's own worker leads, of a task (of a workflow where it hangs). What is not here changes no
status."""
ONLY_WORKFLOWS: Final = {"Commands", "Suspended"}
"""Tried where one hangs; of a task they cannot be decided (test_beginnings)."""


def test_every_report_about_a_run_is_tried() -> None:
    named = {name.partition(",")[0].split()[0] for name in REPORTS}
    about_ended = {"HooksRun"}  # no worker holds it (test_hooks)
    assert {one.__name__ for one in members(message.Report)} - about_ended == named
    assert LEADS.keys() == WITH_WORKER


@pytest.mark.parametrize(
    ("name", "status"),
    [(name, status) for name in REPORTS for status in sorted(WITH_WORKER) if name not in ONLY_WORKFLOWS]
    + [(name, S.HANGING) for name in sorted(ONLY_WORKFLOWS)],
)
def test_a_report_of_its_own_worker_leads_where_the_table_says(name: str, status: Status) -> None:
    made = in_status(status)
    world = made.world
    rows = len(world.history(made.run_id))
    world.report(made.worker, REPORTS[name](made, world.row(made.run_id).epoch))
    assert made.status == LEADS[status].get(name, status)
    fresh = world.history(made.run_id)[rows:]
    assert all(row.valid and (row.from_status, row.to_status) in ALLOWED for row in fresh)
    assert bool(fresh) == (made.status is not status)


@pytest.mark.parametrize("status", REACHED)
@pytest.mark.parametrize("name", REPORTS)
def test_a_report_of_an_old_epoch_or_another_session_is_dropped_and_counted(name: str, status: Status) -> None:
    made = in_status(status)
    world = made.world
    stranger = world.join("stranger")
    epoch = world.row(made.run_id).epoch
    before, rows = without(world.row(made.run_id)), len(world.history(made.run_id))
    owned = status in WITH_WORKER
    for session, said in ((made.worker, epoch - 1), (made.worker, epoch + owned), (stranger, epoch)):
        late = world.ledger.counts.get("late_report", 0)
        changes = world.report(session, REPORTS[name](made, said))
        assert world.ledger.counts["late_report"] == late + 1
        assert not (changes.directives or changes.ended or changes.updated or changes.history)
    assert (without(world.row(made.run_id)), len(world.history(made.run_id))) == (before, rows)
    assert made.status is status
