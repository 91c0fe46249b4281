"""The doctor's checks: each looks at one thing of the world as it is now and says what to do when it is wrong.

They repair nothing. What they write (a probe object, a message to themselves) they take away again.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from longshore.assembly.places import (
    FOLDER,
    answers,
    folders,
    is_local,
    socket_path,
)
from longshore.core.errors import LongshoreError, StoreUnavailableError, UsageError

if TYPE_CHECKING:
    from longshore.settings import Settings

State = Literal["ok", "warn", "fail"]

PATIENCE: Final = 5.0
"""Seconds each part of the world has for its answer."""
CLOCK_OFF: Final = timedelta(seconds=1)
ENOUGH_DISK: Final = 1 << 30
LITTLE_DISK: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. `advice` says what to do next; empty when there is nothing to do."""

    check: str
    state: State
    text: str
    advice: str = ""


def check_variables(environment: Iterable[str]) -> Finding:
    """Whether every LONGSHORE_* variable is a setting: a slip in its name would go unnoticed."""
    from longshore.settings import unknown_variables

    unknown = unknown_variables(environment)
    if not unknown:
        return Finding("settings", "ok", "readable")
    return Finding("settings", "warn", "; ".join(unknown), "correct or unset it: it changes nothing as it is")


def check_address(url: str) -> Finding:
    """Whether something listens at the broker's address."""
    if is_local(url):
        path = socket_path(url)
        if answers(path):
            return Finding("broker", "ok", f"a local bus answers at {path}")
        return Finding("broker", "fail", f"nothing answers at {path}", "start `longshore dev MODULE` in this folder")
    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port or (5671 if parts.scheme == "amqps" else 5672)
    advice = "start RabbitMQ there, or set LONGSHORE_BROKER_URL; without RabbitMQ: `longshore dev MODULE`"
    try:
        with socket.create_connection((host, port), timeout=PATIENCE):
            return Finding("broker", "ok", f"{host}:{port} takes connections")
    except ConnectionRefusedError:
        return Finding("broker", "fail", f"nothing listens at {host}:{port}", advice)
    except socket.gaierror:
        return Finding("broker", "fail", f"the host {host!r} is not known", "correct the host in LONGSHORE_BROKER_URL")
    except OSError as error:
        return Finding("broker", "fail", f"{host}:{port} does not answer ({error})", advice)


def check_database(settings: Settings) -> Finding:
    """Whether the ledger's database can be read and written, and has this version's tables."""
    from longshore.coordinator.store.looking import look

    advice = "name another file in LONGSHORE_STORE_URL, or bring this one in order"
    try:
        there = look(settings.store_url)
    except (StoreUnavailableError, UsageError) as error:
        text, _, hint = str(error).partition("; ")
        return Finding("database", "fail", text, f"{hint}; {advice}" if hint else advice)
    texts = {
        "absent": "not made yet: the coordinator makes it at its start",
        "empty": "without tables: the coordinator makes them at its start",
        "older": "has an older version's tables: the coordinator brings them up to date at its start",
        "current": "can be read and written, tables up to date",
    }
    return Finding("database", "ok", f"{settings.store_url}: {texts[there]}")


def check_free_disk(settings: Settings, *, enough: int = ENOUGH_DISK, little: int = LITTLE_DISK) -> Finding:
    """Whether ledger and payloads have room to grow: the fullest of their disks."""
    places = [(_existing(folder.absolute()), field) for field, folder in folders(settings)]
    if not places:
        return Finding("disk", "ok", "nothing is kept on this machine")
    free, folder, field = min(((shutil.disk_usage(one).free, one, field) for one, field in places), key=itemgetter(0))
    text = f"{free / (1 << 20):,.0f} MiB free in {folder}"
    room = f"make room there (`df -h {folder}`), or move it with LONGSHORE_{field.upper()}"
    if free < little:
        what = "the coordinator" if field == "store_url" else "every run with a large value"
        return Finding("disk", "fail", text, f"{room}: a full disk stops {what} (nothing is lost)")
    if free < enough:
        return Finding("disk", "warn", text, f"{room} before it is needed")
    return Finding("disk", "ok", text)


def check_storage(settings: Settings) -> Finding:
    """Whether a payload can be written, read back unchanged, and deleted."""
    from longshore.assembly.parts import payload_store
    from longshore.payloads import read_probe, write_probe

    where = settings.payload_url
    try:
        store = payload_store(settings)
        probe = write_probe(store, f"doctor-{secrets.token_hex(8)}")
    except LongshoreError as error:
        advice = _storage_advice(settings, str(error))
        return Finding("storage", "fail", f"{where}: an object cannot be written: {error}", advice)
    try:
        read_probe(store, probe)
        store.delete(probe.key)
    except LongshoreError as error:
        advice = _storage_advice(settings, str(error))
        return Finding("storage", "fail", f"{where}: written, but not read back: {error}", advice)
    if store.exists(probe.key):
        advice = "allow this user to delete objects: nothing is ever cleaned up otherwise"
        return Finding("storage", "warn", f"{where}: written and read, but not deleted", advice)
    return Finding("storage", "ok", f"{where}: an object was written, read back and deleted")


def _storage_advice(settings: Settings, error: str) -> str:
    if settings.payload_url.startswith("file:"):
        return "make room there, make the folder writable for this user, or set LONGSHORE_PAYLOAD_URL"
    if "RequestTimeTooSkewed" in error:
        return "set this machine's clock by NTP: S3 refuses whose time is more than 15 minutes off its own"
    return (
        "check that the bucket exists and LONGSHORE_PAYLOAD_URL, LONGSHORE_S3_ENDPOINT_URL, "
        "LONGSHORE_S3_ACCESS_KEY_ID, LONGSHORE_S3_SECRET_ACCESS_KEY, LONGSHORE_S3_ADDRESSING_STYLE"
    )


def check_folders(settings: Settings) -> Finding:
    """Whether the folders can be written, and are closed to other users."""
    for field, folder in folders(settings):
        variable = f"LONGSHORE_{field.upper()}"
        there = _existing(folder.absolute())
        if problem := _cannot_write(there):
            advice = f"make it writable for this user (`ls -ld {there}`), or set {variable}"
            return Finding("folders", "fail", f"{there} cannot be written ({problem})", advice)
    if FOLDER.is_dir():
        mode = stat.S_IMODE(FOLDER.stat().st_mode)
        if mode & 0o022:
            advice = f"`chmod 700 {FOLDER}`: who writes there can order runs and change results"
            return Finding("folders", "fail", f"{FOLDER} can be written by other users (mode {mode:03o})", advice)
        if mode & 0o055:
            return Finding(
                "folders", "warn", f"{FOLDER} can be read by other users (mode {mode:03o})", f"`chmod 700 {FOLDER}`"
            )
    return Finding("folders", "ok", "can be written, closed to others")


def check_socket(url: str) -> Finding:
    """Whether the local bus's socket belongs to this user alone."""
    path = socket_path(url)
    facts = path.lstat()
    mode = stat.S_IMODE(facts.st_mode)
    if not stat.S_ISSOCK(facts.st_mode):
        return Finding("socket", "fail", f"{path} is not a socket", f"remove {path}, then start `longshore dev MODULE`")
    if mode & 0o077:
        advice = f"`chmod 600 {path}`: who can connect can order runs"
        return Finding("socket", "fail", f"{path} is open to other users (mode {mode:03o})", advice)
    return Finding("socket", "ok", f"{path} belongs to this user alone")


def _cannot_write(folder: Path) -> str:
    """Why nothing can be written there, found by writing; empty if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder
