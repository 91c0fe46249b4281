"""Journals recorded by another Python, and by an earlier state of this code, are replayed alike."""

from __future__ import annotations

import pytest

from tests.engine.golden_journals import SEEDS, Recorded, read, record, replay

JOURNALS = read()


@pytest.mark.parametrize("journal", JOURNALS, ids=[f"{one.seed}-by-{one.python}" for one in JOURNALS])
def test_a_recorded_journal_comes_to_the_same_end(journal: Recorded) -> None:
    assert replay(journal) == journal.result


def test_the_journals_hold_every_kind_of_fact_and_of_call_and_were_recorded_by_two_pythons() -> None:
    kinds = {fact.delivery.kind for journal in JOURNALS for fact in journal.facts}
    assert kinds == {"outcome", "timer", "signal", "token", "cancel"}
    assert {row.kind for journal in JOURNALS for row in journal.rows} == {"call", "timer", "signal", "token", "patch"}
    assert [journal.seed for journal in JOURNALS] == list(SEEDS)
    assert len({journal.python for journal in JOURNALS}) == 2


def test_this_python_records_what_another_one_can_replay() -> None:
    for seed in (1000, 1001):
        journal = record(seed, "this")
        assert replay(journal) == journal.result
