"""The one who writes: some batches are one transaction whose first statement proves that we are still the owner.

It belongs to one thread at a time. It decides nothing: what it writes is what the ledger changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from longshore.coordinator.store import rows
from longshore.coordinator.store.annotations import Annotating
from longshore.coordinator.store.beginnings import Beginning
from longshore.coordinator.store.beside import Beside
from longshore.coordinator.store.columns import Micros, encode_pack, micros, names
from longshore.coordinator.store.deleting import Deleting
from longshore.coordinator.store.engines import reading
from longshore.coordinator.store.faults import Fenced, translated, unavailable
from longshore.coordinator.store.forgetting import Forgetting
from longshore.coordinator.store.forks import ForkCopies
from longshore.coordinator.store.objects import Naming
from longshore.coordinator.store.statements import Each, Loose, Step, insert, marks_of, update
from longshore.coordinator.store.tail import Leaving
from longshore.core.changes import Changes, HistoryRow, NewRun, Outcome
from longshore.core.run import Run

OWNER: Final = "coordinator"
OBJECTS_KEPT: Final = timedelta(days=1)
"""How long the objects of a run outlive its end at least, whatever becomes of the run."""
_FINISHED: Final = {"session": "''", "due_at": "0", "check_at": "0"}
_HISTORY: Final = names("run_id seq from_status to_status reason actor attempt epoch worker_id at valid batch_no")
_CALL: Final = names("run_id generation address kind name digest asked_seq child_id due_at place closed")
_DELIVERY: Final = names("run_id generation seq kind address at status child_id")
_TOLD: Final = (*_DELIVERY, "value", "value_ref")
_TOKEN: Final = names("token run_id generation address expires_at completed_at completed_by")


class Prepared(NamedTuple):
    """A batch as rows, in the order in which they are written."""

    batch_no: int
    now: datetime
    steps: list[Step] | None
    """None: there is nothing to write."""


class Writer:
    """Commits batches under one term."""

    def __init__(self, engine: Engine, objects_kept: timedelta = OBJECTS_KEPT) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self.term = 0
        with translated("the ledger's database cannot be opened"):
            connection = self._connect()
        mark = marks_of(connection)
        self._prepare(mark)
        self._deleting = Deleting(mark, objects_kept)
        self._naming = Naming(mark, objects_kept)

    def _prepare(self, mark: str) -> None:
        self._fence = f"UPDATE owner SET batch_no = {mark}, published_batch = {mark}, at = {mark} WHERE term = {mark}"
        self._sent = f"DELETE FROM unsent WHERE batch_no <= {mark}"
        self._new = insert("run", (*rows.INSERTED, *rows.INSERTED_RARELY), mark)
        self._plain_new = insert("run", rows.INSERTED, mark, constants=_defaults(rows.INSERTED_RARELY))
        but_batch = [name for name in rows.INSERTED_RARELY if name != "batch_id"]
        self._batch_new = insert("run", (*rows.INSERTED, "batch_id"), mark, constants=_defaults(but_batch))
        self._updated = update("run", (*rows.UPDATED, *rows.UPDATED_RARELY), mark)
        self._plain_updated = update("run", rows.UPDATED, mark, constants=_defaults(rows.UPDATED_RARELY))
        self._ended = update("run", (*rows.ENDED, *rows.ENDED_RARELY), mark, constants=_FINISHED)
        self._plain_ended = update("run", rows.ENDED, mark, constants=_FINISHED | _defaults(rows.ENDED_RARELY))
        self._checkpoints = update("run", ("id", "checkpoint", "checkpoint_ref"), mark)
        self._inputs = update("run", ("id", "input", "input_ref"), mark)
        self._forgetting = Forgetting(mark)
        self._annotating = Annotating(mark)
        self.leaving = Leaving(mark)
        self._history = insert("history", _HISTORY, mark)
        unnumbered = (
            f"INSERT INTO history ({', '.join(_HISTORY)}) SELECT {mark}, COALESCE(MAX(seq), 0) + 1, "
            f"{', '.join([mark] * (len(_HISTORY) - 2))} FROM history WHERE run_id = {mark}"
        )
        recount = (
            "UPDATE run SET history_seq = (SELECT COALESCE(MAX(seq), 0) FROM history WHERE run_id = run.id) "
            f"WHERE id = {mark}"
        )
        self._loose = Loose(unnumbered, recount)
        self._calls = insert("call", _CALL, mark, "DO NOTHING")
        self._closed = update("call", ("run_id", "generation", "address"), mark, constants={"closed": "1"}, keys=3)
        self._deliveries = insert("delivery", _DELIVERY, mark)
        self._beside = Beside(mark)
        self._unsent = insert("unsent", ("batch_no", "run_ids"), mark)
        self._prepare_waits(mark)
        self._forks = ForkCopies(mark)
        self._beginning = Beginning(mark)

    def _prepare_waits(self, mark: str) -> None:
        self._told = insert("delivery", _TOLD, mark)
        anew = ("run_id", mark, mark, *_TOLD[3:])
        self._kept_signals = Each(
            f"INSERT INTO delivery ({', '.join(_TOLD)}) SELECT {', '.join(anew)} FROM delivery "
            f"WHERE run_id = {mark} AND generation = {mark} AND seq = {mark}"
        )
        self._tokens = insert("token", _TOKEN, mark, "DO NOTHING")
        self._tokens_completed = update("token", ("token", "completed_at", "completed_by"), mark)

    # ------------------------------------------------------------------------------------------------------ the term

    def take_term(self, holder: str, now: datetime) -> int:
        """Become the owner, at once: whoever was it before is fenced from here on. Gives the new term."""
        with translated("the ledger's term cannot be taken"), self._connect().begin():
            connection = self._connect()
            mark = marks_of(connection)
            connection.exec_driver_sql(
                "INSERT INTO owner (name, term, batch_no, published_batch, at, holder) "
                f"VALUES ({', '.join([mark] * 6)}) ON CONFLICT (name) DO UPDATE "
                "SET term = owner.term + 1, at = excluded.at, holder = excluded.holder",
                (OWNER, 1, 0, 0, micros(now), holder),
            )
            self.term = connection.exec_driver_sql("SELECT term FROM owner").scalar_one()
        return self.term

    # ------------------------------------------------------------------------------------------------------ batches

    def commit(self, changes: Changes, batch_no: int, published_batch: int, now: datetime) -> None:
        """Prepare and write in one go."""
        self.write([self.prepare(changes, batch_no, now)], published_batch)

    def write(self, group: Sequence[Prepared], published_batch: int) -> None:
        """Keep everything of these batches, or nothing.

        Raises Fenced, StoreConflict (one contradicts what is there), StoreUnavailableError; all definite.
        """
        batch_no, now, _ = group[-1]
        with translated(f"batch {batch_no} cannot be written"):
            connection = self._connect()
            transaction = connection.begin()
            try:
                fence = (batch_no, published_batch, micros(now), self.term)
                if not connection.exec_driver_sql(self._fence, fence).rowcount:
                    raise Fenced(
                        f"another coordinator has taken over this ledger (ours was term {self.term}): only one can be "
                        "active for a store; stop one of them"
                    )
                connection.exec_driver_sql(self._sent, (published_batch,))
                self.leaving.let_go(connection)
                for prepared in group:
                    for statement, values in prepared.steps or ():
                        statement.run(connection, values)
            except BaseException:
                self._give_up(transaction)
                raise
            self._end(transaction, batch_no)

    def _end(self, transaction: Any, batch_no: int) -> None:
        try:
            transaction.commit()
        except DBAPIError as error:
            self._give_up(transaction)
            if not self._happened(batch_no):
                raise unavailable(f"batch {batch_no} cannot be committed", error) from error

    def _happened(self, batch_no: int) -> bool:
        """Whether a commit whose answer was lost is there: the owner's row says it."""
        self.drop()
        with reading(self._engine) as connection:
            row = connection.exec_driver_sql("SELECT term, batch_no FROM owner").one()
        return (row[0], row[1]) == (self.term, batch_no)

    def _give_up(self, transaction: Any) -> None:
        try:
            transaction.rollback()
        except SQLAlchemyError:
            self.drop()  # the database ends the transaction with the connection

    def prepare(self, changes: Changes, batch_no: int, now: datetime) -> Prepared:
        """The rows of a batch as they are now. The ledger may go on with its runs: what is written is this."""
        steps: list[Step] = []
        at = Micros()
        if changes.inserted:
            self._write_new(steps, changes.inserted, at)
        steps += self._beginning.steps(changes, at)
        if changes.forks:  # from the rows as they were when it was decided
            steps.append((self._forks, changes.forks))
        if changes.updated:
            self._write_updated(steps, changes.updated.values(), at)
        if changes.ended:
            self._write_ended(steps, changes.ended.values(), batch_no, at)
        if changes.history:
            self._write_history(steps, changes.history, batch_no, at)
            if self.leaving.wanted:
                steps.append(self.leaving.step(changes, batch_no))
        if changes.calls or changes.closed or changes.deliveries:
            self._write_journals(steps, changes, at)
        if changes.tokens or changes.tokens_completed or changes.kept_signals:
            self._write_waits(steps, changes, at)
        if changes.annotated or changes.annotation_ids or changes.begun_anew:
            steps += self._annotating.steps(changes, at)
        if changes.inputs:
            steps.append((self._inputs, [rows.input_values(*one) for one in changes.inputs.items()]))
        if changes.checkpoints:
            steps.append((self._checkpoints, [rows.input_values(*one) for one in changes.checkpoints.items()]))
        steps += self._naming.steps(changes, now)
        steps += self._forgetting.steps(changes, at)
        if changes.letting_go:
            steps += self._deleting.steps(changes.letting_go)
        steps += self._beside.steps(changes, at, now)
        return Prepared(batch_no, now, steps)

    def _write_new(self, steps: list[Step], new: Collection[NewRun], at: Micros) -> None:
        if all(map(rows.is_plain_new, new)):
            if any(one.batch_id for one in new):  # a thousand at once, as a rule
                steps.append((self._batch_new, [(*rows.inserted(one, at), one.batch_id) for one in new]))
                return
            steps.append((self._plain_new, [rows.inserted(one, at) for one in new]))
        else:  # all of them in one statement: their order is kept
            steps.append((self._new, [rows.inserted(one, at) + rows.inserted_rarely(one, at) for one in new]))

    def _write_updated(self, steps: list[Step], updated: Collection[Run], at: Micros) -> None:
        plain = [run for run in updated if rows.is_plain(run)]
        if plain:
            steps.append((self._plain_updated, [rows.updated(run, at) for run in plain]))
        if len(plain) < len(updated):
            others = [run for run in updated if not rows.is_plain(run)]
            steps.append((self._updated, [rows.updated(run, at) + rows.updated_rarely(run, at) for run in others]))

    def _write_ended(self, steps: list[Step], ended: Collection[Outcome], batch_no: int, at: Micros) -> None:
        plain = [one for one in ended if rows.is_plain_end(one)]
        if plain:
            steps.append((self._plain_ended, [rows.ended(one, at) for one in plain]))
        if len(plain) < len(ended):
            others = [one for one in ended if not rows.is_plain_end(one)]
            steps.append((self._ended, [rows.ended(one, at) + rows.ended_rarely(one) for one in others]))
        ids = [one.run.id for one in ended if one.run.wants_outcome and one.run.reply_to]
        if ids:
            steps.append((self._unsent, [(batch_no, encode_pack(ids))]))

    def _write_history(self, steps: list[Step], history: list[HistoryRow], batch_no: int, at: Micros) -> None:
        loose: list[HistoryRow] = []
        numbered: list[tuple[Any, ...]] = []
        for row in history:
            run_id, seq, before, after, reason, actor, attempt, epoch, worker, when, valid = row
            if seq:
                good = 1 if valid else 0
                numbered.append(
                    (run_id, seq, before, after, reason, actor, attempt, epoch, worker, at[when], good, batch_no)
                )
            else:
                loose.append(row)
        steps.append((self._history, numbered))
        if loose:
            late = [(row.run_id, *row[2:9], at[row.at], int(row.valid), batch_no, row.run_id) for row in loose]
            steps.append((self._loose, late))

    def _write_journals(self, steps: list[Step], changes: Changes, at: Micros) -> None:
        calls = [(*call[:8], at[call.due_at], call.place, 0) for call in changes.calls]
        steps.append((self._calls, calls))
        steps.append((self._closed, changes.closed))
        own = [row for row in changes.deliveries if row.value is None]
        steps.append((self._deliveries, [rows.delivery_values(row, at) for row in own]))
        if len(own) < len(changes.deliveries):
            told = [row for row in changes.deliveries if row.value is not None]
            steps.append((self._told, [rows.delivery_values(row, at) + rows.told_values(row) for row in told]))

    def _write_waits(self, steps: list[Step], changes: Changes, at: Micros) -> None:
        tokens = [rows.token_values(row, at) for row in changes.tokens]
        steps.append((self._tokens, tokens))
        steps.append((self._tokens_completed, [(token, at[when], by) for token, when, by in changes.tokens_completed]))
        kept = [(one.to_generation, one.to_seq, *one[:3]) for one in changes.kept_signals]
        steps.append((self._kept_signals, kept))

    # ------------------------------------------------------------------------------------------------ the connection

    def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._engine.connect()
        return self._connection

    def drop(self) -> None:
        """Give the connection up; the next statement opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def close(self) -> None:
        """Close the connection. Twice is harmless."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def on_connection(self, act: Callable[[Connection], None]) -> None:
        """Do something in a transaction of its own (migrations)."""
        connection = self._connect()
        with connection.begin():
            act(connection)


def _defaults(columns: Sequence[str]) -> dict[str, str]:
    """The SQL of what stands in these columns when there is nothing to say."""
    return {name: rows.DEFAULTS.get(name, "0") for name in columns}
