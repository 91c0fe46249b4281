"""One span per attempt, and one per call of a workflow, built from what is known. It starts nothing and decides
nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

from longshore.core.message import Commands, Finished, Released, Report
from longshore.telemetry import semantics
from longshore.telemetry.spans import Telemetry
from longshore.worker.attempt import Attempt

_GOOD: Final = ("completed", "continued")


class Line(NamedTuple):
    """Over what messages come and go, in OpenTelemetry's words."""

    system: str
    destination: str


def record(telemetry: Telemetry, line: Line, worker_id: str, attempt: Attempt, report: Report) -> None:
    """Record the attempt's span: `process {routine}`, a child of its placement, linked to the attempt before."""
    start = attempt.start
    now = datetime.now(UTC)
    error = description = ""
    if isinstance(report, Finished) and report.how not in _GOOD:
        error = report.error.type if report.error else report.how
        description = report.error.message if report.error else report.how
    elif isinstance(report, Released) and report.lost:
        error = description = "interrupted"
    attributes: dict[str, str | int | float | bool] = {
        semantics.MESSAGING_SYSTEM: line.system,
        semantics.MESSAGING_OPERATION_TYPE: semantics.PROCESS,
        semantics.MESSAGING_OPERATION_NAME: semantics.PROCESS,
        semantics.MESSAGING_DESTINATION_NAME: line.destination,
        semantics.MESSAGING_MESSAGE_ID: start.run_id,
        semantics.MESSAGING_CONVERSATION_ID: start.root_id or start.run_id,
        semantics.RUN_ID: start.run_id,
        semantics.ROUTINE: start.routine,
        semantics.ROUTINE_VERSION: start.version,
        semantics.ROUTINE_KIND: attempt.routine.kind,
        semantics.ATTEMPT: start.attempt,
        semantics.EPOCH: start.epoch,
        semantics.WORKER_ID: worker_id,
    }
    if error:
        attributes[semantics.ERROR_TYPE] = error
    if attempt.hook_errors:
        attributes[semantics.HOOK_ERRORS] = "; ".join(attempt.hook_errors)
    telemetry.record(
        semantics.span_name(semantics.PROCESS, start.routine),
        "consumer",
        attempt.span,
        start.traceparent,
        attempt.began_at or now,
        report.at if isinstance(report, Finished | Commands) else now,
        attributes,
        (start.previous_span,) if start.previous_span else (),
        description,
    )


def record_calls(telemetry: Telemetry, line: Line, attempt: Attempt, commands: Commands) -> None:
    """Record `send {routine}` for each call that goes out, a child of the workflow's attempt: the calls' own
    traceparents."""
    for call in commands.calls:
        telemetry.record(
            semantics.span_name(semantics.SEND, call.routine),
            "producer",
            call.traceparent,
            attempt.span,
            commands.at,
            commands.at,
            {
                semantics.MESSAGING_SYSTEM: line.system,
                semantics.MESSAGING_OPERATION_TYPE: semantics.SEND,
                semantics.MESSAGING_OPERATION_NAME: semantics.SEND,
                semantics.MESSAGING_DESTINATION_NAME: line.destination,
                semantics.MESSAGING_MESSAGE_ID: call.child_id,
                semantics.RUN_ID: call.child_id,
                semantics.PARENT_RUN_ID: attempt.run_id,
                semantics.ROUTINE: call.routine,
                semantics.ROUTINE_VERSION: call.version,
            },
        )
