"""What is added to messages before they are sent, without a bus: inputs kept, pages in parts, numbers of bodies."""

from __future__ import annotations

from longshore.coordinator.bodies import ENTRY, Inputs, pages
from longshore.coordinator.flights import Flights, Resends
from longshore.coordinator.store import Page
from longshore.core.ids import Address, RunId
from longshore.core.message import MAX_BODY, CallRow, ClaimCheck, Delivery, Start
from longshore.serialization.envelope import pack
from tests.coordinator.rows import NOW, a_run, ending, inserting, run_id


def start_of(number: RunId) -> Start:
    return Start(run_id=number, epoch=1, attempt=1, routine="t", version="1.0.0")


def test_an_input_is_given_once_with_its_tags() -> None:
    inputs, run = Inputs(), a_run()
    inputs.keep(inserting(run, value=b"x", tags=["a"]))
    start = start_of(run.id)
    assert inputs.give(start)
    assert (start.input, start.tags) == (b"x", ["a"])
    assert not inputs.give(start_of(run.id))


def test_inputs_are_bounded_by_bytes_and_the_oldest_goes_first() -> None:
    inputs = Inputs(limit=3 * (ENTRY + 100))
    runs = [a_run() for _ in range(5)]
    for run in runs:
        inputs.keep(inserting(run, value=b"x" * 100))
    assert [inputs.give(start_of(run.id)) for run in runs] == [False, False, True, True, True]
    check = ClaimCheck(key="inputs/x", size=1 << 30, sha256="0" * 64)
    more = [a_run() for _ in range(3)]
    inputs.keep(inserting(*more, value=check))
    assert all(inputs.give(start_of(run.id)) for run in more)


def test_a_run_that_ended_at_once_is_not_kept() -> None:
    inputs, run = Inputs(), a_run()
    changes = inserting(run)
    changes.ended = ending(run).ended
    inputs.keep(changes)
    assert not inputs.give(start_of(run.id))


def test_a_page_with_more_calls_than_fit_a_body_goes_in_parts() -> None:
    calls = [
        CallRow(Address(f"0/0:{n}"), "call", "routine", "0123456789abcdef", 0, run_id(n + 1), "module.py:10")
        for n in range(10_000)
    ]
    told = [Delivery(1, "outcome", Address("0/0:1"), NOW, result=b"x" * (512 * 1024))]
    parts = list(pages(Page(calls, told, 1, False), run_id(1), 2, -1))
    assert len(parts) > 1
    assert all(len(body) <= MAX_BODY for part in parts for body in pack([part]))
    assert [call for part in parts for call in part.calls] == calls
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    assert (parts[-1].upto, parts[-1].last, parts[-1].deliveries) == (1, False, told)
    (empty,) = pages(Page([], [], 0, True), run_id(1), 2, -1)
    assert (empty.more, empty.last) == (False, True)


async def test_what_an_earlier_coordinator_may_not_have_sent_stays_unpublished_until_it_was_sent_again() -> None:
    flights = Flights(sender=None, tell=lambda news: None)  # type: ignore[arg-type]  # nothing is sent in this test
    resends = Resends(published=5, ticks=2)
    await flights.depart((), None, 9)
    assert resends.published(flights) == 5
    resends.ticked(flights)
    assert resends.published(flights) == 5
    await flights.depart((), None, 10)
    resends.ticked(flights)
    assert resends.published(flights) == 10
    assert Resends(published=7).published(Flights(None, lambda news: None)) == 7  # type: ignore[arg-type]
