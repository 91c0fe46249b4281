"""Keys and debounces on the command line, typed beside a real `longshore dev`."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Terminal
from tests.support.wait import eventually_sync


def test_a_key_makes_one_run_until_it_is_freed(dev: Terminal) -> None:
    words = ["trigger", "nap", "--arg", "seconds=0", "--idempotency-key", "mine", "--idempotency-ttl", "1h"]
    first = dev.json(*words, "--wait")
    assert dev.json(*words)["run_id"] == first["run_id"]
    assert dev.json("runs", "show", first["run_id"])["idempotency_key"] == "mine"
    told = dev.json("runs", "reset-key", "nap", "mine")
    assert (told["reset"], told["run_id"]) == (True, first["run_id"])
    assert dev.run("runs", "reset-key", "nap", "mine").stdout.strip() == "no run held this key of the producer default"
    assert dev.json(*words)["run_id"] != first["run_id"]


def test_a_key_is_its_producers_own(dev: Terminal) -> None:
    words = ["trigger", "nap", "--arg", "seconds=0", "--idempotency-key", "whose"]
    ours, shops = dev.json(*words)["run_id"], dev.json(*words, "--producer", "shop")["run_id"]
    assert ours != shops == dev.json(*words, "--producer", "shop")["run_id"]
    assert dev.json("runs", "show", shops)["producer"] == "shop"
    assert dev.json("runs", "reset-key", "nap", "whose", "--producer", "shop")["run_id"] == shops
    assert dev.json(*words)["run_id"] == ours


def test_triggers_with_a_debounce_are_one_run(dev: Terminal) -> None:
    words = ["--debounce-key", "k", "--debounce-delay", "10m", "--debounce-max-delay", "1h"]
    ids = [dev.json("trigger", "add", "--arg", f"a={number}", *words)["run_id"] for number in (500, 600)]
    assert ids[0] == ids[1]
    dev.json("runs", "reschedule", ids[0], "--delay", "0")
    eventually_sync(lambda: dev.json("runs", "show", ids[0]).get("result") == 601, within=30)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--idempotency-ttl", "1h"], "it is for an idempotency_key, and there is none"),
        (["--idempotency-key", "k", "--idempotency-ttl", "soon"], "--idempotency-ttl 'soon'"),
        (["--debounce-key", "k"], "a debounce needs a key and a delay"),
        (["--debounce-key", "k", "--debounce-delay", "1s", "--debounce-mode", "last"], "neither 'trailing' nor"),
        (["--debounce-key", "k", "--debounce-delay", "2s", "--debounce-max-delay", "1s"], "is shorter than the delay"),
        (["--debounce-key", "k", "--debounce-delay", "2s", "--delay", "1s"], "has a delay of its own"),
    ],
)
def test_what_cannot_be_is_a_usage_error(dev: Terminal, words: list[str], text: str) -> None:
    done = dev.run("trigger", "add", "--arg", "a=1", *words)
    assert (done.returncode, done.stdout) == (2, "") and text in done.stderr


def test_a_key_that_cannot_be_is_not_freed(dev: Terminal) -> None:
    done = dev.run("runs", "reset-key", "nap", "k" * 300)
    assert done.returncode == 2 and "1 to 256 characters" in done.stderr
