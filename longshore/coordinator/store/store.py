"""The ledger's book as one thing: opened, brought up to date, owned, written, read, asked.

It decides nothing about a run. Each of its four parts has a connection and belongs to one thread at a time.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Engine

from longshore.coordinator.store.engines import engine, file_of
from longshore.coordinator.store.faults import translated
from longshore.coordinator.store.journals import LIMIT, journal_page
from longshore.coordinator.store.migrating import upgrade
from longshore.coordinator.store.objects import Objects
from longshore.coordinator.store.queries import Queries
from longshore.coordinator.store.reader import Page, Reader
from longshore.coordinator.store.tail import Tail
from longshore.coordinator.store.writer import OBJECTS_KEPT, Writer
from longshore.core.changes import Snapshot
from longshore.core.errors import SettingsError
from longshore.core.ids import RunId


class Store:
    """An open store: `writer` for batches, `reader` for facts and bodies, `queries` for people, `objects` for what may
    go from the payload store."""

    def __init__(self, made: Engine, objects_kept: timedelta = OBJECTS_KEPT) -> None:
        self._engine = made
        self.writer = Writer(made, objects_kept)
        try:
            with translated("the ledger's tables cannot be brought up to date"):
                self.writer.on_connection(upgrade)
            self.reader = Reader(made)
            self.queries = Queries(made)
            self.tail = Tail(made)
            self.objects = Objects(made)
        except BaseException:
            self.writer.close()
            raise
        self.batch_no = 0
        self.published_batch = 0

    @classmethod
    def open(cls, url: str, objects_kept: timedelta = OBJECTS_KEPT) -> Store:
        """The store at this URL, with all its tables. The folder must exist. `objects_kept`: how long the objects of a
        run outlive its end.

        Raises SettingsError, UsageError (written by a newer version) or StoreUnavailableError.
        """
        made = engine(url)
        folder = file_of(made.url).absolute().parent
        if not folder.is_dir():
            raise SettingsError("LONGSHORE_STORE_URL", f"the folder {folder} does not exist: make it")
        return cls(made, objects_kept)

    def load(self, holder: str, now: datetime) -> Snapshot:
        """Take the term and load what lives."""
        term = self.writer.take_term(holder, now)
        self.batch_no, self.published_batch = self.reader.numbers()
        return self.reader.snapshot(term, self.published_batch, now)

    def reload(self, now: datetime) -> Snapshot:
        """Load again under the term we have, after a failure: what is stored is what is true."""
        self.writer.drop()
        self.batch_no, self.published_batch = self.reader.numbers()
        return self.reader.snapshot(self.writer.term, self.published_batch, now)

    def journal_page(self, run_id: RunId, after: int, limit: int = LIMIT) -> Page:
        """See `journals.journal_page`."""
        return journal_page(self.reader, run_id, after, limit)

    def close(self) -> None:
        """Close every connection. Twice is harmless."""
        for part in (self.tail, self.objects, self.queries, self.reader, self.writer):
            part.close()
        self._engine.dispose()
