"""The cache key: the same for ever, and different whenever one of its parts is."""

from __future__ import annotations

from longshore.core.cache_key import cache_key

PARTS = ("default", "train", "1.0.0", "ab" * 32)


def test_the_key_of_a_call_is_the_same_for_ever() -> None:
    assert cache_key(*PARTS) == "adcbd352a9168de28dab244ec769baab4159e2c1e8cd627af9c514144460245a"


def test_every_part_makes_another_key() -> None:
    changed = [[*PARTS[:place], part + "x", *PARTS[place + 1 :]] for place, part in enumerate(PARTS)]
    keys = {cache_key(*parts) for parts in changed}
    assert len(keys | {cache_key(*PARTS)}) == 5


def test_parts_do_not_run_into_each_other() -> None:
    assert cache_key("a", "bc", "1.0.0", "d") != cache_key("ab", "c", "1.0.0", "d")
