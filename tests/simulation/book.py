"""A store in plain dictionaries: it answers Needs and keeps Changes exactly as the real one promises to."""

from __future__ import annotations

import copy
from bisect import bisect_right
from datetime import datetime
from typing import Any

import msgspec

from longshore.coordinator.calendar import fill
from longshore.core.batches import OPEN, Batch
from longshore.core.bulks import RUNNING, BulkPage, BulkRow, statuses_of
from longshore.core.changes import Changes, Facts, HistoryRow, Needs, NewCall, NewDelivery, Snapshot, Unreadable
from longshore.core.cursors import (
    CANCEL_CHILDREN,
    FORGET_BELOW,
    FORGET_EXPIRED,
    FORGET_JOURNAL,
    FORGET_KEYS,
    FORGET_LEFT,
    FORGET_ROWS,
    FORGET_SIGNALS,
    FORGET_TREE,
    Cursor,
)
from longshore.core.forks import ForkPoint, NewFork, OpenToken
from longshore.core.ids import Address, RunId, SessionId
from longshore.core.joints import refused
from longshore.core.keeping import KeepRow
from longshore.core.message import Answer, CallRow, Delivery, Failure, Value
from longshore.core.queues import QueueRow
from longshore.core.records import (
    Annotation,
    CacheHit,
    ReturnedReply,
    TokenRow,
    Unheard,
    UnheardPage,
    WorkerRow,
    final_of,
)
from longshore.core.run import FINAL, Run, Status
from longshore.core.schedules import SKIP, Due, Schedule, ScheduledTick
from longshore.serialization.written import written
from tests.simulation.begun import Begun
from tests.simulation.cuts import Cut, cut
from tests.simulation.keeping import is_going, kept_page, let_go, shown, stand_before

PAGE = 1000
DUE_AT_ONCE = 100


class Book:
    """Every row there is. `commit` and `read` copy, so that nobody shares an object with the ledger."""

    def __init__(self) -> None:
        self.term = 0
        self.runs: dict[RunId, Run] = {}
        self.inputs: dict[RunId, Value] = {}
        self.tags: dict[RunId, list[str]] = {}
        self.checkpoints: dict[RunId, Value] = {}
        self.results: dict[RunId, Value | None] = {}
        self.errors: dict[RunId, Failure | None] = {}
        self.history: dict[RunId, list[HistoryRow]] = {}
        self.calls: dict[tuple[RunId, int], dict[Address, NewCall]] = {}
        self.closed: set[tuple[RunId, int, Address]] = set()
        self.deliveries: dict[tuple[RunId, int], list[NewDelivery]] = {}
        self.cache: dict[str, tuple[RunId, datetime | None]] = {}
        self.workers: dict[SessionId, WorkerRow] = {}
        self.cursors: dict[str, Cursor] = {}
        self.batches: dict[str, Batch] = {}
        self.batch_of: dict[RunId, str] = {}
        self.bulks: dict[str, BulkRow] = {}
        self.returned: dict[RunId, ReturnedReply] = {}
        self.unheard: dict[RunId, Unheard] = {}
        self.dead: list[Unreadable] = []
        self.unsent: list[RunId] = []
        self.begun = Begun()
        self.tokens: dict[str, TokenRow] = {}
        self.queues: dict[str, QueueRow] = {}
        self.told_ids: dict[RunId, dict[str, datetime]] = {}
        self.metadata: dict[RunId, dict[str, Any]] = {}
        self.given: dict[RunId, str] = {}
        self.answered: dict[str, Answer] = {}
        self.annotation_ids: set[tuple[RunId, str]] = set()
        self.schedules: dict[str, Schedule] = {}
        self.ticks: dict[RunId, ScheduledTick] = {}
        self.policies: dict[str, KeepRow] = {}
        self.gone: set[RunId] = set()
        self.numbers: dict[RunId, int] = {}
        self.forked_from: dict[RunId, RunId] = {}

    # ------------------------------------------------------------------------------------------------ reading

    def snapshot(self) -> Snapshot:
        """What a starting coordinator loads; the term rises."""
        self.term += 1
        live = [
            copy.deepcopy(run)
            for run in self.runs.values()
            if run.status not in FINAL and run.status is not Status.SUSPENDED
        ]
        unsent, self.unsent = self.unsent, []
        workers, queues = copy.deepcopy(list(self.workers.values())), copy.deepcopy(list(self.queues.values()))
        batches = [copy.copy(batch) for batch in self.batches.values() if batch.status == OPEN]
        return Snapshot(
            term=self.term,
            runs=live,
            workers=workers,
            unsent=unsent,
            batches=batches,
            queues=queues,
            shown=shown(self),
            policies=list(self.policies.values()),
            joints=self.begun.untold(),
        )

    def read(self, needs: Needs, now: datetime) -> Facts:
        """The facts a round needs."""
        facts = Facts()
        self.read_runs(facts, needs.runs)
        self._read_waits(facts, needs)
        for key in needs.cache_keys:
            if key in self.cache:
                run_id, expires = self.cache[key]
                facts.cache[key] = CacheHit(run_id, self.results.get(run_id), self.runs[run_id].version, expires)
        facts.bulks = {one: copy.copy(self.bulks[one]) for one in needs.bulks if one in self.bulks}
        facts.batches = {one: copy.copy(self.batches[one]) for one in needs.batches if one in self.batches}
        for session in needs.sessions:
            if session in self.workers:
                facts.sessions[session] = copy.deepcopy(self.workers[session])
        for run_id, addresses in needs.addresses.items():
            facts.calls[run_id] = {row.address: row for row in self.call_rows(run_id) if row.address in addresses}
            self.read_runs(facts, [row.child_id for row in facts.calls[run_id].values() if row.child_id])
        for run_id, address in needs.arguments:
            row = facts.calls[run_id].get(address)
            given = self.inputs.get(row.child_id) if row is not None else None
            if isinstance(given, bytes) and (said := written(given)) is not None:
                facts.arguments[run_id, address] = said
        for run_id in needs.annotations & self.runs.keys():
            kept = Annotation(self.metadata.get(run_id, {}), self.tags.get(run_id, []), self.given.get(run_id))
            facts.annotations[run_id] = copy.deepcopy(kept)
        for run_id, ids in needs.annotation_ids.items():
            facts.annotation_ids[run_id] = {one for one in ids if (run_id, one) in self.annotation_ids}
        facts.answered = {key: self.answered[key] for key in needs.answered & self.answered.keys()}
        if needs.cursors:
            facts.bulk_pages = [self._bulk_page(bulk) for bulk in self.bulks.values() if bulk.status == RUNNING]
            found = [run_id for page in facts.bulk_pages for _, run_id in page.runs]
            needs.originals.update(found)
            self.read_runs(facts, found)
            self.read_runs(facts, [self.runs[one].parent_id for one in found if self.runs[one].parent_id])
        self.begun.read(self, facts, needs, now)
        for run_id, address in needs.forks:
            if run_id in self.runs:
                facts.forks[run_id, address] = self._fork_point(run_id, address)
        if needs.suspended_due:
            facts.suspended_due = [run.id for run in self.runs.values() if self._is_due(run, now)][:PAGE]
            self.read_runs(facts, facts.suspended_due)
        if needs.cursors:
            self._read_cursors(facts)
        if needs.kept:
            facts.kept = kept_page(self, needs.kept)
        if needs.replies_due:
            facts.replies_due = [reply for reply in self.returned.values() if reply.next_at <= now]
            self.read_runs(facts, [reply.run_id for reply in facts.replies_due])
        if needs.unheard:
            rows = sorted(self.unheard.values(), key=lambda one: one.next_at)
            due = [one for one in rows if one.next_at <= now][:DUE_AT_ONCE]
            facts.unheard = UnheardPage(due, next((one.next_at for one in rows[len(due) :]), None))
            self.read_runs(facts, [one.run_id for one in due])
        if needs.schedules.any:
            self._read_schedules(facts, needs, now)
        self.read_runs(facts, [run.parent_id for run in facts.runs.values() if run.parent_id])
        return facts

    def _read_schedules(self, facts: Facts, needs: Needs, now: datetime) -> None:
        asked, known = needs.schedules, self.schedules
        facts.schedules.found = {name: copy.deepcopy(known[name]) for name in asked.ids if name in known}
        if asked.due:
            later = sorted((one.due_at, one.id) for one in known.values() if one.due_at is not None)
            due = [copy.deepcopy(known[name]) for at, name in later if at <= now]
            facts.schedules.due = [Due(one) for one in due[:DUE_AT_ONCE]]
            facts.schedules.next_due_at = next((at for at, _ in later[DUE_AT_ONCE:] if at <= now), None) or next(
                (at for at, _ in later if at > now), None
            )
            self.read_runs(facts, [one.last_run_id for one in due if one.plan.overlap == SKIP])
        fill(facts, needs, now)

    def _read_waits(self, facts: Facts, needs: Needs) -> None:
        facts.tokens = {token: copy.copy(self.tokens[token]) for token in needs.tokens if token in self.tokens}
        self.read_runs(facts, [row.run_id for row in facts.tokens.values()])
        for run_id, wanted in needs.signals.items():
            logs = [log for (other, _), log in self.deliveries.items() if other == run_id]
            told = {str(row.address) for log in logs for row in log if row.kind == "signal"}
            facts.signals[run_id] = (told | self.told_ids.get(run_id, {}).keys()) & wanted
        facts.waits = {one for one in needs.waits if self._waits_for(*one)}
        for run_id in needs.told_signals:
            flow = self.runs[run_id].flow
            log = self.deliveries.get((run_id, flow.generation if flow else 0), [])
            signals = [row for row in log if row.kind == "signal"]
            sizes = [len(row.value) if isinstance(row.value, bytes) else 0 for row in signals]
            facts.told_signals[run_id] = [(row.seq, size) for row, size in zip(signals, sizes, strict=True)]
            facts.journal_rows[run_id] = self._journal_rows(run_id)

    def _fork_point(self, run_id: RunId, address: Address) -> ForkPoint:
        run = copy.deepcopy(self.runs[run_id])
        point = ForkPoint(run)
        point.going = is_going(self, run)
        if run.flow is None:
            return point
        calls = self.call_rows(run_id)
        point.call = next((row for row in calls if row.address == address), None)
        if point.call is None or point.call.kind != "call":
            point.near = [row for row in calls if row.kind == "call"][:20]
            return point
        log = self.deliveries.get((run_id, run.flow.generation), [])
        found = self._cut(run_id, run.flow.generation, address)
        point.at = log[found.seq - 1].at if found.seq else None
        point.dropped_seq, point.appended = found.dropped_seq, len(found.behind)
        processed = min(found.dropped_seq - 1, run.flow.processed_seq)
        signals = [row.value for row in log if row.kind == "signal" and row.seq > processed]
        point.unread = len(signals)
        point.unread_bytes = sum(len(value) for value in signals if isinstance(value, bytes))
        rows = self.calls[run_id, run.flow.generation]
        point.tokens = [
            OpenToken(rows[one].name, one, self.tokens[rows[one].name].run_id, rows[one].due_at) for one in found.open
        ]
        return point

    def _cut(self, run_id: RunId, generation: int, address: Address) -> Cut:
        calls = self.calls.get((run_id, generation), {})
        return cut(list(calls.values()), self.deliveries.get((run_id, generation), []), address)

    def _is_due(self, run: Run, now: datetime) -> bool:
        if run.status is not Status.SUSPENDED or run.flow is None:
            return False
        times = [*run.flow.timers.values(), *([run.deadline_at] if run.deadline_at else [])]
        if run.flow.rest_until is not None and run.flow.processed_seq < run.flow.last_seq:
            times.append(run.flow.rest_until)
        return any(at <= now for at in times)

    def read_runs(self, facts: Facts, run_ids: object) -> None:
        """Of these runs: the live ones that no memory has, and the ends of others."""
        for run_id in list(run_ids):  # type: ignore[call-overload]
            run = self.runs.get(run_id)
            if run is None:
                continue
            if run.status in FINAL:
                facts.final[run_id] = final_of(run)
            elif run.status is Status.SUSPENDED:
                facts.runs.setdefault(run_id, copy.deepcopy(run))

    def _waits_for(self, run_id: RunId, name: str) -> bool:
        rows = self.call_rows(run_id) if run_id in self.runs else []
        return any(row.kind == "signal" and row.name == name and not row.closed for row in rows)

    def _journal_rows(self, run_id: RunId, upto: int | None = None) -> int:
        kept = [*self.calls.items(), *self.deliveries.items()]
        return sum(len(rows) for key, rows in kept if key[0] == run_id and (upto is None or key[1] <= upto))

    def _read_forgetting(self, cursor: Cursor) -> Cursor:
        found = copy.copy(cursor)
        if cursor.kind in (FORGET_EXPIRED, FORGET_ROWS, FORGET_TREE, FORGET_LEFT, FORGET_BELOW):
            return stand_before(self, found)
        if cursor.kind == FORGET_JOURNAL:
            flow = self.runs[cursor.run_id].flow
            found.upto = flow.generation - 1 if flow else -1
            found.rows = self._journal_rows(cursor.run_id, found.upto)
        elif cursor.kind == FORGET_KEYS:
            found.rows = self.begun.old(self, cursor)
        elif cursor.kind == FORGET_SIGNALS:
            found.rows = sum(at < (cursor.before or at) for ids in self.told_ids.values() for at in ids.values())
        else:
            page = sorted(token for token in self.tokens if token > cursor.after)
            found.children, found.last = [RunId(token) for token in page[:PAGE]], len(page) <= PAGE
            found.keys = [token for token in page[:PAGE] if self._is_dead(self.tokens[token], cursor.before)]
        return found

    def _is_dead(self, token: TokenRow, before: datetime | None) -> bool:
        run = self.runs[token.run_id]
        ended = run.finished_at is not None and before is not None and run.finished_at < before
        return ended or token.generation < (run.flow.generation if run.flow else 0)

    def _bulk_page(self, bulk: BulkRow) -> BulkPage:
        numbered = list(enumerate(self.runs.values(), 1))[bulk.after : bulk.upto]
        fitting = [
            (no, run.id)
            for no, run in numbered
            if run.status in statuses_of(bulk.what, bulk.filter)
            and (not bulk.filter.routine or run.routine == bulk.filter.routine)
        ]
        page = fitting[:PAGE]
        last = len(page) == len(fitting)
        return BulkPage(copy.copy(bulk), page, bulk.upto if last else page[-1][0], last)

    def _read_cursors(self, facts: Facts) -> None:
        for cursor in sorted(self.cursors.values(), key=lambda one: one.kind)[:10]:
            if cursor.kind != CANCEL_CHILDREN:
                facts.cursors.append(self._read_forgetting(cursor))
                continue
            page = sorted(
                run.id
                for run in self.runs.values()
                if run.parent_id == cursor.run_id
                and run.status not in FINAL
                and not run.spared
                and run.id > cursor.after
                and (cursor.before is None or run.created_at <= cursor.before)
            )
            found = copy.copy(cursor)
            found.children, found.last = page[:PAGE], len(page) <= PAGE
            facts.cursors.append(found)
            self.read_runs(facts, found.children)

    def call_rows(self, run_id: RunId) -> list[CallRow]:
        """The calls of a workflow's present generation."""
        flow = self.runs[run_id].flow
        generation = flow.generation if flow else 0
        return [
            CallRow(
                address=call.address,
                kind=call.kind,
                name=call.name,
                digest=call.digest,
                asked_seq=call.asked_seq,
                child_id=call.child_id,
                place=call.place,
                closed=(run_id, generation, call.address) in self.closed,
            )
            for call in self.calls.get((run_id, generation), {}).values()
        ]

    def delivery_log(self, run_id: RunId) -> list[Delivery]:
        """The facts told to a workflow's present generation, with the values of its children."""
        flow = self.runs[run_id].flow
        return [
            Delivery(
                seq=row.seq,
                kind=row.kind,
                address=row.address,
                at=row.at,
                status=row.status,
                result=self.results.get(row.child_id) if row.kind == "outcome" else row.value,
                error=self.errors.get(row.child_id) if row.child_id or row.kind != "outcome" else _refused(row),
                child_id=row.child_id,
            )
            for row in self.deliveries.get((run_id, flow.generation if flow else 0), [])
        ]

    # ------------------------------------------------------------------------------------------------ writing

    def commit(self, changes: Changes) -> None:
        """Keep everything a round changed. Raises AssertionError where the real store's keys would refuse it."""
        for new in changes.inserted:
            assert new.run.id not in self.runs, f"run {new.run.id} inserted twice"
            if new.batch_id:
                self.batch_of[new.run.id] = new.batch_id
            self.runs[new.run.id] = copy.deepcopy(new.run)
            self.numbers[new.run.id] = len(self.numbers) + 1
            self.inputs[new.run.id] = new.input
            self.tags[new.run.id] = list(new.tags)
            self.metadata[new.run.id] = copy.deepcopy(new.metadata)
            if new.schedule is not None:
                self.ticks[new.run.id] = new.schedule
        self.begun.commit(self, changes)
        for fork in changes.forks:
            self._copy(fork)
        self._annotate(changes)
        for run_id, run in changes.updated.items():
            assert run_id in self.runs
            assert run_id not in changes.ended
            self.runs[run_id] = copy.deepcopy(run)
        for run_id, outcome in changes.ended.items():
            assert run_id in self.runs
            self.runs[run_id] = copy.deepcopy(outcome.run)
            self.results[run_id], self.errors[run_id] = outcome.result, outcome.error
        self.inputs.update(changes.inputs)
        self.checkpoints.update(changes.checkpoints)
        self._commit_history(changes)
        self._commit_journals(changes)
        self._forget(changes)
        for key, run_id, expires in changes.cache:
            self.cache[key] = (run_id, expires)
        for name, queue in changes.queues.items():
            self.queues.pop(name, None)
            if queue is not None:
                self.queues[name] = copy.deepcopy(queue)
        self.workers.update(copy.deepcopy(changes.workers))
        for session, taken in changes.taken.items():
            self.workers[session].taken = taken
        if until := changes.workers_until:
            closed = [row for row in self.workers.values() if row.status == "CLOSED"]
            for row in closed:
                if row.since is not None and row.since < until:
                    del self.workers[row.session]
        for one, bulk in changes.bulks.items():
            upto = self.bulks[one].upto if one in self.bulks else len(self.runs)
            self.bulks[one] = msgspec.structs.replace(bulk, upto=upto)
        if (until := changes.batches_until) is not None:
            self.batches = {
                one: row for one, row in self.batches.items() if not row.closed_at or row.created_at >= until
            }
            self.bulks = {one: row for one, row in self.bulks.items() if not row.finished_at or row.created_at >= until}
        self.batches |= {one: copy.copy(batch) for one, batch in changes.batches.items()}
        for cursor in changes.cursors:
            self.cursors[cursor.id] = copy.deepcopy(cursor)
        for name in changes.cursors_done:
            self.cursors.pop(name, None)
        self.unheard.update(changes.unheard)
        self.unheard = {one: row for one, row in self.unheard.items() if one not in changes.unheard_done}
        self.returned.update({reply.run_id: reply for reply in changes.returned})
        for run_id in changes.returned_done:
            self.returned.pop(run_id, None)
        self.dead += changes.dead
        self.schedules.update(copy.deepcopy(changes.schedules.kept | changes.schedules.ticked))
        for name in changes.schedules.deleted:
            self.schedules.pop(name, None)
        if changes.letting_go:
            let_go(self, changes.letting_go)

    def _annotate(self, changes: Changes) -> None:
        for run_id, one in changes.annotated.items():
            assert run_id in self.runs
            self.metadata[run_id], self.tags[run_id] = copy.deepcopy(one.metadata), list(one.tags)
            if one.given is not None:
                self.given[run_id] = one.given
        for run_id in changes.begun_anew:
            self.given.pop(run_id, None)
        self.answered.update((one.key, one.answer) for one in changes.answered)
        self.annotation_ids.update((run_id, one) for run_id, one, _ in changes.annotation_ids)

    def _copy(self, fork: NewFork) -> None:
        source, key = (fork.source, fork.generation), (fork.run_id, fork.generation)
        self.forked_from[fork.run_id] = fork.source
        self.inputs[fork.run_id], self.tags[fork.run_id] = self.inputs[fork.source], self.tags[fork.source]
        self.metadata[fork.run_id] = self.metadata.get(fork.source, {})
        if fork.source in self.given:
            self.given[fork.run_id] = self.given[fork.source]
        found = self._cut(fork.source, fork.generation, fork.address)
        assert found.seq == fork.seq
        self.calls[key] = {}
        for address, call in self.calls[source].items():
            if address in found.kept:
                late = address in found.open and call.due_at is not None
                due_at = call.due_at + fork.later if late and call.due_at else call.due_at
                self.calls[key][address] = call._replace(run_id=fork.run_id, due_at=due_at)
                if (*source, address) in self.closed:
                    self.closed.add((*key, address))
            if address in found.open:
                token = self.tokens[call.name]
                token.run_id = fork.run_id
                token.expires_at = token.expires_at and token.expires_at + fork.later
        log = self.deliveries.get(source, [])
        before = [row._replace(run_id=fork.run_id) for row in log[: fork.seq]]
        behind = [log[seq - 1]._replace(run_id=fork.run_id, at=fork.at) for seq in found.behind]
        self.deliveries[key] = before + [row._replace(seq=fork.seq + n) for n, row in enumerate(behind, 1)]

    def _commit_history(self, changes: Changes) -> None:
        for row in changes.history:
            rows = self.history.setdefault(row.run_id, [])
            seq = row.seq or (rows[-1].seq + 1 if rows else 1)
            assert seq == (rows[-1].seq if rows else 0) + 1, f"history of {row.run_id}: {seq} after {rows[-1:]}"
            rows.append(row._replace(seq=seq))

    def _commit_journals(self, changes: Changes) -> None:
        for call in changes.calls:
            calls = self.calls.setdefault((call.run_id, call.generation), {})
            assert call.address not in calls, f"call {call.address} of {call.run_id} asked twice"
            calls[call.address] = call
        anew = {(kept.run_id, kept.to_generation) for kept in changes.kept_signals}
        self._log([one for one in changes.deliveries if (one.run_id, one.generation) not in anew])
        self._keep_signals(changes)
        self._log([one for one in changes.deliveries if (one.run_id, one.generation) in anew])
        for token in changes.tokens:
            self.tokens.setdefault(token.token, copy.copy(token))
        for name, at, by in changes.tokens_completed:
            assert self.tokens[name].completed_at is None, "a token is completed once"
            self.tokens[name].completed_at, self.tokens[name].completed_by = at, by
        self.closed.update(changes.closed)

    def _forget(self, changes: Changes) -> None:
        for run_id, last, limit in changes.forgotten:
            told = self.told_ids.setdefault(run_id, {})
            for generation in sorted({key[1] for key in (*self.calls, *self.deliveries) if key[0] == run_id}):
                key = run_id, generation
                if generation > last:
                    continue
                gone = self.deliveries.get(key, [])[:limit]
                told.update({row.address: row.at for row in gone if row.kind == "signal" and row.address})
                self.deliveries[key] = self.deliveries.get(key, [])[limit:]
                self.calls[key] = dict(list(self.calls.get(key, {}).items())[limit:])
                for kept in (self.calls, self.deliveries):
                    if not kept[key]:
                        del kept[key]
        for run_id, upto, limit in changes.history_forgotten:
            rows = self.history[run_id]
            passed = bisect_right(rows, upto, lo=1, key=lambda row: row.seq) - 1
            self.history[run_id] = rows[:1] + rows[1 + min(limit, passed) :]
        if changes.signals_forgotten:
            before, limit = changes.signals_forgotten
            old = [(run_id, one) for run_id, ids in self.told_ids.items() for one, at in ids.items() if at < before]
            for run_id, one in old[:limit]:
                del self.told_ids[run_id][one]
        for name in changes.tokens_forgotten:
            del self.tokens[name]

    def _log(self, deliveries: list[NewDelivery]) -> None:
        for delivery in deliveries:
            log = self.deliveries.setdefault((delivery.run_id, delivery.generation), [])
            assert delivery.seq == len(log) + 1, f"delivery {delivery.seq} after {len(log)}"
            log.append(delivery)

    def _keep_signals(self, changes: Changes) -> None:
        for kept in changes.kept_signals:
            (row,) = [one for one in self.deliveries[kept.run_id, kept.generation] if one.seq == kept.seq]
            log = self.deliveries.setdefault((kept.run_id, kept.to_generation), [])
            assert row.kind == "signal" and kept.to_seq == len(log) + 1
            log.append(row._replace(generation=kept.to_generation, seq=kept.to_seq))


def _refused(row: NewDelivery) -> Failure:
    assert isinstance(row.value, bytes)
    return refused(row.value.decode())
