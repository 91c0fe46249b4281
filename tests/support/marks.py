"""Marks the tests that need a server beside them as `service`, so that `make quick` leaves them out.

A test needs one when one of its fixtures has a server's name or comes from a server's module here. One that picks its
fixture at run time (`request.getfixturevalue`) marks the parameter: `pytest.param(..., marks=pytest.mark.service)`.
Whole folders that start our own servers or wait on a bus in real time count as such, too: they take minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

MODULES = {"tests.support.rabbit", "tests.support.s3"}
FIXTURES = {"rabbit", "rabbit_node", "s3"}
FOLDERS = {"broker", "chaos", "cli", "client", "coordinator", "end_to_end", "examples", "worker"}
_TESTS = Path(__file__).resolve().parents[1]


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(_TESTS).parts[0] if item.path.is_relative_to(_TESTS) else ""
        if folder in FOLDERS or FIXTURES & set(getattr(item, "fixturenames", ())) or MODULES & set(_origins(item)):
            item.add_marker(pytest.mark.service)


def _origins(item: pytest.Item) -> Iterable[str]:
    known: dict[str, Sequence[Any]] = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    return (one.func.__module__ for several in known.values() for one in several)
