"""A relay for the database at a URL, for those who have no engine: the command line."""

from __future__ import annotations

import asyncio

from sqlalchemy import Engine, MetaData, create_engine, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from longshore.core.errors import StoreUnavailableError, UsageError
from longshore.outbox.relay import OutboxRelay, Sends
from longshore.outbox.table import OutboxTable

DRIVERS = {"asyncpg": "psycopg", "aiosqlite": "pysqlite", "aiomysql": "pymysql"}
"""Asynchronous drivers, and what is taken instead: here nothing is gained by them."""


def engine_at(url: str) -> Engine:
    """An engine for this URL. Raises UsageError where it is none, or its driver is not installed."""
    try:
        made = make_url(url)
        driver = made.get_driver_name() if "+" in made.drivername else ""
        if driver in DRIVERS:
            made = made.set(drivername=f"{made.get_backend_name()}+{DRIVERS[driver]}")
        return create_engine(made, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise UsageError(
            f"the database's URL cannot be used: {error}\nwrite for example postgresql+psycopg://user@host/name"
        ) from error
    except ImportError as error:
        raise UsageError(
            f"the driver of that database is not installed here: {error}\ninstall it beside longshore"
        ) from error


async def relay_at(engine: Engine, client: Sends, table: str, *, poll: float, batch: int) -> OutboxRelay:
    """A relay for the outbox in this database. Raises UsageError where there is none of that name, and
    StoreUnavailableError where the database does not answer."""
    try:
        there = await asyncio.to_thread(lambda: inspect(engine).has_table(table))
    except SQLAlchemyError as error:
        raise StoreUnavailableError(f"the outbox's database does not answer: {error}") from error
    if not there:
        text = f"there is no table {table!r} in {engine.url.render_as_string()}"
        raise UsageError(f"{text}\ncreate it with `OutboxTable(metadata)` and metadata.create_all(), or a migration")
    return OutboxRelay(engine, client, OutboxTable(MetaData(), name=table), poll=poll, batch=batch)
