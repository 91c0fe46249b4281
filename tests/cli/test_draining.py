"""A drain beside `longshore dev`: its worker leaves, the house stays, and another worker takes over."""

from __future__ import annotations

import json
import subprocess

from tests.cli.conftest import ROUTINES, Start, Terminal
from tests.support.wait import eventually_sync


def test_the_house_stays_when_its_worker_was_ordered_to_leave(terminal: Terminal, start: Start) -> None:
    (terminal.folder / "routines.py").write_text(ROUTINES)
    house = start("dev", "routines", "--json", stdout=subprocess.PIPE)
    assert house.stdout is not None and json.loads(house.stdout.readline())["event"] == "ready"
    (worker,) = terminal.lines("workers", "list")
    told = terminal.lines("workers", "drain", worker["worker_id"], "--wait")
    assert told[0] == {"worker_id": worker["worker_id"], "status": "TERMINATING", "held": 0}
    assert told[-1] == {"worker_id": worker["worker_id"], "status": "CLOSED", "held": 0}
    assert json.loads(house.stdout.readline()) == {"event": "workers_left"}
    assert house.poll() is None and terminal.lines("workers", "list") == []
    assert terminal.lines("workers", "list", "--all")[0]["status"] == "CLOSED"

    run_id = terminal.json("trigger", "add", "--arg", "a=1")["run_id"]
    start("worker", "routines", "--processes", "1", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually_sync(lambda: terminal.json("runs", "show", run_id)["status"] == "COMPLETED", within=60)
