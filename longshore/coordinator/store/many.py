"""Batches as rows and back, and what people ask of them. One pass, nothing else; it decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select, text

from longshore.coordinator.store.bulks import BulkRows, bulk_of, bulk_values, left, newest, pages
from longshore.coordinator.store.columns import Micros, moment, moment_of, names
from longshore.coordinator.store.faults import translated
from longshore.coordinator.store.statements import Each, ManyKeys, marks_of, upsert
from longshore.coordinator.store.tables import run
from longshore.coordinator.store.tables_beside import batch
from longshore.core.batches import Batch, fields_of
from longshore.core.bulks import RERUN, RUNNING
from longshore.core.bulks import fields_of as bulk_fields
from longshore.core.changes import Changes, Facts, Needs
from longshore.core.ids import RunId
from longshore.core.run import FINAL

BATCH: Final = names("id status created_at closed_at runs existing refused items patience_ms reason")
_BATCH: Final = ", ".join(BATCH)

GROUP: Final = 1000
FORGOTTEN_AT_ONCE: Final = 10_000

All = Callable[[Select[Any]], Sequence[Mapping[str, Any]]]
"""Gives all rows of a question."""


class Many:
    """What the writer keeps and the reader gives of batches and bulk orders."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._batches = upsert("batch", BATCH, mark)
        self._bulks = BulkRows(mark)
        old = "DELETE FROM {0} WHERE id IN (SELECT id FROM {0} WHERE created_at < {1} AND {2} LIMIT {3})"
        over = (("batch", "closed_at > 0"), ("bulk", "finished_at > 0"))
        self._forgotten = [Each(old.format(table, mark, ended, FORGOTTEN_AT_ONCE)) for table, ended in over]

    def steps(self, changes: Changes, at: Micros) -> list[tuple[Any, Sequence[Any]]]:
        """What is to be written."""
        found: list[tuple[Any, Sequence[Any]]] = []
        if changes.batches:
            found.append((self._batches, [batch_values(one, at) for one in changes.batches.values()]))
        if changes.bulks:
            found.append((self._bulks, [bulk_values(one, at) for one in changes.bulks.values()]))
        if changes.batches_until:
            found += [(gone, [(at[changes.batches_until],)]) for gone in self._forgotten]
        return found

    def read(self, connection: Connection, needs: Needs, facts: Facts) -> Iterator[RunId]:
        """Tell the facts; gives the runs that the pages are about, those to be run again as originals."""
        if needs.batches:
            facts.batches = batches_of(connection, needs.batches, self._mark)
        found = (bulk_of(connection, bulk_id, self._mark) for bulk_id in needs.bulks)
        facts.bulks = {bulk.id: bulk for bulk in found if bulk is not None}
        if needs.cursors:
            facts.bulk_pages = pages(connection, GROUP, self._mark)
        again = [page for page in facts.bulk_pages if page.bulk.what == RERUN]
        needs.originals.update(run_id for page in again for _, run_id in page.runs)
        return (run_id for page in facts.bulk_pages for _, run_id in page.runs)


def batch_values(one: Batch, at: Micros) -> tuple[Any, ...]:
    """The values of BATCH."""
    return (
        one.id,
        one.status,
        at[one.created_at],
        at[one.closed_at],
        one.runs,
        one.existing,
        one.refused,
        one.items,
        one.patience_ms,
        one.reason,
    )


def batches_of(connection: Connection, ids: Collection[str], mark: str) -> dict[str, Batch]:
    """These batches, as far as they are there."""
    wanted = ManyKeys(f"SELECT {_BATCH} FROM batch WHERE id IN ({{keys}})", mark)
    return {row[0]: _batch(row) for row in wanted.rows(connection, list(ids))}


def open_batches(connection: Connection) -> list[Batch]:
    """The batches whose items may still come."""
    return [_batch(row) for row in connection.exec_driver_sql(f"SELECT {_BATCH} FROM batch WHERE closed_at = 0")]


def _batch(row: Any) -> Batch:
    name, status, created, closed, runs, existing, refused, items, patience, reason = row
    return Batch(
        id=name,
        status=status,
        created_at=moment_of(created),
        closed_at=moment(closed),
        runs=runs,
        existing=existing,
        refused=refused,
        items=items,
        patience_ms=patience,
        reason=reason,
    )


class ManyQueries:
    """Answers about batches and bulk orders."""

    def __init__(self, ask: All, connect: Callable[[], Connection]) -> None:
        self._ask = ask
        self._connect = connect

    def bulk(self, bulk_id: str) -> dict[str, Any] | None:
        """One bulk order, or None."""
        with translated("the ledger cannot be asked"):
            connection = self._connect()
            mark = marks_of(connection)
            found = bulk_of(connection, bulk_id, mark)
            if found is None:
                return None
            return bulk_fields(found, left(connection, found, mark) if found.status == RUNNING else None)

    def bulks(self, limit: int) -> list[dict[str, Any]]:
        """The newest bulk orders first."""
        with translated("the ledger cannot be asked"):
            connection = self._connect()
            found = newest(connection, limit, marks_of(connection))
        return [bulk_fields(one) for one in found]

    def batch(self, batch_id: str) -> dict[str, Any] | None:
        """One batch, with how many of its runs stand where; None if there is none."""
        found = self._ask(select(*(batch.c[name] for name in BATCH)).where(batch.c.id == batch_id))
        if not found:
            return None
        inside = run.c.batch_id == batch_id, text("batch_id <> ''")  # the second lets the partial index be used
        rows = self._ask(select(run.c.status, func.count().label("runs")).where(*inside).group_by(run.c.status))
        statuses = {row["status"]: row["runs"] for row in sorted(rows, key=lambda row: str(row["status"]))}
        unfinished = sum(runs for status, runs in statuses.items() if status not in FINAL)
        return {**_fields(found[0]), "unfinished": unfinished, "statuses": statuses}

    def batches(self, *, status: str = "", limit: int = 50) -> list[dict[str, Any]]:
        """The newest batches first."""
        wanted = select(*(batch.c[name] for name in BATCH)).order_by(batch.c.created_at.desc(), batch.c.id.desc())
        if status:
            wanted = wanted.where(batch.c.status == status)
        return [_fields(row) for row in self._ask(wanted.limit(limit))]


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    return fields_of(_batch([row[name] for name in BATCH]))
