"""A workflow that reaches for the world is refused, and told what to write instead."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longshore import ForbiddenInWorkflow, define
from longshore.engine.workflow import Completed, Raised
from tests.engine.book import Book


@define.task(name="f", version="1.0.0")
def f(x: Any = None) -> Any:
    return x


def outcome(act: Callable[[], Any]) -> Completed | Raised:
    async def flow() -> Any:
        result = act()
        return await result if asyncio.iscoroutine(result) else result

    ended = Book(flow).begin().outcome
    assert isinstance(ended, Completed | Raised)
    return ended


REFUSED: dict[str, Callable[[], Any]] = {
    "opening a socket": socket.socket,
    "looking up a name": lambda: socket.getaddrinfo("localhost", 80),
    "writing a file": lambda: Path("surely-not-written").write_text("x"),
    "appending to a file": lambda: open("surely-not-written", "a"),  # noqa: SIM115
    "creating by descriptor": lambda: os.open("surely-not-written", os.O_CREAT | os.O_WRONLY),
    "removing a file": lambda: os.remove("surely-not-there"),
    "making a folder": lambda: os.mkdir("surely-not-made"),
    "a database": lambda: sqlite3.connect(":memory:"),
    "a subprocess": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "a shell": lambda: os.system("true"),
    "a sleep that blocks": lambda: time.sleep(0.001),
    "a thread": lambda: threading.Thread(target=print).start(),
    "to_thread": lambda: asyncio.to_thread(print),
    "an executor": lambda: asyncio.get_running_loop().run_in_executor(None, print),
    "a connection": lambda: asyncio.open_connection("localhost", 1),
    "an asynchronous subprocess": lambda: asyncio.create_subprocess_exec("true"),
    "a call from another thread": lambda: asyncio.get_running_loop().call_soon_threadsafe(print),
    "running the loop": lambda: asyncio.get_running_loop().run_forever(),
}


@pytest.mark.parametrize("act", REFUSED.values(), ids=REFUSED)
def test_the_world_is_refused_with_the_alternative(act: Callable[[], Any]) -> None:
    ended = outcome(act)
    assert isinstance(ended, Raised)
    assert isinstance(ended.exception, ForbiddenInWorkflow), ended.exception
    assert "@define.action(name=...)" in str(ended.exception)


def test_reading_a_file_importing_and_logging_to_a_file_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_late.py").write_text("VALUE = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    log = logging.FileHandler(tmp_path / "log.txt", delay=True)
    logger = logging.getLogger("tests.guards")
    logger.addHandler(log)

    def act() -> Any:
        import imported_late  # type: ignore[import-not-found]

        logger.error("written")
        return imported_late.VALUE, (tmp_path / "imported_late.py").read_text()

    try:
        assert outcome(act) == Completed((7, "VALUE = 7\n"))
    finally:
        logger.removeHandler(log)
        log.close()
    assert (tmp_path / "log.txt").read_text() == "written\n"
    assert list((tmp_path / "__pycache__").iterdir())


def test_other_threads_and_the_same_thread_afterwards_are_free(tmp_path: Path) -> None:
    opened, pumping = threading.Event(), threading.Event()

    def elsewhere() -> None:
        assert pumping.wait(10)
        (tmp_path / "a").write_text("x")
        opened.set()

    def act() -> bool:
        pumping.set()
        return opened.wait(10)

    other = threading.Thread(target=elsewhere)
    other.start()
    assert outcome(act) == Completed(True)
    other.join(10)
    (tmp_path / "b").write_text("x")


def test_an_as_completed_imported_by_name_is_refused_rather_than_left_to_chance() -> None:
    from longshore.engine import origins

    calls = [f(1), f(2)]

    async def flow() -> Any:
        for one in origins._ORIGINAL(calls):
            await one

    ended = Book(flow).begin().outcome
    assert isinstance(ended, Raised)
    assert "asyncio.as_completed(...)" in str(ended.exception)
    for call in calls:
        call.close()
