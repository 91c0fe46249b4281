"""Which broker and which payload store a client uses, by its settings. It knocks at a socket, and opens nothing."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from longshore.payloads import AsyncCargo, Cargo, open_store
from longshore.settings import Settings

SOCKET: Final = Path(".longshore") / "bus.sock"
RABBITMQ_HERE: Final = "amqp://guest:guest@localhost/"

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


def cargo_of(settings: Settings) -> AsyncCargo:
    """Values on their way through the payload store that the settings name; nothing is touched yet."""
    secret = settings.s3_secret_access_key
    store = open_store(
        settings.payload_url,
        endpoint_url=settings.s3_endpoint_url,
        region=settings.s3_region,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=secret.get_secret_value() if secret else None,
        addressing_style=settings.s3_addressing_style,
    )
    return AsyncCargo(Cargo(store, settings.payload_inline_limit))
