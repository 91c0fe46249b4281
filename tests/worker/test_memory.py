"""Child processes that take too much memory, or die of a fault: what is said of them, and that nobody else suffers."""

from __future__ import annotations

import os

import pytest

from longshore.routines.catalog import Catalog, collect
from longshore.worker import memory
from tests.worker import routines, troubles
from tests.worker.conftest import SiteMaker
from tests.worker.scripted import value_of
from tests.worker.troubles import faulty, greedy

MIB = 1 << 20


@pytest.fixture
def catalog() -> Catalog:
    return collect([troubles, routines])


@pytest.mark.parametrize("how", ["at once", "bit by bit"])
async def test_an_allocation_over_the_limit_is_a_crash_for_lack_of_memory_of_this_run_only(
    sites: SiteMaker, how: str
) -> None:
    async with sites(slots=1) as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(greedy, "pid", run="r0"))
        first = value_of(await coordinator.finished("r0", within=20))
        coordinator.direct(coordinator.start(greedy, how), coordinator.start(greedy, "pid", run="r2"))
        report = await coordinator.finished(within=20)
        assert report.how == "out_of_memory"
        assert report.error is not None and report.error.type == "builtins.MemoryError"
        assert value_of(await coordinator.finished("r2", within=20)) != first
        assert (await coordinator.beat()).stuck == 0


async def test_memory_that_is_taken_behind_the_interpreter_is_seen_and_the_process_killed(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(greedy, "shared"))
        report = await site.coordinator.finished(within=20)
        assert report.how == "out_of_memory"
        assert report.error is not None and "its memory_limit is 160MiB" in report.error.message


async def test_a_fault_leaves_its_signal_and_the_end_of_stderr_as_evidence(
    sites: SiteMaker, capfd: pytest.CaptureFixture[str]
) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(faulty))
        report = await site.coordinator.finished(within=20)
        assert report.how == "crashed" and report.error is not None
        assert "SIGSEGV" in report.error.message
        assert "about to touch nothing" in report.error.traceback
        assert "Fatal Python error: Segmentation fault" in report.error.traceback
        assert "in faulty" in report.error.traceback
    assert "about to touch nothing" in capfd.readouterr().err


def test_the_memory_of_this_process_is_known() -> None:
    before = memory.used(os.getpid(), 0)
    block = bytearray(64 * MIB)
    assert memory.used(os.getpid(), 1 << 40) >= before + 40 * MIB - len(block) // len(block)
    assert memory.used(2**22 + 1, 1) == 0
    assert memory.kernel_kills() >= 0


def test_a_bound_ends_with_its_block() -> None:
    with memory.bounded(32 * MIB), pytest.raises(MemoryError):
        bytearray(256 * MIB)
    assert len(bytearray(256 * MIB)) == 256 * MIB
