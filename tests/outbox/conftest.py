"""The outbox's tests: databases of each kind, and a client by script that the relays send through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from longshore.core.message import Trigger
from longshore.outbox import OutboxTable
from tests.support.postgres import PostgresNode

NewEngine = Callable[[], Engine]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresNode]:
    with PostgresNode() as node:
        yield node


@dataclass
class Sent:
    """A client that remembers what it was given. `answer` may raise."""

    triggers: list[Trigger] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    answer: Callable[[Trigger], Any] = lambda trigger: None

    async def forward(self, trigger: Trigger, value: bytes, *, timeout: float) -> None:
        answer = self.answer(trigger)
        if answer is not None:
            await answer
        self.triggers.append(trigger)
        self.values.append(value)

    @property
    def ids(self) -> list[str]:
        return [trigger.run_id for trigger in self.triggers]


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def metadata() -> MetaData:
    return MetaData()


@pytest.fixture
def outbox(metadata: MetaData) -> OutboxTable:
    return OutboxTable(metadata, project="default")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'theirs.db'}"
    node: PostgresNode = request.getfixturevalue("postgres")
    return node.database()


@pytest.fixture
def engine(url: str, metadata: MetaData, outbox: OutboxTable) -> Iterator[Engine]:
    # On SQLite who writes waits for the relay's commit, and that waits for the disk: the 5 s of sqlite3 are not enough
    # where another test fills it.
    engine = create_engine(url, connect_args={"timeout": 60} if url.startswith("sqlite") else {})
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def async_url(url: str) -> str:
    return url.replace("sqlite://", "sqlite+aiosqlite://")


@pytest.fixture
def async_engine(async_url: str, engine: Engine) -> AsyncEngine:
    return create_async_engine(async_url)
