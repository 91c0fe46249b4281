"""How the suite begins: no garbage is collected meanwhile, no example has a deadline, and of several processes that
share it none is left with a long file at the end, for those come first; no two of those that kill processes and look at
the clock go on at once. It leaves no test out and changes none."""

from __future__ import annotations

import gc
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest
from xdist.scheduler import LoadFileScheduling

ALONE: Final = "tests/chaos/"
LONGEST_FIRST: Final = ("chaos", "end_to_end", "broker", "worker", "cli", "examples", "client", "coordinator")
"""Folders; all others together take less time than one of these."""
_TESTS: Final = Path(__file__).resolve().parents[1]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Python before 3.11.8 and 3.12.2 fails with `SystemError: AST constructor recursion depth mismatch` when the
    collector interrupts a parse and another parse gets in between (python/cpython#106905). What was imported stays
    until the end and need not be looked at again: frozen, it costs the tests nothing."""
    gc.disable()
    try:
        _without_deadlines()
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _without_deadlines() -> None:
    """How long an example takes tells how busy the machine is; what hangs is ended by the suite's own timeout."""
    from hypothesis import HealthCheck, settings

    settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("house")


@pytest.hookimpl(trylast=True)  # after `-m` has chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # xdist's own mark of a process that shares the suite
        items.sort(key=_rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file at a time for each process; all of chaos is one file: it looks at the clock, and is heavy itself."""
    if config.getvalue("dist") != "loadfile":
        return None
    scheduler = LoadFileScheduling(config, log)
    scheduler._split_scope = _shared_as
    return scheduler


def _shared_as(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return ALONE if file.startswith(ALONE) else file


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(_TESTS).parts[0] if item.path.is_relative_to(_TESTS) else ""
    return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)
