"""The demo: on the embedded default, and the same module on RabbitMQ with two workers, by the README's commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from longshore.demo import find_packages, join_packages, parse_package
from tests.cli.conftest import ROOT, Terminal, end
from tests.support.ledger_rows import LedgerRows
from tests.support.rabbit import RabbitElsewhere, RabbitNode
from tests.support.wait import eventually_sync

EXECUTING = "SELECT count(*) FROM run WHERE routine = 'stdlib.parse' AND status = 'EXECUTING'"


def test_the_packages_are_the_folders_of_the_standard_library_without_tests_and_site_packages() -> None:
    found = {package["package"]: package for package in find_packages.function()}
    assert found["(top level)"]["folder"] == sysconfig.get_paths()["stdlib"]
    assert {"json", "asyncio", "importlib.metadata"} <= set(found)
    assert not [name for name in found if "test" in name.split(".") or "site-packages" in name]


def test_a_folder_is_parsed_and_folders_are_joined(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "import os.path, sys\n\n\nclass A:\n    def long(self):\n        pass\n        pass\n"
    )
    (tmp_path / "two.py").write_text("from os import sep\nfrom . import x\n\n\nasync def short(): ...\n")
    part = parse_package.function("mine", str(tmp_path), "digest", "3")
    assert (part["files"], part["lines"], part["classes"]) == (2, 12, 1)
    assert part["imports"] == {"os": 2, "sys": 1}
    assert part["functions"] == [
        {"name": "long", "file": "one.py", "line": 5, "lines": 3},
        {"name": "short", "file": "two.py", "line": 5, "lines": 1},
    ]
    report = join_packages.function([part, part], 1)
    assert report["totals"] == {"packages": 2, "files": 4, "lines": 24, "bytes": 274, "classes": 2, "functions": 4}
    assert report["longest_functions"][0]["name"] == "long"
    assert report["most_imported"] == [{"module": "os", "times": 4}]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What `longshore demo --json` says in an empty folder."""
    document: dict[str, object] = Terminal(tmp_path_factory.mktemp("demo")).json("demo")
    return document


def test_the_demo_shows_results_offloaded_values_and_a_second_run_from_the_cache(shown: dict[str, object]) -> None:
    packages = len(find_packages.function())
    assert shown["result"]["totals"]["packages"] == packages  # type: ignore[index]
    assert len(shown["runs"]) == packages + 3  # type: ignore[arg-type]
    calls = {run["call"] for run in shown["runs"] if run["routine"] == "stdlib.parse"}  # type: ignore[attr-defined]
    assert len(calls) == packages  # each can be told from its siblings
    assert shown["offloaded"] >= 2  # type: ignore[operator]
    assert shown["seconds"] < 60  # type: ignore[operator]
    second = shown["second"]
    assert second["same_result"] is True  # type: ignore[index]
    assert second["cached"] == packages + 1  # type: ignore[index]
    assert {"WORKING", "IDLE"} <= {state for states in shown["worker_states"].values() for state in states}  # type: ignore[attr-defined]


def test_the_demo_leaves_nothing_behind_and_reads_well_in_a_pipe(terminal: Terminal) -> None:
    done = terminal.run("demo", within=90)
    assert done.returncode == 0, done.stderr
    assert list(terminal.folder.iterdir()) == []
    for said in ("functions in", "The longest functions", "█", "Offloaded", "→", "from the cache", "longshore dev"):
        assert said in done.stdout + done.stderr, said


@pytest.fixture
def fleet(
    tmp_path: Path, rabbit: RabbitNode | RabbitElsewhere
) -> Iterator[tuple[Terminal, list[subprocess.Popen[str]]]]:
    """A coordinator and two workers on RabbitMQ, started by the README's three commands."""
    places = {"LONGSHORE_BROKER_URL": rabbit.vhost(), "LONGSHORE_HTTP_ADDRESS": "127.0.0.1:0"}
    here = Terminal(tmp_path, places | {"LONGSHORE_LEASE": "12s"})  # so long nothing happens after the kill
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with ExitStack() as stack:
        processes = []
        for words in (("coordinator",), *[("worker", "examples.stdlib_report", "--processes", "1")] * 2):
            processes.append(here.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            stack.callback(end, processes[-1])
        yield here, processes


def test_on_rabbitmq_with_two_workers_of_which_one_is_killed(
    fleet: tuple[Terminal, list[subprocess.Popen[str]]],
) -> None:
    here, (_, first, _) = fleet
    ledger = LedgerRows(here.folder / ".longshore" / "ledger.db")
    eventually_sync(lambda: len(ledger.open_sessions()) == 2, within=40)
    assert len(here.run("workers", "list", "--json").stdout.splitlines()) == 2
    run_id = here.run("trigger", "stdlib.report", "--arg", "top=3").stdout.strip()
    eventually_sync(lambda: ledger.ask(EXECUTING) != [(0,)], within=30)  # a command takes as long as all of them
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    for pid in (first.pid, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    assert here.run("runs", "watch", run_id, "--timeout", "60", within=70).returncode == 0
    result = json.loads(here.run("runs", "show", run_id, "--json").stdout)["result"]
    assert result["totals"]["packages"] == len(find_packages.function())
    assert len(result["longest_functions"]) == 3
