"""What each edit of metadata and tags does, and what it costs in bytes."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.core.message import Edit
from longshore.core.metadata import (
    ADD_TAG,
    APPEND,
    DELETE,
    INCREMENT,
    MAX_EDITS,
    MAX_METADATA,
    REMOVE_TAG,
    SET,
    Annotations,
    Merged,
    problem,
    problem_of_all,
    weight,
)

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(-2, 2),
    st.text(max_size=3),
    st.lists(st.integers(0, 3), max_size=3),
)
EDITS = st.one_of(
    st.builds(Edit, st.sampled_from([SET, APPEND]), st.sampled_from("abé"), VALUES),
    st.builds(Edit, st.just(DELETE), st.sampled_from("abé")),
    st.builds(Edit, st.just(INCREMENT), st.sampled_from("abé"), st.integers(-3, 3)),
    st.builds(Edit, st.sampled_from([ADD_TAG, REMOVE_TAG]), st.sampled_from("xyz")),
)


def of(metadata: dict[str, Any] | None = None, *tags: str) -> Annotations:
    return Annotations(copy.deepcopy(metadata or {}), tags)


def size_of(annotations: Annotations) -> int:
    return len(msgspec.json.encode(annotations.metadata))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("inf"), "inf is no number in JSON"),
        ({"a": [1, (2, float("nan"))]}, "nan is no number in JSON"),
        ([b"x"], "bytes are not in JSON"),
        (object(), "object"),
        (1 << 80, "only plain data"),
    ],
)
def test_what_json_would_make_another_value_of_is_refused(value: Any, said: str) -> None:
    for op in (SET, APPEND):
        assert said in problem(Edit(op, "k", value)) and "only plain data" in problem(Edit(op, "k", value))


def test_each_edit_does_what_its_name_says() -> None:
    annotations = of({"n": 1, "log": ["a"], "old": True}, "red")
    for edit in (
        Edit(SET, "who", {"name": "ann"}),
        Edit(INCREMENT, "n", 2),
        Edit(INCREMENT, "fresh", 0.5),
        Edit(APPEND, "log", "b"),
        Edit(APPEND, "first", 1),
        Edit(DELETE, "old"),
        Edit(DELETE, "never"),
        Edit(ADD_TAG, "blue"),
        Edit(ADD_TAG, "blue"),
        Edit(REMOVE_TAG, "red"),
        Edit(REMOVE_TAG, "red"),
    ):
        assert annotations.apply(edit) == ""
    assert annotations.metadata == {"n": 3, "log": ["a", "b"], "who": {"name": "ann"}, "fresh": 0.5, "first": [1]}
    assert annotations.tags == ["blue"]
    assert annotations.changed
    summary = annotations.summary()
    assert "n=3" in summary and "log (2 items)" in summary and "old deleted" in summary
    assert summary.endswith("; tag blue added, tag red removed") and "never" not in summary


def test_what_cannot_be_done_says_why_and_changes_nothing() -> None:
    annotations = of({"text": "abc", "big": (1 << 64) - 1, "float": 1e308}, *"abcdefghij")
    for edit, word in (
        (Edit(INCREMENT, "text", 1), "'abc'"),
        (Edit(INCREMENT, "big", 1), "cannot be incremented"),
        (Edit(INCREMENT, "float", 1e308), "cannot be incremented"),
        (Edit(APPEND, "text", 1), "no list"),
        (Edit(ADD_TAG, "k"), "at most 10"),
    ):
        assert word in annotations.apply(edit)
    assert not annotations.changed and annotations.summary() == ""
    assert annotations.metadata == {"text": "abc", "big": (1 << 64) - 1, "float": 1e308}


def test_the_bound_is_on_all_of_the_metadata_and_what_makes_it_smaller_is_always_taken() -> None:
    annotations = of()
    assert annotations.apply(Edit(SET, "a", "x" * (MAX_METADATA - 10))) == ""
    assert "at most 262144" in annotations.apply(Edit(SET, "b", "12345"))
    assert annotations.apply(Edit(SET, "a", ["x" * (MAX_METADATA - 100)])) == ""
    assert "at most 262144" in annotations.apply(Edit(APPEND, "a", "y" * 200))
    assert annotations.apply(Edit(SET, "a", "short")) == ""
    assert annotations.apply(Edit(SET, "b", "x" * 1000)) == ""
    assert annotations.size >= size_of(annotations)


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (Edit("double", "a"), "no operation"),
        (Edit(SET, ""), "1 to 256"),
        (Edit(SET, "k" * 257), "1 to 256"),
        (Edit(ADD_TAG, ""), "1 to 128"),
        (Edit(REMOVE_TAG, "t" * 129), "1 to 128"),
        (Edit(INCREMENT, "n", "1"), "by a number only"),
        (Edit(INCREMENT, "n", True), "by a number only"),
        (Edit(INCREMENT, "n", float("nan")), "by a number only"),
        (Edit(INCREMENT, "n", 1 << 64), "by a number only"),
        (Edit(SET, "a", object()), "plain data"),
        (Edit(APPEND, "a", 1 << 70), "plain data"),
    ],
)
def test_an_edit_that_makes_no_sense_is_told_so_whatever_it_is_applied_to(edit: Edit, word: str) -> None:
    assert word in problem(edit)
    assert word in problem_of_all([Edit(SET, "fine", 1), edit])


def test_an_order_has_one_edit_at_least_and_a_thousand_at_most() -> None:
    assert "not 0" in problem_of_all([])
    assert problem_of_all([Edit(INCREMENT, "n", 1)] * MAX_EDITS) == ""
    assert "not 1001" in problem_of_all([Edit(INCREMENT, "n", 1)] * (MAX_EDITS + 1))


def test_long_values_and_many_keys_are_cut_in_the_summary() -> None:
    annotations = of()
    annotations.apply_all([Edit(SET, f"key{number}", "v" * 100) for number in range(12)])
    assert "and 4 more" in annotations.summary() and len(annotations.summary()) < 600


@given(st.lists(EDITS, max_size=12), st.lists(EDITS, max_size=6))
@settings(max_examples=300, deadline=None)
def test_of_an_order_all_is_done_or_nothing(before: list[Edit], order: list[Edit]) -> None:
    annotations = of()
    for edit in before:
        annotations.apply(edit)
    singly = copy.deepcopy(annotations)
    refused = [text for edit in order if (text := singly.apply(edit))]
    metadata, tags, size = copy.deepcopy(annotations.metadata), list(annotations.tags), annotations.size
    summary = annotations.summary()
    if annotations.apply_all(order):
        assert refused
        assert (annotations.metadata, annotations.tags, annotations.size) == (metadata, tags, size)
        assert annotations.summary() == summary
    else:
        assert (annotations.metadata, annotations.tags) == (singly.metadata, singly.tags)
    assert size_of(annotations) <= annotations.size <= size_of(annotations) + len(annotations.metadata) + 2


@given(st.lists(EDITS, max_size=12), st.lists(EDITS, max_size=20))
@settings(max_examples=300, deadline=None)
def test_merged_edits_do_the_same_as_all_of_them(before: list[Edit], edits: list[Edit]) -> None:
    one, other = of(), of()
    for edit in before:
        one.apply(edit)
        other.apply(edit)
    fewer = Merged(edits).edits()
    refused = [one.apply(edit) for edit in edits]
    also = [other.apply(edit) for edit in fewer]
    if not any(refused) and not any(also):
        assert one.metadata == pytest.approx(other.metadata) if not _lists(one) else one.metadata == other.metadata
        assert sorted(one.tags) == sorted(other.tags)
    assert len(fewer) <= len(edits) and weight(fewer) <= weight(edits) + 8 * len(edits)


def _lists(annotations: Annotations) -> bool:
    return any(isinstance(value, list | str) or value is None for value in annotations.metadata.values())


def test_an_edit_weighs_its_key_and_its_value_and_one_without_a_value_its_key_alone() -> None:
    forget, keep, keep_more = Edit(DELETE, "note"), Edit(SET, "note", "v"), Edit(SET, "note", "v" * 101)
    assert weight([forget]) < weight([keep]) == weight([keep_more]) - 100
    assert weight([Edit(DELETE, "annotation")]) == weight([forget]) + 6
    assert weight([forget, keep]) == weight([forget]) + weight([keep])


def test_a_thousand_increments_are_one_and_the_latest_set_counts() -> None:
    edits = [Edit(INCREMENT, "n", 1)] * 1000 + [Edit(SET, "phase", number) for number in range(100)]
    assert Merged(edits).edits() == [Edit(INCREMENT, "n", 1000), Edit(SET, "phase", 99)]
    assert Merged([Edit(SET, "n", 1), Edit(INCREMENT, "n", 1)]).edits() == [Edit(SET, "n", 2)]
    assert Merged([Edit(SET, "n", "1"), Edit(INCREMENT, "n", 1)]).edits() == [
        Edit(SET, "n", "1"),
        Edit(INCREMENT, "n", 1),
    ]
    assert Merged([Edit(ADD_TAG, "a"), Edit(REMOVE_TAG, "a"), Edit(SET, "a", 1)]).edits() == [
        Edit(REMOVE_TAG, "a"),
        Edit(SET, "a", 1),
    ]
