"""The ledger's file under very many runs of which few are kept. The measurement is the benchmark's own."""

from __future__ import annotations

import pytest

from benchmarks.retention import measured
from tests.support.rabbit import RabbitNode


@pytest.mark.soak
async def test_half_a_million_runs_of_which_twenty_thousand_are_kept_leave_the_file_as_it_is(
    rabbit_node: RabbitNode,
) -> None:
    figures = await measured(rabbit_node, 500_000, 20_000)
    assert figures["growth"] < 1.1, figures
