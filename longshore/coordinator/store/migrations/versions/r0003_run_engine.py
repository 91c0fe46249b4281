"""What the run engine keeps: queues with their limits, and under which of their keys a run is counted; what is kept of
runs that need care, and what their code keeps over attempts."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("worker", sa.Column("drain", sa.BigInteger(), nullable=False, server_default="-2"))
    op.add_column("run", sa.Column("concurrency_key", sa.Text(), nullable=False, server_default=""))
    op.add_column("run", sa.Column("pausing", sa.Text(), nullable=False, server_default=""))
    op.add_column("run", sa.Column("hung", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("version_deadline_ms", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("care", sa.Text(), nullable=False, server_default=""))
    op.add_column("run", sa.Column("checkpoint", sa.LargeBinary()))
    op.add_column("run", sa.Column("checkpoint_ref", sa.Text(), nullable=False, server_default=""))
    op.add_column("run", sa.Column("given", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "queue",
        sa.Column("name", sa.Text(), primary_key=True, nullable=False),
        *[sa.Column(name, sa.BigInteger(), nullable=False) for name in QUEUE_LIMITS],
        sa.Column("paused_at", sa.BigInteger(), nullable=False),
        sa.Column("starts", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )


QUEUE_LIMITS = ("concurrency", "key_concurrency", "rate_starts", "rate_ms", "max_size")


def downgrade() -> None:
    op.drop_column("worker", "drain")
    op.drop_table("queue")
    names = (
        "given",
        "checkpoint_ref",
        "checkpoint",
        "care",
        "version_deadline_ms",
        "hung",
        "pausing",
        "concurrency_key",
    )
    for name in names:
        op.drop_column("run", name)
