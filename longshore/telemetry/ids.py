"""Trace ids as W3C `traceparent` texts. Pure: chance is an argument, and no OpenTelemetry is needed to name a span.

Whoever acts decides the id of its span and says it in the message; the span itself is built afterwards from the facts
(`spans.py`). A text that is no traceparent becomes "", never an error: it came from outside. Source: W3C Trace Context.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

CHILD_BYTES: Final = 8
"""How many random bytes `child` needs."""
ROOT_BYTES: Final = 24
"""How many random bytes `root` needs."""

_FORM: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL
)


class SpanId(NamedTuple):
    """One span: its trace, its own id, and whether it is sampled (exported)."""

    trace_id: int
    span_id: int
    sampled: bool


def parse(traceparent: str) -> SpanId | None:
    """What the text names; None when it is no valid traceparent. Later versions are read as far as they are known."""
    form = _FORM.fullmatch(traceparent)
    if form is None or (form[5] is not None and form[1] == "00"):
        return None
    return SpanId(int(form[2], 16), int(form[3], 16), bool(int(form[4], 16) & 1))


def spell(span: SpanId) -> str:
    """The traceparent of a span, version 00."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{'01' if span.sampled else '00'}"


def valid(traceparent: str) -> str:
    """The same span in version 00, or "" when the text is not a traceparent."""
    span = parse(traceparent)
    return "" if span is None else spell(span)


def root(random: bytes, *, sampled: bool = True) -> str:
    """A new trace and its first span, from 24 random bytes."""
    trace_id = int.from_bytes(random[:16], "big") or 1  # all zeros means "no trace"
    return spell(SpanId(trace_id, _span_id(random[16:24]), sampled))


def child(traceparent: str, random: bytes) -> str:
    """A new span of the same trace and sampling, from 8 random bytes; "" when there is no valid parent."""
    if len(traceparent) == 55 and _FORM.fullmatch(traceparent):
        return f"00-{traceparent[3:36]}{_span_id(random[:8]):016x}-{'01' if traceparent[54] in _ODD else '00'}"
    span = parse(traceparent)  # a later version, with more fields
    return "" if span is None else spell(SpanId(span.trace_id, _span_id(random[:8]), span.sampled))


_ODD: Final = frozenset("13579bdf")


def _span_id(random: bytes) -> int:
    return int.from_bytes(random, "big") or 1
