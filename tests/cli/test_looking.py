"""Looking at runs, one and many, typed beside a real `longshore dev`: what is shown, pages, what an order would hit."""

from __future__ import annotations

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
