"""What is shown of a run while somebody waits for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from longshore.cli.waiting import FEW, Lines


def change(seq: int, status: str) -> Any:
    return SimpleNamespace(seq=seq, status=status, reason="", attempt=1)


class Watched:
    """Lines in a world where an hour is short."""

    def __init__(self) -> None:
        self.now = 100.0
        self.moved: list[str] = []
        screen: Any = SimpleNamespace(moving=False)
        self.lines = Lines(screen, "r1", self.moved.append, clock=lambda: self.now)
        self.seq = 0

    def tells(self, status: str) -> bool:
        self.seq += 1
        return self.lines.tells(change(self.seq, status))


def test_a_workflow_that_asks_and_waits_very_often_is_a_line_a_second_after_the_first_few() -> None:
    watched = Watched()
    assert watched.tells("QUEUED") and watched.tells("DISPATCHED")
    first = [watched.tells(status) for status in ("EXECUTING", "HANGING") * (FEW // 2)]
    assert all(first)
    assert not any(watched.tells(status) for status in ("EXECUTING", "HANGING") * 500)
    watched.now += 1.5
    assert [watched.tells(status) for status in ("EXECUTING", "HANGING", "EXECUTING", "HANGING")] == [
        False, True, False, False,
    ]  # fmt: skip
    assert watched.tells("COMPLETED")
    assert len(watched.moved) == watched.seq


def test_after_another_status_the_first_few_are_shown_again() -> None:
    watched = Watched()
    for status in ("EXECUTING", "HANGING") * 20:
        watched.tells(status)
    assert watched.tells("SUSPENDED") and watched.tells("QUEUED")
    assert watched.tells("EXECUTING") and watched.tells("HANGING")
