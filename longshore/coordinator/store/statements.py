"""Statements of many rows with their texts built once: 500, 100, 20, 4 or 1 rows at a time.

So the interpreter's lock is given back per statement and not per row (FACTS: 70 times slower otherwise, when another
thread computes). Portable SQL: `INSERT ... VALUES (...), (...)` and `UPDATE ... FROM (VALUES ...)` are the same in
SQLite and PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, Protocol

from sqlalchemy import Connection

SIZES: Final = (500, 100, 20, 4, 1)
Values = tuple[Any, ...]


class ManyRows:
    """One statement in several sizes. `build` gives its text for a number of rows."""

    def __init__(self, build: Callable[[int], str]) -> None:
        self._texts = [(size, build(size)) for size in SIZES]

    def run(self, connection: Connection, rows: Sequence[Values]) -> None:
        """Execute it for all rows."""
        at = 0
        for size, text in self._texts:
            while len(rows) - at >= size:
                part = rows[at : at + size] if size > 1 else rows[at : at + 1]
                connection.exec_driver_sql(text, tuple(chain.from_iterable(part)))
                at += size


def insert(
    table: str, columns: Sequence[str], mark: str, conflict: str = "", *, constants: Mapping[str, str] | None = None
) -> ManyRows:
    """Insert rows. `conflict` is what follows ON CONFLICT; `constants` are columns whose SQL stands in the text."""
    constants = constants or {}
    head = f"INSERT INTO {table} ({', '.join(_quoted([*columns, *constants]))}) VALUES "
    tail = f" ON CONFLICT {conflict}" if conflict else ""
    row = f"({', '.join([*[mark] * len(columns), *constants.values()])})"
    return ManyRows(lambda size: head + ", ".join([row] * size) + tail)


def upsert(table: str, columns: Sequence[str], mark: str, keys: int = 1) -> ManyRows:
    """Insert rows, or replace what stands under the same key (the first `keys` columns)."""
    names = _quoted(columns)
    rest = ", ".join(f"{name} = excluded.{name}" for name in names[keys:])
    return insert(table, columns, mark, f"({', '.join(names[:keys])}) DO UPDATE SET {rest}")


def update(
    table: str, columns: Sequence[str], mark: str, *, constants: Mapping[str, str] | None = None, keys: int = 1
) -> ManyRows:
    """Set the columns behind the first `keys` in the rows that those name; `constants` are set to the SQL given."""
    names = _quoted(columns)
    sets = [f"{name} = v.column{number}" for number, name in enumerate(names, 1) if number > keys]
    sets += [f'"{name}" = {value}' for name, value in (constants or {}).items()]
    where = " AND ".join(f"{table}.{name} = v.column{number}" for number, name in enumerate(names[:keys], 1))
    head = f"UPDATE {table} SET {', '.join(sets)} FROM (VALUES "
    row = f"({', '.join([mark] * len(columns))})"
    return ManyRows(lambda size: head + ", ".join([row] * size) + f") AS v WHERE {where}")


class Each:
    """A statement that is executed for one row at a time."""

    def __init__(self, text: str) -> None:
        self._text = text

    def run(self, connection: Connection, rows: Sequence[Any], /) -> None:
        """Execute it for all rows."""
        for row in rows:
            connection.exec_driver_sql(self._text, row)


class Loose:
    """History rows of runs that are not in memory: the database numbers them."""

    def __init__(self, insert_text: str, recount_text: str) -> None:
        self._texts = insert_text, recount_text

    def run(self, connection: Connection, rows: Sequence[Any], /) -> None:
        """Write them, one by one; they are rare."""
        insert_text, recount_text = self._texts
        for row in rows:
            connection.exec_driver_sql(insert_text, row)
            connection.exec_driver_sql(recount_text, (row[0],))


class Texts:
    """Statements that belong together, executed for one row after the other, each with values of its own."""

    def __init__(self, *texts: str) -> None:
        self._texts = texts

    def run(self, connection: Connection, rows: Sequence[Any], /) -> None:
        """Execute them."""
        for row in rows:
            for text, values in zip(self._texts, row, strict=True):
                connection.exec_driver_sql(text, values)


class ManyKeys:
    """A statement with one list of keys, in several sizes: what is missing to a size is filled with the last key."""

    def __init__(self, text: str, mark: str) -> None:
        """`text` has `{keys}` where the list stands, and `{before}` marks of its own only before it."""
        self._texts = [(size, text.format(keys=", ".join([mark] * size))) for size in SIZES]

    def parts(self, keys: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """(statement, its keys) until every key has had its turn."""
        at = 0
        while at < len(keys):
            left = len(keys) - at
            size, text = min((one for one in self._texts if one[0] >= left), default=self._texts[0])
            part = tuple(keys[at : at + size])
            yield text, part + part[-1:] * (size - len(part))
            at += size

    def rows(self, connection: Connection, keys: Sequence[str], before: Values = ()) -> Iterator[Any]:
        """All rows for all keys."""
        for text, part in self.parts(keys):
            yield from connection.exec_driver_sql(text, before + part).fetchall()

    def run(self, connection: Connection, keys: Sequence[str], before: Values = ()) -> None:
        """Execute it for all keys."""
        for text, part in self.parts(keys):
            connection.exec_driver_sql(text, before + part)


def marks_of(connection: Connection) -> str:
    """How the driver marks a parameter."""
    return "?" if connection.dialect.paramstyle == "qmark" else "%s"


def _quoted(columns: Sequence[str]) -> list[str]:
    return [f'"{name}"' for name in columns]


class Statement(Protocol):
    """Something that writes rows."""

    def run(self, connection: Connection, rows: Sequence[Any], /) -> None:
        """Write them."""


Step = tuple[Statement, Sequence[Any]]
