"""A quarter of a gibibyte through a real S3 server in bounded memory, each way in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.s3 import BUCKET, S3Server

ROOM = 96  # MiB above the value's own size
SIZE = 256

PROGRAM = """
import json, re, sys
from pathlib import Path
from longshore.core.message import ClaimCheck
from longshore.payloads import Cargo, open_store
from longshore.serialization.values import encode

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

url, bucket, size, check = sys.argv[1], sys.argv[2], int(sys.argv[3]) << 20, json.loads(sys.argv[4])
store = open_store(f"s3://{bucket}/large", endpoint_url=url, access_key_id="test", secret_access_key="test")
store.exists("warm")  # the client itself is not what is measured
value = bytes(size) if check is None else None
Path("/proc/self/clear_refs").write_text("5")
before = peak()
if check is None:
    found = Cargo(store).stow(encode(value), "runs")
    print(json.dumps([peak() - before, found.key, found.size, found.sha256]))
else:
    value = Cargo(store).load(ClaimCheck(*check))
    print(json.dumps([peak() - before, value == bytes(size)]))
store.close()
"""


@pytest.mark.service
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux's /proc")
def test_a_quarter_of_a_gibibyte_passes_through_s3_in_bounded_memory(s3: S3Server) -> None:
    def run(check: object) -> list[object]:
        command = [sys.executable, "-c", PROGRAM, s3.url, BUCKET, str(SIZE), json.dumps(check)]
        path = {"PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env=path)
        assert done.returncode == 0, done.stderr
        result: list[object] = json.loads(done.stdout)
        return result

    written, *check = run(None)
    read, equal = run(check)
    assert equal is True
    print(f"writing {written} MiB above the value, reading {read} MiB in all")  # noqa: T201
    assert isinstance(written, float)
    assert written < ROOM
    assert isinstance(read, float)
    assert read < SIZE + ROOM
