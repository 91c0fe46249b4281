"""Who gives an order, in words for a run's history."""

from __future__ import annotations

import getpass
import socket


def person() -> str:
    """`user@host`; the host alone where the user has no name."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = ""
    return f"{user}@{socket.gethostname()}".removeprefix("@")
