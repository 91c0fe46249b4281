"""Whether the Longshore process in this container does its work: exit status 0 or 1, and a word why not.

A coordinator is asked at /health/ready. A worker has no port: the coordinator is asked over the bus whether a session
of this host is there and heard of. Anything else is healthy as long as it runs.
"""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

TIMEOUT = 8.0


def main() -> str:
    """What is wrong; "" when nothing is."""
    command = Path("/proc/1/cmdline").read_bytes().decode(errors="replace").split("\0")
    if "coordinator" in command:
        return coordinator(command)
    if "worker" in command:
        return worker()
    return ""


def coordinator(command: list[str]) -> str:
    """What /health/ready says, when it is not 200."""
    address = os.environ.get("LONGSHORE_HTTP_ADDRESS", "127.0.0.1:8600")
    if "--http" in command:
        address = command[command.index("--http") + 1]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{address.rpartition(':')[2]}/health/ready", timeout=TIMEOUT):
            return ""
    except OSError as error:  # refused, timed out, or another status than 2xx
        return f"the coordinator is not ready: {error}"


def worker() -> str:
    """Why no session of this host is in the coordinator's book, when there is none."""
    ask = ["longshore", "workers", "list", "--json"]
    try:
        done = subprocess.run(ask, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return "the coordinator did not answer in time"
    if done.returncode != 0:
        return f"the coordinator could not be asked: {done.stderr.strip() or done.stdout.strip()}"
    here = socket.gethostname()
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if any(row["worker_id"].startswith(f"{here}-") and row["status"] not in ("CLOSED", "UNRESPONSIVE") for row in rows):
        return ""
    return f"no session of {here} among {len(rows)} workers"


if __name__ == "__main__":
    problem = main()
    if problem:
        sys.exit(problem)
