"""A private PostgreSQL for tests: a cluster of its own in a folder, on a Unix socket, without durability.

It runs as a user who may run it (root may not), and ends with the test session.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

from tests.support.wait import eventually_sync

STARTS_WITHIN: Final = 30.0
ENDS_WITHIN: Final = 10.0
SETTINGS: Final = {"fsync": "off", "listen_addresses": "", "max_connections": "50", "shared_buffers": "16MB"}
_RUNNERS: Final = ("postgres", "nobody")


def programs() -> Path | None:
    """Where the newest PostgreSQL's programs are; None: it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).resolve().parent if elsewhere else None


class PostgresNode:
    """`with PostgresNode() as node: node.database()` gives the URL of a new, empty database."""

    def __init__(self) -> None:
        found = programs()
        assert found is not None, "PostgreSQL is not installed: scripts/servers.sh installs it"
        self._programs = found
        self._folder = Path(tempfile.mkdtemp(prefix="longshore-pg-"))
        self._user = _runner()
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            os.chown(self._folder, entry.pw_uid, entry.pw_gid)
        data = self._folder / "data"
        self._execute("initdb", "-D", str(data), "-U", "tests", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        log = (self._folder.parent / f"{self._folder.name}.log").open("wb")
        with log:
            self._server = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(data), "-k", str(self._folder), *options],
                user=self._user, cwd="/", stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        eventually_sync(self._ready, within=STARTS_WITHIN, what="PostgreSQL being ready")
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(ENDS_WITHIN)
            self._server.kill()
            self._server.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder.parent / f"{self._folder.name}.log").unlink(missing_ok=True)

    def database(self, driver: str = "psycopg") -> str:
        """The SQLAlchemy URL of a new database."""
        name = f"db_{secrets.token_hex(4)}"
        self._execute("createdb", "-h", str(self._folder), "-U", "tests", name)
        return f"postgresql+{driver}://tests@/{name}?host={self._folder}"

    def _ready(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, "PostgreSQL ended at once"
        command = [str(self._programs / "pg_isready"), "-q", "-h", str(self._folder), "-U", "tests"]
        return subprocess.run(command, check=False).returncode == 0

    def _execute(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            user=self._user, cwd="/", capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"{program} ended with {done.returncode}: {done.stderr}"


def _runner() -> str | None:
    """Whom it runs as; None: as we are."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _RUNNERS if name in names)
