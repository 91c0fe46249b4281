"""What a batch writes beside runs, their histories and journals: workers, queues, batches, schedules, cursors, keys of
results and triggers, replies that came back, letters nobody could read. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from longshore.coordinator.store.answered import AnsweredRows
from longshore.coordinator.store.columns import Micros, micros, names, text_of
from longshore.coordinator.store.many import Many
from longshore.coordinator.store.queues import QueueRows
from longshore.coordinator.store.queues import values as queue_values
from longshore.coordinator.store.schedules import ScheduleWriting
from longshore.coordinator.store.statements import Each, ManyKeys, Step, insert, update, upsert
from longshore.coordinator.store.unheard import UnheardRows
from longshore.coordinator.store.workers import WORKER, worker_values
from longshore.core.changes import Changes, Unreadable
from longshore.core.cursors import Cursor

FORGOTTEN_AT_ONCE: Final = 1000
_CURSOR: Final = names("id kind run_id reason before after")
_DEAD: Final = names("at source reason size headers traceback run_ids body")


class Beside:
    """The statements, and their rows of a batch."""

    def __init__(self, mark: str) -> None:
        self._workers = upsert("worker", WORKER, mark)
        self._taken = update("worker", ("session", "taken"), mark)
        closed = f"SELECT session FROM worker WHERE status = 'CLOSED' AND since < {mark} LIMIT {FORGOTTEN_AT_ONCE}"
        self._workers_until = Each(f"DELETE FROM worker WHERE session IN ({closed})")
        self._cache = upsert("cache", ("key", "run_id", "expires_at"), mark)
        self._idempotency = upsert("idempotency", ("key", "run_id", "expires_at"), mark)
        self._freed = ManyKeys("DELETE FROM idempotency WHERE run_id IN ({keys})", mark)
        self._queues = QueueRows(mark)
        self._many = Many(mark)
        self._cursors = upsert("cursor", _CURSOR, mark)
        self._cursors_done = ManyKeys("DELETE FROM cursor WHERE id IN ({keys})", mark)
        self._returned = upsert("returned_reply", ("run_id", "reply_to", "first_at", "next_at"), mark)
        self._returned_done = ManyKeys("DELETE FROM returned_reply WHERE run_id IN ({keys})", mark)
        self._answered = AnsweredRows(mark)
        self._unheard = UnheardRows(mark)
        self._dead = insert("dead_letter", _DEAD, mark)
        self._schedules = ScheduleWriting(mark)

    def steps(self, changes: Changes, at: Micros, now: datetime) -> list[Step]:
        """What is to be written, in order."""
        steps: list[Step] = []
        if changes.cache or changes.idempotency or changes.freed_keys:
            self._write_keys(steps, changes, at)
        if changes.workers:
            steps.append((self._workers, [worker_values(row, at) for row in changes.workers.values()]))
        if changes.taken:
            steps.append((self._taken, list(changes.taken.items())))
        if changes.workers_until:
            steps.append((self._workers_until, [(at[changes.workers_until],)]))
        if changes.queues:
            rules = [(name, row and queue_values(row, at)) for name, row in changes.queues.items()]
            steps.append((self._queues, rules))
        if changes.batches or changes.bulks or changes.batches_until:
            steps += self._many.steps(changes, at)
        if changes.cursors or changes.cursors_done:
            steps.append((self._cursors, _newest(_cursor(one, at) for one in changes.cursors)))
            steps.append((self._cursors_done, changes.cursors_done))
        if changes.returned or changes.returned_done:
            self._write_returned(steps, changes, at)
        if changes.answered:
            steps += self._answered.steps(changes, at)
        if changes.unheard or changes.unheard_done:
            steps += self._unheard.steps(changes, at)
        if changes.schedules.any:
            steps += self._schedules.steps(changes.schedules, at)
        if changes.dead:
            steps.append((self._dead, [_dead(letter, micros(now)) for letter in changes.dead]))
        return steps

    def _write_keys(self, steps: list[Step], changes: Changes, at: Micros) -> None:
        results = _newest((key, run_id, at[expires]) for key, run_id, expires in changes.cache)
        steps.append((self._cache, results))
        keys = _newest((key, run_id, at[expires]) for key, run_id, expires in changes.idempotency)
        steps.append((self._idempotency, keys))
        steps.append((self._freed, changes.freed_keys))

    def _write_returned(self, steps: list[Step], changes: Changes, at: Micros) -> None:
        steps.append((self._returned_done, changes.returned_done))
        kept = _newest((one.run_id, one.reply_to, at[one.first_at], at[one.next_at]) for one in changes.returned)
        steps.append((self._returned, kept))


def _newest(values: Iterable[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
    """One row per key, the last one: PostgreSQL refuses to replace a row twice in one statement."""
    return list({row[0]: row for row in values}.values())


def _cursor(cursor: Cursor, at: Micros) -> tuple[Any, ...]:
    return cursor.id, cursor.kind, cursor.run_id, cursor.reason, at[cursor.before], cursor.after


def _dead(letter: Unreadable, at: int) -> tuple[Any, ...]:
    headers, run_ids = text_of(letter.headers), text_of(letter.run_ids)
    return at, letter.source, letter.reason, letter.size, headers, letter.traceback, run_ids, letter.body
