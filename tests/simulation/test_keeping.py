"""Runs that have ended go after a few seconds while workers die, coordinators crash and the bus breaks: nobody misses
them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from longshore.core.keeping import Keep, Member
from longshore.core.ledger import keeping
from tests.simulation.storm import QUIET_AFTER, STEPS, Storm, check_stories


class Forgetful(Storm):
    """A storm whose coordinator keeps what has ended for a few seconds."""

    def begin(self) -> None:
        world, nothing = self.world, timedelta(0)
        world.config = msgspec.structs.replace(
            world.config, retention=Keep(timedelta(seconds=4)), retention_grace=nothing, retention_after=nothing
        )
        world.restart()
        self._take([self._reports_bound()])
        super().begin()


def live_through(seed: int) -> Counter[str]:
    storm = Forgetful(seed, event_path=seed % 5 != 0)
    storm.begin()
    try:
        storm.run(steps=STEPS, quiet_after=QUIET_AFTER)
        check_stories(storm)
    finally:
        for link in storm.links.values():
            link.worker.die()
    counts = storm.world.ledger.counts
    return Counter(gone=len(storm.world.book.gone), unknown=counts.get("parent_unknown", 0))


def test_nobody_misses_what_is_gone() -> None:
    total: Counter[str] = Counter()
    for seed in range(5):
        total += live_through(seed)
    assert total["gone"] > 100 and total["unknown"] == 0


def take_all_for_ended(patch: pytest.MonkeyPatch) -> None:
    """The mutant: nobody asks whether all of a tree have ended."""
    let_go = keeping._let_go

    def blindly(state: Any, round_: Any, shelf: Any, tree: Any) -> None:
        tree.members = [Member(one.id, True, one.rows, one.flow) for one in tree.members]
        let_go(state, round_, shelf, tree)

    patch.setattr(keeping, "_let_go", blindly)


def test_a_tree_that_goes_before_all_of_it_has_ended_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    take_all_for_ended(monkeypatch)
    with pytest.raises(AssertionError, match="nothing that lives may go"):
        for seed in range(20):
            live_through(seed)
