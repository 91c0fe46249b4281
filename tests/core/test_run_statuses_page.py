"""The page of run statuses says what the machine does."""

from __future__ import annotations

import runpy
from pathlib import Path

from longshore.core.run import ALLOWED, FINAL, NEW, WAITING, WITH_WORKER, Status

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_page_is_made_from_the_table() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "run_statuses.py"))["page"]()
    written = (ROOT / "docs" / "run-statuses.md").read_text(encoding="utf-8")
    assert written == made, "run `python scripts/run_statuses.py`"


def test_every_status_belongs_to_one_group_and_nothing_follows_a_final_one() -> None:
    assert set(Status) == WAITING | WITH_WORKER | FINAL
    assert len(WAITING) + len(WITH_WORKER) + len(FINAL) == len(Status)
    assert not any(start in FINAL for start, _ in ALLOWED)


def test_every_status_can_be_reached_and_every_other_than_final_can_be_left_by_a_deadline() -> None:
    reached, before = {NEW}, set[str]()
    while reached != before:
        before = set(reached)
        reached |= {to for start, to in ALLOWED if start in before}
    assert reached == {NEW, *Status}
    assert all((status, Status.TIMED_OUT) in ALLOWED for status in WAITING | WITH_WORKER)
