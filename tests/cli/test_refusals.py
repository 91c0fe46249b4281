"""Bad input on the command line: each is refused with the rule and exit status 2, and nothing is stored. The commands
run in this process, beside a real `longshore dev`, where nothing else is ever triggered."""

from __future__ import annotations

import json

import pytest

from longshore.cli.app import run
from tests.cli.conftest import Terminal

NOBODY = "01900000-0000-7000-8000-000000000000"


@pytest.fixture
def here(dev: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """The folder of `longshore dev`, and its environment, for this process."""
    monkeypatch.chdir(dev.folder)
    for name in ("LONGSHORE_BROKER_URL", "LONGSHORE_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    return dev


@pytest.mark.parametrize(
    ("words", "said"),
    [
        *[((*words, NOBODY), f"there is no run {NOBODY}") for words in (
            ("runs", "show"), ("runs", "history"), ("runs", "tree"), ("runs", "why"), ("runs", "watch"),
            ("runs", "cancel"), ("runs", "resume"),
        )],
        (("runs", "signal", NOBODY, "go"), f"there is no run {NOBODY}"),
        (("runs", "fork", NOBODY, "--at", "0:0"), f"there is no run {NOBODY}"),
        (("runs", "show", "17"), "'17' is no run id"),
        (("runs", "list", "--status", "ASLEEP"), "'ASLEEP' is no status"),
        (("tokens", "complete", "nonsense"), "there is no token 'nonsense'"),
        (("dead", "show", "123456"), "there is no dead letter 123456"),
        (("workers", "drain", "nobody"), "there is no worker nobody"),
        (("workers", "drain", "--pool", "nowhere"), "there is no worker with pool nowhere"),
        (("workers", "drain", "--version", "one"), "'one' is no version"),
        (("workers", "drain", "--pool", "p", "--grace", "soon"), "--grace 'soon'"),
        (("workers", "drain", "--pool", "p", "--grace", "31d"), "grace_ms is 2678400000"),
        (("workers", "drain"), "which workers are to leave?"),
        (("trigger", "add", "--version", "newest"), "'newest' is no version"),
        (("trigger", "add@1.0.0", "--version", "2.0.0"), "name two versions"),
        (("trigger", "add", "--version-deadline", "31d"), "over 30 days"),
        (("trigger", "add", "--delay", "31d"), "over 30 days"),
        (("trigger", "add", "--ttl", "0"), "give a longer one"),
        (("trigger", "add", "--priority", "1e9"), "option priority: 1000000000.0 is over 30 days"),
        (("trigger", "add", "--max-attempts", "251"), "less than or equal to 250"),
        (("trigger", "add", "--batch-id", "b"), "--batch-id names the batch that --batch FILE sends"),
        (("runs", "cancel", "--parent", "foo", "--yes"), "'foo' is no run id"),
        (("runs", "reset-key", "bad name", "k"), "is no routine name"),
        (("events", "--run", "foo"), "'foo' is no run id"),
        (("trigger", "9add"), "is no routine name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_what_cannot_be_done_is_refused_with_the_rule_and_status_2(
    here: Terminal, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert run([*words, "--json"]) == 2
    shown = capsys.readouterr()
    error = json.loads(shown.err)["error"]
    assert said in error["message"] and not shown.out
    assert run(["runs", "list", "--json"]) == 0
    assert capsys.readouterr().out == "", "something was stored"
