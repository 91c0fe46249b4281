"""Clocks that are wrong: a whole coordinator an hour off, and an S3 server that refuses requests from another time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from longshore.cli import checks
from longshore.settings import load
from tests.cli.conftest import ROUTINES, Start, Terminal

SHIFTED = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *at) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, at);
    if (!failed && clock == CLOCK_REALTIME) at->tv_sec += SHIFT;
    return failed;
}
"""
"""What makes the wall clock of one process wrong, and nothing else."""
TOO_SKEWED = timedelta(minutes=15)


def shifted_clock(folder: Path, seconds: int) -> str:
    """A library that shifts the clock of the process that loads it."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("a process gets a clock of its own only on Linux with a C compiler")
    (folder / "clock.c").write_text(SHIFTED)
    library = folder / "clock.so"
    words = [compiler, "-shared", "-fPIC", f"-DSHIFT={seconds}", "-o", str(library), str(folder / "clock.c"), "-ldl"]
    subprocess.run(words, capture_output=True, timeout=60, check=True)
    return str(library)


@pytest.mark.parametrize(("shift", "said"), [(3600, " s ahead of this machine's"), (-90, " s behind this machine's")])
def test_a_coordinator_whose_clock_is_wrong_is_told_with_how_much(
    terminal: Terminal, start: Start, shift: int, said: str
) -> None:
    (terminal.folder / "routines.py").write_text(ROUTINES)
    terminal.environment["LD_PRELOAD"] = shifted_clock(terminal.folder, shift)
    dev = start("dev", "routines", "--json", stdout=subprocess.PIPE)
    del terminal.environment["LD_PRELOAD"]
    assert dev.stdout is not None
    assert json.loads(dev.stdout.readline())["event"] == "ready"
    found = {finding["check"]: finding for finding in terminal.json("doctor")}
    assert found["coordinator"]["state"] == "ok"
    assert found["clock"]["state"] == "warn"
    assert found["clock"]["text"].endswith(said)
    off = float(found["clock"]["text"].removeprefix("the coordinator's is ").removesuffix(said))
    assert abs(off - abs(shift)) < 2
    assert "NTP" in found["clock"]["advice"]


@contextmanager
def s3_of_another_time(shift: timedelta) -> Iterator[str]:
    """A server that refuses, as S3 does, what was signed at another time than its own clock shows."""

    class Late(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            now = datetime.now(UTC) + shift
            signed = datetime.strptime(self.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            skewed = abs(now - signed) > TOO_SKEWED
            text = "The difference between the request time and the current time is too large."
            body = f"<Error><Code>RequestTimeTooSkewed</Code><Message>{text}</Message></Error>".encode()
            self.send_response(403 if skewed else 200)
            self.send_header("Content-Length", str(len(body) if skewed else 0))
            self.end_headers()
            if skewed:
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_DELETE = do_PUT

        def date_time_string(self, timestamp: float | None = None) -> str:
            return (datetime.now(UTC) + shift).strftime("%a, %d %b %Y %H:%M:%S GMT")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Late)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_an_object_store_that_lives_in_another_time_asks_for_the_clock() -> None:
    with s3_of_another_time(timedelta(hours=1)) as url:
        found = checks.check_storage(
            load(
                payload_url="s3://bucket/prefix",
                s3_endpoint_url=url,
                s3_region="us-east-1",
                s3_access_key_id="test",
                s3_secret_access_key="test",
                s3_addressing_style="path",
            )
        )
    assert found.state == "fail"
    assert "RequestTimeTooSkewed" in found.text
    assert "NTP" in found.advice
