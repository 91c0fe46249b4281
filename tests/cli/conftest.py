"""Real processes for the command line's tests: `longshore ...` in its own folder, a running `longshore dev`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROUTINES = """
import asyncio, os, time
from longshore import AbortRun, context, define

@define.task(name="add", version="1.0.0")
def add(a: int, b: int = 1) -> int:
    return a + b

@define.action(name="fail", version="1.0.0", max_attempts=1)
def fail(text: str) -> None:
    raise ValueError(text)

@define.action(name="nap", version="1.0.0")
async def nap(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "rested"

@define.action(name="held", version="1.0.0")
async def held(until: str) -> str:
    while not os.path.exists(until):
        await asyncio.sleep(0.02)
    return "let go"

@define.task(name="big", version="1.0.0")
def big(size: int) -> str:
    return "x" * size

@define.workflow(name="both", version="1.0.0")
async def both(a: int, b: int) -> int:
    one, two, text = await asyncio.gather(add(a), add(b), big(100_000))
    return one + two + len(text)
"""


@dataclass
class Terminal:
    """A folder in which commands are typed. `environment` holds the LONGSHORE_* variables in force there."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def env(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("LONGSHORE_", "OTEL_"))}
        return {
            **clean,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [clean.get("PYTHONPATH")])]),
            "COLUMNS": "160",
            **self.environment,
        }

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """A command that stays."""
        command = [sys.executable, "-W", "error", "-m", "longshore.cli", *words]
        return subprocess.Popen(command, cwd=self.folder, env=self.env(), text=True, **options)

    def run(self, *words: str, within: float = 60) -> subprocess.CompletedProcess[str]:
        """A command that ends."""
        command = [sys.executable, "-W", "error", "-m", "longshore.cli", *words]
        return subprocess.run(
            command, cwd=self.folder, env=self.env(), text=True, capture_output=True, timeout=within, check=False
        )

    def python(self, *words: str, within: float = 60) -> subprocess.CompletedProcess[str]:
        """A script in this folder."""
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.env(),
            text=True,
            capture_output=True,
            timeout=within,
            check=False,
        )

    def json(self, *words: str, status: int = 0) -> Any:
        """A command's JSON document."""
        done = self.run(*words, "--json")
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def lines(self, *words: str) -> list[Any]:
        """A command's JSON lines."""
        done = self.run(*words, "--json")
        assert done.returncode == 0, (done.stdout, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]


def end(process: subprocess.Popen[str]) -> int:
    """Ctrl-C, then the hard way."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
    return process.returncode


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A terminal in whose folder `longshore dev` runs, shared by the tests of one module."""
    here = Terminal(tmp_path_factory.mktemp("dev"))
    (here.folder / "routines.py").write_text(ROUTINES)
    process = here.start("dev", "routines", "--json", stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["event"] == "ready"
        yield here
    finally:
        end(process)
        if process.stdout is not None:
            process.stdout.close()


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(terminal: Terminal) -> Iterator[Start]:
    """Starts commands that stay, and ends them with the test."""
    begun: list[subprocess.Popen[str]] = []

    def begin(*words: str, **options: Any) -> subprocess.Popen[str]:
        begun.append(terminal.start(*words, **options))
        return begun[-1]

    yield begin
    for process in reversed(begun):
        end(process)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
