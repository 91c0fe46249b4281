"""The key under which equal calls share a result. One function, so that whoever asks and whoever answers agree."""

from __future__ import annotations

import hashlib


def cache_key(project: str, name: str, version: str, digest: str) -> str:
    """The key of one routine version with one set of arguments, 64 hex characters.

    `digest` is that of the bound, default-filled, coerced arguments. No part holds a line feed, so the join is unique.
    """
    return hashlib.sha256(f"longshore cache 1\n{project}\n{name}\n{version}\n{digest}".encode()).hexdigest()
