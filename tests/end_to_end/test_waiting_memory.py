"""What workflows that wait cost in memory: those in a worker, and those put away, which the coordinator forgets.

The measurement is the benchmark's own; figures in brackets were seen when the bounds were set.
"""

from __future__ import annotations

import pytest

from benchmarks.hanging import hanging, suspended
from tests.support.rabbit import RabbitNode


async def test_a_thousand_workflows_that_hang_take_less_than_20_kilobytes_each(rabbit_node: RabbitNode) -> None:
    figures = await hanging(rabbit_node, 1000)
    assert 0 < figures["bytes_each"] < 20_000, figures  # (9,600)


async def test_ten_thousand_more_workflows_put_away_are_not_kept_by_the_coordinator(rabbit_node: RabbitNode) -> None:
    figures = await suspended(rabbit_node, 12_000)
    assert figures["coordinator_grew_mib"] < 30, figures  # (17; at 4 KiB each, as when they hang, it would be 40 more)


@pytest.mark.soak
async def test_ten_thousand_workflows_hang_in_a_worker_of_less_than_400_mebibytes(rabbit_node: RabbitNode) -> None:
    figures = await hanging(rabbit_node, 10_000)
    assert figures["worker_mib"] < 400, figures


@pytest.mark.soak
async def test_a_hundred_thousand_workflows_put_away_are_not_kept_by_the_coordinator(rabbit_node: RabbitNode) -> None:
    figures = await suspended(rabbit_node, 100_000)
    assert figures["coordinator_grew_mib"] < 40, figures  # (20.5)
