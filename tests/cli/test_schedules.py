"""`longshore schedules ...`, typed beside a real `longshore dev`."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Terminal
from tests.support.wait import eventually_sync


def test_a_schedule_is_created_seen_paused_resumed_and_deleted_and_its_runs_are_listed(dev: Terminal) -> None:
    words = ("schedules", "create", "add", "--every", "1s", "--arg", "a=20", "--arg", "b=22", "--tag", "often")
    made = dev.json(*words)
    assert (made["schedule_id"], made["created"], made["every_ms"]) == ("add", True, 1000)
    again = dev.run(*words)
    assert again.stdout.strip() == "add" and "there already" in again.stderr
    runs = eventually_sync(
        lambda: dev.lines("runs", "list", "--schedule", "add", "--status", "COMPLETED"), within=30, what="a run"
    )
    assert dev.json("runs", "show", runs[0]["run_id"])["result"] == 42
    assert runs[0]["tags"] == ["often"]
    assert "every 1s" in dev.run("schedules", "list").stdout
    shown = dev.run("schedules", "show", "add").stdout
    assert "a=20, b=22" in shown and "often" in shown
    paused = dev.run("schedules", "pause", "add")
    assert "schedules resume add" in paused.stdout
    (row,) = (one for one in dev.lines("schedules", "list", "--routine", "add") if one["schedule_id"] == "add")
    assert row["paused"] and row["next_at"] is None and row["note"].startswith("paused by ")
    assert "next at" in dev.run("schedules", "resume", "add").stdout
    assert dev.json("schedules", "delete", "add") == {"schedule_id": "add", "deleted": True}
    assert dev.lines("runs", "list", "--schedule", "add")


def test_the_next_ticks_are_told_in_the_schedules_zone(dev: Terminal) -> None:
    made = dev.json("schedules", "create", "add", "--id", "night", "--cron", "30 2 * * *", "--zone", "Europe/Berlin")
    assert made["timezone"] == "Europe/Berlin"
    lines = dev.run("schedules", "next", "night", "-n", "3").stdout.splitlines()
    assert len(lines) == 3 and all(" 02:30:00 CE" in line or " 03:00:00 CEST" in line for line in lines)
    assert len(dev.json("schedules", "next", "night")["upcoming"]) == 5
    changed = dev.json("schedules", "create", "add", "--id", "night", "--cron", "0 3 * * *", "--replace", "--paused")
    assert (changed["created"], changed["changed"], changed["paused"]) == (False, True, True)
    assert "it is paused" in dev.run("schedules", "next", "night").stderr
    dev.run("schedules", "delete", "night")


def test_the_runs_of_a_schedule_have_the_options_of_a_trigger(dev: Terminal) -> None:
    words = "--concurrency-key k --retry-first 1s --retry-factor 3 --retry-max 9s --version 1.0.0 --version-deadline 1h"
    made = dev.json("schedules", "create", "add", "--id", "opted", "--every", "1h", "--paused", *words.split())
    assert made["options"] == {
        "concurrency_key": "k",
        "retry_first_ms": 1000,
        "retry_factor": 3.0,
        "retry_max_ms": 9000,
        "version": "1.0.0",
        "version_deadline_ms": 3_600_000,
    }
    dev.run("schedules", "delete", "opted")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["create", "add"], "either cron or every"),
        (["create", "add", "--cron", "61 * * * *"], "'61' is no minute"),
        (["create", "add", "--cron", "0 0 * *"], "has 4 fields; it must have 5"),
        (["create", "add", "--cron", "0 0 * * *", "--zone", "Europe/Berln"], "did you mean Europe/Berlin"),
        (["create", "add", "--cron", "0 0 * * *", "--every", "1h"], "either cron or every"),
        (["create", "add", "--every", "soon"], "--every 'soon'"),
        (["create", "add", "--every", "10ms"], "from 1s to 366d"),
        (["create", "add", "--every", "1h", "--missed", "all"], "--missed"),
        (["create", "add", "--every", "1h", "--catch-up-limit", "0"], "--catch-up-limit"),
        (
            ["create", "add", "--every", "1h", "--catch-up-limit", "5"],
            "--catch-up-limit is of the ticks that are caught up",
        ),
        (["create", "add", "--every", "1h", "--missed", "catch_up", "--grace", "1m"], "--grace is for --missed skip"),
        (["create", "add", "--every", "1h", "--metadata", '{"a": NaN}'], "only plain data (as in JSON)"),
        (["create", "1+1", "--every", "1h"], "is no routine name"),
        (["create", "add", "--every", "1h", "--id", "a b"], "is no schedule id"),
        (["pause", "nope"], "there is no schedule 'nope'"),
        (["resume", "nope"], "there is no schedule 'nope'"),
        (["delete", "nope"], "there is no schedule 'nope'"),
        (["show", "nope"], "there is no schedule 'nope'"),
        (["next", "nope"], "there is no schedule 'nope'"),
        (["next", "nope", "-n", "101"], "less than or equal to 100"),
    ],
)
def test_what_cannot_be_is_a_usage_error_and_nothing_is_made(dev: Terminal, words: list[str], text: str) -> None:
    done = dev.run("schedules", *words, "--json")
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert text in json.loads(done.stderr)["error"]["message"]
    assert dev.lines("schedules", "list") == []
