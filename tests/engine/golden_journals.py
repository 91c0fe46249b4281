"""Journals of random workflows, recorded once and kept: each must be replayed alike by every supported Python, and by
every later version of this code.

    python -m tests.engine.golden_journals FIRST LAST

records those of these seeds anew: only when the workflows of `scenes` were changed on purpose. They go from 100 to
139, the first half by the oldest Python, the others by the newest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from longshore.core.message import CallRow, Delivery
from tests.engine.book import Book
from tests.engine.scenes import workflow
from tests.engine.test_replay_fuzz import digests, play

FILE: Final = Path(__file__).with_suffix(".json")
SEEDS: Final = range(100, 140)


class Fact(msgspec.Struct):
    """A delivery and the value it brought; `failed` is the text of a RuntimeError in its place."""

    delivery: Delivery
    value: int | None = None
    failed: str = ""


class Recorded(msgspec.Struct):
    """What the ledger keeps of one workflow, and what came of it."""

    seed: int
    python: str
    processed_seq: int
    rows: list[CallRow]
    facts: list[Fact]
    result: Any


def record(seed: int, python: str) -> Recorded:
    """The journal of this seed's workflow in its world, crashes and all."""
    world = play(seed)
    book = world.book
    rows = [msgspec.structs.replace(row, place="") for row in book.rows.values()]
    facts = [
        Fact(delivery, failed=str(value)) if isinstance(value, Exception) else Fact(delivery, value)
        for delivery, value in book.log
    ]
    return Recorded(seed, python, book.processed_seq, rows, facts, plain(result_of(book)))


def replay(journal: Recorded) -> Any:
    """The result of the workflow when it is replayed from its journal."""
    book = Book(workflow(journal.seed), run_id=f"run-{journal.seed}")
    book.rows = {row.address: row for row in journal.rows}
    book.log = [(fact.delivery, RuntimeError(fact.failed) if fact.failed else fact.value) for fact in journal.facts]
    book.processed_seq = journal.processed_seq
    return plain(result_of(book))


def result_of(book: Book) -> Any:
    """What the journal's last replay gives; it asks for nothing new."""
    step = book.resume(page=7)
    assert not digests(step), digests(step)
    return getattr(step.outcome, "value", step.outcome)


def plain(value: Any) -> Any:
    """A result as JSON gives it back."""
    return msgspec.json.decode(msgspec.json.encode(value))


def read() -> list[Recorded]:
    """The journals that were kept."""
    return msgspec.json.decode(FILE.read_bytes(), type=list[Recorded])


if __name__ == "__main__":
    import sys

    first, last = int(sys.argv[1]), int(sys.argv[2])
    version = ".".join(map(str, sys.version_info[:2]))
    kept = {one.seed: one for one in read()} if FILE.exists() else {}
    kept.update((seed, record(seed, version)) for seed in range(first, last + 1))
    lines = [msgspec.json.encode(kept[seed]).decode() for seed in sorted(kept)]
    FILE.write_text("[\n" + ",\n".join(lines) + "\n]\n")
