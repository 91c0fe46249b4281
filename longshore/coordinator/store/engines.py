"""Connections to the ledger's database: one that writes, others that only read. It knows no table.

SQLite: WAL, synchronous=FULL, every writing transaction is BEGIN IMMEDIATE.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from longshore.core.errors import SettingsError

BUSY_SECONDS: Final = 5.0
_PRAGMAS: Final = (
    "PRAGMA page_size=8192",  # of a new file: half the pages to write and to checkpoint, a tenth of a run's cost
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=OFF",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-16384",  # KiB: with 64 MiB 150,000 runs cost the same, with 8 MiB a seventh more
    "PRAGMA wal_autocheckpoint=2000",  # pages, 16 MiB: a checkpoint costs two fsyncs and many writes
)


def engine(url: str) -> Engine:
    """The engine for a store URL; nothing is opened yet. Raises SettingsError for a URL that is none of ours."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError("LONGSHORE_STORE_URL", "is not a URL; allowed: sqlite:///PATH") from None
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise SettingsError("LONGSHORE_STORE_URL", f"{parsed!r} is not supported; allowed: sqlite:///PATH")
    made = create_engine(
        parsed,
        poolclass=NullPool,
        connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS, "cached_statements": 512},
    )
    event.listen(made, "connect", _set_up)
    event.listen(made, "begin", _begin)
    return made


def file_of(url: URL) -> Path:
    """The database's file."""
    return Path(url.database or "")


def reading(made: Engine) -> Connection:
    """A connection for reading: every statement sees what is committed when it begins. It keeps few pages: what it
    reads is mostly new."""
    connection = made.connect().execution_options(isolation_level="AUTOCOMMIT")
    connection.exec_driver_sql("PRAGMA cache_size=-4096")  # KiB
    return connection


def _set_up(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions: we do
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
