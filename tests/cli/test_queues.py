"""`longshore queues ...` and the options about queues, typed beside a real `longshore dev`."""

from __future__ import annotations

import inspect

import pytest

from longshore.cli.trigger import trigger
from longshore.client.orders import RunOptions
from tests.cli.conftest import Terminal
from tests.support.wait import eventually_sync

NEVER_TYPED = {"batch_id"}
"""What the command line has another way for: a batch is a file of triggers."""
OTHER_WORDS = {"debounce": "debounce_key"}


def test_every_option_of_a_trigger_can_be_typed() -> None:
    typed = set(inspect.signature(trigger).parameters)
    assert {OTHER_WORDS.get(name, name) for name in RunOptions.__annotations__ if name not in NEVER_TYPED} <= typed


def test_a_limited_queue_is_shown_with_what_waits_and_why(dev: Terminal) -> None:
    assert (
        dev.run("queues", "limit", "narrow", "--concurrency", "1", "--create").stdout == "narrow: at most 1 at once\n"
    )
    words = ("trigger", "nap", "--arg", "seconds=60", "--queue", "narrow", "--concurrency-key", "acme")
    first, second = (dev.json(*words)["run_id"] for _ in range(2))

    def one_executes() -> bool:
        return bool(dev.json("runs", "show", first)["status"] == "EXECUTING")

    eventually_sync(one_executes, within=10)
    (row,) = [one for one in dev.lines("queues", "list") if one["name"] == "narrow"]
    assert (row["queued"], row["executing"], row["limit"], row["paused"]) == (1, 1, 1, False)
    assert row["oldest_at"] == dev.json("runs", "show", second)["queued_at"]
    header, *lines = dev.run("queues", "list").stdout.splitlines()
    assert " ".join(header.split()) == "NAME QUEUED EXECUTING LIMIT PER KEY RATE MAX SIZE PAUSED OLDEST"
    assert next(line for line in lines if line.startswith("narrow ")).split()[:4] == ["narrow", "1", "1", "1"]
    why = dev.json("runs", "why", second)
    assert (why["kind"], why["holders"], why["position"]) == ("limit", [first], 0)
    assert why["text"] == "queue 'narrow' has its limit of 1: 1 execute"
    assert [one["run_id"] for one in dev.lines("runs", "list", "--queue", "narrow")] == [second, first]
    found = dev.lines("runs", "list", "--queue", "narrow", "--key", "acme", "--status", "queued")
    assert [(one["run_id"], one["concurrency_key"]) for one in found] == [(second, "acme")]
    assert dev.lines("runs", "list", "--key", "nobody") == []
    assert "acme" in dev.run("runs", "show", second).stdout
    for run_id in (second, first):
        dev.json("runs", "cancel", run_id)


def test_a_paused_queue_starts_nothing_until_it_is_resumed(dev: Terminal) -> None:
    assert dev.json("queues", "limit", "calm", "--max-size", "1", "--create")["max_size"] == 1
    paused = dev.json("queues", "pause", "calm")
    assert paused["paused"] and paused["paused_at"]
    assert dev.json("queues", "pause", "calm")["paused_at"] == paused["paused_at"]
    run_id = dev.json("trigger", "nap", "--arg", "seconds=0", "--queue", "calm")["run_id"]
    assert dev.json("runs", "why", run_id)["kind"] == "paused"
    assert "; paused since 2" in dev.run("queues", "limit", "calm", "--rate", "10/1m").stdout
    full = dev.run("trigger", "nap", "--arg", "seconds=0", "--queue", "calm")
    assert "queue 'calm' is full: 1 runs wait in it, and its max_size is 1" in full.stderr
    assert full.returncode == 1
    assert dev.run("queues", "resume", "calm").stdout == "calm: at most 10/1m starts, 1 waiting\n"
    assert dev.run("runs", "watch", run_id).returncode == 0
    lifted = dev.json("queues", "limit", "calm", "--max-size", "none", "--rate", "none")
    assert (lifted["max_size"], lifted["rate"]) == (None, None)
    early = dev.run("queues", "pause", "not-yet-used", "--create")
    assert early.stdout.startswith("not-yet-used: no limits; paused since 2")
    assert dev.run("queues", "resume", "not-yet-used").stdout == "not-yet-used: no limits\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("limit", "nap", "--concurrency", "5"), "there is no queue 'nap': no run and no routine names it"),
        (("limit", "defualt", "--concurrency", "5"), "did you mean default"),
        (("pause", "nobody"), "there is no queue 'nobody'"),
        (("resume", "nobody"), "there is no queue 'nobody'"),
        (("limit", "default"), "nothing to change: give --concurrency, --per-key, --rate or --max-size"),
        (("limit", "default", "--rate", "often"), "'often' is no rate: write starts/period"),
        (("limit", "default", "--rate", "1/2d"), "out of range: 1 to 1000000 starts per 100ms to 1d"),
        (("limit", "default", "--concurrency", "many"), "--concurrency 'many' is no number of runs"),
        (("limit", "default", "--per-key", "0"), "key_limit is 0; it must be from 1 to 1000000"),
        (("limit", "default", "--max-size", "1000001"), "max_size is 1000001; it must be from 0 to 1000000"),
        (("limit", "*", "--per-key", "2"), "the namespace has a limit and a rate"),
        (("limit", "q" * 257, "--concurrency", "1", "--create"), "a queue's name has 1 to 256 characters"),
    ],
)
def test_a_wrong_order_is_refused_with_the_rule_and_status_2(dev: Terminal, words: tuple[str, ...], text: str) -> None:
    done = dev.run("queues", *words)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert text in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_wrong_options_about_queues_are_refused_with_status_2(dev: Terminal) -> None:
    for words, text in (
        (("trigger", "nap", "--queue", "*"), "'*' stands for the whole namespace"),
        (("trigger", "nap", "--queue", "q" * 257), "option queue: 257 characters, at most 256 are kept"),
        (
            ("trigger", "nap", "--concurrency-key", "k" * 257),
            "option concurrency_key: 257 characters, at most 256 are kept",
        ),
        (("runs", "list", "--key", "k" * 257), "`concurrency_key` must be a text of at most 256 characters"),
    ):
        done = dev.run(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert text in " ".join(done.stderr.split())
