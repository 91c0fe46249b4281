"""Lists of runs through a real coordinator: every condition, page after page; and what a bulk order would be about is
what it then is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from longshore import Client, Order
from longshore.client import Listed
from longshore.core.errors import Rejected, UsageError
from tests.coordinator.conftest import Site
from tests.coordinator.peers import WITHIN


async def names(client: Client, **which: Any) -> list[str]:
    return [run.routine async for run in client.each_run(**which)]


async def test_every_condition_of_a_bulk_order_chooses_the_same_runs_in_a_list(site: Site, client: Client) -> None:
    await site.coordinator()
    before = datetime.now(UTC)
    await client.trigger("tagged", tags=["Red%_", "x"])
    await client.trigger("lower", tags=["red%_"])
    await client.trigger("queued", queue="gpu", concurrency_key="acme")
    await client.trigger_many([Order("batched")] * 3, batch_id="b")
    await client.trigger("late", delay=60)
    over = await client.trigger("over")
    await over.cancel()
    later = datetime.now(UTC) + timedelta(hours=1)
    wanted: list[tuple[dict[str, Any], list[str]]] = [
        ({"tag": "Red%_"}, ["tagged"]),
        ({"queue": "gpu"}, ["queued"]),
        ({"concurrency_key": "acme"}, ["queued"]),
        ({"batch_id": "b", "routine": "batched"}, ["batched"] * 3),
        ({"status": ["delayed", "PENDING_VERSION"], "created_after": before, "created_before": later},
         ["tagged", "lower", "queued", *["batched"] * 3, "late"]),
        ({"status": "DELAYED"}, ["late"]),
        ({"routine": "late", "version": "1.0.0"}, []),
        ({"created_before": before}, []),
        ({"created_after": later}, []),
        ({"parent_id": over.id}, []),
    ]  # fmt: skip
    for which, routines in wanted:
        assert await names(client, **which) == routines[::-1], which
        told = await client.preview_runs("cancel", first=2, **which)
        assert (told.fits, [run.routine for run in told.runs]) == (len(routines), routines[:2]), which
    assert await names(client, status=["CANCELED", "DELAYED"]) == ["over", "late"]
    assert (await client.preview_runs("rerun", all=True)).runs[0].run_id == over.id
    assert (await client.preview_runs("cancel", all=True)).fits == 7
    assert await client.bulks() == [], "nothing was ordered"
    bulk = await client.cancel_runs(batch_id="b")
    assert (await bulk.wait(WITHIN)).done == 3


async def test_a_list_of_more_than_fits_one_answer_comes_page_by_page(site: Site, client: Client) -> None:
    await site.coordinator()
    started: Any = await client.trigger_many([Order("t", [number]) for number in range(1203)])
    newest = [run.id for run in started][::-1]
    page = await client.runs(limit=1100)
    assert type(page) is Listed and sorted(run.run_id for run in page) == sorted(newest[:1100])
    rest = await client.runs(limit=1100, cursor=page.next_cursor)
    assert (len(rest), rest.next_cursor) == (103, None)
    assert {run.run_id for run in [*page, *rest]} == set(newest)
    assert len(await names(client)) == 1203
    assert (await client.runs()).next_cursor is not None
    with pytest.raises(Rejected, match="limit is 0"):
        await client.runs(limit=0)


@pytest.mark.parametrize(
    ("which", "rule"),
    [
        ({"status": "HALF"}, "status"),
        ({"status": ["QUEUED", "HALF"]}, "status"),
        ({"parent_id": "mine"}, "parent_id"),
        ({"tag": "x" * 300}, "tag"),
    ],
)
async def test_a_condition_that_cannot_be_is_refused_by_its_name(
    site: Site, client: Client, which: dict[str, Any], rule: str
) -> None:
    await site.coordinator()
    with pytest.raises(Rejected) as caught:
        await client.runs(**which)
    assert caught.value.rule == rule


async def test_what_the_coordinator_is_asked_amiss_is_refused(site: Site, client: Client) -> None:
    await site.coordinator()
    for order, given, rule in (
        ("cancel", None, "filter"),
        ("cancel", {"tga": "x"}, "filter"),
        ("cancel", {}, "filter"),
        ("cancel", {"created_after": "noon"}, "created_after"),
        ("cancel", {"created_after": 5}, "created_after"),
        ("cancel", {"status": 5}, "status"),
        ("cancel", {"status": "COMPLETED"}, "status"),
        ("end", {"tag": "x"}, "what"),
    ):
        with pytest.raises(Rejected) as caught:
            await client.ask("bulk_preview", order=order, filter=given)
        assert caught.value.rule == rule, (order, given)


@pytest.mark.parametrize(
    ("which", "text"),
    [
        ({"created_after": datetime(2026, 1, 1)}, "is no time with its zone"),  # noqa: DTZ001 - that is the point
        ({"status": 5}, "status=5"),
        ({"tga": "x"}, "there is no condition 'tga'; did you mean tag?"),
        ({"all": True}, "a list has no condition 'all'"),
    ],
)
async def test_a_condition_that_is_none_is_refused_before_anybody_is_asked(
    client: Client, which: dict[str, Any], text: str
) -> None:
    with pytest.raises(UsageError) as caught:
        await client.runs(**which)
    assert text in str(caught.value)
    if "all" not in which:
        with pytest.raises(UsageError):
            await client.preview_runs("cancel", **which)
