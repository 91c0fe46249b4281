"""`longshore runs pause | resume | reschedule`, typed beside a real `longshore dev`."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Terminal
from tests.support.wait import eventually_sync

NOBODY = "01900000-0000-7000-8000-000000000000"


def test_a_run_is_paused_resumed_and_rescheduled(dev: Terminal) -> None:
    run_id = dev.json("trigger", "add", "--arg", "a=1", "--delay", "1h")["run_id"]
    assert dev.json("runs", "pause", run_id, "--reason", "lunch") == {"run_id": run_id, "status": "BLOCKED"}
    assert "lunch" in dev.run("runs", "why", run_id).stdout
    again = dev.run("runs", "pause", run_id)
    assert again.returncode == 2 and "is BLOCKED; only what is neither" in again.stderr
    assert dev.run("runs", "resume", run_id).stdout.strip() == "DELAYED"
    assert dev.json("runs", "reschedule", run_id, "--at", "2026-01-01T00:00:00Z")["run_id"] == run_id
    eventually_sync(lambda: dev.json("runs", "show", run_id)["status"] == "COMPLETED", within=30)
    late = dev.run("runs", "reschedule", run_id, "--delay", "1m")
    assert late.returncode == 2 and "only what is DELAYED can be rescheduled" in late.stderr
    assert [row["valid"] for row in dev.lines("runs", "history", run_id)].count(False) == 2


def test_a_run_at_work_is_paused_later_and_the_command_says_so(dev: Terminal) -> None:
    run_id = dev.json("trigger", "nap", "--arg", "seconds=600")["run_id"]
    eventually_sync(lambda: dev.json("runs", "show", run_id)["status"] == "EXECUTING", within=30)
    done = dev.run("runs", "pause", run_id)
    assert (done.returncode, done.stdout.strip()) == (0, "EXECUTING") and "BLOCKED when it next waits" in done.stderr
    assert dev.run("runs", "cancel", run_id).returncode == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "give either --delay or --at"),
        (["--delay", "1m", "--at", "2026-01-01T00:00:00Z"], "give either --delay or --at"),
        (["--delay", "soon"], "--delay 'soon'"),
        (["--delay", "31d"], "'31d' is over 30 days"),
        (["--at", "tomorrow"], "--at 'tomorrow' is no time"),
        (["--at", "2999-01-01T00:00:00Z"], "must be within 30 days from now"),
    ],
)
def test_a_time_that_cannot_be_is_a_usage_error(dev: Terminal, words: list[str], text: str) -> None:
    done = dev.run("runs", "reschedule", NOBODY, *words)
    assert (done.returncode, done.stdout) == (2, "") and text in done.stderr


def test_a_run_that_has_ended_is_run_again(dev: Terminal) -> None:
    run_id = dev.json("trigger", "add", "--arg", "a=20", "--wait")["run_id"]
    again = dev.json("runs", "rerun", run_id, "--wait")
    assert (again["result"], again["cached"], again["run_id"] != run_id) == (21, False, True)
    told = dev.json("runs", "rerun", run_id, "--version", "1.0.0")
    assert told["rerun_of"] == run_id
    assert run_id in dev.run("runs", "show", told["run_id"]).stdout
    wrong = dev.run("runs", "rerun", run_id, "--version", "new")
    assert wrong.returncode == 2 and "'new' is no version" in wrong.stderr


@pytest.mark.parametrize("order", ["pause", "resume", "reschedule", "rerun"])
def test_an_unknown_run_is_named(dev: Terminal, order: str) -> None:
    words = ["--delay", "1m"] if order == "reschedule" else []
    done = dev.run("runs", order, NOBODY, *words)
    assert done.returncode == 2 and f"there is no run {NOBODY}" in done.stderr
