"""Bodies the ledger does not hold, added before messages are sent: inputs, outcomes, pages of journals.

Inputs of recent runs are kept, bounded by bytes, so that the hot path never reads the database for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from longshore.coordinator.store import Page, Store
from longshore.core.changes import Changes
from longshore.core.ids import RunId
from longshore.core.message import CallRow, JournalPage, RunChanged, Start, Value
from longshore.core.run import FINAL
from longshore.core.schedules import ScheduledTick

CACHE_BYTES: Final = 32 << 20
ENTRY: Final = 300
"""What an entry costs beside its bytes (measured)."""
CALLS_BYTES: Final = 400 * 1024
"""How many bytes of call rows one page carries; more go in parts."""

_FINAL: Final = frozenset(status.value for status in FINAL)


class Inputs:
    """Inputs of runs that have not been started yet, the oldest forgotten first."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._kept: dict[RunId, tuple[Value, list[str], ScheduledTick | None]] = {}
        self._size = 0
        self._limit = limit

    def keep(self, changes: Changes) -> None:
        """Keep the inputs of a batch's new runs."""
        kept, ended, size = self._kept, changes.ended, self._size
        made = changes.beginnings
        copied = {one.run_id for one in changes.forks} | {one for one, _ in made.reruns}  # the store knows their input
        for new in changes.inserted:
            run_id, value = new.run.id, new.input
            if run_id not in ended and run_id not in copied and not new.metadata:
                kept[run_id] = (value, new.tags, new.schedule)
                size += ENTRY + (len(value) if type(value) is bytes else 0)
        for run_id in (*changes.inputs, *changes.annotated, *made.renewed):
            if (old := kept.pop(run_id, None)) is not None:
                size -= ENTRY + (len(old[0]) if type(old[0]) is bytes else 0)
        while size > self._limit:
            value, _, _ = kept.pop(next(iter(kept)))
            size -= ENTRY + (len(value) if type(value) is bytes else 0)
        self._size = size

    def give(self, start: Start) -> bool:
        """Add the input to a Start and forget it: a run is seldom started twice. False: it is not here."""
        found = self._kept.pop(start.run_id, None)
        if found is None:
            return False
        value, start.tags, tick = found
        start.input = value
        if tick is not None:
            tell(start, tick)
        self._size -= ENTRY + (len(value) if type(value) is bytes else 0)
        return True

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self._size = 0


def fill(changes: Changes, inputs: Inputs, store: Store) -> None:
    """Add inputs to Starts and outcomes to final RunChanged, from memory or with one read."""
    orders = (one for directives in changes.directives.values() for one in directives if type(one) is Start)
    starts = [start for start in orders if not inputs.give(start)]
    ends = [
        reply
        for replies in changes.replies.values()
        for reply in replies
        if type(reply) is RunChanged and _is_bare(reply) and not _ended_now(changes, reply)
    ]
    if not starts and not ends:
        return
    found_inputs, endings = store.reader.bodies({one.run_id for one in starts}, {one.run_id for one in ends})
    for start in starts:
        if start.run_id in found_inputs:
            start.input, start.tags, start.metadata, tick, start.checkpoint = found_inputs[start.run_id]
            if tick is not None:
                tell(start, tick)
    for reply in ends:
        if reply.run_id in endings:
            reply.result, reply.error, reply.cached = endings[reply.run_id]


def tell(start: Start, tick: ScheduledTick) -> None:
    """Say which tick the run is of. What it gives may depend on that, so it is no result for equal calls."""
    start.schedule, start.cache = tick, False


def _ended_now(changes: Changes, reply: RunChanged) -> bool:
    """Whether the run ends in this very batch; the reply, asked for in the same batch, then gets what came of it."""
    ending = changes.ended.get(reply.run_id)
    if ending is None:
        return False
    reply.result, reply.error = ending.result, ending.error
    return True


def _is_bare(reply: RunChanged) -> bool:
    return reply.result is None and reply.error is None and reply.status in _FINAL


def pages(page: Page, run_id: RunId, epoch: int, after: int) -> Iterator[JournalPage]:
    """The page as messages: call rows that are too many for one go ahead in parts."""
    parts = list(_split(page.calls))
    for part in parts[:-1]:
        yield JournalPage(run_id, epoch, after, after, part, last=False, more=True)
    calls = parts[-1] if parts else []
    yield JournalPage(run_id, epoch, after, page.upto, calls, page.deliveries, page.last)


def _split(calls: list[CallRow]) -> Iterator[list[CallRow]]:
    part: list[CallRow] = []
    size = 0
    for call in calls:
        size += 110 + len(call.address) + len(call.name) + len(call.digest) + len(call.child_id) + len(call.place)
        if size > CALLS_BYTES and part:
            yield part
            part, size = [], 0
        part.append(call)
    if part:
        yield part
