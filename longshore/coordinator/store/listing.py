"""Which runs a list is of: conditions as SQL, those that a bulk order's filter has (`bulks.py`) and a few more. It asks
nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, text

from longshore.coordinator.store.columns import micros
from longshore.coordinator.store.tables import UNCOMPLETED, run
from longshore.core.bulks import RunFilter
from longshore.core.run import Status

_PARTIAL: Final = {
    "parent_id": "parent_id <> ''",
    "concurrency_key": "concurrency_key <> ''",
    "batch_id": "batch_id <> ''",
    "schedule_id": "schedule_id <> ''",
}
"""Conditions that hold anyway, and let a partial index be used."""


def fitting(wanted: RunFilter, *, schedule: str = "") -> Iterator[ColumnElement[bool]]:
    """What a run must be. A tag is only nearly told: LIKE knows no upper and lower case."""
    name, _, version = wanted.routine.partition("@")
    texts = {"routine": name, "version": wanted.version or version, "concurrency_key": wanted.concurrency_key}
    texts |= {"batch_id": wanted.batch_id, "parent_id": wanted.parent_id, "schedule_id": schedule}
    yield from _of_statuses(wanted.status)
    for column, value in texts.items():
        if value:
            yield run.c[column] == value
            if column in _PARTIAL:
                yield _said(_PARTIAL[column])
    if wanted.queue:
        yield run.c.queue == wanted.queue
        if wanted.queue != "default":
            yield _said("queue <> 'default'")
    if wanted.tag:
        yield _said("tags <> ''")
        yield run.c.tags.contains(msgspec.json.encode(wanted.tag).decode(), autoescape=True)
    if wanted.created_after is not None:
        yield run.c.created_at >= micros(wanted.created_after)
    if wanted.created_before is not None:
        yield run.c.created_at < micros(wanted.created_before)


def _of_statuses(statuses: Collection[str]) -> Iterator[ColumnElement[bool]]:
    if not statuses:
        return
    yield run.c.status == next(iter(statuses)) if len(statuses) == 1 else run.c.status.in_(statuses)
    if Status.COMPLETED not in statuses:
        yield _said(UNCOMPLETED)


def _said(condition: str) -> ColumnElement[bool]:
    return text(condition)  # type: ignore[return-value]
