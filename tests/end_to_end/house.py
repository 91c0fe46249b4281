"""A whole house for these tests: a fleet whose logs are JSON, commands typed beside it, memory read from /proc."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Self

from longshore import Client
from longshore.telemetry import Telemetry
from tests.support.fleet import Fleet, Part

ROUTINES: Final = "tests.end_to_end.routines"
MIB: Final = 1 << 20


class House(Fleet):
    """Coordinator and workers on one broker. `environment` is what every process sees on top of the settings."""

    def __init__(self, folder: Path, broker_url: str, *, environment: dict[str, str] | None = None, **settings: Any):
        self.namespace = f"house-{secrets.token_hex(4)}"  # tests may share a broker that somebody else runs
        settings = {"namespace": self.namespace, **settings}
        super().__init__(folder, modules=[ROUTINES], broker_url=broker_url, **settings)
        self.broker_url = broker_url
        self.environment = environment or {}

    def decide(self, **environment: str) -> Part:
        """A coordinator, ready."""
        part = self._start("coordinator", ["coordinator", "--json"], self.environment | environment)
        self.coordinator = part
        self.wait_ready(part)
        return part

    def work(
        self, *, slots: int = 16, processes: int = 1, pool: str = "default", module: str = ROUTINES,
        ready: bool = True, **environment: str,
    ) -> Part:  # fmt: skip
        """A supervisor with worker processes, joined."""
        words = ["worker", module, "--json", "--slots", str(slots), "--processes", str(processes), "--pool", pool]
        part = self._start(f"worker-{len(self.parts)}", words, self.environment | environment)
        if ready:
            self.wait_joined(part, processes)
        return part

    def client(self, **given: Any) -> Client:
        """A client in this process that knows the routines' classes; without telemetry unless it is given."""
        return Client(settings=self.settings(), **{"modules": [ROUTINES], "telemetry": Telemetry(), **given})

    def run(self, *words: str, within: float = 60) -> subprocess.CompletedProcess[str]:
        """A command that ends."""
        return subprocess.run(
            [sys.executable, "-m", "longshore.cli", *words],
            cwd=self.folder,
            env=self._environment() | self.environment,
            text=True,
            capture_output=True,
            timeout=within,
            check=False,
        )

    def json(self, *words: str) -> Any:
        """A command's JSON document."""
        done = self.run(*words, "--json")
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def json_lines(self, *words: str) -> list[Any]:
        """A command's JSON lines."""
        done = self.run(*words, "--json")
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def log_lines(part: Part) -> list[dict[str, Any]]:
    """A part's log lines; those that are no JSON are left out."""
    found = []
    for line in part.words().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [line for line in found if "message" in line]


def memory(pid: int, field: str = "VmRSS") -> int:
    """What a process uses now (VmRSS), or used at most (VmHWM), in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field))) * 1024
