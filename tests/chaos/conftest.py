"""A fleet per test on a virtual host of its own; its logs are shown when the test fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Fleet
from tests.support.rabbit import RabbitNode

NewFleet = Callable[..., Fleet]


@pytest.fixture
def new_fleet(rabbit_node: RabbitNode, tmp_path: Path) -> Iterator[NewFleet]:
    """Makes fleets: `new_fleet(lease="6s", ...)`."""
    made: list[Fleet] = []

    def make(**settings: str) -> Fleet:
        folder = tmp_path / f"fleet-{len(made)}"
        made.append(Fleet(folder, rabbit_node.vhost(), ["tests.chaos.routines"], **settings))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()
        sys.stdout.writelines(f"{words}\n" for words in fleet.words())  # pytest shows it with a failure


@pytest.fixture
def fleet(new_fleet: NewFleet) -> Fleet:
    """A fleet with the settings of a newcomer."""
    return new_fleet()
