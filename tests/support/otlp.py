"""A real OTLP backend in a process of its own: takes spans over HTTP and protobuf, and tells what it got.

    def test_something(otlp: OtlpReceiver) -> None:
        run_a_program(env=otlp.environment)
        spans = otlp.spans(until=lambda spans: len(spans) >= 3, within=10)

As a program: `python -m tests.support.otlp [--lines FILE] [--discard]` prints its port and serves until its stdin ends.
`--lines` also appends each span as a line of JSON; `--discard` only counts them (for benchmarks).
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class ReceivedSpan:
    """One span as it arrived. Ids are hex texts, `links` are (trace_id, span_id), times are nanoseconds."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    start: int
    end: int
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    status: str
    error: str
    scope: str
    resource: dict[str, Any] = field(repr=False)

    @property
    def service(self) -> str:
        """The service that sent it."""
        return str(self.resource["service.name"])

    @property
    def key(self) -> tuple[str, str]:
        """What a link to it looks like."""
        return self.trace_id, self.span_id


class OtlpReceiver:
    """The backend, seen from the test."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.support.otlp", *arguments]
        self._process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send a process's spans here, soon."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}

    def spans(self, *, within: float, until: Callable[[list[ReceivedSpan]], bool] = bool) -> list[ReceivedSpan]:
        """All spans received as soon as `until` is content with them (default: there is one).

        Fails with what is there when that is not so within `within` seconds.
        """
        deadline = time.monotonic() + within
        spans = self._fetch(more_than=-1, within=0)
        while not until(spans):
            left = deadline - time.monotonic()
            if left <= 0:
                listed = "\n".join(f"  {span}" for span in spans)
                pytest.fail(f"{len(spans)} spans came within {within} s, not what was waited for:\n{listed}")
            spans = self._fetch(more_than=len(spans), within=left)
        return spans

    def count(self) -> int:
        """How many spans came so far."""
        with urlopen(f"{self.url}/count", timeout=10) as answer:
            return int(answer.read())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def __enter__(self) -> OtlpReceiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self, *, more_than: int, within: float) -> list[ReceivedSpan]:
        with urlopen(f"{self.url}/spans?more_than={more_than}&within={within:.3f}", timeout=within + 10) as answer:
            rows = json.loads(answer.read())
        return [ReceivedSpan(**{**row, "links": [tuple(link) for link in row["links"]]}) for row in rows]


@pytest.fixture
def otlp() -> Iterator[OtlpReceiver]:
    """An OTLP backend of this test's own."""
    with OtlpReceiver() as receiver:
        yield receiver


# ---------------------------------------------------------------------------------------------------- the process


class _Book:
    """What came, and the bell that rings when more comes."""

    def __init__(self, lines: Path | None, discard: bool) -> None:
        self.rows: list[dict[str, Any]] = []
        self.count = 0
        self._lines = lines
        self._discard = discard
        self._grown = threading.Condition()

    def take(self, body: bytes) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        request = ExportTraceServiceRequest.FromString(body)
        with self._grown:
            if self._discard:
                self.count += sum(len(scope.spans) for one in request.resource_spans for scope in one.scope_spans)
                return
            rows = [
                _row(span, scope.scope.name, _values(one.resource.attributes))
                for one in request.resource_spans
                for scope in one.scope_spans
                for span in scope.spans
            ]
            self.rows += rows
            self.count += len(rows)
            self._grown.notify_all()
            if self._lines is not None:
                with self._lines.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)

    def wait(self, more_than: int, within: float) -> list[dict[str, Any]]:
        with self._grown:
            self._grown.wait_for(lambda: len(self.rows) > more_than, within)
            return list(self.rows)


def _row(span: Any, scope: str, resource: dict[str, Any]) -> dict[str, Any]:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex(),
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "attributes": _values(span.attributes),
        "links": [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        "status": Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_").lower(),
        "error": span.status.message,
        "scope": scope,
        "resource": resource,
    }


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def _serve(book: _Book, host: str, port: int) -> None:
    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != "/v1/traces":
                self._answer(404, b"")
                return
            book.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self._answer(200, b"", "application/x-protobuf")

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path == "/count":
                self._answer(200, str(book.count).encode())
                return
            asked = parse_qs(url.query)
            rows = book.wait(int(asked["more_than"][0]), float(asked["within"][0]))
            self._answer(200, json.dumps(rows).encode(), "application/json")

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer((host, port), Request) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        sys.stdin.read()  # the parent closes it, or is dead


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=Path)
    parser.add_argument("--discard", action="store_true")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    _serve(_Book(options.lines, options.discard), options.host, options.port)
