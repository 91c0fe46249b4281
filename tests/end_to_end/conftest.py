"""Fixtures of the end to end tests: a house on RabbitMQ shared by a module's tests, and houses of a test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from longshore import Client
from longshore.client import Run
from tests.end_to_end.house import ROUTINES, House
from tests.support.rabbit import RabbitElsewhere, RabbitNode
from tests.support.wait import eventually

Broker = RabbitNode | RabbitElsewhere
Build = Callable[..., House]


def routines_of(request: pytest.FixtureRequest) -> str:
    """The module whose routines a file of tests executes: its `MODULE`, else the ordinary ones."""
    return getattr(request.module, "MODULE", ROUTINES)


@pytest.fixture(scope="module")
def house(request: pytest.FixtureRequest, rabbit: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A coordinator and one worker process with 16 slots, for all tests of a module."""
    with House(tmp_path_factory.mktemp("house"), rabbit.vhost()) as house:
        house.decide()
        house.work(module=routines_of(request))
        yield house


@pytest.fixture
async def client(request: pytest.FixtureRequest, house: House) -> AsyncIterator[Client]:
    async with house.client(modules=[routines_of(request)]) as client:
        yield client


@pytest.fixture
def build(rabbit: Broker, tmp_path: Path) -> Iterator[Build]:
    """Makes a house of the test's own; nothing runs in it yet."""
    houses: list[House] = []

    def make(**given: Any) -> House:
        houses.append(House(tmp_path / f"house-{len(houses)}", rabbit.vhost(), **given))
        return houses[-1]

    yield make
    for house in houses:
        house.close()


async def in_status(run: Run[Any], status: str, *, within: float = 10) -> None:
    """Wait until a run stands there."""

    async def there() -> bool:
        return await run.status() == status

    await eventually(there, within=within, what=f"{status} of {run!r}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    """A failure shows the logs of the houses it happened in."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, House):
                report.sections.append((f"logs of {value.folder.name}", "\n".join(value.words())))
