"""Answers to orders, in SQL, for orders that come again. It decides nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import msgspec
from sqlalchemy import Column, Connection, LargeBinary, Table, Text

from longshore.coordinator.store.columns import Micros, encode_pack
from longshore.coordinator.store.statements import ManyKeys, Step, marks_of, upsert
from longshore.coordinator.store.tables_beside import instant, metadata
from longshore.core.changes import Changes
from longshore.core.message import Answer

answered: Final = Table(
    "answered",
    metadata,
    Column("key", Text, primary_key=True),
    Column("answer", LargeBinary, nullable=False),
    instant("expires_at"),
    sqlite_with_rowid=False,
)
_answer: Final = msgspec.msgpack.Decoder(Answer)


def read_answered(connection: Connection, keys: Collection[str]) -> dict[str, Answer]:
    """The answers that these orders got, as far as they came before."""
    wanted = ManyKeys("SELECT key, answer FROM answered WHERE key IN ({keys})", marks_of(connection))
    return {key: _answer.decode(answer) for key, answer in wanted.rows(connection, list(keys))}


class AnsweredRows:
    """The statement of the writer."""

    def __init__(self, mark: str) -> None:
        self._kept = upsert("answered", ("key", "answer", "expires_at"), mark)

    def steps(self, changes: Changes, at: Micros) -> Iterator[Step]:
        """What is to be written."""
        rows = {one.key: (one.key, encode_pack(one.answer), at[one.expires_at]) for one in changes.answered}
        yield self._kept, list(rows.values())
