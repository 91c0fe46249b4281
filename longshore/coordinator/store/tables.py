"""The ledger's tables. Times are integers, microseconds since 1970. What is not there is 0, -1 or '': the driver takes
a tenth of the time for those that it takes for NULL (0.4 us each, twenty in a run's row, measured).

`run.no` counts rows in the order in which they came: "newest first" needs no index of its own. Each index is paid for
by every run, so there are only: the id, the routine, what has not completed (loading and lists), and partial ones
that an ordinary run never enters. It holds no statement.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Float, Index, LargeBinary, Table, Text, select, text

from longshore.coordinator.store.tables_beside import NUMBER, instant, metadata, text_column, whole

run: Final = Table(
    "run",
    metadata,
    Column("no", NUMBER, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    text_column("routine"),
    text_column("kind"),
    text_column("asked_version"),
    text_column("version"),
    text_column("queue"),
    text_column("pool"),
    Column("priority", Float, nullable=False),
    text_column("status"),
    whole("epoch"),
    whole("attempt"),
    whole("crashes"),
    whole("losses"),
    text_column("session"),
    text_column("worker_id"),
    whole("created_at"),
    instant("queued_at"),
    instant("due_at"),
    instant("started_at"),
    instant("attempt_at"),
    instant("finished_at"),
    instant("ttl_at"),
    instant("deadline_at"),
    instant("cancel_at"),
    Column("check_at", BigInteger, nullable=False, server_default="0"),
    text_column("reason"),
    whole("max_attempts"),
    whole("timeout_ms"),
    text_column("parent_id"),
    text_column("parent_address"),
    whole("parent_generation"),
    text_column("root_id"),
    Column("spared", BigInteger, nullable=False, server_default="0"),
    Column("pausing", Text, nullable=False, server_default=""),
    Column("idempotency_key", Text, nullable=False, server_default=""),
    Column("producer", Text, nullable=False, server_default=""),
    text_column("reply_to"),
    text_column("correlation_id"),
    whole("wants_outcome"),
    whole("plain"),
    text_column("cache_key"),
    whole("cached"),
    text_column("traceparent"),
    text_column("span"),
    whole("history_seq"),
    whole("generation"),
    whole("last_seq"),
    whole("processed_seq"),
    whole("open_calls"),
    whole("cancel_seq"),
    Column("rest_until", BigInteger, nullable=False, server_default="0"),
    Column("forked_seq", BigInteger, nullable=False, server_default="-1"),
    Column("forked_at", BigInteger, nullable=False, server_default="0"),
    Column("cuts", Text, nullable=False, server_default=""),
    Column("seed", Text, nullable=False, server_default=""),
    Column("rerun_of", Text, nullable=False, server_default=""),
    Column("unread", BigInteger, nullable=False, server_default="0"),
    Column("unread_bytes", BigInteger, nullable=False, server_default="0"),
    Column("concurrency_key", Text, nullable=False, server_default=""),
    Column("hung", BigInteger, nullable=False, server_default="0"),
    Column("schedule_id", Text, nullable=False, server_default=""),
    Column("schedule", Text, nullable=False, server_default=""),
    Column("version_deadline_ms", BigInteger, nullable=False, server_default="0"),
    Column("care", Text, nullable=False, server_default=""),
    Column("checkpoint", LargeBinary),
    Column("checkpoint_ref", Text, nullable=False, server_default=""),
    Column("batch_id", Text, nullable=False, server_default=""),
    text_column("tags"),
    text_column("metadata"),
    Column("given", Text, nullable=False, server_default=""),
    Column("input", LargeBinary, nullable=False),
    text_column("input_ref"),
    Column("result", LargeBinary),
    Column("result_ref", Text, nullable=False, server_default=""),
    Column("error", LargeBinary),
)
"""`input` and `result` are inline bytes, `*_ref` are claim checks (JSON) instead; `error` is a Failure (MessagePack).
`given` is, of a workflow whose metadata has changed, what its code began with. `generation` is -1 for what is no
workflow. `care` is JSON (see `core/care.py`), `checkpoint` what its code has kept for its next attempt. `check_at` is
set while SUSPENDED only: the first of deadline, timers, and `rest_until` where facts have come meanwhile."""

UNCOMPLETED: Final = "status <> 'COMPLETED'"
"""Queries repeat this condition word for word, so that the index is used."""

Index("run_uncompleted", run.c.status, run.c.no, sqlite_where=text(UNCOMPLETED), postgresql_where=text(UNCOMPLETED))
Index("run_routine", run.c.routine, run.c.no)
_CHILD: Final = text("parent_id <> ''")
Index("run_parent", run.c.parent_id, run.c.id, sqlite_where=_CHILD, postgresql_where=_CHILD)
Index("run_root", run.c.root_id, run.c.no, sqlite_where=_CHILD, postgresql_where=_CHILD)
_CHECKED: Final = text("check_at > 0")
Index("run_check", run.c.check_at, sqlite_where=_CHECKED, postgresql_where=_CHECKED)
_SCHEDULED: Final = text("schedule_id <> ''")
Index("run_schedule", run.c.schedule_id, run.c.no, sqlite_where=_SCHEDULED, postgresql_where=_SCHEDULED)
_IN_BATCH: Final = text("batch_id <> ''")
Index("run_batch", run.c.batch_id, run.c.no, sqlite_where=_IN_BATCH, postgresql_where=_IN_BATCH)
ROOTS: Final = "finished_at > 0 AND parent_id = ''"
"""Runs that have ended and are nobody's children. Queries repeat this word for word. The parent, which is none,
is in the index, so that counting them reads no row."""
_ENDED: Final = (run.c.routine, run.c.finished_at, run.c.no, run.c.parent_id)
Index("run_ended", *_ENDED, sqlite_where=text(ROOTS), postgresql_where=text(ROOTS))
_AGAIN: Final = text("rerun_of <> ''")
Index("run_again", run.c.rerun_of, sqlite_where=_AGAIN, postgresql_where=_AGAIN)
_TAGGED: Final = text("tags <> ''")
Index("run_tagged", run.c.no, sqlite_where=_TAGGED, postgresql_where=_TAGGED)
_NAMED_QUEUE: Final = text("queue <> 'default'")
Index("run_queue", run.c.queue, run.c.no, sqlite_where=_NAMED_QUEUE, postgresql_where=_NAMED_QUEUE)
_KEYED: Final = text("concurrency_key <> ''")
Index("run_key", run.c.concurrency_key, run.c.no, sqlite_where=_KEYED, postgresql_where=_KEYED)

history: Final = Table(
    "history",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    whole("batch_no"),
    text_column("from_status"),
    text_column("to_status"),
    text_column("reason"),
    text_column("actor"),
    whole("attempt"),
    whole("epoch"),
    text_column("worker_id"),
    whole("at"),
    whole("valid"),
    sqlite_with_rowid=False,
)

call: Final = Table(
    "call",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("address", Text, primary_key=True),
    text_column("kind"),
    text_column("name"),
    text_column("digest"),
    whole("asked_seq"),
    text_column("child_id"),
    instant("due_at"),
    text_column("place"),
    whole("closed"),
    sqlite_with_rowid=False,
)
_OPEN_TIMER: Final = text("due_at > 0 AND closed = 0")
WAITED: Final = "call.kind IN ('signal', 'token') AND call.closed = 0"
"""Queries repeat this condition word for word, so that the index is used."""
_WAITED: Final = text(WAITED.replace("call.", ""))
Index("call_wait", call.c.closed, call.c.run_id, sqlite_where=_WAITED, postgresql_where=_WAITED)
Index("call_timer", call.c.run_id, call.c.due_at, sqlite_where=_OPEN_TIMER, postgresql_where=_OPEN_TIMER)

delivery: Final = Table(
    "delivery",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    text_column("kind"),
    text_column("address"),
    whole("at"),
    text_column("status"),
    text_column("child_id"),
    Column("value", LargeBinary),
    Column("value_ref", Text, nullable=False, server_default=""),
    sqlite_with_rowid=False,
)
"""`value` (or a claim check in `value_ref`) is what a signal or a token brought. The address of a signal is its id."""
_SIGNAL: Final = text("kind = 'signal'")
_ID: Final = (delivery.c.kind, delivery.c.run_id, delivery.c.address)  # the kind, so that SQLite chooses it
Index("delivery_signal", *_ID, sqlite_where=_SIGNAL, postgresql_where=_SIGNAL)

token: Final = Table(
    "token",
    metadata,
    Column("token", Text, primary_key=True),
    text_column("run_id"),
    whole("generation"),
    text_column("address"),
    instant("expires_at"),
    instant("completed_at"),
    text_column("completed_by"),
    sqlite_with_rowid=False,
)

told_signal: Final = Table(
    "told_signal",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("signal_id", Text, primary_key=True),
    instant("at"),
    sqlite_with_rowid=False,
)
"""Ids of signals told in journals that are gone: sent again they are not told again."""
Index("told_signal_at", told_signal.c.at)

cache: Final = Table(
    "cache",
    metadata,
    Column("key", Text, primary_key=True),
    text_column("run_id"),
    instant("expires_at"),
    sqlite_with_rowid=False,
)
"""Which run's result answers for a key; the value stays in that run's row."""

idempotency: Final = Table(
    "idempotency",
    metadata,
    Column("key", Text, primary_key=True),
    text_column("run_id"),
    whole("expires_at"),
    sqlite_with_rowid=False,
)
Index("idempotency_run", idempotency.c.run_id)

STANDS_SINCE: Final = (
    select(history.c.at)
    .where(history.c.run_id == run.c.id, history.c.valid == 1, history.c.from_status != history.c.to_status)
    .order_by(history.c.seq.desc())
    .limit(1)
    .scalar_subquery()
    .label("stands_since")
)
"""When a run came to the status it has."""
