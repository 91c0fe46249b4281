"""What the ledger must know before it decides, and the bodies that are sent: few statements per batch, none per run.

It only reads, on a connection of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine

from longshore.coordinator.store import keeping, rows
from longshore.coordinator.store.annotations import SEEN, metadata_of, read_annotations, tags_of
from longshore.coordinator.store.answered import read_answered
from longshore.coordinator.store.beginnings import read_beginnings, read_joints
from longshore.coordinator.store.columns import (
    call_of,
    failure_of,
    ids_of,
    micros,
    moment,
    moment_of,
    value_of,
)
from longshore.coordinator.store.engines import reading
from longshore.coordinator.store.faults import translated
from longshore.coordinator.store.forgetting import journal_rows, stand_before
from longshore.coordinator.store.forks import fork_point
from longshore.coordinator.store.many import Many, open_batches
from longshore.coordinator.store.queues import all_rules
from longshore.coordinator.store.schedules import read_due, read_found, tick_of
from longshore.coordinator.store.statements import ManyKeys, marks_of
from longshore.coordinator.store.tables import WAITED
from longshore.coordinator.store.unheard import read_unheard
from longshore.coordinator.store.workers import WORKER, worker_of
from longshore.core.changes import Facts, Needs, Snapshot
from longshore.core.cursors import CANCEL_CHILDREN, Cursor
from longshore.core.ids import Address, RunId, SessionId
from longshore.core.message import CallRow, Delivery, Failure, Value
from longshore.core.records import CacheHit, ReturnedReply, TokenRow, WorkerRow, final_of
from longshore.core.run import FINAL, WAITING, WITH_WORKER, Run, Status
from longshore.core.schedules import ScheduledTick
from longshore.serialization.written import LARGEST, written

GROUP: Final = 1000
CURSORS: Final = 10
FORGOTTEN_AFTER: Final = timedelta(minutes=10)
"""Sessions closed for longer are loaded only if a run still names them."""

_LIVE: Final = tuple(sorted((WAITING | WITH_WORKER) - {Status.SUSPENDED}))
_RUN: Final = ", ".join(f"run.{name}" for name in rows.SELECTED)


class Input(NamedTuple):
    """What a run was given."""

    value: Value | None
    tags: list[str]
    metadata: dict[str, Any]
    schedule: ScheduledTick | None = None
    checkpoint: Value | None = None


class Ending(NamedTuple):
    """What came of a run."""

    result: Value | None
    error: Failure | None
    cached: bool


class Page(NamedTuple):
    """A page of a journal: what was asked and told with a seq in (after, upto]."""

    calls: list[CallRow]
    deliveries: list[Delivery]
    upto: int
    last: bool


class Reader:
    """Answers the ledger's needs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        with translated("the ledger's database cannot be opened"):
            mark = marks_of(self._connect())
        self._mark = mark
        self._many = Many(mark)
        self._runs = ManyKeys(f"SELECT {_RUN} FROM run WHERE id IN ({{keys}})", mark)
        self._cache = ManyKeys(
            "SELECT cache.key, cache.run_id, cache.expires_at, run.result, run.result_ref, run.version "
            "FROM cache JOIN run ON run.id = cache.run_id WHERE cache.key IN ({keys})",
            mark,
        )
        self._workers = ManyKeys(f"SELECT {', '.join(WORKER)} FROM worker WHERE session IN ({{keys}})", mark)
        self._timers = ManyKeys(
            "SELECT call.run_id, call.address, call.due_at FROM call JOIN run ON run.id = call.run_id "
            "AND run.generation = call.generation WHERE call.due_at > 0 AND call.closed = 0 "
            "AND call.run_id IN ({keys})",
            mark,
        )
        call = (
            "SELECT call.address, call.kind, call.name, call.digest, call.asked_seq, call.child_id, call.place, "
            "call.closed FROM call JOIN run ON run.id = call.run_id AND run.generation = call.generation "
            f"WHERE call.run_id = {mark}"
        )
        self._calls = call
        self._addresses = ManyKeys(f"{call} AND call.address IN ({{keys}})", mark)
        given = f"id, input, input_ref, tags, {SEEN}, schedule, checkpoint, checkpoint_ref"
        asked = f"SELECT {given} FROM run WHERE id IN ({{keys}})"
        self._inputs = ManyKeys(asked, mark)
        self._endings = ManyKeys("SELECT id, result, result_ref, error, cached FROM run WHERE id IN ({keys})", mark)
        self._given = f"SELECT input FROM run WHERE id = {mark} AND LENGTH(input) <= {LARGEST}"
        self._prepare_waits(mark)

    def _prepare_waits(self, mark: str) -> None:
        self._tokens = ManyKeys(
            "SELECT token, run_id, generation, address, expires_at, completed_at, completed_by FROM token "
            "WHERE token IN ({keys})",
            mark,
        )
        self._signals = ManyKeys(
            f"SELECT address FROM delivery WHERE kind = 'signal' AND run_id = {mark} AND address IN ({{keys}})", mark
        )
        self._told_ids = ManyKeys(
            f"SELECT signal_id FROM told_signal WHERE run_id = {mark} AND signal_id IN ({{keys}})", mark
        )
        self._waits = (
            "SELECT 1 FROM call JOIN run ON run.id = call.run_id AND run.generation = call.generation "
            f"WHERE {WAITED} AND call.kind = 'signal' AND call.run_id = {mark} AND call.name = {mark} LIMIT 1"
        )
        self._told_signals = (
            "SELECT delivery.seq, COALESCE(LENGTH(delivery.value), 0) FROM delivery "
            "JOIN run ON run.id = delivery.run_id AND run.generation = delivery.generation "
            f"WHERE delivery.kind = 'signal' AND delivery.run_id = {mark} ORDER BY delivery.seq"
        )

    # ------------------------------------------------------------------------------------------------------- facts

    def read(self, needs: Needs, now: datetime) -> Facts:
        """The facts a round needs. Raises StoreUnavailableError."""
        facts = Facts()
        with translated("the ledger's facts cannot be read"):
            connection = self._connect()
            wanted = set(needs.runs)
            self._read_calls(connection, facts, needs)
            if needs.annotations:
                read_annotations(connection, facts, needs)
            if needs.tokens or needs.signals or needs.told_signals or needs.waits:
                self._read_waits(connection, facts, needs)
                wanted.update(row.run_id for row in facts.tokens.values())
            wanted.update(row.child_id for found in facts.calls.values() for row in found.values() if row.child_id)
            if needs.batches or needs.bulks or needs.cursors:
                wanted.update(self._many.read(connection, needs, facts))
            if needs.originals or needs.debounce_keys or needs.idempotency_keys:
                wanted |= read_beginnings(connection, facts, needs, now)
            for run_id, address in needs.forks:
                if (point := fork_point(connection, run_id, address)) is not None:
                    facts.forks[run_id, address] = point
            if needs.suspended_due:
                facts.suspended_due = self._suspended_due(connection, now)
                wanted.update(facts.suspended_due)
            if needs.cursors:
                facts.cursors = self._cursors(connection)
                wanted.update(*(one.children for one in facts.cursors))
            if needs.kept:
                facts.kept = keeping.kept_page(connection, needs.kept)
            if needs.replies_due:
                facts.replies_due = self._replies_due(connection, now)
                wanted.update(reply.run_id for reply in facts.replies_due)
            facts.answered = read_answered(connection, needs.answered) if needs.answered else {}
            wanted |= read_unheard(connection, facts, now) if needs.unheard else set()
            if needs.schedules.ids:
                read_found(connection, facts.schedules, needs.schedules.ids)
            if needs.schedules.due:
                wanted |= read_due(connection, facts.schedules, now)
            if wanted:
                self._read_runs(connection, facts, wanted)
            if needs.cache_keys:
                facts.cache = self._read_cache(connection, needs.cache_keys)
            if needs.sessions:
                found = self._workers.rows(connection, list(needs.sessions))
                facts.sessions = {row[0]: worker_of(row) for row in found}
        return facts

    def _read_runs(self, connection: Connection, facts: Facts, wanted: Collection[RunId]) -> None:
        texts: dict[str, str] = {}  # who ends is told to its parent, which may be put away:
        if parents := self._sort(facts, self._runs.rows(connection, list(wanted)), texts) - facts.runs.keys():
            self._sort(facts, self._runs.rows(connection, list(parents)), texts)
        self._read_timers(connection, facts.runs)

    def _sort(self, facts: Facts, found: Iterable[Any], texts: dict[str, str]) -> set[RunId]:
        parents: set[RunId] = set()
        for row in found:
            run = rows.run_of(row, texts)
            if run.status in FINAL:
                facts.final[run.id] = final_of(run)
                continue
            parents.add(run.parent_id)
            if run.status is Status.SUSPENDED:
                facts.runs[run.id] = run
        return parents - {""}

    def _read_timers(self, connection: Connection, runs: dict[RunId, Run]) -> None:
        flows = {run.id: run.flow for run in runs.values() if run.flow is not None}
        if not flows:
            return
        for run_id, address, due_at in self._timers.rows(connection, list(flows)):
            flows[run_id].timers[address] = moment_of(due_at)

    def _suspended_due(self, connection: Connection, now: datetime) -> list[RunId]:
        text = f"SELECT id FROM run WHERE check_at > 0 AND check_at <= {self._mark} ORDER BY check_at LIMIT {GROUP}"
        return [RunId(run_id) for (run_id,) in connection.exec_driver_sql(text, (micros(now),))]

    def _cursors(self, connection: Connection) -> list[Cursor]:
        names = 'id, kind, run_id, reason, "before", "after"'
        found = connection.exec_driver_sql(f"SELECT {names} FROM cursor ORDER BY kind, id LIMIT {CURSORS}").fetchall()
        page = GROUP // max(len(found), 1)
        return [self._page_of(connection, row, page) for row in found]

    def _page_of(self, connection: Connection, row: Any, page: int) -> Cursor:
        name, kind, run_id, reason, before, after = row
        if kind != CANCEL_CHILDREN:
            return stand_before(connection, Cursor(name, kind, RunId(run_id), reason, moment(before), RunId(after)))
        mark = self._mark
        text = f"SELECT id FROM run WHERE parent_id <> '' AND parent_id = {mark} AND id > {mark} AND finished_at = 0 "
        text += "AND spared = 0"
        values: tuple[Any, ...] = (run_id, after)
        if before:
            text += f" AND created_at <= {mark}"
            values += (before,)
        children = connection.exec_driver_sql(f"{text} ORDER BY id LIMIT {page + 1}", values).scalars().all()
        return Cursor(
            id=name,
            kind=kind,
            run_id=RunId(run_id),
            reason=reason,
            before=moment(before),
            after=RunId(after),
            children=[RunId(child) for child in children[:page]],
            last=len(children) <= page,
        )

    def _replies_due(self, connection: Connection, now: datetime) -> list[ReturnedReply]:
        text = (
            f"SELECT run_id, reply_to, first_at, next_at FROM returned_reply WHERE next_at <= {self._mark} "
            f"ORDER BY next_at LIMIT {GROUP}"
        )
        return [
            ReturnedReply(RunId(run_id), reply_to, moment_of(first), moment_of(next_))
            for run_id, reply_to, first, next_ in connection.exec_driver_sql(text, (micros(now),))
        ]

    def _read_cache(self, connection: Connection, keys: Collection[str]) -> dict[str, CacheHit]:
        return {
            key: CacheHit(RunId(run_id), value_of(result, ref), version, moment(expires))
            for key, run_id, expires, result, ref, version in self._cache.rows(connection, list(keys))
        }

    def _read_calls(self, connection: Connection, facts: Facts, needs: Needs) -> None:
        for run_id in needs.calls:
            found = connection.exec_driver_sql(self._calls, (run_id,))
            facts.calls[run_id] = {row[0]: call_of(row) for row in found}
        for run_id, addresses in needs.addresses.items():
            if run_id not in facts.calls:
                some = self._addresses.rows(connection, list(addresses), (run_id,))
                facts.calls[run_id] = {row[0]: call_of(row) for row in some}
        for run_id, address in needs.arguments:
            row = facts.calls[run_id].get(address)
            given = row and connection.exec_driver_sql(self._given, (row.child_id,)).scalar()
            if given and (said := written(bytes(given))) is not None:
                facts.arguments[run_id, address] = said

    def _read_waits(self, connection: Connection, facts: Facts, needs: Needs) -> None:
        facts.tokens = {row[0]: _token(row) for row in self._tokens.rows(connection, list(needs.tokens))}
        for run_id, ids in needs.signals.items():
            facts.signals[run_id] = {
                row[0]
                for statement in (self._signals, self._told_ids)
                for row in statement.rows(connection, list(ids), (run_id,))
            }
        facts.waits = {one for one in needs.waits if connection.exec_driver_sql(self._waits, one).first()}
        for run_id in needs.told_signals:
            found = connection.exec_driver_sql(self._told_signals, (run_id,))
            facts.told_signals[run_id] = [(seq, size) for seq, size in found]
            facts.journal_rows[run_id] = journal_rows(connection, run_id)

    # ------------------------------------------------------------------------------------------------------ bodies

    def bodies(
        self, input_ids: Collection[RunId], outcome_ids: Collection[RunId]
    ) -> tuple[dict[RunId, Input], dict[RunId, Ending]]:
        """What these runs were given, and what came of those."""
        with translated("the ledger's values cannot be read"):
            connection = self._connect()
            inputs = {
                RunId(run_id): Input(
                    value_of(inline, ref), tags_of(tags), metadata_of(seen), tick_of(schedule), value_of(kept, kept_ref)
                )
                for run_id, inline, ref, tags, seen, schedule, kept, kept_ref in self._inputs.rows(
                    connection, list(input_ids)
                )
            }
            endings = {
                RunId(run_id): Ending(value_of(inline, ref), failure_of(error), bool(cached))
                for run_id, inline, ref, error, cached in self._endings.rows(connection, list(outcome_ids))
            }
        return inputs, endings

    # ------------------------------------------------------------------------------------------------------- start

    def numbers(self) -> tuple[int, int]:
        """(batch_no, published_batch) as stored."""
        with translated("the ledger's owner cannot be read"):
            row = self._connect().exec_driver_sql("SELECT batch_no, published_batch FROM owner").one()
        return row[0], row[1]

    def snapshot(self, term: int, published_batch: int, now: datetime) -> Snapshot:
        """What a starting coordinator loads: every run that is neither final nor suspended, and the sessions."""
        with translated("the ledger cannot be loaded"):
            connection = self._connect()
            texts: dict[str, str] = {}
            listed = ", ".join(f"'{status}'" for status in _LIVE)
            text = f"SELECT {_RUN} FROM run WHERE status <> 'COMPLETED' AND status IN ({listed}) ORDER BY no"
            found = connection.execution_options(yield_per=1000).exec_driver_sql(text)
            runs = [rows.run_of(row, texts) for row in found]
            self._read_timers(connection, {run.id: run for run in runs})
            sessions = {run.session for run in runs if run.session}
            workers = self._sessions(connection, sessions, now)
            text = f"SELECT run_ids FROM unsent WHERE batch_no > {self._mark} ORDER BY batch_no"
            batches = open_batches(connection)
            unsent = connection.exec_driver_sql(text, (published_batch,)).scalars().all()
            queues = all_rules(connection)
            shown, policies = keeping.shown(connection), keeping.policies(connection)
            joints = read_joints(connection)
        return Snapshot(
            term=term,
            shown=shown,
            policies=policies,
            runs=runs,
            workers=workers,
            unsent=[RunId(run_id) for packed in unsent for run_id in ids_of(packed)],
            queues=queues,
            batches=batches,
            joints=joints,
        )

    def _sessions(self, connection: Connection, named: Collection[SessionId], now: datetime) -> list[WorkerRow]:
        text = f"SELECT {', '.join(WORKER)} FROM worker WHERE status <> 'CLOSED' OR since > {self._mark}"
        found = {row[0]: row for row in connection.exec_driver_sql(text, (micros(now - FORGOTTEN_AFTER),))}
        missing = [session for session in named if session not in found]
        found.update({row[0]: row for row in self._workers.rows(connection, missing)})
        return [worker_of(row) for row in found.values()]

    # ------------------------------------------------------------------------------------------------ the connection

    def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed or self._connection.invalidated:
            self._connection = reading(self._engine)
        return self._connection

    @property
    def connection(self) -> Connection:
        """The connection, for what else is read beside facts."""
        return self._connect()

    def close(self) -> None:
        """Close the connection. Twice is harmless."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _token(row: Any) -> TokenRow:
    token, run_id, generation, address, expires_at, completed_at, by = row
    return TokenRow(token, RunId(run_id), generation, Address(address), moment(expires_at), moment(completed_at), by)
