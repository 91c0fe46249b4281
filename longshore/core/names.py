"""What a routine may be called, and what of `project:name@version` is its name."""

from __future__ import annotations

import functools
import re
from typing import Final

from longshore.core.versions import is_version

NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]*", re.ASCII)
MAX_NAME: Final = 200


def is_name(text: str) -> bool:
    """Whether a routine may be called so."""
    return len(text) <= MAX_NAME and NAME.fullmatch(text) is not None


@functools.lru_cache(maxsize=4096)
def split_routine(text: str) -> tuple[str, str]:
    """`[project:]name[@version]` as (name, version or ""). Wrong forms come back as ("", reason)."""
    rest = text.rpartition(":")[2]
    name, at, version = rest.partition("@")
    if not is_name(name):
        rule = f"letters, digits, '_', '.', '-', beginning with a letter, at most {MAX_NAME}"
        return "", f"{text[: MAX_NAME + 1]!r} is no routine name: {rule}"
    if at and not is_version(version):
        return "", f"{version!r} is no version: major.minor.patch, optionally with -dev"
    return name, version
