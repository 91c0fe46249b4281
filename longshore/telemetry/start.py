"""Chooses the telemetry of a process by the standard OTEL_* variables. For entry points; import reads nothing."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from longshore.telemetry.spans import Telemetry

_log = logging.getLogger(__name__)


def setup(service: str, instance: str) -> Telemetry:
    """The telemetry of this process by the standard OTEL_* variables. Call it once, from an entry point.

    `service` is the service name unless OTEL_SERVICE_NAME says otherwise, `instance` tells its processes apart.
    """
    if not _wanted(os.environ):
        return Telemetry()
    from longshore.telemetry.otlp import OtlpTelemetry
    from longshore.telemetry.sampling import sampling

    rule, complaint = sampling(os.environ.get("OTEL_TRACES_SAMPLER", ""), os.environ.get("OTEL_TRACES_SAMPLER_ARG", ""))
    if complaint:
        _log.warning(complaint)
    return Telemetry() if rule.nothing else OtlpTelemetry(service, instance, rule)


def _wanted(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporters and "otlp" not in exporters.split(","):
        if exporters != "none":
            _log.warning("OTEL_TRACES_EXPORTER is %r, but only otlp is there: no spans are exported", exporters)
        return False
    traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return any(environment.get(name, "").strip() for name in traces)
