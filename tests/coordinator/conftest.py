from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from longshore.coordinator.store import Store
from longshore.core.changes import Changes, Snapshot
from tests.coordinator.rows import NOW


class Book:
    """A store with its batch numbers counted."""

    def __init__(self, url: str) -> None:
        self.store = Store.open(url)
        self.snapshot: Snapshot = self.store.load("test", NOW)
        self.batch = self.store.batch_no

    def commit(self, *several: Changes, published: int = 0) -> None:
        for changes in several:
            self.batch += 1
            self.store.writer.commit(changes, self.batch, published, NOW)


@pytest.fixture
def open_book(tmp_path: Path) -> Iterator[Callable[[], Book]]:
    """Opens the same store, each time as a new coordinator."""
    books: list[Book] = []

    def again() -> Book:
        books.append(Book(f"sqlite:///{tmp_path}/ledger.db"))
        return books[-1]

    yield again
    for book in books:
        book.store.close()


@pytest.fixture
def book(open_book: Callable[[], Book]) -> Book:
    return open_book()
