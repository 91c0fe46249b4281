"""Brings a database to the tables this code knows. It never goes back and never touches a newer one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from longshore.core.errors import UsageError

_FOLDER: Final = Path(__file__).parent / "migrations"


def upgrade(connection: Connection) -> None:
    """Run the revisions that are missing, in the caller's transaction.

    Raises UsageError for a database written by a newer version, or by somebody else.
    """
    script = ScriptDirectory(str(_FOLDER))
    there = MigrationContext.configure(connection).get_current_revision()
    if there == script.get_current_head():
        return
    if there is None and (tables := inspect(connection).get_table_names()):
        raise UsageError(
            f"the ledger's database holds somebody else's tables ({', '.join(tables[:3])}): "
            "set LONGSHORE_STORE_URL to another file"
        )
    known = {revision.revision for revision in script.walk_revisions()}
    if there is not None and there not in known:
        raise UsageError(
            f"the ledger's database has tables of revision {there}, which this version of Longshore does not know: "
            "it was written by a newer one. Upgrade Longshore, or set LONGSHORE_STORE_URL to another file."
        )

    def steps(revision: Any, context: MigrationContext) -> Any:
        return script._upgrade_revs("head", revision)  # what alembic's own command `upgrade` does

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()
