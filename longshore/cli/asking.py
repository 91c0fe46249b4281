"""The client as commands use it: they do not wait long for a broker that is away, because a person does."""

from __future__ import annotations

from typing import Final

from longshore.client import Client

CONNECT_WITHIN: Final = 5.0
"""Seconds the broker has for taking the connection."""


def asker() -> Client:
    """A client with the settings in force, to be opened with `async with`."""
    return Client(connect_timeout=CONNECT_WITHIN)
