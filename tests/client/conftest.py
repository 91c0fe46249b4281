"""The client's tests: a local router in process, a scripted coordinator on it, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from longshore.broker.local import LocalRouter
from longshore.client import Client
from longshore.core.envelope import Names
from longshore.settings import Settings, load
from longshore.telemetry import Telemetry
from tests.client.scripted import Scripted

NewClient = Callable[..., Client]


def add(x: int, y: int = 1) -> int:
    return x + y


def fail(text: str) -> None:
    raise ValueError(text)


@pytest.fixture
def names() -> Names:
    return Names("longshore")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(payload_url=f"file:{tmp_path / 'payloads'}", broker_url="local:unused.sock")


@pytest.fixture
def router(names: Names) -> LocalRouter:
    return LocalRouter(names)


@pytest.fixture
async def coordinator(router: LocalRouter, names: Names) -> AsyncIterator[Scripted]:
    async with Scripted(router.bus(user="coordinator"), names, add=add, fail=fail) as coordinator:
        yield coordinator


@pytest.fixture
def new_client(router: LocalRouter, settings: Settings) -> NewClient:
    def make(**given: object) -> Client:
        options: dict[str, object] = {"settings": settings, "telemetry": Telemetry(), "bus": router.bus(user="client")}
        return Client(**{**options, **given})  # type: ignore[arg-type]

    return make


@pytest.fixture
async def client(coordinator: Scripted, new_client: NewClient) -> AsyncIterator[Client]:
    async with new_client() as client:
        yield client
