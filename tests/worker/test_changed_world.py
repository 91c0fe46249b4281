"""Workflows under way when the world changes: code that does not take their input any more, values of classes that are
gone, a payload store that is away. No run that has begun is given up for it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from longshore import define
from longshore.core.message import ClaimCheck
from longshore.serialization.arguments import encode_arguments
from tests.support.wait import eventually
from tests.worker.conftest import SiteMaker
from tests.worker.routines import echo, length, total
from tests.worker.scripted import deliver, outcome, value_of
from tests.worker.test_workflows import answered

LARGE = b"x" * 200_000


@define.workflow(name="changed.catches", version="1.0.0")
async def catches() -> str:
    try:
        return str(await echo("x"))
    except Exception as error:  # noqa: BLE001 - what the code is told
        return str(await echo(type(error).__name__))


@define.workflow(name="changed.measures", version="1.0.0")
async def measures(data: bytes) -> int:
    return len(data)


@define.workflow(name="changed.returns", version="1.0.0")
async def returns(size: int) -> bytes:
    return b"x" * size


@define.workflow(name="changed.passes_on", version="1.0.0")
async def passes_on(size: int) -> int:
    return await length(b"x" * size)


ROUTINES = (catches, measures, returns, passes_on, length, echo)


async def test_an_input_that_a_run_has_begun_with_and_its_code_does_not_take_any_more_blocks_it(
    sites: SiteMaker,
) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(total, "many", last_seq=1, processed_seq=0))
        report = await coordinator.finished()
        assert (report.how, report.retry) == ("nondeterminism", False)
        assert report.error is not None
        assert "does not fit the code at" in report.error.message and "routines.py:" in report.error.message
        assert "'many'" in report.error.message and "Put the old code back" in report.error.message


async def test_a_run_that_has_not_begun_fails_for_it(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(total, "many"))
        report = await site.coordinator.finished()
        assert (report.how, report.retry) == ("failed", False)
        assert report.error is not None and report.error.type.endswith("ArgumentError")


async def test_a_result_that_cannot_be_read_is_raised_where_it_is_awaited_whatever_its_size(sites: SiteMaker) -> None:
    async with sites(routines=ROUTINES) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(catches))
        (call,) = (await answered(coordinator, 0)).calls
        coordinator.direct(deliver("r1", outcome(1, call.address, result=b"\xc1 no value")))
        (told,) = (await answered(coordinator, 1)).calls
        assert told.input == encode_arguments(("DecodeError",), {}).inline()


class Store:
    """The payload folder of these sites, which can be taken away for a while."""

    def __init__(self, folder: Path, log: pytest.LogCaptureFixture) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._elsewhere = folder.with_name("elsewhere")
        self._log = log

    def go(self) -> None:
        """A file stands in its place: it can be neither read nor made anew."""
        self._log.clear()
        self._folder.rename(self._elsewhere)
        self._folder.touch()

    async def missed(self) -> None:
        """Somebody has tried to use it, and waits."""
        await eventually(lambda: "waits for" in self._log.text, within=10)

    def come_back(self) -> None:
        self._folder.unlink()
        self._elsewhere.rename(self._folder)


@pytest.fixture
def store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Store:
    return Store(tmp_path / "payloads", caplog)


async def test_a_run_waits_for_its_input_while_the_store_is_away(sites: SiteMaker, store: Store) -> None:
    async with sites(routines=ROUTINES) as site:
        stowed = site.cargo.stow(encode_arguments((LARGE,), {}), "inputs/r1")
        store.go()
        site.coordinator.direct(site.coordinator.start(measures, input=stowed))
        await store.missed()
        store.come_back()
        assert value_of(await site.coordinator.finished()) == len(LARGE)


async def test_a_call_with_a_large_argument_waits_for_the_store(sites: SiteMaker, store: Store) -> None:
    async with sites(routines=ROUTINES) as site:
        coordinator = site.coordinator
        store.go()
        coordinator.direct(coordinator.start(passes_on, 200_000))
        await store.missed()
        store.come_back()
        (call,) = (await answered(coordinator, 0)).calls
        assert isinstance(call.input, ClaimCheck)
        coordinator.direct(deliver("r1", outcome(1, call.address, 5)))
        assert value_of(await coordinator.finished()) == 5


async def test_a_large_result_waits_for_the_store(sites: SiteMaker, store: Store) -> None:
    async with sites(routines=ROUTINES) as site:
        store.go()
        site.coordinator.direct(site.coordinator.start(returns, 200_000))
        await store.missed()
        store.come_back()
        report = await site.coordinator.finished()
        assert isinstance(report.result, ClaimCheck)
        assert site.cargo.load(report.result) == LARGE


async def test_many_that_wait_for_the_store_take_no_thread_each_and_say_so_once(
    sites: SiteMaker, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async with sites(routines=ROUTINES) as site:
        store.go()
        runs = [f"r{number}" for number in range(40)]
        for run in runs:
            site.coordinator.direct(site.coordinator.start(returns, 200_000, run=run))
        await eventually(lambda: caplog.text.count("waits for the payload store") >= len(runs), within=10)
        assert threading.active_count() < len(runs)
        store.come_back()
        for run in runs:
            assert isinstance((await site.coordinator.finished(run)).result, ClaimCheck)
        assert caplog.text.count("waits for the payload store") == len(runs)


async def test_a_worker_can_leave_with_a_run_that_waits_for_the_store(sites: SiteMaker, store: Store) -> None:
    async with sites(routines=ROUTINES) as site:
        store.go()
        site.coordinator.direct(site.coordinator.start(returns, 200_000))
        await store.missed()
        site.worker.drain()
        assert (await site.exit()).code == 0
        assert [type(report).__name__ for report in site.coordinator.reports][-2:] == ["Released", "Bye"]
