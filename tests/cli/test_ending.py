"""How a part that was told to stop ends."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.cli.conftest import Start, Terminal
from tests.support.rabbit import RabbitElsewhere, RabbitNode


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_coordinator_that_is_told_to_stop_ends_at_once_and_leaves_nothing_open(
    start: Start, terminal: Terminal, rabbit: RabbitNode | RabbitElsewhere, told: signal.Signals
) -> None:
    terminal.environment |= {"LONGSHORE_BROKER_URL": rabbit.vhost(), "LONGSHORE_HTTP_ADDRESS": "127.0.0.1:0"}
    process = start("coordinator", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "coordinator ready"
    process.send_signal(told)
    _, words = process.communicate(timeout=10)
    assert process.returncode == 0 and "ResourceWarning" not in words, words
