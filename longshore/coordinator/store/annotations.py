"""Metadata and tags in SQL: read for those who change them, written once per batch and run.

What is read and written are a run's own columns; the rules are the ledger's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from longshore.coordinator.store.columns import Micros, text_of
from longshore.coordinator.store.statements import ManyKeys, insert, marks_of, update
from longshore.core.changes import Changes, Facts, Needs
from longshore.core.ids import RunId
from longshore.core.records import Annotation

SEEN: Final = "CASE WHEN given <> '' THEN given ELSE metadata END"
"""What a run's code is shown as its metadata when it starts."""
_ID: Final = "annotate "
"""Ids of orders are kept among those of signals, behind this word."""
_metadata: Final = msgspec.json.Decoder(dict[str, Any])
_tags: Final = msgspec.json.Decoder(list[str])


def metadata_of(stored: str) -> dict[str, Any]:
    """A run's metadata from its column."""
    return _metadata.decode(stored) if stored else {}


def tags_of(stored: str) -> list[str]:
    """A run's tags from their column."""
    return _tags.decode(stored) if stored else []


def read_annotations(connection: Connection, facts: Facts, needs: Needs) -> None:
    """What these runs have, and which of these orders they were given."""
    wanted, told = _statements(marks_of(connection))
    for run_id, metadata, tags, given in wanted.rows(connection, list(needs.annotations)):
        facts.annotations[RunId(run_id)] = Annotation(metadata_of(metadata), tags_of(tags), given or None)
    for run_id, ids in needs.annotation_ids.items():
        found = told.rows(connection, [_ID + one for one in ids], (run_id,))
        facts.annotation_ids[run_id] = {signal_id.removeprefix(_ID) for (signal_id,) in found}


@cache
def _statements(mark: str) -> tuple[ManyKeys, ManyKeys]:
    return (
        ManyKeys("SELECT id, metadata, tags, given FROM run WHERE id IN ({keys})", mark),
        ManyKeys(f"SELECT signal_id FROM told_signal WHERE run_id = {mark} AND signal_id IN ({{keys}})", mark),
    )


class Annotating:
    """The statements of the writer."""

    def __init__(self, mark: str) -> None:
        self._changed = update("run", ("id", "metadata", "tags"), mark)
        self._given = update("run", ("id", "given"), mark)
        self._ids = insert("told_signal", ("run_id", "signal_id", "at"), mark, "DO NOTHING")

    def steps(self, changes: Changes, at: Micros) -> Iterator[tuple[Any, Sequence[Any]]]:
        """What is to be executed for these changes, in order."""
        rows = [(run_id, _text(one.metadata), _text(one.tags)) for run_id, one in changes.annotated.items()]
        yield self._changed, rows
        given = [(run_id, one.given) for run_id, one in changes.annotated.items() if one.given is not None]
        yield self._given, given
        yield self._given, [(run_id, "") for run_id in dict.fromkeys(changes.begun_anew)]
        yield self._ids, [(run_id, _ID + one, at[when]) for run_id, one, when in changes.annotation_ids]


def _text(value: dict[str, Any] | list[str]) -> str:
    return text_of(value) if value else ""
