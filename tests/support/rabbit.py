"""A private RabbitMQ node for a test session, from Debian's package, beside any other node on the machine.

It starts when the first test asks for it, listens on ports of its own on 127.0.0.1, keeps its data in a temporary
folder and dies with the test process. With LONGSHORE_TEST_AMQP_URL set, tests that only need *a* broker use that one.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

import pytest

from tests.support.wait import eventually_sync

ELSEWHERE: Final = "LONGSHORE_TEST_AMQP_URL"
SCRIPTS: Final = Path("/usr/lib/rabbitmq/bin")

_GUARD: Final = Path(__file__).with_name("guard.py")
_START_WITHIN: Final = 60.0
_CTL_WITHIN: Final = 60.0
_VHOSTS_AT_ONCE: Final = 20
"""One call of rabbitmqctl takes seconds, whatever it does."""


class RabbitNode:
    """The node. `start` it before anything else."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="longshore-rabbit-"))
        self.port, self._dist_port, self._epmd_port = _free_ports(3)
        self.name = f"longshore{self.port}@localhost"
        self._guards: list[subprocess.Popen[bytes]] = []
        self._vhosts: list[str] = []
        self._write_config()

    def start(self) -> None:
        """Start the node and wait until it answers."""
        log = self.folder / "console.log"
        with log.open("ab") as console:
            self._guards = [
                _guarded(
                    ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"], self._environment(), console
                ),
                _guarded([str(SCRIPTS / "rabbitmq-server")], self._environment(), console),
            ]
        try:
            eventually_sync(self._ready, within=_START_WITHIN, what="RabbitMQ answering")
        except AssertionError as error:
            raise RuntimeError(f"RabbitMQ did not start:\n{log.read_text()[-4000:]}") from error

    def kill(self) -> None:
        """Kill -9 the node, all of it."""
        for guard in self._guards:
            assert guard.stdin is not None
            guard.stdin.close()
        for guard in self._guards:
            guard.wait(_CTL_WITHIN)
        self._guards = []

    def restart(self) -> None:
        """Kill -9 and start again on the same data."""
        self.kill()
        self.start()

    def remove(self) -> None:
        """Kill it and delete what it wrote."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, vhost: str, *, user: str = "guest", password: str = "guest") -> str:
        """The URL of a virtual host."""
        return f"amqp://{user}:{password}@127.0.0.1:{self.port}/{vhost}"

    def vhost(self) -> str:
        """The URL of a fresh virtual host."""
        if not self._vhosts:
            self._vhosts = self._make_vhosts()
        return self.url(self._vhosts.pop())

    def ctl(self, *arguments: str) -> str:
        """What rabbitmqctl says; RuntimeError when it fails."""
        command = [str(SCRIPTS / "rabbitmqctl"), "-q", "-n", self.name, *arguments]
        done = subprocess.run(
            command, env=self._environment(), capture_output=True, text=True, timeout=_CTL_WITHIN, check=False
        )
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def stop_app(self) -> None:
        """Stop RabbitMQ inside the node; clients lose their connections."""
        self.ctl("stop_app")

    def start_app(self) -> None:
        """Start it again."""
        self.ctl("start_app")

    def add_user(self, vhost: str, *, configure: str, write: str, read: str) -> tuple[str, str]:
        """A new user with these permissions on the virtual host; its name and password."""
        user, password = f"user-{secrets.token_hex(4)}", secrets.token_hex(8)
        self.ctl("add_user", user, password)
        self.ctl("set_permissions", "-p", vhost, user, configure, write, read)
        return user, password

    def _make_vhosts(self) -> list[str]:
        names = [f"test-{secrets.token_hex(4)}" for _ in range(_VHOSTS_AT_ONCE)]
        listed = ",".join(f'<<"{name}">>' for name in names)
        every = '<<".*">>, <<".*">>, <<".*">>'
        make = 'rabbit_vhost:add(V, <<"test">>)'
        allow = f'rabbit_auth_backend_internal:set_permissions(<<"guest">>, V, {every}, <<"test">>)'
        self.ctl("eval", f"[begin ok = {make}, ok = {allow} end || V <- [{listed}]].")
        return names

    def _ready(self) -> bool:
        if self._guards[1].poll() is not None:
            raise RuntimeError(f"RabbitMQ ended:\n{(self.folder / 'console.log').read_text()[-4000:]}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as knock:
                knock.sendall(b"AMQP\x00\x00\x09\x01")
                return knock.recv(1) == b"\x01"
        except OSError:
            return False

    def _write_config(self) -> None:
        config = f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlog.file.level = warning\nlog.console = false\n"
        (self.folder / "rabbitmq.conf").write_text(config + "vm_memory_high_watermark.relative = 0.6\n")
        (self.folder / "enabled_plugins").write_text("[].\n")

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return kept | {
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +SDcpu 1:1 +SDio 2 +sbwt none +sbwtdcpu none +sbwtdio none",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }


class RabbitElsewhere:
    """A broker that somebody else runs: only its URL is known."""

    def __init__(self, url: str) -> None:
        self._url = url

    def vhost(self) -> str:
        """Its URL; tests keep apart by their namespaces."""
        return self._url


def vhost_of(url: str) -> str:
    """The virtual host in a URL."""
    return urlsplit(url).path.removeprefix("/")


@pytest.fixture(scope="session")
def rabbit_node() -> Iterator[RabbitNode]:
    """The session's own node, for tests that stop, restart or reconfigure it."""
    if not (SCRIPTS / "rabbitmq-server").exists():
        if os.environ.get(ELSEWHERE):
            pytest.skip("needs a RabbitMQ node of its own: install the package rabbitmq-server")
        pytest.fail(f"install Debian's package rabbitmq-server, or set {ELSEWHERE}")
    node = RabbitNode()
    try:
        node.start()
        yield node
    finally:
        node.remove()


@pytest.fixture(scope="session")
def rabbit(request: pytest.FixtureRequest) -> RabbitNode | RabbitElsewhere:
    """A broker to talk to: the one that LONGSHORE_TEST_AMQP_URL names, else the session's own node."""
    elsewhere = os.environ.get(ELSEWHERE)
    if elsewhere:
        return RabbitElsewhere(elsewhere)
    node: RabbitNode = request.getfixturevalue("rabbit_node")
    return node


def _guarded(command: list[str], environment: dict[str, str], console: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(_GUARD), *command],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=console,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _free_ports(count: int) -> list[int]:
    held = []
    for _ in range(count):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        held.append(listener)
    ports = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports
