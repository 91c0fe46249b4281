"""Names of spans' attributes: OpenTelemetry's messaging conventions of schema 1.44.0, and our own `longshore.*`.

Kept here because the conventions are still in development and their Python package renames without warning. Only names.
"""

from __future__ import annotations

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
MESSAGING_CONVERSATION_ID: Final = "messaging.message.conversation_id"
MESSAGING_BATCH_COUNT: Final = "messaging.batch.message_count"
MESSAGING_CLIENT_ID: Final = "messaging.client.id"
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"

SYSTEM_RABBITMQ: Final = "rabbitmq"
SYSTEM_LOCAL: Final = "longshore"
"""What `messaging.system` says on the local bus."""
SEND: Final = "send"
"""Operation type of a PRODUCER span."""
PROCESS: Final = "process"
"""Operation type of a CONSUMER span."""

RUN_ID: Final = "longshore.run.id"
PARENT_RUN_ID: Final = "longshore.run.parent_id"
ROOT_RUN_ID: Final = "longshore.run.root_id"
RUN_STATUS: Final = "longshore.run.status"
RUN_CACHED: Final = "longshore.run.cached"
ROUTINE: Final = "longshore.routine.name"
ROUTINE_VERSION: Final = "longshore.routine.version"
ROUTINE_KIND: Final = "longshore.routine.kind"
ATTEMPT: Final = "longshore.attempt"
HOOK_ERRORS: Final = "longshore.hook_errors"
"""What hooks of the run raised, which changed nothing about it."""
EPOCH: Final = "longshore.epoch"
QUEUE: Final = "longshore.queue"
WORKER_ID: Final = "longshore.worker.id"
NAMESPACE: Final = "longshore.namespace"


def span_name(operation: str, destination: str) -> str:
    """How the conventions name a messaging span: `{operation} {destination}`."""
    return f"{operation} {destination}"
