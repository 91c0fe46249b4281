"""Where things are: the `.longshore` folder, the local bus's socket, the broker in force. It opens nothing for long."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from longshore.core.errors import SettingsError
from longshore.settings import Settings, variable

FOLDER: Final = Path(".longshore")
SOCKET: Final = FOLDER / "bus.sock"
RABBITMQ_HERE: Final = "amqp://guest:guest@localhost/"

_OWN_FOLDER: Final = 0o700
_KNOCK: Final = 0.5
"""Seconds a local socket has for taking a connection."""


def broker_in_force(settings: Settings) -> str:
    """The broker's URL: as set, else the local bus of a running `dev` in this folder, else RabbitMQ on this machine."""
    if settings.broker_url:
        return settings.broker_url
    return f"local:{SOCKET}" if answers(SOCKET) else RABBITMQ_HERE


def answers(path: Path) -> bool:
    """Whether somebody takes connections on this socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(_KNOCK)
        try:
            knock.connect(str(path))
        except OSError:
            return False
    return True


def is_local(url: str) -> bool:
    """Whether the URL names the local bus."""
    return url.startswith("local:")


def socket_path(url: str) -> Path:
    """The socket's path in a URL of the local bus."""
    return Path(url.removeprefix("local:"))


def make_folders(settings: Settings) -> None:
    """Make the folders that the settings name, closed to others. Raises SettingsError when one cannot be made."""
    for field, folder in folders(settings):
        try:
            folder.mkdir(mode=_OWN_FOLDER, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(variable(field), f"the folder {folder} cannot be made ({error.strerror})") from None


def folders(settings: Settings) -> Iterator[tuple[str, Path]]:
    """The local folders in use, each with the setting that names it."""
    ledger = ledger_file(settings)
    if ledger is not None:
        yield "store_url", ledger.parent
    payloads = payload_folder(settings)
    if payloads is not None:
        yield "payload_url", payloads


def ledger_file(settings: Settings) -> Path | None:
    """The ledger's database file; None when it is none."""
    scheme, _, path = settings.store_url.partition(":///")
    return Path(path.partition("?")[0]) if scheme.startswith("sqlite") else None


def payload_folder(settings: Settings) -> Path | None:
    """The folder of the payload store; None when it is none."""
    url = urlsplit(settings.payload_url)
    return Path(url.path) if url.scheme == "file" else None


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which a child process reads the same settings."""
    found = dict(os.environ)
    for field in settings.model_fields_set:
        value = getattr(settings, field)
        if value is None:
            continue
        if hasattr(value, "get_secret_value"):
            value = value.get_secret_value()
        if hasattr(value, "total_seconds"):
            value = f"{value.total_seconds()}"
        found[variable(field)] = str(value)
    return found
