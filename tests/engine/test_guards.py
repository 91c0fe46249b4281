"""A workflow that reaches for the world is refused, and told what to write instead."""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import linecache
import logging
import multiprocessing
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longshore import ForbiddenInWorkflow, define
from longshore.engine.steps import Completed, Raised
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


Act = Callable[[], Any]


def loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def _nothing() -> None: ...


def from_a_thread() -> Any:
    coroutine = _nothing()
    try:
        return asyncio.run_coroutine_threadsafe(coroutine, loop())
    finally:
        coroutine.close()


REFUSED: dict[str, dict[str, Act]] = {
    "use the network": {
        "socket.__new__": socket.socket,
        "socket.getaddrinfo 'localhost'": lambda: socket.getaddrinfo("localhost", 80),
        "socket.gethostbyname": lambda: socket.gethostbyname("localhost"),
        "urllib.Request 'http://localhost:1/'": lambda: urllib.request.urlopen("http://localhost:1/"),
        "loop.create_connection": lambda: asyncio.open_connection("localhost", 1),
        "loop.create_server": lambda: asyncio.start_server(print, "localhost", 1),
        "loop.create_unix_connection": lambda: asyncio.open_unix_connection("surely-not-there"),
        "loop.getaddrinfo": lambda: loop().getaddrinfo("localhost", 80),
        "loop.create_datagram_endpoint": lambda: loop().create_datagram_endpoint(asyncio.DatagramProtocol),
        "loop.add_reader": lambda: loop().add_reader(0, print),
    },
    "change files": {
        "open 'surely-not-written'": lambda: Path("surely-not-written").write_text("x"),
        "open 'appended'": lambda: open("appended", "a"),  # noqa: SIM115
        "open 'created'": lambda: os.open("created", os.O_CREAT | os.O_WRONLY),
        "os.remove 'surely-not-there'": lambda: os.remove("surely-not-there"),
        "os.rename 'surely-not-there'": lambda: os.rename("surely-not-there", "nor-here"),
        "os.mkdir 'surely-not-made'": lambda: os.mkdir("surely-not-made"),
        "tempfile.mkdtemp": tempfile.mkdtemp,
        "shutil.rmtree 'surely-not-there'": lambda: shutil.rmtree("surely-not-there"),
        "sqlite3.connect ':memory:'": lambda: sqlite3.connect(":memory:"),
    },
    "read files": {
        "open 'surely-not-there'": lambda: Path("surely-not-there").read_text(),
        "open 'nor-this'": lambda: open("nor-this"),  # noqa: SIM115
        "open 'nor-that'": lambda: os.open("nor-that", os.O_RDONLY),
        "os.listdir '.'": lambda: os.listdir("."),
        "os.scandir": lambda: list(Path().rglob("*")),
    },
    "start a process": {
        "subprocess.Popen": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
        "os.system b'true'": lambda: os.system("true"),
        "os.fork": lambda: multiprocessing.get_context("fork").Process(target=print).start(),
        "os.posix_spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "loop.subprocess_exec": lambda: asyncio.create_subprocess_exec("true"),
        "loop.subprocess_shell": lambda: asyncio.create_subprocess_shell("true"),
    },
    "start a thread": {
        "_thread.start_": lambda: threading.Thread(target=print).start(),
        "_thread.start_new_thread": lambda: _thread.start_new_thread(print, ()),
        "(_thread.start_": lambda: concurrent.futures.ThreadPoolExecutor().submit(print),
    },
    "use threads": {
        "asyncio.to_thread, loop.run_in_executor": lambda: asyncio.to_thread(print),
        "loop.run_in_executor": lambda: loop().run_in_executor(None, print),
        "loop.call_soon_threadsafe": lambda: loop().call_soon_threadsafe(print),
        "(loop.call_soon_threadsafe": from_a_thread,
        "loop.set_default_executor": lambda: loop().set_default_executor(None),  # type: ignore[arg-type]
    },
    "handle signals": {"loop.add_signal_handler": lambda: loop().add_signal_handler(15, print)},
    "run or stop its own loop": {"loop.run_forever": lambda: loop().run_forever()},
    "wait for a person at a terminal": {"builtins.input": input},
    "block in time.sleep instead of `await asyncio.sleep(...)`": {"time.sleep 0.001": lambda: time.sleep(0.001)},
}
CASES = [(act, detail, does) for act, cases in REFUSED.items() for detail, does in cases.items()]


@pytest.mark.parametrize(("act", "detail", "does"), CASES, ids=[detail for _, detail, _ in CASES])
def test_the_world_is_refused_with_the_alternative(act: str, detail: str, does: Act) -> None:
    if detail == "_thread.start_new_thread" and sys.version_info < (3, 12):
        pytest.skip("a thread started without `threading` is not seen before Python 3.12")
    ended = outcome(does)
    assert isinstance(ended, Raised)
    assert isinstance(ended.exception, ForbiddenInWorkflow), ended.exception
    text = str(ended.exception)
    assert text.startswith(f"a workflow cannot {act} (") and detail in text
    assert text.endswith(
        "its code runs again whenever it is resumed. Move that code to a routine, `@define.action(name=...)` or "
        "`@define.task(name=...)`, and await it here"
    )


def test_importing_logging_to_a_file_time_zones_and_tracebacks_are_allowed(
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
        zone = zoneinfo.ZoneInfo.no_cache("Europe/Paris")
        linecache.clearcache()
        return imported_late.VALUE, zone.key, traceback.format_stack()[-1].strip().splitlines()[-1]

    try:
        ended = outcome(act)
        assert isinstance(ended, Completed), ended
        assert ended.value[:2] == (7, "Europe/Paris") and "format_stack" in ended.value[2]
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


def test_as_completed_takes_no_set_of_coroutines_but_one_of_tasks() -> None:
    calls = {f(1), f(2)}

    async def by_chance() -> Any:
        for one in asyncio.as_completed(calls):
            await one

    ended = Book(by_chance).begin().outcome
    assert isinstance(ended, Raised)
    assert isinstance(ended.exception, ForbiddenInWorkflow)
    assert "give it a list, or tasks made with asyncio.create_task" in str(ended.exception)
    for call in calls:
        call.close()

    async def in_order() -> Any:
        return [await one for one in asyncio.as_completed({asyncio.create_task(f(number)) for number in range(2)})]

    book = Book(in_order)
    assert [call.address for call in book.begin().calls] == ["0/0:0", "0/1:0"]
    book.answer("0/1:0", "second")
    assert book.answer("0/0:0", "first").outcome == Completed(["second", "first"])
