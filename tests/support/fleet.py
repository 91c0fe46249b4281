"""A fleet of real processes for tests: `longshore coordinator` and `longshore worker`, as an operator starts them.

    async with fleet.client() as client: ...
    fleet.start_coordinator(); crew = fleet.start_workers(processes=2); crew.kill_children(); crew.wait(10)

Each has its ledger, payloads and logs in a folder of its own; every process dies with the test process. It decides
nothing and repairs nothing: what it started and somebody killed stays dead until the test starts it again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from longshore.client import Client
from longshore.settings import Settings, load
from longshore.telemetry import Telemetry
from tests.support.ledger_rows import LedgerRows
from tests.support.rabbit import RabbitNode
from tests.support.wait import eventually_sync

ROOT: Final = Path(__file__).resolve().parents[2]
READY_WITHIN: Final = 30.0
DEAD_WITHIN: Final = 10.0

_MORTAL: Final = Path(__file__).with_name("mortal.py")
_LOG_SHOWN: Final = 20_000


class Part:
    """One process of a fleet and everything below it."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.started_at = time.time()
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, str(_MORTAL), *command],
                cwd=log.parent,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id: the program's own."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def age(self) -> float:
        """Seconds since its start."""
        return time.time() - self.started_at

    def words(self) -> str:
        """Its log, and its children's."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def children(self) -> list[int]:
        """The processes it started itself and that live: a supervisor's workers."""
        return [pid for pid, parent in _parents().items() if parent == self.pid]

    def wait(self, within: float) -> int:
        """Its exit status, negative for a signal."""
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {within:g} s:\n{self.words()[-2000:]}") from None

    def terminate(self) -> None:
        """SIGTERM to it alone."""
        self._process.terminate()

    def freeze(self, *, children: bool = True) -> None:
        """SIGSTOP to it and, if so asked, all below it."""
        self._signal(signal.SIGSTOP, children)

    def thaw(self) -> None:
        """SIGCONT to it and all below it."""
        self._signal(signal.SIGCONT, True)

    def kill(self) -> float:
        """kill -9 of it and all below it; it cannot say a word about its children. Gives the time of the deed."""
        at = time.time()
        if self.alive:
            _send(self.pid, signal.SIGSTOP)
            below = _below(self.pid)
            for pid in below:
                _send(pid, signal.SIGKILL)
            self._process.kill()
            eventually_sync(lambda: not any(map(_lives, below)), within=DEAD_WITHIN, what=f"the end of {self.name}")
        self._process.wait(DEAD_WITHIN)
        return at

    def kill_child(self, pid: int | None = None) -> float:
        """kill -9 of one worker process (else the first) and all below it, leaving the supervisor to see it."""
        pid = pid or eventually_sync(self.children, within=READY_WITHIN, what=f"a child of {self.name}")[0]
        at = time.time()
        for one in [*_below(pid), pid]:
            _send(one, signal.SIGKILL)
        return at

    def _signal(self, number: signal.Signals, children: bool) -> None:
        for pid in [self.pid, *(_below(self.pid) if children else ())]:
            _send(pid, number)


class Fleet:
    """The parts of one namespace on one broker. `settings` are LONGSHORE_* by field, for every part of it."""

    def __init__(
        self,
        folder: Path,
        *,
        modules: Iterable[str],
        broker_url: str,
        rabbit: RabbitNode | None = None,
        **settings: str,
    ) -> None:
        self.folder = folder
        self._rabbit = rabbit
        self.modules = list(modules)
        self.ledger = folder / "ledger" / "ledger.db"
        self.rows = LedgerRows(self.ledger)
        self.coordinator: Part | None = None
        self.parts: list[Part] = []
        self._given = {
            "broker_url": broker_url,
            "store_url": f"sqlite:///{self.ledger}",
            "payload_url": f"file:{folder / 'payloads'}",
            "http_address": "127.0.0.1:0",
            **settings,
        }
        for made in (folder, self.ledger.parent, folder / "payloads"):
            made.mkdir(parents=True, exist_ok=True)

    @property
    def rabbit(self) -> RabbitNode:
        """The broker's node, for tests that kill it."""
        assert self._rabbit is not None, "this fleet was not told of its node"
        return self._rabbit

    # ------------------------------------------------------------------------------------------------ parts

    def start_coordinator(self, *, ready: bool = True, **environment: str) -> Part:
        """`longshore coordinator`; one at a time. With `ready` it is waited for."""
        part = self._start("coordinator", ["coordinator"], environment)
        self.coordinator = part
        if ready:
            self.wait_ready(part)
        return part

    def wait_ready(self, part: Part, *, within: float = READY_WITHIN) -> None:
        """Wait until a coordinator says that it is ready."""

        def ready() -> bool:
            assert part.alive, f"{part.name} ended with {part.wait(0)}:\n{part.words()[-4000:]}"
            return "ready" in part.words()

        eventually_sync(ready, within=within, what=f"{part.name} being ready")

    def start_workers(
        self,
        *,
        processes: int = 1,
        slots: int = 16,
        ready: bool = True,
        grace: str = "",
        pool: str = "default",
        **environment: str,
    ) -> Part:
        """`longshore worker`: a supervisor and its processes. With `ready` the ledger's word on each is waited for."""
        arguments = ["worker", *self.modules, "--processes", str(processes), "--slots", str(slots)]
        arguments += ["--pool", pool]
        part = self._start(f"worker-{len(self.parts)}", arguments, environment)
        if ready:
            self.wait_joined(part, processes)
        return part

    def wait_joined(self, part: Part, processes: int, *, within: float = READY_WITHIN) -> list[int]:
        """Wait until the ledger has a session for so many processes of this supervisor; gives their ids."""

        def joined() -> list[int]:
            assert part.alive, f"{part.name} ended with {part.wait(0)}:\n{part.words()[-4000:]}"
            known = self.rows.open_sessions()
            return [pid for pid in part.children() if pid in known]

        return eventually_sync(
            lambda: (pids := joined()) if len(joined()) >= processes else [], within=within, what=f"{part.name} joining"
        )

    def client(self, **options: object) -> Client:
        """A client of this fleet, not yet open."""
        return Client(settings=self.settings(), telemetry=Telemetry(), **options)  # type: ignore[arg-type]

    def settings(self) -> Settings:
        """The settings of every part."""
        return load(**self._given)

    def close(self) -> None:
        """kill -9 of everything that lives."""
        for part in self.parts:
            part.kill()

    def words(self) -> Iterator[str]:
        """The ends of all logs."""
        for part in self.parts:
            state = "alive" if part.alive else "ended"
            yield f"----- {part.name} (pid {part.pid}, {state})\n{part.words()[-_LOG_SHOWN:]}"

    def _start(self, name: str, arguments: list[str], environment: Mapping[str, str]) -> Part:
        command = [sys.executable, "-m", "longshore.cli", *arguments]
        log = self.folder / f"{len(self.parts):02}-{name}.log"
        part = Part(name, command, self._environment() | dict(environment), log)
        self.parts.append(part)
        return part

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LONGSHORE_", "OTEL_"))}
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        given = {f"LONGSHORE_{name.upper()}": value for name, value in self._given.items()}
        return kept | given | {"PYTHONPATH": path, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}


# ------------------------------------------------------------------------------------------------------ processes


def _parents() -> dict[int, int]:
    """The parent of every process that lives (zombies are dead)."""
    found: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if fields[0] not in "ZX":
                found[int(entry.name)] = int(fields[1])
    return found


def _below(pid: int) -> list[int]:
    """All descendants of a process."""
    parents = _parents()
    found, front = [], [pid]
    while front:
        front = [child for child, parent in parents.items() if parent in front]
        found += front
    return found


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
