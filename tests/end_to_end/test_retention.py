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
    # What ended in the last 30 s stays: where runs come faster at the end there are more of them (1.10 and 74 MiB, at
    # 600 to 1,900 runs a second; all of them would need some 500 MiB).
    assert figures["growth"] < 1.25 and figures["most_mib"] < 200, figures
