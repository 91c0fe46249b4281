"""Log lines that say which run they belong to: run id, routine, trace and span id from a context variable.

Set up by entry points; importing it changes nothing. Libraries' and users' own loggers get the same correlation,
because the filter sits on the handler. It never writes to stdout, which belongs to commands' results.
"""

from __future__ import annotations

import json as json_text
import logging
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TextIO

FIELDS: Final = ("run_id", "routine", "trace_id", "span_id")
"""What the filter adds to each record, "" where there is none."""


@dataclass(frozen=True, slots=True)
class LogScope:
    """What a log line inside a run is about."""

    run_id: str
    routine: str
    traceparent: str = ""


CURRENT: Final[ContextVar[LogScope | None]] = ContextVar("longshore_log_scope", default=None)
"""Set by whoever executes a run, for as long as its code runs."""

_PLAIN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", *FIELDS}


class RunFilter(logging.Filter):
    """Puts the current run into every record; what the caller gave with `extra` stays."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add FIELDS to the record; always lets it pass."""
        scope = CURRENT.get()
        values = ("", "", "", "")
        if scope is not None:
            parent = scope.traceparent
            whole = len(parent) >= 55
            values = (scope.run_id, scope.routine, parent[3:35] if whole else "", parent[36:52] if whole else "")
        for name, value in zip(FIELDS, values, strict=True):
            record.__dict__.setdefault(name, value)
        return True


class TextFormatter(logging.Formatter):
    """One line for people: time, level, logger, message, and the run in brackets."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text; a traceback follows on its own lines."""
        line = f"{_time(record)} {record.levelname:<7} {record.name}: {record.getMessage()}"
        told = " ".join(f"{name}={value}" for name in FIELDS if (value := getattr(record, name, "")))
        if told:
            line += f" [{told}]"
        return "\n".join([line, *_traceback(self, record)])


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for machines; fields given with `extra` are kept."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        line: dict[str, object] = {
            "at": _time(record), "level": record.levelname, "logger": record.name, "message": record.getMessage(),
        }  # fmt: skip
        line |= {name: value for name in FIELDS if (value := getattr(record, name, ""))}
        line |= {name: value for name, value in record.__dict__.items() if name not in _PLAIN}
        if trouble := _traceback(self, record):
            line["traceback"] = "\n".join(trouble)
        return json_text.dumps(line, ensure_ascii=False, default=str)


def setup_logging(json: bool, level: str | int, *, stream: TextIO | None = None) -> logging.Handler:
    """Send log lines to `stream` (stderr), as JSON or as text. Calling it again replaces what it set up before."""
    handler = _OwnStream(stream if stream is not None else sys.stderr)
    handler.addFilter(RunFilter())
    handler.setFormatter(JsonFormatter() if json else TextFormatter())
    top = logging.getLogger()
    for before in [other for other in top.handlers if isinstance(other, _OwnStream)]:
        top.removeHandler(before)
    top.addHandler(handler)
    top.setLevel(level.upper() if isinstance(level, str) else level)
    return handler


class _OwnStream(logging.StreamHandler[TextIO]):
    """Ours, so that a second set-up replaces the first and leaves other people's handlers alone."""


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return parts
