"""Looks at a ledger's database without changing anything in it: for a check before a coordinator opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, make_url
from sqlalchemy.pool import NullPool

from longshore.coordinator.store.engines import file_of
from longshore.coordinator.store.faults import translated
from longshore.core.errors import UsageError

BUSY_SECONDS: Final = 2.0
_FOLDER: Final = Path(__file__).parent / "migrations"

Tables = Literal["absent", "empty", "older", "current"]


def look(url: str) -> Tables:
    """What is there: no file, a file without tables, tables of an older version, or ours. It can be written.

    Raises StoreUnavailableError when it cannot be read or written, UsageError when its tables are not a ledger's of
    this version or an older one.
    """
    file = file_of(make_url(url))
    if not file.exists():
        return "absent"
    made = create_engine(
        f"sqlite:///file:{file}?mode=rw&uri=true",  # never makes the file
        poolclass=NullPool,
        connect_args={"timeout": BUSY_SECONDS},
    )
    with translated(f"the ledger's database {file}"), made.connect() as connection:
        there = MigrationContext.configure(connection).get_current_revision()
        tables = inspect(connection).get_table_names()
        connection.rollback()
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.rollback()
    script = ScriptDirectory(str(_FOLDER))
    if there is None:
        if tables:
            raise UsageError(f"{file} is somebody else's database (tables {', '.join(tables[:3])})")
        return "empty"
    if there == script.get_current_head():
        return "current"
    if there in {revision.revision for revision in script.walk_revisions()}:
        return "older"
    raise UsageError(f"{file} was written by a newer version of Longshore (revision {there})")
