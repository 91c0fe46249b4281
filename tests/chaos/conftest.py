"""A fleet per test on a virtual host of its own, whose logs are shown when the test fails; a disk that can fill up."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.fleet import Fleet, Part
from tests.support.rabbit import RabbitNode

NewFleet = Callable[..., Fleet]

DISK_BYTES: Final = 32 * 1024 * 1024
FILE_BYTES: Final = 64 * 1024
"""Less than the ledger's files have, more than a log."""


@pytest.fixture(params=["on", pytest.param("off", marks=pytest.mark.soak)], ids=["events", "reconciler_alone"])
def new_fleet(request: pytest.FixtureRequest, rabbit_node: RabbitNode, tmp_path: Path) -> Iterator[NewFleet]:
    """Makes fleets: `new_fleet(lease="6s", ...)`. In the soak each test is done by the reconciler alone, too."""
    made: list[Fleet] = []

    def make(**settings: str) -> Fleet:
        folder = tmp_path / f"fleet-{len(made)}"
        given = {"broker_url": rabbit_node.vhost(), "event_path": request.param} | settings
        made.append(Fleet(folder, modules=["tests.chaos.routines"], rabbit=rabbit_node, **given))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()
        sys.stdout.writelines(f"{words}\n" for words in fleet.words())  # pytest shows it with a failure


@pytest.fixture
def fleet(new_fleet: NewFleet) -> Fleet:
    """A fleet with the settings of a newcomer."""
    return new_fleet()


class SmallDisk:
    """Room for the ledger that a test can take away and give back: a tmpfs of its own where it may be mounted (ENOSPC),
    else a limit on the size of the coordinator's files (EFBIG)."""

    def __init__(self) -> None:
        self._mounted: Path | None = None
        self._pid = 0
        self._ledger: Path | None = None

    def under(self, fleet: Fleet) -> None:
        """Put the fleet's ledger on it; before the coordinator starts."""
        self._ledger = fleet.ledger
        folder = fleet.ledger.parent
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], capture_output=True, check=False
        )
        if made.returncode == 0:
            self._mounted = folder

    def holds(self, coordinator: Part) -> None:
        """Which process writes there."""
        self._pid = coordinator.pid

    def fill(self) -> None:
        """No byte more, from now on."""
        if self._mounted is None:
            assert self._ledger is not None
            _, hard = resource.prlimit(self._pid, resource.RLIMIT_FSIZE)
            resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (FILE_BYTES, hard))
            return
        with (self._mounted / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)):
                    pass
            except OSError:
                pass  # full, as asked for

    def free(self) -> None:
        """Room again."""
        if self._mounted is not None:
            (self._mounted / "filler").unlink()
        elif os.path.exists(f"/proc/{self._pid}/limits"):
            _, hard = resource.prlimit(self._pid, resource.RLIMIT_FSIZE)
            resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (hard, hard))

    def close(self) -> None:
        """Unmount."""
        if self._mounted is not None:
            subprocess.run(["umount", "--lazy", str(self._mounted)], check=True)


@pytest.fixture
def small_disk() -> Iterator[SmallDisk]:
    """See SmallDisk."""
    disk = SmallDisk()
    yield disk
    disk.close()
