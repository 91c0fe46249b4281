"""The ledger's tables. Times are integers, microseconds since 1970. What is not there is 0, -1 or '': the driver takes
a tenth of the time for those that it takes for NULL (0.4 us each, twenty in a run's row, measured).

`run.no` counts rows in the order in which they came: "newest first" needs no index of its own. Each index is paid for
by every run, so there are only: the id, the routine, what has not completed (loading and lists), and partial ones
that an ordinary run never enters. It holds no statement.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

metadata: Final = MetaData()

_NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")
"""In SQLite only INTEGER PRIMARY KEY is the row's own number."""


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _whole(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _time(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


owner: Final = Table(
    "owner",
    metadata,
    Column("name", Text, primary_key=True),
    _whole("term"),
    _whole("batch_no"),
    _whole("published_batch"),
    _whole("at"),
    _text("holder"),
)

unsent: Final = Table(
    "unsent",
    metadata,
    Column("batch_no", BigInteger, primary_key=True, autoincrement=False),
    Column("run_ids", LargeBinary, nullable=False),
)
"""Per batch, the runs that ended in it and whose outcome somebody asked for, until its messages are known to be
sent."""

worker: Final = Table(
    "worker",
    metadata,
    Column("session", Text, primary_key=True),
    _text("worker_id"),
    _text("pool"),
    _whole("slots"),
    _text("status"),
    _whole("taken"),
    Column("offers", LargeBinary, nullable=False),
    _text("host"),
    _whole("pid"),
    _text("python"),
    _time("since"),
    Column("drain", BigInteger, nullable=False, server_default="-2"),
)
"""`drain`: the grace in ms with which it was ordered to leave; -1: with its own; -2: it was not."""

run: Final = Table(
    "run",
    metadata,
    Column("no", _NUMBER, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    _text("routine"),
    _text("kind"),
    _text("asked_version"),
    _text("version"),
    _text("queue"),
    _text("pool"),
    Column("priority", Float, nullable=False),
    _text("status"),
    _whole("epoch"),
    _whole("attempt"),
    _whole("crashes"),
    _whole("losses"),
    _text("session"),
    _text("worker_id"),
    _whole("created_at"),
    _time("queued_at"),
    _time("due_at"),
    _time("started_at"),
    _time("attempt_at"),
    _time("finished_at"),
    _time("ttl_at"),
    _time("deadline_at"),
    _time("cancel_at"),
    Column("check_at", BigInteger, nullable=False, server_default="0"),
    _text("reason"),
    _whole("max_attempts"),
    _whole("timeout_ms"),
    _text("parent_id"),
    _text("parent_address"),
    _whole("parent_generation"),
    _text("root_id"),
    Column("spared", BigInteger, nullable=False, server_default="0"),
    Column("pausing", Text, nullable=False, server_default=""),
    _text("reply_to"),
    _text("correlation_id"),
    _whole("wants_outcome"),
    _whole("plain"),
    _text("cache_key"),
    _whole("cached"),
    _text("traceparent"),
    _text("span"),
    _whole("history_seq"),
    _whole("generation"),
    _whole("last_seq"),
    _whole("processed_seq"),
    _whole("open_calls"),
    _whole("cancel_seq"),
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
    _text("tags"),
    _text("metadata"),
    Column("given", Text, nullable=False, server_default=""),
    Column("input", LargeBinary, nullable=False),
    _text("input_ref"),
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
    _whole("batch_no"),
    _text("from_status"),
    _text("to_status"),
    _text("reason"),
    _text("actor"),
    _whole("attempt"),
    _whole("epoch"),
    _text("worker_id"),
    _whole("at"),
    _whole("valid"),
    sqlite_with_rowid=False,
)

call: Final = Table(
    "call",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("address", Text, primary_key=True),
    _text("kind"),
    _text("name"),
    _text("digest"),
    _whole("asked_seq"),
    _text("child_id"),
    _time("due_at"),
    _text("place"),
    _whole("closed"),
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
    _text("kind"),
    _text("address"),
    _whole("at"),
    _text("status"),
    _text("child_id"),
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
    _text("run_id"),
    _whole("generation"),
    _text("address"),
    _time("expires_at"),
    _time("completed_at"),
    _text("completed_by"),
    sqlite_with_rowid=False,
)

told_signal: Final = Table(
    "told_signal",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("signal_id", Text, primary_key=True),
    _time("at"),
    sqlite_with_rowid=False,
)
"""Ids of signals told in journals that are gone: sent again they are not told again."""
Index("told_signal_at", told_signal.c.at)

cache: Final = Table(
    "cache",
    metadata,
    Column("key", Text, primary_key=True),
    _text("run_id"),
    _time("expires_at"),
    sqlite_with_rowid=False,
)
"""Which run's result answers for a key; the value stays in that run's row."""

idempotency: Final = Table(
    "idempotency",
    metadata,
    Column("key", Text, primary_key=True),
    _text("run_id"),
    _whole("expires_at"),
    sqlite_with_rowid=False,
)
Index("idempotency_run", idempotency.c.run_id)

queue: Final = Table(
    "queue",
    metadata,
    Column("name", Text, primary_key=True),
    _whole("concurrency"),
    _whole("key_concurrency"),
    _whole("rate_starts"),
    _whole("rate_ms"),
    _whole("max_size"),
    _time("paused_at"),
    _text("starts"),
    sqlite_with_rowid=False,
)
"""Queues that have a rule; -1 is no limit. `starts` are the latest starts that count against the rate (JSON)."""

schedule: Final = Table(
    "schedule",
    metadata,
    Column("id", Text, primary_key=True),
    _text("routine"),
    Column("plan", LargeBinary, nullable=False),
    Column("input", LargeBinary, nullable=False),
    _text("seed"),
    _whole("paused"),
    _time("next_at"),
    _time("due_at"),
    _time("last_at"),
    _text("last_run_id"),
    _text("note"),
    _whole("created_at"),
    _whole("updated_at"),
)
"""`plan` is a core.schedules.Plan (MessagePack); `due_at` is `next_at` and its part of the spread."""
_DUE: Final = text("due_at > 0")
Index("schedule_due", schedule.c.due_at, sqlite_where=_DUE, postgresql_where=_DUE)

cursor: Final = Table(
    "cursor",
    metadata,
    Column("id", Text, primary_key=True),
    _text("kind"),
    _text("run_id"),
    _text("reason"),
    _time("before"),
    _text("after"),
)

batch: Final = Table(
    "batch",
    metadata,
    Column("id", Text, primary_key=True),
    _text("status"),
    _time("created_at"),
    _time("closed_at"),
    _whole("runs"),
    _whole("existing"),
    _whole("refused"),
    _whole("items"),
    _whole("patience_ms"),
    _text("reason"),
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
    _text("what"),
    sqlite_with_rowid=False,
)
"""Which runs name which objects: as `input`, `result`, `told` or `checkpoint`. An object nobody names may go."""
Index("payload_run", payload.c.run_id)

doomed: Final = Table(
    "doomed",
    metadata,
    Column("key", Text, primary_key=True),
    _time("at"),
    sqlite_with_rowid=False,
)
"""Objects that a run named which is gone, and when they may go; whether another names them is to be looked at then."""
Index("doomed_at", doomed.c.at)

keep: Final = Table(
    "keep",
    metadata,
    Column("routine", Text, primary_key=True),
    _text("version"),
    _whole("keep_ms"),
    _whole("keep_count"),
    sqlite_with_rowid=False,
)
"""What the newest version of a routine says of its runs that have ended."""

bulk: Final = Table(
    "bulk",
    metadata,
    Column("id", Text, primary_key=True),
    _text("what"),
    _text("filter"),
    _text("reason"),
    _text("by"),
    _text("status"),
    _time("created_at"),
    _time("finished_at"),
    _whole("matched"),
    _whole("done"),
    _whole("refused"),
    _whole("after"),
    _whole("upto"),
    sqlite_with_rowid=False,
)
Index("bulk_created", bulk.c.created_at)
_RUNNING: Final = text("status = 'running'")
Index("bulk_running", bulk.c.created_at, sqlite_where=_RUNNING, postgresql_where=_RUNNING)

returned_reply: Final = Table(
    "returned_reply",
    metadata,
    Column("run_id", Text, primary_key=True),
    _text("reply_to"),
    _whole("first_at"),
    _whole("next_at"),
)
Index("returned_reply_next", returned_reply.c.next_at)

dead_letter: Final = Table(
    "dead_letter",
    metadata,
    Column("no", _NUMBER, primary_key=True),
    _whole("at"),
    _text("source"),
    _text("reason"),
    _whole("size"),
    _text("headers"),
    _text("traceback"),
    _text("run_ids"),
    Column("body", LargeBinary, nullable=False),
)
