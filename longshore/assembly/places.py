"""Where things are: the `.longshore` folder, the local bus's socket, the broker in force. It opens nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from longshore.client.places import SOCKET, answers, broker_in_force
from longshore.core.errors import SettingsError
from longshore.settings import Settings, variable

__all__ = [
    "FOLDER",
    "SOCKET",
    "answers",
    "broker_in_force",
    "folders",
    "is_local",
    "ledger_file",
    "make_folders",
    "payload_folder",
    "socket_path",
]

FOLDER: Final = SOCKET.parent
_OWN_FOLDER: Final = 0o700


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
