"""The first tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

Kind = type[sa.types.TypeEngine[Any]]

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _columns(kind: Kind, names: str, *, null: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind(), nullable=null) for name in names.split()]


def _key(name: str, kind: Kind = sa.Text) -> sa.Column[Any]:
    return sa.Column(name, kind(), primary_key=True, autoincrement=False, nullable=False)


def upgrade() -> None:
    _coordinator()
    _runs()
    _journals()
    _keys()
    op.create_table(
        "dead_letter",
        sa.Column("no", NUMBER, primary_key=True),
        *_columns(sa.BigInteger, "at size"),
        *_columns(sa.Text, "source reason headers traceback run_ids"),
        *_columns(sa.LargeBinary, "body"),
    )


def _coordinator() -> None:
    op.create_table(
        "owner",
        _key("name"),
        *_columns(sa.BigInteger, "term batch_no published_batch at"),
        *_columns(sa.Text, "holder"),
    )
    op.create_table("unsent", _key("batch_no", sa.BigInteger), *_columns(sa.LargeBinary, "run_ids"))
    op.create_table(
        "worker",
        _key("session"),
        *_columns(sa.Text, "worker_id pool status host python"),
        *_columns(sa.BigInteger, "slots taken pid"),
        *_columns(sa.LargeBinary, "offers"),
        *_columns(sa.BigInteger, "since"),
    )


def _runs() -> None:
    op.create_table(
        "run",
        sa.Column("no", NUMBER, primary_key=True),
        sa.Column("id", sa.Text(), nullable=False, unique=True),
        *_columns(sa.Text, "routine kind asked_version version queue pool status session worker_id reason"),
        *_columns(sa.Float, "priority"),
        *_columns(sa.BigInteger, "epoch attempt crashes losses created_at queued_at due_at started_at attempt_at"),
        *_columns(sa.BigInteger, "finished_at ttl_at deadline_at cancel_at max_attempts timeout_ms"),
        sa.Column("check_at", sa.BigInteger(), nullable=False, server_default="0"),
        *_columns(sa.Text, "parent_id parent_address root_id reply_to correlation_id cache_key traceparent span"),
        *_columns(sa.BigInteger, "parent_generation history_seq wants_outcome plain cached"),
        *_columns(sa.BigInteger, "generation last_seq processed_seq open_calls cancel_seq"),
        *_columns(sa.Text, "tags metadata input_ref"),
        *_columns(sa.LargeBinary, "input"),
        *_columns(sa.LargeBinary, "result error", null=True),
        sa.Column("result_ref", sa.Text(), nullable=False, server_default=""),
    )
    _index("run_uncompleted", "run", ["status", "no"], "status <> 'COMPLETED'")
    _index("run_routine", "run", ["routine", "no"])
    _index("run_parent", "run", ["parent_id", "id"], "parent_id <> ''")
    _index("run_root", "run", ["root_id", "no"], "parent_id <> ''")
    _index("run_check", "run", ["check_at"], "check_at > 0")
    _index("run_tagged", "run", ["no"], "tags <> ''")
    op.create_table(
        "history",
        _key("run_id"),
        _key("seq", sa.BigInteger),
        *_columns(sa.BigInteger, "batch_no attempt epoch at"),
        *_columns(sa.Text, "from_status to_status reason actor worker_id"),
        *_columns(sa.BigInteger, "valid"),
        sqlite_with_rowid=False,
    )


def _journals() -> None:
    op.create_table(
        "call",
        _key("run_id"),
        _key("generation", sa.BigInteger),
        _key("address"),
        *_columns(sa.Text, "kind name digest child_id place"),
        *_columns(sa.BigInteger, "asked_seq"),
        *_columns(sa.BigInteger, "due_at closed"),
        sqlite_with_rowid=False,
    )
    _index("call_timer", "call", ["run_id", "due_at"], "due_at > 0 AND closed = 0")
    op.create_table(
        "delivery",
        _key("run_id"),
        _key("generation", sa.BigInteger),
        _key("seq", sa.BigInteger),
        *_columns(sa.Text, "kind address status child_id"),
        *_columns(sa.BigInteger, "at"),
        sqlite_with_rowid=False,
    )


def _keys() -> None:
    op.create_table(
        "cache",
        _key("key"),
        *_columns(sa.Text, "run_id"),
        *_columns(sa.BigInteger, "expires_at"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "idempotency",
        _key("key"),
        *_columns(sa.Text, "run_id"),
        *_columns(sa.BigInteger, "expires_at"),
        sqlite_with_rowid=False,
    )
    _index("idempotency_run", "idempotency", ["run_id"])
    op.create_table(
        "cursor",
        _key("id"),
        *_columns(sa.Text, "kind run_id reason after"),
        *_columns(sa.BigInteger, "before"),
    )
    op.create_table(
        "returned_reply", _key("run_id"), *_columns(sa.Text, "reply_to"), *_columns(sa.BigInteger, "first_at next_at")
    )
    _index("returned_reply_next", "returned_reply", ["next_at"])


def _index(name: str, table: str, columns: list[str], where: str = "") -> None:
    condition = sa.text(where) if where else None
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)


def downgrade() -> None:
    tables = "dead_letter returned_reply cursor idempotency cache delivery call history run worker unsent owner"
    for table in tables.split():
        op.drop_table(table)
