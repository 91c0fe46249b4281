"""Looking at runs, one and many, typed beside a real `longshore dev`: what is shown, pages, what an order would hit."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Terminal


def test_a_run_shows_what_it_was_asked_for(dev: Terminal) -> None:
    words = [
        "--delay",
        "1h",
        "--priority",
        "5",
        "--ttl",
        "2h",
        "--deadline",
        "3h",
        "--max-attempts",
        "4",
        "--pool",
        "big",
    ]
    run_id = dev.json("trigger", "add", "--arg", "a=1", *words, "--pool", "big")["run_id"]
    info = dev.json("runs", "show", run_id)
    assert (info["priority"], info["pool"], info["max_attempts"]) == (5.0, "big", 4)
    assert info["created_at"] < info["due_at"] < info["ttl_at"] < info["deadline_at"]
    shown = dict(line.split("  ", 1) for line in dev.run("runs", "show", run_id).stdout.splitlines())
    facts = {name.strip(): value.strip() for name, value in shown.items()}
    assert (facts["priority"], facts["pool"], facts["attempt"]) == ("5.0", "big", "0 of 4")
    assert {"due", "ttl until", "deadline"} <= facts.keys()
    assert dev.run("runs", "cancel", run_id).returncode == 0
    plain = dev.json("trigger", "add", "--arg", "a=1")["run_id"]
    assert not {"priority", "pool", "due", "deadline"} & set(dev.run("runs", "show", plain).stdout.split())


def test_a_trigger_says_when_a_run_was_there_already(dev: Terminal) -> None:
    words = ("trigger", "add", "--arg", "a=1", "--delay", "1h", "--idempotency-key", "only-one")
    first = dev.json(*words)
    assert first["existing"] is False
    again = dev.json(*words)
    assert (again["run_id"], again["existing"]) == (first["run_id"], True)
    said = dev.run(*words)
    assert said.stdout.strip() == first["run_id"] and "there was a run already" in said.stderr
    own = ("trigger", "add", "--arg", "a=1", "--run-id", "01890a5d-ac96-774b-bcce-b302099a8051")
    assert [dev.json(*own)["existing"] for _ in range(2)] == [False, True]
    ended = dev.json(*own, "--wait")
    assert (ended["existing"], ended["result"]) == (True, 2)
    dev.run("runs", "cancel", first["run_id"])


def test_a_watcher_without_time_sees_what_has_happened(dev: Terminal) -> None:
    run_id = dev.json("trigger", "add", "--arg", "a=1", "--wait")["run_id"]
    done = dev.run("runs", "watch", run_id, "--timeout", "0")
    assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith("COMPLETED"), done.stderr
    waits = dev.json("trigger", "add", "--arg", "a=1", "--delay", "1h")["run_id"]
    late = dev.run("runs", "watch", waits, "--timeout", "0")
    assert late.returncode == 1 and "has not ended within 0 s" in late.stderr
    assert late.stdout.startswith("DELAYED")
    dev.run("runs", "cancel", waits)


def test_why_it_is_run_again_stands_in_its_history(dev: Terminal) -> None:
    run_id = dev.json("trigger", "add", "--arg", "a=1", "--wait")["run_id"]
    again = dev.json("runs", "rerun", run_id, "--reason", "the disk is back")
    assert dev.lines("runs", "history", again["run_id"])[0]["reason"].endswith(": the disk is back")


@pytest.mark.parametrize("verb", ["cancel", "rerun"])
@pytest.mark.parametrize("option", ["--detach", "--dry-run"])
def test_what_is_of_many_does_not_go_with_one_run(dev: Terminal, verb: str, option: str) -> None:
    run_id = dev.json("trigger", "add", "--arg", "a=1", "--delay", "1h")["run_id"]
    done = dev.run("runs", verb, run_id, option)
    assert done.returncode == 2 and f"{option} is for many runs" in done.stderr
    assert dev.json("runs", "show", run_id)["status"] == "DELAYED"
    dev.run("runs", "cancel", run_id)


def test_lists_have_the_conditions_of_orders_and_as_many_rows_as_are_wanted(dev: Terminal) -> None:
    late = ["--delay", "1h", "--tag", "listed"]
    ids = [dev.json("trigger", "add", "--arg", "a=1", *late)["run_id"] for _ in range(3)]
    dev.run("runs", "cancel", ids[0])
    both = ("--status", "delayed", "--status", "CANCELED", "--tag", "listed", "--created-after", "2026-01-01T00:00Z")
    assert [one["run_id"] for one in dev.lines("runs", "list", *both)] == ids[::-1]
    assert len(dev.lines("runs", "list", *both, "--limit", "100000")) == 3
    first = dev.lines("runs", "list", *both, "--limit", "2")
    rest = dev.lines("runs", "list", *both, "--cursor", str(first[-1]["no"]))
    assert [one["run_id"] for one in first + rest] == ids[::-1]
    people = dev.run("runs", "list", *both, "--limit", "2")
    assert f"--cursor {first[-1]['no']}" in people.stderr and ids[2] in people.stdout
    assert dev.lines("runs", "list", "--tag", "listed", "--created-before", "2026-01-01T00:00Z") == []
    parent = dev.json("trigger", "both", "--arg", "a=1", "--arg", "b=2", "--wait")["run_id"]
    assert {one["parent_id"] for one in dev.lines("runs", "list", "--parent", parent)} == {parent}
    assert len(dev.lines("runs", "list", "--parent", parent, "--version", "1.0.0")) == 3
    wrong = dev.run("runs", "list", "--parent", "mine")
    assert wrong.returncode == 2 and "no run id" in wrong.stderr
    before = dev.json("runs", "cancel", "--tag", "listed", "--dry-run")
    assert (before["what"], before["filter"], before["fits"]) == ("cancel", {"tag": "listed"}, 2)
    assert [one["run_id"] for one in before["runs"]] == ids[1:]
    said = dev.run("runs", "rerun", "--tag", "listed", "--dry-run").stdout
    assert "1 runs fit; nothing is ordered" in said and ids[0] in said
    assert {one["status"] for one in dev.lines("runs", "list", *both)} == {"DELAYED", "CANCELED"}
    assert dev.json("runs", "cancel", "--tag", "listed", "--yes")["done"] == 2
