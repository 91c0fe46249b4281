"""What a workflow may not touch while it runs: sockets, files, subprocesses, threads.

Nor may it block in time.sleep, which holds up every other workflow of its worker; a name imported before the first
workflow (`from time import sleep`) is seen from Python 3.13 on only.

One audit hook for the process, installed with the first workflow; it refuses only in the thread that is running a
workflow at that moment, so that tasks in other threads notice nothing. Importing and logging stay allowed, and what
the standard library reads for itself: sources for a traceback, time zones, encodings.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
import threading
import time
from types import FrameType
from typing import Any, Final

from longshore.core.errors import ForbiddenInWorkflow


class Here(threading.local):
    """This thread: the workflow loop it is running, and whether the garbage collector is at work in it."""

    loop: object | None = None
    collecting: bool = False


HERE: Final = Here()

_ACTS: Final = {
    "use the network": (
        "socket.__new__ socket.bind socket.connect socket.getaddrinfo socket.gethostbyname socket.gethostbyaddr "
        "socket.sendto socket.sendmsg urllib.Request http.client.connect ftplib.connect smtplib.connect imaplib.open"
    ),
    "change files": (
        "open os.remove os.rename os.mkdir os.rmdir os.link os.symlink os.truncate os.chmod os.chown os.utime "
        "shutil.rmtree shutil.copyfile shutil.move tempfile.mkstemp tempfile.mkdtemp sqlite3.connect"
    ),
    "read files": "os.listdir os.scandir",
    "start a process": (
        "subprocess.Popen os.system os.exec os.fork os.forkpty os.posix_spawn os.spawn os.startfile pty.spawn"
    ),
    "start a thread": "_thread.start_new_thread _thread.start_joinable_thread",
    "wait for a person at a terminal": "builtins.input",
    "block in time.sleep instead of `await asyncio.sleep(...)`": "time.sleep",
}
_FORBIDDEN: Final = {event: act for act, events in _ACTS.items() for event in events.split()}
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_EXEMPT: Final = frozenset({"logging", "importlib", "linecache", "warnings"})
"""Modules on whose behalf files are opened: a log, the compiled form of a module imported late."""

_READS_FOR_ITSELF: Final = _EXEMPT | {"encodings", "gettext", "inspect", "locale", "tokenize", "traceback", "zoneinfo"}
_READING: Final = "read files"

_installing: Final = threading.Lock()
_installed: list[bool] = []


def install() -> None:
    """Put the hooks in place, once per process. An audit hook cannot be removed; idle it costs 0.3 us per event."""
    with _installing:
        if not _installed:
            sys.addaudithook(_audit)
            gc.callbacks.append(_note_collection)
            if sys.version_info < (3, 12):  # starting a thread raises no audit event before
                _watch_threads()
            if sys.version_info < (3, 13):  # nor does sleeping
                _watch_sleep()
            _installed.append(True)


def refusal(act: str, detail: str = "") -> ForbiddenInWorkflow:
    """The error for reaching out of a workflow; `act` completes "a workflow cannot"."""
    return ForbiddenInWorkflow(
        f"a workflow cannot {act}{f' ({detail})' if detail else ''}: its code runs again whenever it is resumed. "
        "Move that code to a routine, `@define.action(name=...)` or `@define.task(name=...)`, and await it here"
    )


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event not in _FORBIDDEN or HERE.loop is None:
        return
    act = _READING if event == "open" and not _opens_for_writing(*args) else _FORBIDDEN[event]
    if act == _READING and _is_time_zone(args[0]):
        return
    if not _on_behalf_of(_READS_FOR_ITSELF if act == _READING else _EXEMPT, sys._getframe(1)):
        raise refusal(act, f"{event} {args[0]!r}"[:200] if args else event)


def _watch_threads() -> None:
    start: Any = vars(threading)["_start_new_thread"]

    def watched(*args: Any) -> Any:
        _audit("_thread.start_new_thread", args)
        return start(*args)

    vars(threading)["_start_new_thread"] = watched


def _watch_sleep() -> None:
    sleep = time.sleep

    @functools.wraps(sleep)
    def watched(seconds: float, /) -> None:
        _audit("time.sleep", (seconds,))
        sleep(seconds)

    vars(time)["sleep"] = watched


def _opens_for_writing(_path: object, mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING)


def _is_time_zone(path: object) -> bool:
    """Whether it is a file of a time zone, which the standard library opens itself."""
    zoneinfo = sys.modules.get("zoneinfo")
    return zoneinfo is not None and str(path).startswith(tuple(f"{folder}/" for folder in zoneinfo.TZPATH))


def _on_behalf_of(modules: frozenset[str], frame: FrameType | None) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] in modules:
            return True
        frame = frame.f_back
    return False


def _note_collection(phase: str, _info: dict[str, int]) -> None:
    HERE.collecting = phase == "start"
