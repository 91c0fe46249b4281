"""The telemetry of one process: spans built from facts after they happened, and the caller's trace context.

Here it is off: calls do nothing and the SDK is not even imported. `otlp.py` is the one that is on, `start.py` chooses.
It never starts a span: ids are decided by whoever acts (`ids.py`), and `record` tells what came of it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from longshore.telemetry import ids

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Attributes = Mapping[str, str | int | float | bool | Sequence[str]]


class Telemetry:
    """Telemetry that is off, and the face of the one that is on (`otlp.py`)."""

    enabled: bool = False
    """Whether spans go anywhere: ask before gathering attributes."""

    def root(self, random: bytes) -> str:
        """A traceparent for a trace that begins here, sampled as OTEL_TRACES_SAMPLER says; "" when telemetry is off.

        `random` are `ids.ROOT_BYTES` random bytes.
        """
        return ""

    def record(
        self,
        name: str,
        kind: Kind,
        traceparent: str,
        parent: str,
        start: datetime,
        end: datetime,
        attributes: Attributes,
        links: Sequence[str] = (),
        error: str = "",
    ) -> None:
        """Tell of a span that is over. Never blocks; a span whose own id is no traceparent is dropped.

        `traceparent` is the span's own id, `parent` that of its parent or "", `links` are traceparents, too; `error` is
        the description of a failure. `attributes` are kept, not copied. Spans not sampled cost next to nothing.
        """

    def share(self) -> None:
        """Let spans that user code starts go the same way, unless the user has set up an SDK of their own."""

    def close(self, timeout: float = 5.0) -> None:
        """Send what is left, within `timeout` seconds. Twice is harmless."""

    def current(self) -> str:
        """The traceparent of the caller's own span (of an SDK the user's program set up); "" when there is none."""
        trace = sys.modules.get("opentelemetry.trace")
        if trace is None:
            return ""  # nobody in this process traces anything
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return ""
        return ids.spell(ids.SpanId(context.trace_id, context.span_id, context.trace_flags.sampled))

    def attach(self, traceparent: str) -> object | None:
        """Make spans that user code starts from here children of this one. Give the token back to `detach`."""
        if not traceparent or "opentelemetry.trace" not in sys.modules:
            return None
        span = ids.parse(traceparent)
        return None if span is None else _attach(span)

    def detach(self, token: object | None) -> None:
        """End what `attach` began, in the same context."""
        if token is not None:
            from opentelemetry import context

            context.detach(token)  # type: ignore[arg-type]  # it is what attach gave


def _attach(span: ids.SpanId) -> Any:
    from opentelemetry import context, trace

    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if span.sampled else trace.TraceFlags.DEFAULT)
    there = trace.SpanContext(span.trace_id, span.span_id, is_remote=True, trace_flags=flags)
    return context.attach(trace.set_span_in_context(trace.NonRecordingSpan(there)))
