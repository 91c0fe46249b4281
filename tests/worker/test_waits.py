"""What comes from outside to a workflow on a worker: small, large, unreadable, before the wait and after a loss."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from longshore.core.ids import Address
from longshore.core.message import CallRow, Commands, Delivery, Value
from tests.worker.conftest import SiteMaker
from tests.worker.routines import hears
from tests.worker.scripted import ScriptedCoordinator, deliver, inline, page, value_of


def word(seq: int, value: Value | None) -> Delivery:
    return Delivery(seq, "signal", Address(f"id-{seq}"), datetime.now(UTC), "word", value)


def completed(seq: int, value: Value | None, status: str = "COMPLETED") -> Delivery:
    return Delivery(seq, "token", Address("0:0"), datetime.now(UTC), status, value)


async def answered(coordinator: ScriptedCoordinator, upto: int) -> Commands:
    found = await coordinator.until(lambda: [one for one in coordinator.all(Commands) if one.upto_seq == upto])
    return found[0]


async def test_values_are_read_and_what_cannot_be_read_is_raised_where_it_is_waited_for(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(hears, 3))
        asked = await answered(coordinator, 0)
        assert [(wait.kind, wait.name) for wait in asked.waits][1] == ("signal", "word")
        assert asked.waits[0].due_at is not None
        coordinator.direct(deliver("r1", word(1, inline({"a": 1})), word(2, None), word(3, b"\xff no value")))
        coordinator.direct(deliver("r1", completed(4, inline("paid"))))
        first, second, third, token = value_of(await coordinator.finished())
        assert (first, second, token) == ({"a": 1}, None, "paid")
        assert "format" in third


async def test_an_error_is_its_text(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(hears, 0), deliver("r1", completed(1, b"no m\xc3\xb6ney", "FAILED")))
        assert value_of(await coordinator.finished()) == ["no möney"]


async def test_another_worker_goes_on_with_the_token_and_the_signals_that_are_recorded(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(hears, 1))
        asked = await answered(coordinator, 0)
        rows: list[Any] = [
            CallRow(wait.address, wait.kind, wait.name, wait.digest, wait.asked_seq) for wait in asked.waits
        ]
        began = datetime.now(UTC)
        coordinator.direct(
            coordinator.start(hears, 1, run="r2", last_seq=2, processed_seq=1, started_at=began),
            page("r2", -1, 2, rows, [word(1, inline("hello")), completed(2, inline(7))]),
        )
        assert value_of(await coordinator.finished("r2")) == ["hello", 7]
        assert not [wait for one in coordinator.all(Commands, "r2") for wait in one.waits], "nothing was made anew"


async def test_a_fork_at_the_first_call_asks_for_what_is_recorded_of_its_beginning(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(hears, 0))
        asked = await answered(coordinator, 0)
        rows: list[Any] = [
            CallRow(wait.address, wait.kind, wait.name, wait.digest, wait.asked_seq) for wait in asked.waits
        ]
        began = datetime.now(UTC)
        coordinator.direct(
            coordinator.start(hears, 0, run="r2", forked_seq=0, seed="r1", started_at=began),
            page("r2", -1, 0, rows, []),
        )
        again = await coordinator.until(lambda: [one for one in coordinator.all(Commands, "r2") if one.upto_seq == 0])
        assert not again[0].waits, "nothing was made anew"
        coordinator.direct(deliver("r2", completed(1, inline("paid"))))
        assert value_of(await coordinator.finished("r2")) == ["paid"]
