"""What routines change of metadata and tags: merged, reported before their end, never said again in a replay."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from longshore.core.errors import NoRunError, UsageError
from longshore.core.ids import Address, RunId
from longshore.core.message import (
    Annotated,
    CallRow,
    Commands,
    Edit,
    Edits,
    Finished,
    Released,
    Started,
    Suspended,
    Warn,
)
from longshore.core.metadata import Merged
from longshore.routines.catalog import Catalog, collect
from longshore.routines.context import CURRENT_RUN, RunContext, context
from longshore.worker.edits import MAX_BYTES, Pending
from tests.worker import annotating, routines
from tests.worker.annotating import notes, notes_apart, notes_flow
from tests.worker.conftest import SiteMaker
from tests.worker.scripted import ScriptedCoordinator, deliver, outcome, page, value_of


@pytest.fixture
def catalog() -> Catalog:
    return collect([annotating])


def said(coordinator: ScriptedCoordinator, run: str = "r1") -> dict[str, list[Edit]]:
    """The edits reported so far, by target; how many reports they came in is a matter of time."""
    found: dict[str, list[Edit]] = {}
    for report in coordinator.reports:
        if isinstance(report, Annotated | Commands | Finished) and report.run_id == run:
            for group in report.edits:
                found.setdefault(group.target, []).extend(group.edits)
    return {target: Merged(edits).edits() for target, edits in found.items()}


async def test_what_a_task_changes_is_merged_and_reported_before_its_end(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(notes, 1000, metadata={"old": 1, "log": ["z"]}))
        report = await coordinator.finished()
        assert value_of(report) == {"n": 1000, "phase": {"at": [1, 2]}, "log": ["z", "a"]}
        assert said(coordinator) == {
            "self": [
                Edit("increment", "n", 1000),
                Edit("set", "phase", {"at": [1, 2]}),
                Edit("append", "log", "a"),
                Edit("delete", "old"),
                Edit("add_tag", "red"),
                Edit("remove_tag", "blue"),
            ],
            "parent": [Edit("increment", "done", 1000)],
            "root": [Edit("append", "seen", "r1")],
        }
        kinds = [type(one) for one in coordinator.reports if isinstance(one, Annotated | Finished)]
        assert kinds[-1] is Finished


async def test_what_a_task_has_changed_is_reported_while_it_goes_on(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(notes, 3, "door"))
        await coordinator.report(Annotated, within=2)
        kinds = [type(one) for one in coordinator.reports]
        assert kinds.index(Started) < kinds.index(Annotated)
        routines.passes("door").set()
        await coordinator.finished()
        assert said(coordinator)["self"][0] == Edit("increment", "n", 3)
        assert said(coordinator)["root"] == [Edit("append", "seen", "r1")]


async def test_a_routine_in_a_child_process_changes_metadata_too(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(notes_apart, 5000, metadata={"n": 2}))
        assert value_of(await coordinator.finished(within=20)) == {"n": 5002}
        sums = {target: sum(edit.value for edit in edits) for target, edits in said(coordinator).items()}
        assert sums == {"self": 5000, "parent": 10_000}
        assert len(coordinator.all(Annotated)) < 50


async def test_what_is_refused_is_in_the_workers_log(sites: SiteMaker, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "longshore.worker"):
        async with sites() as site:
            coordinator = site.coordinator
            coordinator.direct(Warn(RunId("r1"), 1, "'text' cannot be incremented"), coordinator.start(notes, 1))
            await coordinator.finished()
    assert "run r1: 'text' cannot be incremented" in caplog.text


async def test_a_workflow_says_what_it_changes_with_its_next_word_and_not_again_in_a_replay(sites: SiteMaker) -> None:
    annotating.seen.clear()
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(notes_flow, metadata={"pumps": 10}))
        (commands,) = await coordinator.until(lambda: coordinator.all(Commands))
        assert commands.edits == [Edits("self", [Edit("increment", "pumps", 1)])]
        coordinator.direct(deliver("r1", outcome(1, "0:0", 2)))
        report = await coordinator.finished()
        assert report.edits == [Edits("self", [Edit("increment", "pumps", 1)]), Edits("root", [Edit("set", "last", 2)])]
        assert value_of(report) == 12 and not coordinator.all(Annotated)

        call = commands.calls[0]
        row = CallRow(call.address, "call", call.routine, call.digest, 0)
        again = coordinator.start(
            notes_flow, run="r2", metadata={"pumps": 10}, last_seq=1, processed_seq=0, input=b"", epoch=2
        )
        coordinator.direct(again, page("r2", -1, 1, [row], [outcome(1, "0:0", 2)], epoch=2))
        report = await coordinator.finished("r2")
        assert value_of(report) == 12, "what the code saw is the same"
        assert said(coordinator, "r2")["self"] == [Edit("increment", "pumps", 1)], "the second pump's only"
        assert annotating.seen == [12, 12]


async def test_pumps_that_do_not_count_change_nothing(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        row = CallRow(Address("0:0"), "call", "another", "d", 0)
        again = coordinator.start(notes_flow, last_seq=1, processed_seq=-1)
        coordinator.direct(again, page("r1", -1, 1, [row], [outcome(1, "0:0", 2)]))
        report = await coordinator.finished()
        assert report.how == "nondeterminism" and said(coordinator) == {}
        coordinator.direct(coordinator.start(notes_flow, True, run="r2"))
        await coordinator.until(lambda: coordinator.all(Commands, "r2"))
        coordinator.direct(deliver("r2", outcome(1, "0:0", 2)))
        assert (await coordinator.finished("r2")).how == "failed"
        assert said(coordinator, "r2")["self"] == [Edit("increment", "pumps", 2)]
        assert not coordinator.all(Suspended) and not coordinator.all(Released)


def test_what_is_no_metadata_is_a_usage_error_where_it_is_said() -> None:
    with pytest.raises(NoRunError):
        _ = context.metadata
    token = CURRENT_RUN.set(RunContext(RunId("r"), routine="t@1.0.0", metadata={"a": [1]}))
    try:
        wrong: list[Any] = [
            lambda: context.metadata.set("x", object()),
            lambda: context.metadata.set(1, 1),  # type: ignore[arg-type]
            lambda: context.metadata.set("", 1),
            lambda: context.metadata.set("x", "y" * (1 << 18)),
            lambda: context.metadata.append("x", 1 << 70),
            lambda: context.metadata.increment("x", "1"),  # type: ignore[arg-type]
            lambda: context.metadata.parent.increment("x", float("inf")),
            lambda: context.add_tags("x" * 129),
            lambda: context.remove_tags(7),  # type: ignore[arg-type]
        ]
        for one in wrong:
            with pytest.raises(UsageError):
                one()
        assert dict(context.metadata) == {"a": [1]} and len(context.metadata) == 1
        context.metadata["a"].append(2)
        assert context.metadata["a"] == [1], "what is read is a copy"
        assert "[1]" in repr(context.metadata)
    finally:
        CURRENT_RUN.reset(token)


def test_what_is_too_much_for_one_message_goes_in_several() -> None:
    pending = Pending()
    for number in range(10):
        assert pending.add("self", Edit("append", "log", f"{number}" * 100_000)) is (number == 0)
    pending.add("parent", Edit("increment", "n", 1))
    groups = pending.take()
    assert len(groups) == 5 and sum(len(one.edits) for group in groups for one in group) == 11
    assert MAX_BYTES > 200_000 and pending.take() == []
