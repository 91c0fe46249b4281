"""Recorded journals against other code: what is the same, what differs and how it is shown, what cannot be checked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from longshore import context, define
from longshore.core.errors import RunCrashed
from longshore.core.ids import Address
from longshore.core.message import CallRow, ClaimCheck, Delivery, Recorded
from longshore.payloads import Cargo, open_store
from longshore.routines.catalog import Catalog
from longshore.serialization.arguments import encode_arguments
from longshore.serialization.failures import encode_failure
from longshore.serialization.values import encode
from longshore.worker.bench import Bench
from longshore.worker.replaying import Checked, check
from tests.engine.book import START, Book
from tests.engine.steps import f, g

Code = Callable[..., Coroutine[Any, Any, Any]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(Cargo(open_store(f"file:{tmp_path}"), 1000), "default")


async def trip(x: int = 1) -> Any:
    found = await asyncio.gather(f(x), f(2))
    await asyncio.sleep(5)
    return sum(found) + await g(3)


def recorded(code: Code, *, status: str = "COMPLETED", facts: int = 4) -> Recorded:
    """The journal of this code, after so many facts."""
    book = Book(code)
    book.begin()
    for one in range(facts):
        if not book.execution.waiting:  # it has ended, or nothing can wake it
            break
        address = next(iter(book.execution.waiting))
        if book.rows[address].kind == "timer":
            book.fire(address)
        else:
            book.answer(address, one)
    return journal_of(book, status)


def journal_of(book: Book, status: str = "HANGING") -> Recorded:
    told = []
    for delivery, value in book.log:
        if isinstance(value, BaseException):
            delivery.error = encode_failure(value)
        elif delivery.kind == "outcome" and delivery.result is None:
            delivery.result = encode(value).inline()
        told.append(delivery)
    rows = list(book.rows.values())
    return Recorded(
        book.run.run_id,
        "trip",
        "1.0.0",
        status,
        1,
        0,
        START,
        len(told),
        book.processed_seq,
        encode_arguments([], {}).inline(),
        rows,
        told,
    )


def checked(journal: Recorded, code: Code, bench: Bench, *, version: str = "1.0.0") -> Checked:
    flow = define.workflow(name="trip", version=version)(code)
    return check(journal, Catalog([flow, f, g], modules=[__name__]), bench)


@pytest.mark.parametrize("facts", range(5))
def test_the_code_that_made_a_journal_is_the_same_as_it_at_every_point(bench: Bench, facts: int) -> None:
    journal = recorded(trip, status="COMPLETED" if facts == 4 else "HANGING", facts=facts)
    said = checked(journal, trip, bench)
    assert (said.verdict, said.text, said.deliveries) == ("ok", "", facts)
    assert (said.code, said.routine, said.version) == ("trip@1.0.0", "trip", "1.0.0")


def test_code_of_another_version_is_checked_where_the_recorded_one_is_not_there(bench: Bench) -> None:
    said = checked(recorded(trip), trip, bench, version="2.0.0")
    assert (said.verdict, said.code, said.version) == ("ok", "trip@2.0.0", "1.0.0")


async def other_call(x: int = 1) -> Any:
    return await asyncio.gather(f(x), g(2))


async def one_call_less(x: int = 1) -> Any:
    found = await asyncio.gather(f(x))
    await asyncio.sleep(5)
    return found


async def shorter(x: int = 1) -> Any:
    found = await asyncio.gather(f(x), f(2))
    await asyncio.sleep(4)
    return found


async def one_call_more(x: int = 1) -> Any:
    return await asyncio.gather(f(x), f(2), f(3))


async def ends_early(x: int = 1) -> Any:
    return await f(x)


async def raises_early(x: int = 1) -> Any:
    await asyncio.gather(f(x), f(2))
    raise ValueError("early")


@pytest.mark.parametrize(
    ("code", "ours", "theirs"),
    [
        (other_call, "recorded: call of 'f' with", "the code: call of 'g' with"),
        (one_call_less, "recorded: call of 'f' with", "the code: asks for nothing here"),
        (shorter, "recorded: timer of length", "the code: timer of length"),
        (one_call_more, "recorded: nothing was asked for here", "the code: call of 'f' with"),
        (ends_early, "recorded: nothing was asked for here", "the code: call of 'f' with"),
        (raises_early, "recorded: it went on, at least to delivery 3", "the code: ends here"),
    ],
)
def test_a_difference_shows_both_sides_and_where_they_are_written(
    bench: Bench, code: Code, ours: str, theirs: str
) -> None:
    said = checked(recorded(trip, facts=3, status="HANGING"), code, bench)
    assert said.verdict == "differs" and ours in said.text and theirs in said.text, said.text
    if "nothing" not in ours and "went on" not in ours:
        assert f"{__file__}:" in next(line for line in said.text.splitlines() if ours in line)


async def waits_on(x: int = 1) -> Any:
    await trip(x)
    await f("one more")


async def raises_at_the_end(x: int = 1) -> Any:
    await trip(x)
    raise ValueError("at the end")


async def continues(x: int = 1) -> Any:
    await trip(x)
    context.continue_as(x)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (waits_on, "the code: still waits after the last recorded fact\ncoroutine 0 waits for 0:2"),
        (raises_at_the_end, "the code: raises ValueError: at the end"),
        (continues, "the code: continues as its next generation"),
    ],
)
def test_another_end_of_a_run_that_completed_is_a_difference(bench: Bench, code: Code, said: str) -> None:
    found = checked(recorded(trip), code, bench)
    assert found.verdict == "differs" and "recorded: the run COMPLETED" in found.text and said in found.text


async def fails(x: int = 1) -> Any:
    await f(x)
    raise ValueError("no")


async def repaired(x: int = 1) -> Any:
    return await f(x)


async def goes_on(x: int = 1) -> Any:
    await f(x)
    await f(x)


def test_a_run_that_failed_may_end_otherwise_but_not_wait(bench: Bench) -> None:
    journal = recorded(fails, status="FAILED")
    assert checked(journal, fails, bench).verdict == "ok"
    assert checked(journal, repaired, bench).verdict == "ok"
    said = checked(journal, goes_on, bench)
    assert said.verdict == "differs" and "recorded: the run FAILED" in said.text


async def stuck(x: int = 1) -> Any:
    await f(x)
    await asyncio.Event().wait()


def test_a_run_that_failed_because_nothing_could_ever_wake_it_is_the_same_again(bench: Bench) -> None:
    assert checked(recorded(stuck, status="FAILED"), stuck, bench).verdict == "ok"


async def catches(x: int = 1) -> Any:
    try:
        await f(x)
    except ValueError:
        return await f("value")
    except RunCrashed:
        return await f("crash")


def test_failures_and_ends_of_children_are_told_as_they_were(bench: Bench) -> None:
    for error, status in ((ValueError("no"), "FAILED"), (RunCrashed("x", run_id="r", status="CRASHED"), "CRASHED")):
        book = Book(catches)
        book.begin()
        book.tell("outcome", "0:0", error, status=status)
        assert checked(journal_of(book), catches, bench).verdict == "ok"


def test_large_values_are_fetched_and_a_store_that_is_away_is_no_difference(bench: Bench, tmp_path: Path) -> None:
    async def large(x: int = 1) -> Any:
        return await f(len(await f(x)))

    book = Book(large)
    book.begin()
    book.answer("0:0", b"x" * 5000)
    check_ = bench.stow(b"x" * 5000, "runs/r")
    assert isinstance(check_, ClaimCheck)
    book.log[0][0].result = check_
    assert checked(journal_of(book), large, bench).verdict == "ok"
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.unlink()
    said = checked(journal_of(book), large, bench)  # lost for good: the code would be told so where it waits
    assert said.verdict == "differs" and "ends here" in said.text


def test_an_input_that_does_not_fit_the_code_is_a_difference(bench: Bench) -> None:
    async def wants(x: int, y: int) -> Any:
        return await f(x + y)

    said = checked(recorded(trip, status="HANGING", facts=1), wants, bench)
    assert said.verdict == "differs" and "its input does not fit the code at" in said.text and "'x'" in said.text
    never = journal_of(Book(trip), "FAILED")
    assert checked(never, wants, bench).verdict == "ok"


def test_what_cannot_be_checked_says_why(bench: Bench) -> None:
    journal = recorded(trip)
    other = define.workflow(name="trips", version="1.0.0")(trip)
    said = check(journal, Catalog([other], modules=["harbour"]), bench)
    assert (said.verdict, said.text) == ("skipped", "no workflow trip in harbour; did you mean trips?")
    task = define.task(name="trip", version="1.0.0")(lambda: None)
    assert check(journal, Catalog([task], modules=["harbour"]), bench).verdict == "skipped"
    journal.started_at = None
    assert checked(journal, trip, bench).text == "it has not begun: nothing is recorded"


async def patched(x: int = 1) -> Any:
    if context.patch("greet"):
        await g("hello")
    return await f(x)


async def forgotten(x: int = 1) -> Any:
    await g("hello")
    return await f(x)


def test_patched_code_is_the_same_as_runs_from_before_and_after_and_a_patch_may_be_forgotten(bench: Bench) -> None:
    assert checked(recorded(repaired), patched, bench).verdict == "ok"
    after = recorded(patched)
    assert [row.kind for row in after.calls if row.kind == "patch"] == ["patch"]
    assert checked(after, patched, bench).verdict == "ok"
    assert checked(after, forgotten, bench).verdict == "ok"
    assert checked(after, repaired, bench).verdict == "differs"


def test_nothing_but_the_code_itself_is_executed(bench: Bench) -> None:
    said: list[str] = []

    async def speaks(x: int = 1) -> Any:
        context.progress(0.5, "half")
        said.append("ran")
        await f(x)

    journal = recorded(speaks, facts=0, status="HANGING")
    said.clear()
    assert checked(journal, speaks, bench).verdict == "ok"
    assert said == ["ran"]
    assert isinstance(journal.calls[0], CallRow) and journal.calls[0].address == Address("0:0")
    assert all(isinstance(one, Delivery) for one in journal.deliveries)
