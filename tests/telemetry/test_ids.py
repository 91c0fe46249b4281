"""Traceparent texts: what is read, what is refused, and what children and roots look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.telemetry.ids import SpanId, child, parse, root, spell, valid

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"

spans = st.builds(SpanId, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())


@given(spans)
def test_a_spelt_span_is_read_back(span: SpanId) -> None:
    assert parse(spell(span)) == span


@given(st.text())
def test_no_text_makes_reading_fail_with_an_error(text: str) -> None:
    assert parse(text) is None or child(text, b"12345678")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-0",
        f"00-{TRACE}-{SPAN}-01-more",  # version 00 has nothing more
        f"01-{TRACE}-{SPAN}-01more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-0g",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00_{TRACE}_{SPAN}_01",
    ],
)
def test_a_text_that_is_no_traceparent_names_nothing_and_has_no_children(text: str) -> None:
    assert parse(text) is None
    assert valid(text) == ""
    assert child(text, b"12345678") == ""


def test_later_versions_are_read_as_far_as_they_are_known() -> None:
    later = f"cc-{TRACE}-{SPAN}-09-what-comes"
    assert valid(later) == f"00-{TRACE}-{SPAN}-01"
    assert child(later, bytes(7) + b"\x05") == f"00-{TRACE}-0000000000000005-01"


@given(spans, st.binary(min_size=8, max_size=8))
def test_a_child_stays_in_the_trace_and_keeps_its_sampling(span: SpanId, random: bytes) -> None:
    below = parse(child(spell(span), random))
    assert below is not None
    assert (below.trace_id, below.sampled) == (span.trace_id, span.sampled)
    assert below.span_id == (int.from_bytes(random, "big") or 1)


@given(st.binary(min_size=24, max_size=24), st.booleans())
def test_a_root_is_valid_whatever_the_random_bytes_are(random: bytes, sampled: bool) -> None:
    span = parse(root(random, sampled=sampled))
    assert span is not None and span.sampled is sampled


def test_other_flags_than_sampled_are_not_handed_on() -> None:
    assert child(f"00-{TRACE}-{SPAN}-ff", bytes(8)) == f"00-{TRACE}-0000000000000001-01"
    assert child(f"00-{TRACE}-{SPAN}-fe", bytes(8)) == f"00-{TRACE}-0000000000000001-00"
