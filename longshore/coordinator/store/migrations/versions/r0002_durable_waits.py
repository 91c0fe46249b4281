"""What durable waits keep: until when a workflow that is put away rests while facts for it come; which children
go on when their parent ends; what signals and tokens bring; where a fork begins."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("run", sa.Column("rest_until", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("forked_seq", sa.BigInteger(), nullable=False, server_default="-1"))
    op.add_column("run", sa.Column("forked_at", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("cuts", sa.Text(), nullable=False, server_default=""))
    op.add_column("run", sa.Column("seed", sa.Text(), nullable=False, server_default=""))
    op.add_column("run", sa.Column("rerun_of", sa.Text(), nullable=False, server_default=""))
    op.add_column("run", sa.Column("unread", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("unread_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("spared", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("delivery", sa.Column("value", sa.LargeBinary()))
    op.add_column("delivery", sa.Column("value_ref", sa.Text(), nullable=False, server_default=""))
    _index("delivery_signal", "delivery", ["kind", "run_id", "address"], "kind = 'signal'")
    _index("call_wait", "call", ["closed", "run_id"], "kind IN ('signal', 'token') AND closed = 0")
    op.create_table(
        "token",
        sa.Column("token", sa.Text(), primary_key=True, autoincrement=False, nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("run_id", "address", "completed_by")],
        *[sa.Column(name, sa.BigInteger(), nullable=False) for name in ("generation", "expires_at", "completed_at")],
        sqlite_with_rowid=False,
    )
    op.create_table(
        "told_signal",
        *[sa.Column(name, sa.Text(), primary_key=True, nullable=False) for name in ("run_id", "signal_id")],
        sa.Column("at", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("told_signal_at", "told_signal", ["at"])


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    op.drop_table("told_signal")
    op.drop_table("token")
    op.drop_index("call_wait", "call")
    op.drop_index("delivery_signal", "delivery")
    op.drop_column("delivery", "value_ref")
    op.drop_column("delivery", "value")
    for name in ("spared", "unread_bytes", "unread", "rerun_of", "seed", "cuts", "forked_at", "forked_seq"):
        op.drop_column("run", name)
    op.drop_column("run", "rest_until")
