"""Runs docker-compose.yml with podman, servers replaced by images at hand, and checks what it promises.

Checked: each service becomes healthy in the order the file asks for; a run triggered inside a worker's container ends
COMPLETED; its trace arrives; a worker killed in the middle of a run does not stop that run from ending; SIGTERM ends
each part with status 0 within its grace. It removes every container, volume and network it made. See the .sh beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "longshore-check-"
PODMAN = ["podman", "--runtime", "runc"]
LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]
RABBIT = (
    r'printf "default_user = %s\ndefault_pass = %s\nlisteners.tcp.default = 0.0.0.0:5672\n"'
    ' "$RABBITMQ_DEFAULT_USER" "$RABBITMQ_DEFAULT_PASS" > /etc/rabbitmq/rabbitmq.conf'
    " && chown -R rabbitmq:rabbitmq /var/lib/rabbitmq && exec /usr/sbin/rabbitmq-server"
)
KNOCK = "import socket; socket.create_connection(('127.0.0.1', {port}), 2).close()"
BUCKET = (
    "import boto3; boto3.client('s3', endpoint_url='http://127.0.0.1:8333', region_name='us-east-1',"
    " aws_access_key_id='longshore', aws_secret_access_key='longshore-secret').create_bucket(Bucket='longshore')"
)
SERVERS: dict[str, dict[str, Any]] = {  # what stands in for the images of a registry: command, health, environment
    "rabbitmq": {
        "command": ["sh", "-c", RABBIT],
        "health": ["rabbitmq-diagnostics", "-q", "check_port_connectivity"],
    },
    "seaweedfs": {
        "command": ["ministack"],
        "health": ["python", "-c", KNOCK.format(port=8333)],
        "environment": {"BIND_HOST": "0.0.0.0", "GATEWAY_PORT": "8333"},
    },
    "jaeger": {
        "command": ["sh", "-c", "tail -f /dev/null | python -m tests.support.otlp --host 0.0.0.0 --port 4318"],
        "health": ["python", "-c", KNOCK.format(port=4318)],
    },
}


class House:
    """The services of the compose file as containers."""

    def __init__(self, images: argparse.Namespace) -> None:
        self.services: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        self._images = images
        self._volumes: set[str] = set()
        self.started: list[str] = []

    def open(self) -> None:
        podman("network", "create", PREFIX + "net")
        for name in self.in_order():
            say(f"starting {name}")
            self._start(name)
            self.wait_healthy(name)
            if name == "seaweedfs":
                self.run_in(name, ["python", "-c", BUCKET])

    def in_order(self) -> list[str]:
        """The services, each after what it waits for."""
        done: list[str] = []
        while len(done) < len(self.services):
            ready = [name for name in self.services if name not in done and self._needs(name) <= set(done)]
            done.append(ready[0])
        return done

    def wait_healthy(self, name: str, within: float = 120.0) -> None:
        """Until its health check says yes; fails with what it says and the container's last lines."""
        deadline = time.monotonic() + within
        while True:
            done = execute([*PODMAN, "exec", PREFIX + name, *self._health(name)], check=False)
            if done.returncode == 0:
                return
            if time.monotonic() > deadline:
                logs = execute([*PODMAN, "logs", "--tail", "40", PREFIX + name], check=False)
                sys.exit(f"{name} did not become healthy: {done.stdout}{done.stderr}\n{logs.stdout}{logs.stderr}")
            time.sleep(1)

    def run_in(self, name: str, command: list[str], *, timeout: float = 120) -> str:
        """What the command prints, executed inside the service's container."""
        return execute([*PODMAN, "exec", PREFIX + name, *command], timeout=timeout).stdout

    def try_in(self, name: str, command: list[str]) -> subprocess.CompletedProcess[str]:
        """What came of the command inside the service's container, whether it worked or not."""
        return execute([*PODMAN, "exec", PREFIX + name, *command], check=False)

    def stop(self, name: str) -> None:
        """SIGTERM, and the grace the file gives; fails unless it ends with status 0."""
        grace = int(str(self.services[name].get("stop_grace_period", "10s")).removesuffix("s"))
        begun = time.monotonic()
        podman("stop", "--time", str(grace), PREFIX + name)
        status = podman("inspect", "--format", "{{.State.ExitCode}}", PREFIX + name).strip()
        say(f"{name} ended with status {status} after {time.monotonic() - begun:.1f} s")
        if status != "0":
            sys.exit(f"{name} should end with status 0 within {grace} s of SIGTERM")

    def close(self) -> None:
        for name in reversed(self.started):
            execute([*PODMAN, "rm", "--force", "--time", "1", PREFIX + name], check=False)
        for volume in self._volumes:
            execute([*PODMAN, "volume", "rm", "--force", volume], check=False)
        execute([*PODMAN, "network", "rm", "--force", PREFIX + "net"], check=False)

    def _start(self, name: str) -> None:
        service, server = self.services[name], SERVERS.get(name, {})
        image = (
            self._images.longshore
            if not server
            else self._images.rabbitmq
            if name == "rabbitmq"
            else self._images.servers
        )
        environment = {**service.get("environment", {}), **server.get("environment", {})}
        options = [f"--env={key}={value}" for key, value in environment.items()]
        options += [f"--volume={self._volume(text)}" for text in service.get("volumes", [])]
        if name == "jaeger":
            options += [f"--volume={ROOT / 'tests'}:/house/tests:ro", "--workdir=/house"]
        if "hostname" in service:
            options.append(f"--hostname={service['hostname']}")
        command = server.get("command") or service["command"]
        self.started.append(name)
        podman(
            "run", "--detach", "--no-healthcheck", *LIMITS, f"--network={PREFIX}net", f"--network-alias={name}",
            f"--name={PREFIX}{name}", *options, image, *command,
        )  # fmt: skip

    def _needs(self, name: str) -> set[str]:
        return set(self.services[name].get("depends_on", {}))

    def _health(self, name: str) -> list[str]:
        if name in SERVERS:
            health: list[str] = SERVERS[name]["health"]
            return health
        told = json.loads(podman("image", "inspect", self._images.longshore))[0]["Healthcheck"]["Test"]
        return list(told[1:])  # without the word CMD

    def _volume(self, text: str) -> str:
        source, _, rest = text.partition(":")
        if source.startswith("."):
            return f"{(ROOT / source).resolve()}:{rest}"
        self._volumes.add(PREFIX + source)
        return f"{PREFIX}{source}:{rest}"


def check(house: House) -> None:
    """What the compose file promises."""
    say("a run from inside a worker's container")
    run = trigger(house, "worker-1", "--wait")
    expect(run["status"] == "COMPLETED", f"the run ended {run['status']}: {run}")
    spans = len(json.loads(house.run_in("jaeger", ["python", "-c", SPANS])))
    expect(spans > 0, "no span of it arrived")
    say(f"COMPLETED, {spans} spans")

    say("a worker killed in the middle of a run")
    run = trigger(house, "worker-2")
    wait_status(house, run["run_id"], {"EXECUTING", "HANGING", "COMPLETED"})
    podman("kill", "--signal", "KILL", PREFIX + "worker-1")
    status = wait_status(house, run["run_id"], {"COMPLETED", "FAILED", "CRASHED", "BLOCKED", "CANCELED"})
    expect(status == "COMPLETED", f"the run of the killed worker ended {status}")
    house.started.remove("worker-1")
    podman("rm", "--force", PREFIX + "worker-1")

    for name in ("worker-2", "coordinator"):
        house.stop(name)


SPANS = """
import json, time, urllib.request
deadline, spans = time.monotonic() + 30, []
while not spans and time.monotonic() < deadline:
    with urllib.request.urlopen("http://127.0.0.1:4318/spans?more_than=0&within=5", timeout=20) as answer:
        spans = json.loads(answer.read())
print(json.dumps(spans))
"""


def trigger(house: House, name: str, *options: str) -> dict[str, Any]:
    """The run as `longshore trigger --json` gives it."""
    words = ["longshore", "trigger", "stdlib.report", "--json", *options]
    run: dict[str, Any] = json.loads(house.run_in(name, words, timeout=300))
    return run


def wait_status(house: House, run_id: str, wanted: set[str], within: float = 180.0) -> str:
    """The run's status as soon as it is one of the wanted. On a machine this busy an answer may not come in time."""
    deadline = time.monotonic() + within
    while True:
        asked = house.try_in("worker-2", ["longshore", "runs", "show", run_id, "--json"])
        run = json.loads(asked.stdout) if asked.returncode == 0 else {"status": "unknown", "why_waiting": asked.stdout}
        if run["status"] in wanted:
            return str(run["status"])
        expect(time.monotonic() < deadline, f"the run stays {run['status']}: {run.get('why_waiting')}")
        time.sleep(0.5)


def execute(command: list[str], *, check: bool = True, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def podman(*words: str) -> str:
    return execute([*PODMAN, *words]).stdout


def say(text: str) -> None:
    print(f"== {text}", flush=True)


def expect(truth: bool, otherwise: str) -> None:
    if not truth:
        sys.exit(otherwise)


def main() -> None:
    parser = argparse.ArgumentParser()
    for image in ("longshore", "rabbitmq", "servers"):
        parser.add_argument(f"--{image}", required=True)
    house = House(parser.parse_args())
    try:
        house.open()
        check(house)
    finally:
        house.close()
    say("the containers keep their promises")


if __name__ == "__main__":
    main()
