"""The store in a bad world: other versions, other files, locks and a full disk."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from longshore.coordinator.store import Store, tables
from longshore.core.errors import SettingsError, StoreUnavailableError, UsageError
from tests.coordinator.conftest import Book
from tests.coordinator.rows import NOW, a_run, inserting


def test_the_tables_are_those_the_migrations_make(book: Book) -> None:
    def compare(connection: Any) -> None:
        assert compare_metadata(MigrationContext.configure(connection), tables.run.metadata) == []

    book.store.writer.on_connection(compare)


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path, book: Book) -> None:
    book.store.close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(UsageError, match=r"9999.*newer.*LONGSHORE_STORE_URL"):
        Store.open(f"sqlite:///{tmp_path}/ledger.db")


def test_somebody_elses_file_or_folder_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to look like a file of some kind" * 20)
    with pytest.raises(StoreUnavailableError, match="LONGSHORE_STORE_URL"):
        Store.open(f"sqlite:///{tmp_path}/text.db")
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(UsageError, match="somebody else's tables"):
        Store.open(f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(SettingsError, match="does not exist"):
        Store.open(f"sqlite:///{tmp_path}/nowhere/ledger.db")
    with pytest.raises(SettingsError, match="LONGSHORE_STORE_URL"):
        Store.open("mysql://somewhere/else")


def test_a_locked_database_is_unavailable_and_the_next_try_succeeds(tmp_path: Path, book: Book) -> None:
    book.store.writer.on_connection(lambda connection: None)
    book.store.writer._connect().exec_driver_sql("PRAGMA busy_timeout = 50")
    book.store.writer._connect().rollback()
    run = a_run()
    blocker = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked"):
        book.commit(inserting(run))
    blocker.execute("ROLLBACK")
    blocker.close()
    book.commit(inserting(run))
    assert book.store.reload(NOW).runs == [run]


def test_a_full_disk_is_definite_and_the_batch_can_be_repeated(book: Book) -> None:
    connection = book.store.writer._connect()
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    connection.rollback()
    runs = [a_run() for _ in range(300)]
    with pytest.raises(StoreUnavailableError, match="full; make room"):
        book.commit(inserting(*runs))
    assert book.store.reload(NOW).runs == []
    book.store.writer._connect().exec_driver_sql("PRAGMA max_page_count = 1000000")
    book.store.writer._connect().rollback()
    book.commit(inserting(*runs))
    assert len(book.store.reload(NOW).runs) == 300
