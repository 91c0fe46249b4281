"""Telemetry that is on: OpenTelemetry's SDK in batches over OTLP/HTTP, fed with finished spans instead of a tracer.

A tracer would make up ids, read clocks and cost 26 µs a span; here a span is built once from what is already known. The
queue is bounded: a backend that is slow or away costs spans, never memory, and never the caller's time.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from longshore.telemetry import ids
from longshore.telemetry.sampling import Sampling
from longshore.telemetry.semantics import SCHEMA_URL
from longshore.telemetry.spans import Attributes, Kind, Telemetry

_QUEUE: Final = 65_536
"""Spans that may wait: a worker at 10,000 spans a second outlives a backend that is away for six seconds."""
_DELAY_MS: Final = 1_000
"""How long a span waits for company: traces are looked at while a run is still warm."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NS: Final = 86_400_000_000_000
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_UNSET: Final = Status(StatusCode.UNSET)
_KINDS: Final[dict[str, SpanKind]] = {kind.name.lower(): kind for kind in SpanKind}
_REMOTE_PARENT: Final = frozenset({"server", "consumer"})

_log = logging.getLogger(__name__)


class OtlpTelemetry(Telemetry):
    """Spans go to the OTLP endpoint that the environment names."""

    enabled = True

    def __init__(self, service: str, instance: str, sampling: Sampling) -> None:
        self._sampling = sampling
        self._resource = _resource(service, instance)
        self._scope = InstrumentationScope("longshore", _version(), SCHEMA_URL)
        self._processor = BatchSpanProcessor(
            OTLPSpanExporter(),
            max_queue_size=None if "OTEL_BSP_MAX_QUEUE_SIZE" in os.environ else _QUEUE,
            schedule_delay_millis=None if "OTEL_BSP_SCHEDULE_DELAY" in os.environ else _DELAY_MS,
        )
        self._closed = False

    def root(self, random: bytes) -> str:
        """See Telemetry."""
        sampled = self._sampling.samples_root(int.from_bytes(random[:16], "big"))
        return ids.root(random, sampled=sampled)

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
        """See Telemetry."""
        own = ids.parse(traceparent)
        if own is None or self._closed or not self._sampling.samples(own.trace_id, own.sampled):
            return
        above = ids.parse(parent) if parent else None
        span = ReadableSpan(
            name,
            SpanContext(own.trace_id, own.span_id, False, _SAMPLED),
            None if above is None else SpanContext(above.trace_id, above.span_id, kind in _REMOTE_PARENT, _SAMPLED),
            self._resource,
            attributes,
            (),
            [Link(context) for context in map(_context, links) if context is not None] if links else (),
            _KINDS[kind],
            None,
            Status(StatusCode.ERROR, error) if error else _UNSET,
            _nanoseconds(start),
            _nanoseconds(end),
            self._scope,
        )
        self._processor.on_end(span)

    def share(self) -> None:
        """See Telemetry."""
        if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            return  # the user's own SDK, or an agent's: theirs to keep
        provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        trace.set_tracer_provider(provider)

    def close(self, timeout: float = 5.0) -> None:
        """See Telemetry."""
        if self._closed:
            return
        self._closed = True
        # The SDK's own shutdown takes up to 30 s and its flush has no limit: a thread waits for it, we wait for that.
        flushing = threading.Thread(target=self._processor.shutdown, name="longshore-telemetry-close", daemon=True)
        flushing.start()
        flushing.join(timeout)
        if flushing.is_alive():
            _log.warning("the telemetry backend did not take the last spans within %g s: they are lost", timeout)


def _resource(service: str, instance: str) -> Resource:
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    attributes = {"service.instance.id": instance, "service.version": _version()}
    return Resource.create(attributes if named else {"service.name": service, **attributes})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("longshore")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0"


def _context(traceparent: str) -> SpanContext | None:
    span = ids.parse(traceparent)
    if span is None:
        return None
    return SpanContext(span.trace_id, span.span_id, True, _SAMPLED if span.sampled else None)


def _nanoseconds(at: datetime) -> int:
    since = at - _EPOCH  # whole numbers: a float of seconds would be off by up to 200 ns
    return since.days * _DAY_NS + since.seconds * 1_000_000_000 + since.microseconds * 1_000
