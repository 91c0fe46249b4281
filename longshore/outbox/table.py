"""The outbox's table in the user's own metadata, and what is written to it in the user's own transaction.

It sends nothing and opens no connection.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Unpack
from uuid import UUID

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    event,
    insert,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from longshore.client.orders import Drafts, Order, RunOptions
from longshore.core.errors import UsageError
from longshore.core.message import Trigger
from longshore.routines import Call
from longshore.settings import load

NAME: Final = "longshore_outbox"
LARGEST: Final = 64 << 20
"""The most bytes that the arguments of one row may have."""

_TOLD: Final = "longshore_outboxes"  # in a session's info: those that hear of its commits
_NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")
_pack: Final = msgspec.msgpack.Encoder().encode
_trigger: Final = msgspec.msgpack.Decoder(Trigger)

Transaction = Session | scoped_session[Any] | Connection
AsyncTransaction = AsyncSession | async_scoped_session[Any] | AsyncConnection


class Waiting(NamedTuple):
    """A row that waits to be sent."""

    no: int
    run_id: str
    trigger: Trigger
    value: bytes


class OutboxTable:
    """A table for triggers that wait for their transaction to commit. It belongs to the user's `metadata`, and is
    created and migrated with it.

    `project` is the one of the settings, unless it is given: with it equal arguments find a cached
    result, and it is the producer of idempotency keys.
    """

    def __init__(self, metadata: MetaData, *, name: str = NAME, project: str | None = None) -> None:
        self._project = project
        self._drafts: Drafts | None = None
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        self.table: Final = Table(
            name,
            metadata,
            Column("no", _NUMBER, primary_key=True, autoincrement=True),
            Column("run_id", String(36), nullable=False, unique=True),
            Column("trigger", LargeBinary, nullable=False),
            Column("value", LargeBinary, nullable=False),
            Column("created_at", DateTime(timezone=True), nullable=False),
            Column("rejected", Text, nullable=False, server_default=""),
        )

    def __repr__(self) -> str:
        return f"<outbox {self.table.name}>"

    def add(
        self,
        transaction: Transaction,
        what: Call[Any] | str,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        run_id: str | UUID | None = None,
        **options: Unpack[RunOptions],
    ) -> str:
        """Trigger a run when this transaction commits (of a Session or Connection); gives the id that the run will
        have. What and options are as `Client.trigger` takes them.

        Raises UsageError, EncodingError; SQLAlchemy's own errors, among them IntegrityError where this `run_id` waits
        already.
        """
        if not isinstance(transaction, Session | scoped_session | Connection):
            raise UsageError(_WRONG.format(transaction, "add(session, ...) takes a Session or Connection", "add_async"))
        row = self._row(Order(what, args, kwargs, run_id), options)
        transaction.execute(insert(self.table), row)
        session = transaction() if isinstance(transaction, scoped_session) else transaction
        if isinstance(session, Session):
            self._nudge_after(session)
        return str(row["run_id"])

    async def add_async(
        self,
        transaction: AsyncTransaction,
        what: Call[Any] | str,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        run_id: str | UUID | None = None,
        **options: Unpack[RunOptions],
    ) -> str:
        """As `add`, for an AsyncSession or AsyncConnection."""
        if not isinstance(transaction, AsyncSession | async_scoped_session | AsyncConnection):
            text = "add_async(session, ...) takes an AsyncSession or AsyncConnection"
            raise UsageError(_WRONG.format(transaction, text, "add"))
        row = self._row(Order(what, args, kwargs, run_id), options)
        await transaction.execute(insert(self.table), row)
        session = transaction() if isinstance(transaction, async_scoped_session) else transaction
        if isinstance(session, AsyncSession):
            self._nudge_after(session.sync_session)
        return str(row["run_id"])

    def nudge(self) -> None:
        """Have the relays of this process look at once: something was committed. Any thread may say it; a commit of a
        Session that added something says it itself."""
        for listener in list(self._listeners):
            listener.nudge()

    def listen(self, nudge: Callable[[], None]) -> Listener:
        """Have this called after commits, for as long as what it gives is kept."""
        listener = Listener(nudge)
        self._listeners.add(listener)
        return listener

    def _nudge_after(self, session: Session) -> None:
        told = session.info.setdefault(_TOLD, set())
        if self.table.name not in told:
            told.add(self.table.name)
            event.listen(session, "after_commit", self._committed)

    def _committed(self, session: Session) -> None:
        self.nudge()

    def _row(self, order: Order, options: RunOptions) -> dict[str, Any]:
        if self._drafts is None:
            self._drafts = Drafts(self._project or load().project)
        made, encoded = self._drafts.draft(order, options, "accepted")
        if encoded.size > LARGEST:
            raise UsageError(
                f"the arguments of {made.routine} take {encoded.size} bytes, over the {LARGEST} that an outbox row may "
                "have: store them yourself and pass a reference"
            )
        return {
            "run_id": made.run_id,
            "trigger": _pack(made),
            "value": encoded.inline(),
            "created_at": datetime.now(UTC),
        }


class Listener:
    """Somebody who is told of commits."""

    def __init__(self, nudge: Callable[[], None]) -> None:
        self.nudge = nudge


def waiting_of(row: Any) -> Waiting:
    """A row as it is to be sent. Raises msgspec.DecodeError where it was written by something else."""
    return Waiting(row.no, row.run_id, _trigger.decode(bytes(row.trigger)), bytes(row.value))


_WRONG: Final = "{0!r} is no transaction: {1}; the other kind goes with {2}"
