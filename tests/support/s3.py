"""A real S3-compatible server (ministack) as a process of its own, with one bucket; and a server that misbehaves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from longshore.payloads.s3 import S3Options, S3Store

BUCKET = "payloads"
_READY_WITHIN = 60.0


def free_port() -> int:
    """A TCP port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def options(url: str, **given: object) -> S3Options:
    """Options for a test server at this URL."""
    values = {"bucket": BUCKET, "region": "us-east-1", "access_key_id": "test", "secret_access_key": "test", **given}
    return S3Options(endpoint_url=url, **values)  # type: ignore[arg-type]


class S3Server:
    """A running server: `url`, `store()`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def store(self, **given: object) -> S3Store:
        """A store on its bucket."""
        return S3Store(options(self.url, **given))


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """ministack on a free port with the bucket made, its output in `folder`; killed at the end."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": "s3"}
    command = [str(Path(sys.executable).with_name("ministack"))]
    if not Path(command[0]).exists():
        command = [sys.executable, "-m", "ministack"]
    with (folder / "ministack.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_until_ready(process, url, folder / "ministack.log")
            yield S3Server(url)
        finally:
            process.kill()
            process.wait(10)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            request = urllib.request.Request(f"{url}/{BUCKET}", method="PUT")
            with urllib.request.urlopen(request, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise RuntimeError(f"ministack did not start at {url}: {log.read_text(errors='replace')[-2000:]}")


@contextmanager
def broken_server(behaviour: str) -> Iterator[str]:
    """An HTTP server at the yielded URL that answers every request in one wrong way.

    `503`: Service Unavailable; `cut`: promises more than it sends; `silent`: never answers; `403`: Forbidden.
    """
    released = threading.Event()

    class Wrong(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

        def _answer(self) -> None:
            if behaviour == "silent":
                released.wait(60)
                return
            status = {"503": 503, "403": 403}.get(behaviour, 206)
            self.send_response(status)
            self.send_header("Content-Length", "100000" if behaviour == "cut" else "0")
            self.send_header("Content-Range", "bytes 0-99999/100000")
            self.end_headers()
            if behaviour == "cut":
                self.wfile.write(b"x" * 1000)
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Wrong)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        released.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
