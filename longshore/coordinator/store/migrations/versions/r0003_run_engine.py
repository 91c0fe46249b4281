"""What the run engine keeps: queues with their limits, and under which of their keys a run is counted; what is kept of
runs that need care, and what their code keeps over attempts; how long runs are kept that have ended, and which objects
they name."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("worker", sa.Column("drain", sa.BigInteger(), nullable=False, server_default="-2"))
    op.add_column("run", sa.Column("concurrency_key", sa.Text(), nullable=False, server_default=""))
    _beginnings()
    op.add_column("run", sa.Column("pausing", sa.Text(), nullable=False, server_default=""))
    op.add_column("run", sa.Column("hung", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("version_deadline_ms", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("care", sa.Text(), nullable=False, server_default=""))
    op.add_column("run", sa.Column("checkpoint", sa.LargeBinary()))
    op.add_column("run", sa.Column("checkpoint_ref", sa.Text(), nullable=False, server_default=""))
    op.add_column("run", sa.Column("given", sa.Text(), nullable=False, server_default=""))
    for name, columns, where in INDEXES:
        _index(name, "run", columns, where)
    op.add_column("run", sa.Column("batch_id", sa.Text(), nullable=False, server_default=""))
    _index("run_batch", "run", ["batch_id", "no"], "batch_id <> ''")
    op.create_table(
        "batch",
        sa.Column("id", sa.Text(), primary_key=True, nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("status", "reason")],
        *[sa.Column(name, sa.BigInteger(), nullable=False) for name in BATCH_NUMBERS],
        sqlite_with_rowid=False,
    )
    op.create_index("batch_created", "batch", ["created_at"])
    _index("batch_open", "batch", ["id"], "closed_at = 0")
    op.create_table(
        "bulk",
        sa.Column("id", sa.Text(), primary_key=True, nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("what", "filter", "reason", "by", "status")],
        *[sa.Column(name, sa.BigInteger(), nullable=False) for name in BULK_NUMBERS],
        sqlite_with_rowid=False,
    )
    op.create_index("bulk_created", "bulk", ["created_at"])
    _index("bulk_running", "bulk", ["created_at"], "status = 'running'")
    op.create_table(
        "tail",
        sa.Column("batch_no", sa.BigInteger(), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("run_ids", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "queue",
        sa.Column("name", sa.Text(), primary_key=True, nullable=False),
        *[sa.Column(name, sa.BigInteger(), nullable=False) for name in QUEUE_LIMITS],
        sa.Column("paused_at", sa.BigInteger(), nullable=False),
        sa.Column("starts", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
    _schedules()
    _keeping()
    _hooks()
    _answers()


def _beginnings() -> None:
    for name in ("idempotency_key", "producer"):
        op.add_column("run", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.create_index("idempotency_expires", "idempotency", ["expires_at"])
    op.create_table(
        "debounce",
        sa.Column("key", sa.Text(), primary_key=True, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        *[sa.Column(name, sa.BigInteger(), nullable=False) for name in ("first_at", "ends_at", "kept_until")],
        sqlite_with_rowid=False,
    )
    op.create_index("debounce_kept", "debounce", ["kept_until"])
    op.create_table(
        "joint",
        sa.Column("parent_id", sa.Text(), primary_key=True, nullable=False),
        sa.Column("generation", sa.BigInteger(), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("address", sa.Text(), primary_key=True, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("told", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("joint_run", "joint", ["run_id"])


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


INDEXES = (
    ("run_queue", ["queue", "no"], "queue <> 'default'"),
    ("run_key", ["concurrency_key", "no"], "concurrency_key <> ''"),
)
BULK_NUMBERS = ("created_at", "finished_at", "matched", "done", "refused", "after", "upto")
BATCH_NUMBERS = ("created_at", "closed_at", "runs", "existing", "refused", "items", "patience_ms")
QUEUE_LIMITS = ("concurrency", "key_concurrency", "rate_starts", "rate_ms", "max_size")


def _schedules() -> None:
    op.add_column("run", sa.Column("schedule_id", sa.Text(), nullable=False, server_default=""))
    op.add_column("run", sa.Column("schedule", sa.Text(), nullable=False, server_default=""))
    _index("run_schedule", "run", ["schedule_id", "no"], "schedule_id <> ''")
    op.create_table(
        "schedule",
        sa.Column("id", sa.Text(), primary_key=True, nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("routine", "seed", "last_run_id", "note")],
        *[sa.Column(name, sa.LargeBinary(), nullable=False) for name in ("plan", "input")],
        *[sa.Column(name, sa.BigInteger(), nullable=False) for name in SCHEDULE_NUMBERS],
    )
    _index("schedule_due", "schedule", ["due_at"], "due_at > 0")


SCHEDULE_NUMBERS = ("paused", "next_at", "due_at", "last_at", "created_at", "updated_at")


def _keeping() -> None:
    op.create_table(
        "payload",
        *[sa.Column(name, sa.Text(), primary_key=True, nullable=False) for name in ("key", "run_id")],
        sa.Column("what", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("payload_run", "payload", ["run_id"])
    op.create_table(
        "doomed",
        sa.Column("key", sa.Text(), primary_key=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("doomed_at", "doomed", ["at"])
    op.create_table(
        "keep",
        sa.Column("routine", sa.Text(), primary_key=True, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        *[sa.Column(name, sa.BigInteger(), nullable=False) for name in ("keep_ms", "keep_count")],
        sqlite_with_rowid=False,
    )
    _partial("run_ended", ["routine", "finished_at", "no", "parent_id"], "finished_at > 0 AND parent_id = ''")
    _partial("run_continuing", ["id"], "generation > 0 AND finished_at = 0")
    _partial("run_again", ["rerun_of"], "rerun_of <> ''")
    for what, column, table, run_id in NAMED:
        _name(what, column, table, run_id)


def _hooks() -> None:
    op.create_table(
        "unheard",
        sa.Column("run_id", sa.Text(), primary_key=True, nullable=False),
        *[sa.Column(name, sa.BigInteger(), nullable=False) for name in ("next_at", "until_at")],
        sqlite_with_rowid=False,
    )
    op.create_index("unheard_next", "unheard", ["next_at"])


def _answers() -> None:
    op.create_table(
        "answered",
        sa.Column("key", sa.Text(), primary_key=True, nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )


NAMED = (
    ("input", "input_ref", "run", "id"),
    ("result", "result_ref", "run", "id"),
    ("told", "value_ref", "delivery", "run_id"),
)


def _partial(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "run", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _name(what: str, column: str, table: str, run_id: str) -> None:
    """The objects that the rows name so far."""
    bind = op.get_bind()
    found = bind.execute(sa.text(f"SELECT {run_id}, {column} FROM {table} WHERE {column} <> ''"))
    insert = sa.text("INSERT INTO payload (key, run_id, what) VALUES (:key, :run_id, :what) ON CONFLICT DO NOTHING")
    while rows := found.fetchmany(1000):
        bind.execute(insert, [{"key": json.loads(ref)["key"], "run_id": one, "what": what} for one, ref in rows])


def downgrade() -> None:
    for name in ("answered", "unheard", "joint", "debounce"):
        op.drop_table(name)
    op.drop_index("idempotency_expires", "idempotency")
    for name in ("producer", "idempotency_key"):
        op.drop_column("run", name)
    op.drop_table("schedule")
    op.drop_index("run_schedule", "run")
    op.drop_column("run", "schedule")
    op.drop_column("run", "schedule_id")
    op.drop_column("worker", "drain")
    op.drop_index("run_again", "run")
    op.drop_index("run_continuing", "run")
    op.drop_index("run_ended", "run")
    for table in ("keep", "doomed", "payload"):
        op.drop_table(table)
    op.drop_table("queue")
    op.drop_table("tail")
    for name, *_ in INDEXES:
        op.drop_index(name, "run")
    op.drop_table("bulk")
    op.drop_table("batch")
    op.drop_index("run_batch", "run")
    names = (
        "batch_id",
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
