"""What a placement costs when very many runs wait under limits: `python benchmarks/limits.py [--json] [--most N]`.

N runs wait in one queue that has a limit, a rate and a limit for each of its 1,000 concurrency keys. As many as the
limit allows execute; they are reported finished in batches of 50, and what the ledger then takes to place the next
ones is measured, in memory and without a database: the work of deciding alone. Beside it stands the whole round, in
which the reports are taken, too.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from longshore.core.changes import Facts, Inbound, Snapshot
from longshore.core.ids import RunId, SessionId, WorkerId, uuid7
from longshore.core.ledger import Ledger, LedgerConfig, placing
from longshore.core.ledger.state import Round
from longshore.core.message import Finished, Hello, Offer, Start
from longshore.core.queues import QueueRow, Rate
from longshore.core.run import Run, Status

KEYS: Final = 1000
LIMIT: Final = 400
BATCH: Final = 50
PLACED: Final = 20_000
SIZES: Final = (1_000, 10_000, 100_000, 200_000, 1_000_000)
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
QUEUE: Final = "busy"
WORKERS: Final = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="the largest number of runs that wait")
    chosen = parser.parse_args()
    rows = []
    if not chosen.json:
        print(f"{'waiting':>10} {'us per placement':>17} {'of the least':>13} {'us per run, whole round':>24}")
    for size in (one for one in SIZES if one <= chosen.most):
        placed, whole = measure(size)
        rows.append({"waiting": size, "place_us": round(placed, 2), "round_us": round(whole, 2)})
        if not chosen.json:
            print(f"{size:>10,} {placed:>17.2f} {placed / rows[0]['place_us']:>13.2f} {whole:>24.2f}", flush=True)
    if chosen.json:
        print(json.dumps(rows))
    return 0


def measure(size: int) -> tuple[float, float]:
    """Microseconds per run: of placing it, and of the round in which another ended and it was placed. Medians."""
    ledger, sessions, now = _full(size)
    state = ledger._state
    executing: list[tuple[SessionId, Start]] = _placed(ledger, now)
    numbers = dict.fromkeys(sessions, 0)
    placing_us: list[float] = []
    whole_us: list[float] = []
    gc.collect()
    gc.freeze()
    for _ in range(PLACED // BATCH):
        now += timedelta(milliseconds=5)
        ending, executing = executing[:BATCH], executing[BATCH:]
        batch = _ended(ending, numbers, now)
        begun = time.perf_counter()
        ledger.receive(batch, Facts(), now, os.urandom)
        taken = time.perf_counter()
        round_ = Round(now, Facts(), os.urandom, state.config.group)
        placing.place(state, round_)
        placed = time.perf_counter()
        found = [
            (session, message)
            for session, sent in round_.changes.directives.items()
            for message in sent
            if isinstance(message, Start)
        ]
        if len(found) != len(ending):
            raise RuntimeError(f"{len(found)} were placed when {len(ending)} had ended")
        executing += found
        _top_up(ledger, found, now)
        placing_us.append((placed - taken) / len(found) * 1e6)
        whole_us.append((placed - begun) / len(found) * 1e6)
    gc.unfreeze()
    return statistics.median(placing_us), statistics.median(whole_us)


def _full(size: int) -> tuple[Ledger, list[SessionId], datetime]:
    runs = [_run(number) for number in range(size)]
    rule = QueueRow(name=QUEUE, limit=LIMIT, key_limit=1, rate=Rate(1_000_000, 60_000))
    config = LedgerConfig(event_path=False)
    ledger = Ledger(config, Snapshot(term=1, runs=runs, workers=[], unsent=[], queues=[rule]), START)
    sessions = [SessionId(f"s{number}") for number in range(WORKERS)]
    for session in sessions:
        hello = Hello(WorkerId(session), "default", LIMIT, [Offer("t", "1.0.0", "task")])
        ledger.receive([Inbound([hello], session)], Facts(), START, os.urandom)
    return ledger, sessions, START


def _run(number: int) -> Run:
    at = START - timedelta(hours=1) + timedelta(milliseconds=number)
    return Run(
        id=RunId(uuid7(at, number.to_bytes(10, "big"))),
        routine="t",
        kind="task",
        queue=QUEUE,
        concurrency_key=f"tenant-{number % KEYS}",
        status=Status.QUEUED,
        created_at=at,
        queued_at=at,
        history_seq=1,
    )


def _placed(ledger: Ledger, now: datetime) -> list[tuple[SessionId, Start]]:
    """The first ones, up to the limit."""
    state = ledger._state
    round_ = Round(now, Facts(), os.urandom, state.config.group)
    placing.place(state, round_)
    return [(session, one) for session, sent in round_.changes.directives.items() for one in sent if type(one) is Start]


def _ended(ending: list[tuple[SessionId, Start]], numbers: dict[SessionId, int], now: datetime) -> list[Inbound]:
    """Their workers say so, in one body each."""
    by_session: dict[SessionId, list[Finished]] = {}
    for session, start in ending:
        by_session.setdefault(session, []).append(
            Finished(start.run_id, start.epoch, "completed", now, now, result=b"x", slot_us=60_000_000)
        )
    batch = []
    for session, reports in by_session.items():
        numbers[session] += 1
        batch.append(Inbound(reports, session, numbers[session]))
    return batch


def _top_up(ledger: Ledger, found: list[tuple[SessionId, Start]], now: datetime) -> None:
    """As many come as have gone: the number of those that wait stays."""
    state = ledger._state
    for _, start in found:
        old = state.runs[start.run_id]
        state.ticket += 1
        run = _run(state.ticket)
        run.id = RunId(uuid7(now, os.urandom(10)))
        run.concurrency_key = old.concurrency_key
        run.created_at = run.queued_at = now
        state.runs[run.id] = run
        state.enqueue(run, now.timestamp())


if __name__ == "__main__":
    sys.exit(main())
