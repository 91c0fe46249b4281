"""What people ask: one run, lists, histories, trees, what a workflow waits for, dead letters. Read-only, on a
connection of its own; field names are API.md's, times RFC 3339 in UTC.

No value is read here but errors and, for a tree, short inputs (`hints.py`): results travel raw, where a client asks for
the outcome.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Engine, Select, and_, case, func, select, text

from longshore.coordinator.store.beginnings import shared_runs
from longshore.coordinator.store.bulks import MOST_COUNTED
from longshore.coordinator.store.columns import care_of, failure_of
from longshore.coordinator.store.engines import reading
from longshore.coordinator.store.faults import translated
from longshore.coordinator.store.hints import SHORT_INPUT
from longshore.coordinator.store.listing import fitting
from longshore.coordinator.store.many import ManyQueries
from longshore.coordinator.store.recordings import recorded
from longshore.coordinator.store.schedules import read_found, read_listed
from longshore.coordinator.store.shown import LISTED, letter_fields, rfc3339, run_fields, said_at, tags_of, tree_fields
from longshore.coordinator.store.tables import WAITED, call, history, run
from longshore.coordinator.store.tables_beside import dead_letter, owner
from longshore.core.bulks import EVERYTHING, RunFilter
from longshore.core.care import fields as fields_of
from longshore.core.ids import RunId
from longshore.core.message import Recorded
from longshore.core.run import FINAL, Status
from longshore.core.schedules import Schedule, ScheduleFacts

SCANNED: Final = 500
HOLDERS: Final = 10
OUTSIDE: Final = 1000
"""How many waits for signals and tokens are shown with one page of a tree."""
_FINAL: Final = frozenset(status.value for status in FINAL)
_WAITING: Final = frozenset({Status.HANGING.value, Status.SUSPENDED.value})


class Queries:
    """Answers from the rows. One thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self.many = ManyQueries(self._all, self._reading)

    # -------------------------------------------------------------------------------------------------------- runs

    def run(self, run_id: str) -> dict[str, Any] | None:
        """One run with its error, or None."""
        row = self._one(select(*LISTED, run.c.error, run.c.care).where(run.c.id == run_id))
        if row is None:
            return None
        fields = run_fields(row)
        care = care_of(row["care"])
        if care is not None and care.crashes:
            fields["crash_evidence"] = [fields_of(crash) | {"at": rfc3339(crash.at)} for crash in care.crashes]
        failure = failure_of(row["error"])
        if failure is not None:
            fields["error"] = {"type": failure.type, "message": failure.message, "traceback": failure.traceback}
        return fields

    def runs(
        self, wanted: RunFilter = EVERYTHING, *, schedule: str = "", limit: int = 50, cursor: int | None = None
    ) -> tuple[list[dict[str, Any]], int | None]:
        """The newest runs first that fit, and the cursor for the next page (None: no more)."""
        chosen = select(*LISTED).where(*fitting(wanted, schedule=schedule)).order_by(run.c.no.desc())
        found: list[dict[str, Any]] = []
        for row in self._scan(chosen, limit + 1, cursor):
            fields = run_fields(row)
            if wanted.tag and wanted.tag not in fields["tags"]:
                continue  # LIKE knows no upper and lower case
            if len(found) == limit:
                return found, cursor
            found.append(fields)
            cursor = row["no"]
        return found, None

    def preview(self, wanted: RunFilter, first: int) -> tuple[int | None, list[dict[str, Any]]]:
        """How many runs fit (None: over 100,000), and the first of them, the oldest first."""
        conditions = tuple(fitting(wanted))
        if not wanted.tag:
            shown = self._all(select(*LISTED).where(*conditions).order_by(run.c.no).limit(first))
            counted = select(run.c.no).where(*conditions).limit(MOST_COUNTED + 1).subquery()
            fits = int(self._one(select(func.count().label("fits")).select_from(counted))["fits"])
        else:
            rows = self._all(select(run.c.no, run.c.tags).where(*conditions).order_by(run.c.no).limit(MOST_COUNTED + 1))
            numbers = [row["no"] for row in rows if wanted.tag in tags_of(row["tags"])]
            fits = len(numbers) if len(rows) <= MOST_COUNTED else MOST_COUNTED + 1
            shown = self._all(select(*LISTED).where(run.c.no.in_(numbers[:first])).order_by(run.c.no))
        return fits if fits <= MOST_COUNTED else None, [run_fields(row) for row in shown]

    def _scan(self, wanted: Select[Any], at_once: int, cursor: int | None) -> Iterator[Mapping[str, Any]]:
        at_once = max(at_once, SCANNED)
        while True:
            part = wanted if cursor is None else wanted.where(run.c.no < cursor)
            found = self._all(part.limit(at_once))
            yield from found
            if len(found) < at_once:
                return
            cursor = found[-1]["no"]

    def history(self, run_id: str, *, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """The run's changes, oldest first."""
        wanted = select(history).where(history.c.run_id == run_id, history.c.seq > after)
        rows = self._all(wanted.order_by(history.c.seq).limit(limit))
        names = ("run_id", "seq", "from_status", "to_status", "reason", "actor", "attempt", "epoch", "worker_id")
        return [
            {**{name: row[name] for name in names}, "at": said_at(row["at"]), "valid": bool(row["valid"])}
            for row in rows
        ]

    def tree(self, run_id: str, *, after: int = 0, limit: int = 1000) -> tuple[list[dict[str, Any]], int | None]:
        """The runs of one tree, parents before children, and the cursor for the next page. `run_id` is any of them;
        the tree is that of its root."""
        found = self._one(select(run.c.root_id).where(run.c.id == run_id))
        if found is None:
            return [], None
        root = found["root_id"] or run_id
        short = case((func.length(run.c.input) <= SHORT_INPUT, run.c.input)).label("short_input")
        more = (run.c.input_ref, run.c.result_ref, run.c.error, short)
        rows: list[Mapping[str, Any]] = []
        if not after:
            rows += self._all(select(*LISTED, *more).where(run.c.id == root))
        below = select(*LISTED, *more).where(run.c.root_id == root, text("parent_id <> ''"), run.c.no > after)
        rows += self._all(below.order_by(run.c.no).limit(limit))
        children = rows[1:] if not after else rows
        outside = self._outside([row["id"] for row in rows if row["status"] in _WAITING])
        return [{**tree_fields(row), "waits": outside.get(row["id"], [])} for row in rows], children[-1]["no"] if len(
            children
        ) == limit else None

    # ------------------------------------------------------------------------------------------------ what it waits for

    def waits(self, run_id: str) -> dict[str, Any] | None:
        """The calls and timers a workflow waits for: {calls, children, next_at}; None for no such run."""
        found = self._one(select(run.c.generation, run.c.open_calls).where(run.c.id == run_id))
        if found is None:
            return None
        child = run.alias()
        asked = and_(
            call.c.run_id == child.c.parent_id,
            call.c.generation == child.c.parent_generation,
            call.c.address == child.c.parent_address,
        )
        calls = self._all(
            select(child.c.id, child.c.routine, child.c.status)
            .join(call, asked)
            .where(
                child.c.parent_id == run_id,
                text("parent_id <> ''"),  # lets the partial index be used
                child.c.parent_generation == found["generation"],
                child.c.status.not_in(_FINAL),
                call.c.closed == 0,
            )
            .order_by(child.c.id.desc())  # of very many the last ones are open
            .limit(HOLDERS)
        )
        timers = self._all(
            select(call.c.due_at, call.c.kind)
            .where(call.c.run_id == run_id, call.c.generation == found["generation"], text("due_at > 0 AND closed = 0"))
            .order_by(call.c.due_at)
            .limit(HOLDERS)
        )
        return {
            "calls": found["open_calls"] or 0,
            "children": [f"{row['routine']} {row['id']} ({row['status']})" for row in calls]
            + shared_runs(self._reading(), run_id, found["generation"], HOLDERS),
            "timers": sum(row["kind"] == "timer" for row in timers),
            "outside": self._outside([run_id]).get(run_id, []),
            "next_at": said_at(timers[0]["due_at"]) if timers else None,
        }

    def _outside(self, run_ids: Sequence[str]) -> dict[str, list[str]]:
        """The signals and tokens that these workflows wait for, in words."""
        if not run_ids:
            return {}
        wanted = select(call.c.run_id, call.c.kind, call.c.name, call.c.due_at).join(
            run, and_(run.c.id == call.c.run_id, run.c.generation == call.c.generation)
        )
        wanted = wanted.where(call.c.run_id.in_(run_ids), text(WAITED))
        found: dict[str, list[str]] = {}
        for row in self._all(wanted.limit(OUTSIDE)):
            until = f" until {said_at(row['due_at'])}" if row["due_at"] else ""
            what = f"signal {row['name']!r}" if row["kind"] == "signal" else f"token {row['name']}{until}"
            found.setdefault(row["run_id"], []).append(what)
        return found

    # ------------------------------------------------------------------------------------------------------ the rest

    def schedules(self, *, routine: str = "", after: str = "", limit: int = 1000) -> list[Schedule]:
        """The schedules behind this id, in the order of their ids."""
        with translated("the schedules cannot be read"):
            return read_listed(self._reading(), routine=routine, after=after, limit=limit)

    def schedule(self, schedule_id: str) -> Schedule | None:
        """One of them."""
        facts = ScheduleFacts()
        with translated("a schedule cannot be read"):
            read_found(self._reading(), facts, [schedule_id])
        return facts.found.get(schedule_id)

    def dead_letters(self, *, limit: int = 50, cursor: int | None = None) -> tuple[list[dict[str, Any]], int | None]:
        """The newest dead letters, without their bodies, and the cursor for the next page."""
        wanted = select(*(column for column in dead_letter.c if column.name not in ("body", "traceback")))
        if cursor is not None:
            wanted = wanted.where(dead_letter.c.no < cursor)
        rows = self._all(wanted.order_by(dead_letter.c.no.desc()).limit(limit))
        return [letter_fields(row) for row in rows], rows[-1]["no"] if len(rows) == limit else None

    def dead_letter(self, number: int) -> dict[str, Any] | None:
        """One dead letter with its traceback and the (first 64 KiB of the) body: as text, or base64 if it is none."""
        row = self._one(select(dead_letter).where(dead_letter.c.no == number))
        if row is None:
            return None
        body = bytes(row["body"])
        try:
            shown = {"body": body.decode(), "encoding": "utf-8"}
        except UnicodeDecodeError:
            shown = {"body": base64.b64encode(body).decode(), "encoding": "base64"}
        return {**letter_fields(row), "traceback": row["traceback"], **shown}

    def owner(self) -> dict[str, Any]:
        """Who owns the ledger."""
        row = self._one(select(owner))
        return {} if row is None else {"term": row["term"], "holder": row["holder"], "at": said_at(row["at"])}

    def journal(self, run_id: str, *, after: int = 0, address: str = "") -> Recorded | None:
        """See `recordings.recorded`."""
        return recorded(self._reading(), RunId(run_id), after, address)

    def _one(self, wanted: Select[Any]) -> Any:
        found = self._all(wanted)
        return found[0] if found else None

    def _all(self, wanted: Select[Any]) -> Sequence[Any]:
        with translated("the ledger cannot be asked"):
            return self._reading().execute(wanted).mappings().all()

    def _reading(self) -> Connection:
        if self._connection is None or self._connection.closed or self._connection.invalidated:
            self._connection = reading(self._engine)
        return self._connection

    def close(self) -> None:
        """Close the connection. Twice is harmless."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
