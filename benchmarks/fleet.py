"""A fleet for one measurement: a virtual host of a private RabbitMQ node, a coordinator process, one worker process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.rabbit import RabbitNode

ROOT = Path(__file__).resolve().parents[1]
MORTAL = str(ROOT / "tests" / "support" / "mortal.py")
"""What is started with it dies with us."""
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Fleet:
    """What runs, and where."""

    broker_url: str
    folder: Path
    environment: dict[str, str]
    coordinator: subprocess.Popen[bytes]
    worker: subprocess.Popen[bytes]
    broker_pid: int = 0

    def worker_processes(self) -> list[int]:
        """The supervisor and its children."""
        return [self.worker.pid, *children(self.worker.pid)]


@contextmanager
def running_fleet(node: RabbitNode, *, slots: int = 16, otlp: str = "", **given: str) -> Iterator[Fleet]:
    """Start coordinator and worker, wait for both, stop them at the end. `given` is added to their environment."""
    with tempfile.TemporaryDirectory(prefix="longshore-bench-") as name:
        folder = Path(name)
        broker_url = node.vhost()
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("LONGSHORE_", "OTEL_"))}
        environment |= {
            "LONGSHORE_BROKER_URL": broker_url,
            "LONGSHORE_STORE_URL": f"sqlite:///{folder}/ledger.db",
            "LONGSHORE_PAYLOAD_URL": f"file:{folder}/payloads",
            "LONGSHORE_HTTP_ADDRESS": "127.0.0.1:0",
            "PYTHONPATH": str(ROOT),
        }
        environment |= given
        if otlp:
            environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = otlp
        command = [sys.executable, MORTAL, sys.executable, "-m", "longshore.cli"]
        worker_words = ["worker", "benchmarks.routines", "--processes", "1", "--slots", str(slots)]
        log = (folder / "log").open("wb")
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for words in (["coordinator"], worker_words):
                processes.append(  # noqa: PERF401 - those already started must be known when the next one fails
                    subprocess.Popen([*command, *words], cwd=folder, env=environment, stdout=log, stderr=log)
                )
            coordinator, worker = processes
            yield Fleet(broker_url, folder, environment, coordinator, worker, beam(node))
        finally:
            for process in reversed(processes):  # one after another: a worker hands back what waits in it
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            log.close()
            if os.environ.get("LONGSHORE_BENCH_LOG"):
                print((folder / "log").read_text(errors="replace")[-8000:], file=sys.stderr)


def beam(node: RabbitNode) -> int:
    """The process of the broker's virtual machine; 0 if it cannot be told."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"beam.smp" in words and str(node.folder).encode() in words:
            return int(folder.name)
    return 0


def children(pid: int) -> list[int]:
    """The child processes of a process, and theirs."""
    found = []
    for entry in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(entry), *children(int(entry))]
    return found


def rss_bytes(pid: int) -> int:
    """The resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def reset_peak(pid: int) -> None:
    """Have the process's peak begin anew at what it holds now. Source: proc(5), clear_refs."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """The most the process has held since `reset_peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def cpu_seconds(pid: int) -> float:
    """The processor time a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def wait_for(what: str, check: object, within: float) -> None:
    """Poll until the check holds. Raises TimeoutError naming what did not come."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if callable(check) and check():
            return
        time.sleep(0.05)
    raise TimeoutError(f"{what} did not come within {within} s")
