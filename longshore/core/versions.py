"""Versions of routines: `major.minor.patch[-dev]`, read and ordered. Never a range, never anything else after the dash.

A `-dev` version is mutable (its code may change under the same name) and stands before its release.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

UNRELEASED: Final = "0.0.0-dev"
"""The version of a routine whose author gave none."""
LATEST: Final = "latest"
"""In a version's place: the newest that a worker offers when the run is dispatched."""
PINNED: Final = "pinned"
"""In a version's place: that of the routine as it is imported where the call is made."""

_FORM: Final = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(-dev)?", re.ASCII)


class Version(NamedTuple):
    """A version; the tuple's own order is the order of versions."""

    major: int
    minor: int
    patch: int
    released: bool

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}{'' if self.released else '-dev'}"


def parse(text: str) -> Version:
    """The version a text names. Raises ValueError for any other form (leading zeros too: one version, one text)."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a version; write major.minor.patch or major.minor.patch-dev, e.g. 1.0.0")
    major, minor, patch, dev = match.groups()
    return Version(int(major), int(minor), int(patch), dev is None)


def is_version(text: str) -> bool:
    """Whether the text is a version."""
    return _FORM.fullmatch(text) is not None
