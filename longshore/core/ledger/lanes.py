"""Where queued runs stand: in lanes, of which each is served by the same workers under the same limits, and in a lane
in a row of their own for each concurrency key. Structure only: who may go is decided in `placing` and `limiting`.

Lower ranks go first; a rank is seconds since 1970 minus priority. Rows take turns: a run goes after those of earlier
turns, whatever its rank, so that who has thousands in a lane holds up another's first by one of them at most.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec

from longshore.core.ids import RunId
from longshore.core.run import Run, Status

LaneKey = tuple[str, str, str, bool, str]
"""(pool, routine, version or "" for the newest, whether its runs must execute alone: those hold up nobody else, queue
or "" for what no limit holds up)."""
KeyName = tuple[str, str]
"""(queue, concurrency key)."""
Entry = tuple[float, int, RunId]
"""(rank, ticket, run). Stale ones, whose run has another ticket by now, stay until they come to the head."""
PARKED: Final = -1
KEYS_ROOM: Final = 1000


class Key:
    """A concurrency key of a queue: which turn it has, and its rows that wait until it is no longer full."""

    __slots__ = ("name", "parked", "rows", "turn")

    def __init__(self, name: KeyName) -> None:
        self.name = name
        self.turn = 0
        self.rows = 0  # in all lanes
        self.parked: list[tuple[Lane, Row]] = []


class Row:
    """The runs of one concurrency key in one lane. `listed` is the number of its entry among the lane's rows: 0 for
    none, PARKED while its key is full."""

    __slots__ = ("heap", "key", "listed")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.heap: list[Entry] = []
        self.listed = 0


class Lane(msgspec.Struct):
    """Runs that any of the same workers may take under the same limits: those without a concurrency key in `heap`, the
    others in `rows`, of which `turns` holds (turn, rank of its head, number, row)."""

    key: LaneKey
    heap: list[Entry] = []
    rows: dict[str, Row] = {}
    turns: list[tuple[int, float, int, Row]] = []
    version_since: datetime | None = None  # since when nobody offers what its runs ask for

    @property
    def queue(self) -> str:
        """The queue whose limits hold here; "" for none."""
        return self.key[4]


def lane_of(run: Run) -> LaneKey:
    """The lane a queued run belongs to. Cleanups, and workflows that have waited, go whatever the limits."""
    free = run.status is Status.CANCELING or (run.flow is not None and run.flow.hung)
    return run.pool, run.routine, run.version or run.asked_version, run.alone, "" if free else run.queue


class Lanes:
    """All lanes, and the turns of all keys."""

    __slots__ = ("all", "keys", "keys_room", "runs", "ticket", "turn")

    def __init__(self, runs: dict[RunId, Run]) -> None:
        self.runs = runs
        self.all: dict[LaneKey, Lane] = {}
        self.keys: dict[KeyName, Key] = {}
        self.keys_room = KEYS_ROOM
        self.turn = 0  # the latest that was served
        self.ticket = 0

    def next_ticket(self) -> int:
        """A number that was never given before."""
        self.ticket += 1
        return self.ticket

    def enqueue(self, run: Run, rank: float) -> None:
        """Put a run that waits for a worker into its lane."""
        key = lane_of(run)
        lane = self.all.get(key)
        if lane is None:
            lane = self.all[key] = Lane(key, [], {}, [])
        run.ticket = ticket = self.next_ticket()
        entry = (rank, ticket, run.id)
        if run.concurrency_key and key[4]:
            self._enqueue_keyed(lane, run.concurrency_key, entry)
        else:
            heapq.heappush(lane.heap, entry)

    def _enqueue_keyed(self, lane: Lane, name: str, entry: Entry) -> None:
        row = lane.rows.get(name)
        if row is None:
            key = self.keys.get((lane.queue, name))
            if key is None:
                key = self.keys[lane.queue, name] = Key((lane.queue, name))
            row = lane.rows[name] = Row(key)
            key.rows += 1
        heapq.heappush(row.heap, entry)
        if row.listed != PARKED and row.heap[0] is entry:
            self._list(lane, row)

    def _list(self, lane: Lane, row: Row) -> None:
        row.key.turn = max(row.key.turn, self.turn)
        row.listed = self.next_ticket()
        heapq.heappush(lane.turns, (row.key.turn, row.heap[0][0], row.listed, row))

    def head(self, lane: Lane) -> Run | None:
        """The first run of the lane without a key that still waits in it."""
        return self._head(lane.heap)

    def _head(self, heap: list[Entry]) -> Run | None:
        while heap:
            _, ticket, run_id = heap[0]
            run = self.runs.get(run_id)
            if run is not None and run.ticket == ticket:
                return run
            heapq.heappop(heap)
        return None

    def next_row(self, lane: Lane) -> Row | None:
        """The row whose turn it is; its head is a run that still waits."""
        turns = lane.turns
        while turns:
            turn, rank, number, row = turns[0]
            if row.listed != number:
                heapq.heappop(turns)
            elif self._head(row.heap) is None:
                heapq.heappop(turns)
                self._drop(lane, row)
            elif row.heap[0][0] != rank or row.key.turn > turn:  # its first has gone, or it was served elsewhere
                heapq.heappop(turns)
                self._list(lane, row)
            else:
                return row
        return None

    def first_row(self, lane: Lane) -> Row:
        """The row that `next_row` has just given."""
        return lane.turns[0][3]

    def served(self, lane: Lane, row: Row) -> None:
        """The head of the row that `next_row` gave has gone from it: another's turn."""
        heapq.heappop(row.heap)
        key = row.key
        self.turn = max(self.turn, key.turn)
        key.turn = self.turn + 1
        heapq.heappop(lane.turns)
        row.listed = 0
        if self._head(row.heap) is None:
            self._drop(lane, row)
        else:
            self._list(lane, row)

    def skipped(self, row: Row) -> None:
        """The head of that row waits elsewhere (parked beside an equal run): no turn is used up."""
        heapq.heappop(row.heap)

    def park(self, lane: Lane, row: Row) -> None:
        """The key of the row that `next_row` gave is full: the row waits until it is not."""
        heapq.heappop(lane.turns)
        row.listed = PARKED
        row.key.parked.append((lane, row))

    def unpark_queue(self, queue: str) -> None:
        """The rule of the queue has changed."""
        for name in [name for name, key in self.keys.items() if key.parked and name[0] == queue]:
            self.unpark(name)

    def unpark(self, name: KeyName) -> None:
        """The key may have room again."""
        key = self.keys.get(name)
        if key is None or not key.parked:
            return
        parked, key.parked = key.parked, []
        for lane, row in parked:
            row.listed = 0
            if self._head(row.heap) is None:
                self._drop(lane, row)
            else:
                self._list(lane, row)

    def _drop(self, lane: Lane, row: Row) -> None:
        """The row is empty. Its key is remembered for as long as it has had more turns than others."""
        key = row.key
        row.listed = 0
        del lane.rows[key.name[1]]
        key.rows -= 1
        if not key.rows and key.turn <= self.turn:
            del self.keys[key.name]

    def forget_keys(self) -> None:
        """Keys that wait for nothing are forgotten, with the turns they have had, whenever there are twice as many keys
        as were needed."""
        if len(self.keys) <= self.keys_room:
            return
        self.keys = {name: key for name, key in self.keys.items() if key.rows}
        self.keys_room = max(KEYS_ROOM, 2 * len(self.keys))

    def waiting(self, lane: Lane) -> Iterator[Run]:
        """The runs that wait in a lane, in no order."""
        for heap in (lane.heap, *(row.heap for row in lane.rows.values())):
            for _, ticket, run_id in heap:
                run = self.runs.get(run_id)
                if run is not None and run.ticket == ticket:
                    yield run
