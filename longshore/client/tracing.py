"""The client's part of a trace: one PRODUCER span per trigger, recorded when the broker has the trigger.

It never starts a span and never costs anything while telemetry is off.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from longshore.client.pending import Errand
from longshore.core.message import Trigger
from longshore.telemetry import Telemetry, child, semantics
from longshore.telemetry.ids import CHILD_BYTES, ROOT_BYTES

BROKER_UNAVAILABLE: Final = "BrokerUnavailableError"


class Sending(NamedTuple):
    """A span that ends when its trigger is sent."""

    traceparent: str
    parent: str
    began_at: datetime


class Tracing:
    """Names the spans of one client's triggers and records them."""

    def __init__(self, telemetry: Telemetry, destination: str, system: str, client_id: str) -> None:
        self._telemetry = telemetry
        self._destination = destination
        self._system = system
        self._client_id = client_id

    def begin(self, message: Trigger) -> Sending | None:
        """Give the trigger its place in a trace: below the caller's span if there is one, else in a new one."""
        telemetry = self._telemetry
        parent = telemetry.current()
        if not telemetry.enabled:
            message.traceparent = parent  # a span of ours would never arrive: the run hangs below the caller's own
            return None
        own = child(parent, os.urandom(CHILD_BYTES)) if parent else telemetry.root(os.urandom(ROOT_BYTES))
        message.traceparent = own
        return Sending(own, parent, datetime.now(UTC)) if own else None

    def failed(self, errand: Errand[Any], error: str) -> None:
        """Record the span of a trigger that the broker did not take."""
        span, message = errand.span, errand.message
        if isinstance(span, Sending) and isinstance(message, Trigger):
            self._record(span, message, datetime.now(UTC), error)

    def sent(self, errands: Sequence[Errand[Any]]) -> None:
        """Record the spans of these errands: the broker has them now."""
        if not self._telemetry.enabled:
            return
        now = datetime.now(UTC)
        for errand in errands:
            span, message = errand.span, errand.message
            if isinstance(span, Sending) and isinstance(message, Trigger):
                errand.span = None
                self._record(span, message, now)

    def _record(self, span: Sending, message: Trigger, now: datetime, error: str = "") -> None:
        attributes: dict[str, str | int | float | bool] = {
            semantics.MESSAGING_SYSTEM: self._system,
            semantics.MESSAGING_OPERATION_TYPE: semantics.SEND,
            semantics.MESSAGING_OPERATION_NAME: semantics.SEND,
            semantics.MESSAGING_DESTINATION_NAME: self._destination,
            semantics.MESSAGING_MESSAGE_ID: message.run_id,
            semantics.MESSAGING_CONVERSATION_ID: message.run_id,
            semantics.MESSAGING_CLIENT_ID: self._client_id,
            semantics.RUN_ID: message.run_id,
            semantics.ROUTINE: message.routine,
        }
        if error:
            attributes[semantics.ERROR_TYPE] = error
        name = semantics.span_name(semantics.SEND, self._destination)
        self._telemetry.record(
            name, "producer", span.traceparent, span.parent, span.began_at, now, attributes, (), error
        )
