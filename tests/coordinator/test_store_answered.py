"""Answers to orders in the store: read back as they were given, let go of after their time."""

from __future__ import annotations

from datetime import timedelta

from longshore.core.changes import Changes, Needs
from longshore.core.keeping import LettingGo
from longshore.core.message import Answer
from longshore.core.records import Answered
from tests.coordinator.conftest import Book
from tests.coordinator.rows import NOW


def test_an_answer_is_read_back_as_it_was_given(book: Book) -> None:
    later = NOW + timedelta(hours=1)
    said = Answer("1", {"status": "BLOCKED", "at": NOW, "values": {"n": 2.5}})
    refused = Answer("2", error={"rule": "r", "text": "no"})
    book.commit(Changes(answered=[Answered("c 1", said, later), Answered("c 2", refused, later)]))
    found = book.store.reader.read(Needs(answered={"c 1", "c 2", "c 3"}), NOW).answered
    assert found == {"c 1": said, "c 2": refused}
    book.commit(Changes(letting_go=LettingGo(expired={"answered": ["c 1"]})))
    assert set(book.store.reader.read(Needs(answered={"c 1", "c 2"}), NOW).answered) == {"c 2"}
