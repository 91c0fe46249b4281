"""Marks the tests that need a server beside them as `service`, so that `make quick` leaves them out.

A test needs one when one of its fixtures has a server's name or comes from a server's module here. One that picks its
fixture at run time (`request.getfixturevalue`) marks the parameter: `pytest.param(..., marks=pytest.mark.service)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

MODULES = {"tests.support.rabbit", "tests.support.s3"}
FIXTURES = {"rabbit", "rabbit_node", "s3"}


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    for item in items:
        if FIXTURES & set(getattr(item, "fixturenames", ())) or MODULES & set(_origins(item)):
            item.add_marker(pytest.mark.service)


def _origins(item: pytest.Item) -> Iterable[str]:
    known: dict[str, Sequence[Any]] = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    return (one.func.__module__ for several in known.values() for one in several)
