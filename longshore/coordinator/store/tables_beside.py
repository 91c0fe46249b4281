"""The ledger's tables beside those of runs: who owns it, sessions, queues, schedules, batches, group orders, what is
kept of objects, replies and letters; and what every column is made of. How values stand in them, `tables` says.
It holds no statement."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

metadata: Final = MetaData()

NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")
"""In SQLite only INTEGER PRIMARY KEY is the row's own number."""


def text_column(name: str) -> Column[str]:
    """A text that is always there."""
    return Column(name, Text, nullable=False)


def whole(name: str) -> Column[int]:
    """A whole number that is always there."""
    return Column(name, BigInteger, nullable=False)


def instant(name: str) -> Column[int]:
    """A time; 0 for none."""
    return Column(name, BigInteger, nullable=False)


owner: Final = Table(
    "owner",
    metadata,
    Column("name", Text, primary_key=True),
    whole("term"),
    whole("batch_no"),
    whole("published_batch"),
    whole("at"),
    text_column("holder"),
)

unsent: Final = Table(
    "unsent",
    metadata,
    Column("batch_no", BigInteger, primary_key=True, autoincrement=False),
    Column("run_ids", LargeBinary, nullable=False),
)
"""Per batch, the runs that ended in it and whose outcome somebody asked for, until its messages are known to be
sent."""

tail: Final = Table(
    "tail",
    metadata,
    Column("batch_no", BigInteger, primary_key=True, autoincrement=False),
    Column("run_ids", LargeBinary, nullable=False),
)
"""Per batch, the runs whose history it added to, until those rows are passed on to the events exchange; kept only while
somebody listens there."""

worker: Final = Table(
    "worker",
    metadata,
    Column("session", Text, primary_key=True),
    text_column("worker_id"),
    text_column("pool"),
    whole("slots"),
    text_column("status"),
    whole("taken"),
    Column("offers", LargeBinary, nullable=False),
    text_column("host"),
    whole("pid"),
    text_column("python"),
    instant("since"),
    Column("drain", BigInteger, nullable=False, server_default="-2"),
)
"""`drain`: the grace in ms with which it was ordered to leave; -1: with its own; -2: it was not."""

queue: Final = Table(
    "queue",
    metadata,
    Column("name", Text, primary_key=True),
    whole("concurrency"),
    whole("key_concurrency"),
    whole("rate_starts"),
    whole("rate_ms"),
    whole("max_size"),
    instant("paused_at"),
    text_column("starts"),
    sqlite_with_rowid=False,
)
"""Queues that have a rule; -1 is no limit. `starts` are the latest starts that count against the rate (JSON)."""

schedule: Final = Table(
    "schedule",
    metadata,
    Column("id", Text, primary_key=True),
    text_column("routine"),
    Column("plan", LargeBinary, nullable=False),
    Column("input", LargeBinary, nullable=False),
    text_column("seed"),
    whole("paused"),
    instant("next_at"),
    instant("due_at"),
    instant("last_at"),
    text_column("last_run_id"),
    text_column("note"),
    whole("created_at"),
    whole("updated_at"),
)
"""`plan` is a core.schedules.Plan (MessagePack); `due_at` is `next_at` and its part of the spread."""
_DUE: Final = text("due_at > 0")
Index("schedule_due", schedule.c.due_at, sqlite_where=_DUE, postgresql_where=_DUE)

cursor: Final = Table(
    "cursor",
    metadata,
    Column("id", Text, primary_key=True),
    text_column("kind"),
    text_column("run_id"),
    text_column("reason"),
    instant("before"),
    text_column("after"),
)

batch: Final = Table(
    "batch",
    metadata,
    Column("id", Text, primary_key=True),
    text_column("status"),
    instant("created_at"),
    instant("closed_at"),
    whole("runs"),
    whole("existing"),
    whole("refused"),
    whole("items"),
    whole("patience_ms"),
    text_column("reason"),
    sqlite_with_rowid=False,
)
Index("batch_created", batch.c.created_at)
_OPEN_BATCH: Final = text("closed_at = 0")
Index("batch_open", batch.c.id, sqlite_where=_OPEN_BATCH, postgresql_where=_OPEN_BATCH)
payload: Final = Table(
    "payload",
    metadata,
    Column("key", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    text_column("what"),
    sqlite_with_rowid=False,
)
"""Which runs name which objects: as `input`, `result`, `told` or `checkpoint`. An object nobody names may go."""
Index("payload_run", payload.c.run_id)

doomed: Final = Table(
    "doomed",
    metadata,
    Column("key", Text, primary_key=True),
    instant("at"),
    sqlite_with_rowid=False,
)
"""Objects that a run named which is gone, and when they may go; whether another names them is to be looked at then."""
Index("doomed_at", doomed.c.at)

keep: Final = Table(
    "keep",
    metadata,
    Column("routine", Text, primary_key=True),
    text_column("version"),
    whole("keep_ms"),
    whole("keep_count"),
    sqlite_with_rowid=False,
)
"""What the newest version of a routine says of its runs that have ended."""

bulk: Final = Table(
    "bulk",
    metadata,
    Column("id", Text, primary_key=True),
    text_column("what"),
    text_column("filter"),
    text_column("reason"),
    text_column("by"),
    text_column("status"),
    instant("created_at"),
    instant("finished_at"),
    whole("matched"),
    whole("done"),
    whole("refused"),
    whole("after"),
    whole("upto"),
    sqlite_with_rowid=False,
)
Index("bulk_created", bulk.c.created_at)
_RUNNING: Final = text("status = 'running'")
Index("bulk_running", bulk.c.created_at, sqlite_where=_RUNNING, postgresql_where=_RUNNING)

returned_reply: Final = Table(
    "returned_reply",
    metadata,
    Column("run_id", Text, primary_key=True),
    text_column("reply_to"),
    whole("first_at"),
    whole("next_at"),
)
Index("returned_reply_next", returned_reply.c.next_at)

dead_letter: Final = Table(
    "dead_letter",
    metadata,
    Column("no", NUMBER, primary_key=True),
    whole("at"),
    text_column("source"),
    text_column("reason"),
    whole("size"),
    text_column("headers"),
    text_column("traceback"),
    text_column("run_ids"),
    Column("body", LargeBinary, nullable=False),
)
