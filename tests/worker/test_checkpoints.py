"""Checkpoints: what an attempt keeps goes out before its end, the latest of many, and comes back with the next
Start."""

from __future__ import annotations

from typing import Any

import pytest

from longshore.core.message import Checkpoint, ClaimCheck, Finished
from longshore.routines.catalog import Catalog, collect
from longshore.serialization.values import encode
from tests.worker import routines, troubles
from tests.worker.conftest import SiteMaker
from tests.worker.scripted import value_of
from tests.worker.troubles import keeper, keeper_apart, keeper_async, keeps_nonsense

KINDS = pytest.mark.parametrize("routine", [keeper, keeper_async, keeper_apart], ids=["thread", "loop", "process"])


@pytest.fixture
def catalog() -> Catalog:
    return collect([troubles, routines])


@KINDS
async def test_the_latest_of_many_goes_out_ahead_of_the_failure(sites: SiteMaker, routine: Any) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(routine, "fail"))
        report = await site.coordinator.finished(within=20)
        assert report.how == "failed"
        kept = site.coordinator.all(Checkpoint)
        assert 1 <= len(kept) <= 5
        assert site.cargo.load(kept[-1].value) == {"step": 49, "data": b""}
        whole = [one for one in site.coordinator.reports if isinstance(one, Checkpoint | Finished)]
        assert whole.index(kept[-1]) < whole.index(report)


@KINDS
async def test_a_large_one_lies_in_the_payload_store(sites: SiteMaker, routine: Any) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(routine, "large"))
        await site.coordinator.finished(within=20)
        value = site.coordinator.all(Checkpoint)[-1].value
        assert isinstance(value, ClaimCheck) and value.key.startswith("runs/r1/")
        assert site.cargo.load(value) == {"step": 49, "data": b"x" * 100_000}


@KINDS
async def test_it_comes_back_with_the_next_start(sites: SiteMaker, routine: Any) -> None:
    async with sites(slots=1) as site:
        coordinator = site.coordinator
        large = site.cargo.stow(encode([8] * 100_000), "runs/r2")
        for run, value, first in (("r1", encode([7]).inline(), 7), ("r2", large, 8)):
            coordinator.direct(coordinator.start(routine, "return", run=run, checkpoint=value, attempt=2))
            assert value_of(await coordinator.finished(run, within=20)) == [first, True]
        coordinator.direct(coordinator.start(routine, "return", run="r3"))
        assert value_of(await coordinator.finished("r3", within=20)) == [None, True]


async def test_what_a_child_kept_before_it_died_is_reported(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        site.coordinator.direct(site.coordinator.start(keeper_apart, "die"))
        assert (await site.coordinator.finished(within=20)).how == "crashed"
        assert site.cargo.load(site.coordinator.all(Checkpoint)[-1].value) == {"step": 49, "data": b""}


async def test_the_same_again_is_no_news(sites: SiteMaker) -> None:
    async with sites(slots=1) as site:
        kept = encode({"step": 49, "data": b""}).inline()
        site.coordinator.direct(site.coordinator.start(keeper, "fail", checkpoint=kept))
        await site.coordinator.finished(within=20)
        first, *_ = [one.value for one in site.coordinator.all(Checkpoint)] or [kept]
        assert first == kept


async def test_what_cannot_travel_is_an_error_where_it_is_kept(sites: SiteMaker) -> None:
    async with sites() as site:
        site.coordinator.direct(site.coordinator.start(keeps_nonsense))
        report = await site.coordinator.finished()
        assert (report.how, report.retry) == ("failed", False)
        assert report.error is not None and report.error.type.endswith("EncodingError")


async def test_a_checkpoint_that_cannot_be_read_ends_the_run_with_the_reason(sites: SiteMaker) -> None:
    async with sites() as site:
        coordinator = site.coordinator
        coordinator.direct(coordinator.start(keeper, "return", checkpoint=b"\xff\xff"))
        report = await coordinator.finished()
        assert report.how == "system_failure"
        assert report.error is not None and "checkpoint of the attempt before" in report.error.message
        lost = ClaimCheck("runs/r2/gone", 100, "0" * 64)
        coordinator.direct(coordinator.start(keeper, "return", run="r2", checkpoint=lost))
        report = await coordinator.finished("r2")
        assert report.how == "system_failure"
        assert report.error is not None and "missing" in report.error.message
