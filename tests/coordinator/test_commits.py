"""The way of decided batches into the store: together, in order, and handed back after an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from longshore.coordinator.commits import UNDER_WAY, Commits, Decided
from longshore.coordinator.store import Prepared, StoreConflict
from longshore.core.changes import Changes
from tests.coordinator.rows import NOW


class Desk:
    """A writer whose commits end when the test says so."""

    def __init__(self) -> None:
        self.commits = Commits(self.write, self.conclude, lambda: self.told.append("failed"))
        self.groups: list[list[int]] = []
        self.writing: list[asyncio.Future[None]] = []
        self.concluded: list[int] = []
        self.told: list[str] = []
        self.on_conclude: Callable[[int], None] = lambda _: None

    def write(self, group: Sequence[Prepared]) -> asyncio.Future[None]:
        self.groups.append([one.batch_no for one in group])
        self.writing.append(asyncio.get_running_loop().create_future())
        return self.writing[-1]

    async def conclude(self, decided: Decided) -> None:
        self.on_conclude(decided.prepared.batch_no)
        self.concluded.append(decided.prepared.batch_no)

    def put(self, *numbers: int, durable: bool = True) -> None:
        for number in numbers:
            self.commits.put(Decided(None, Changes(), Prepared(number, NOW, [] if durable else None)))


@pytest.fixture
async def desk() -> Desk:
    return Desk()


async def test_a_commit_begins_at_once_and_what_comes_meanwhile_goes_together(desk: Desk) -> None:
    desk.put(1)
    assert desk.groups == [[1]]
    desk.put(2, 3)
    assert desk.groups == [[1]]
    desk.writing[0].set_result(None)
    await asyncio.sleep(0)
    assert desk.groups == [[1], [2, 3]]
    desk.writing[1].set_result(None)
    await desk.commits.emptied()
    assert desk.concluded == [1, 2, 3]
    assert not desk.commits.under_way


async def test_nothing_is_concluded_before_it_is_committed_and_what_writes_nothing_keeps_its_turn(desk: Desk) -> None:
    desk.put(1)
    desk.put(2, durable=False)
    await asyncio.sleep(0)
    assert desk.concluded == []
    desk.writing[0].set_result(None)
    await desk.commits.emptied()
    assert (desk.groups, desk.concluded) == ([[1]], [1, 2])


async def test_there_is_room_until_enough_is_under_way(desk: Desk) -> None:
    desk.put(*range(1, UNDER_WAY))
    await asyncio.wait_for(desk.commits.room(), 5)
    desk.put(UNDER_WAY)
    waiting = asyncio.create_task(desk.commits.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    desk.writing[0].set_result(None)
    await asyncio.wait_for(waiting, 5)
    assert desk.concluded[0] == 1


async def test_after_a_failed_commit_everything_since_is_handed_back_and_nothing_more_is_written(desk: Desk) -> None:
    desk.put(1)
    desk.writing[0].set_result(None)
    await desk.commits.emptied()
    desk.put(2, 3)
    desk.writing[1].set_exception(StoreConflict("twice"))
    with pytest.raises(StoreConflict):
        await desk.commits.emptied()
    desk.put(4)
    assert desk.told == ["failed"]
    assert [one.prepared.batch_no for one in desk.commits.take_back()] == [2, 3, 4]
    assert (desk.groups, desk.concluded) == ([[1], [2]], [1])
    desk.put(5)
    desk.writing[2].set_result(None)
    await desk.commits.emptied()
    assert (desk.groups[2:], desk.concluded) == ([[5]], [1, 5])


async def test_an_error_is_told_only_when_nothing_is_under_way_any_more(desk: Desk) -> None:
    def broken(number: int) -> None:
        raise OSError(f"{number} cannot be sent")

    desk.on_conclude = broken
    desk.put(1)
    desk.put(2)
    desk.writing[0].set_result(None)
    await asyncio.sleep(0)
    waiting = asyncio.create_task(desk.commits.emptied())
    for _ in range(5):
        await asyncio.sleep(0)
    assert desk.groups == [[1], [2]]
    assert not waiting.done()  # the second commit is still in the writer's thread
    desk.writing[1].set_result(None)
    with pytest.raises(OSError, match="1 cannot be sent"):
        await asyncio.wait_for(waiting, 5)
    assert [one.prepared.batch_no for one in desk.commits.take_back()] == [1, 2]
    assert desk.concluded == []


async def test_closing_gives_up_what_is_under_way_and_twice_is_harmless(desk: Desk) -> None:
    desk.put(1, 2)
    desk.writing[0].set_result(None)
    await desk.commits.close()
    await desk.commits.close()
    assert desk.concluded == []
