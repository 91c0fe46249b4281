"""Random workflows in real code under the ledger, worker models and a bus that breaks:

    python -m tests.simulation.storm --seeds 4000

runs so many seeds on every core and prints what was lived through; it ends with 1 at the first seed that diverges,
loses something or gets stuck, and names it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter, deque
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TextIO

from longshore.core.changes import Changes, NewDelivery
from longshore.core.ids import RunId
from longshore.core.message import Answer, CompleteToken, Directive, JournalPage, Signal, Start, Trigger
from longshore.core.run import FINAL, Run, Status
from longshore.serialization.values import decode, encode
from longshore.worker.flow import Flow
from tests.simulation.fleet import CLIENT, Fleet, Link, check_histories
from tests.simulation.hosts import BENCH, CodeWorker, attempt_of, end_of, prepare
from tests.simulation.stories import SIGNALS, Story
from tests.simulation.world import World

QUIET_AFTER = 320
STEPS = 8000


class Storm(Fleet):
    """A fleet whose workflows are stories, told and canceled from outside; on the way a new build is deployed."""

    def __init__(self, seed: int, *, event_path: bool = True) -> None:
        self.build = 0
        self.signals: dict[str, Signal] = {}
        self.answered: set[str] = set()
        self.told: dict[RunId, list[int]] = {}
        self.facts: Counter[str] = Counter()
        self.lost_workers: list[CodeWorker] = []
        self.cancels: Counter[str] = Counter()
        self.cuts = 0
        self.stalled_until = -1.0
        self.overtaken = 0
        super().__init__(seed, event_path=event_path)
        self.faults.kill = self.faults.crash_before_commit = self.faults.crash_after_commit = 0.015
        self.faults.cancel = 0.015
        self.deploys_at = self.random.randrange(QUIET_AFTER)
        self.outside = self.speak
        self._listen(self.world)

    def _listen(self, world: World) -> None:
        commit = world.book.commit

        def counted(changes: Changes) -> None:
            commit(changes)
            for delivery in changes.deliveries:
                self._note(delivery)

        world.book.commit = counted  # type: ignore[method-assign]

    def _note(self, delivery: NewDelivery) -> None:
        self.facts[delivery.kind] += 1
        if delivery.kind == "signal":
            assert isinstance(delivery.value, bytes)
            self.told.setdefault(delivery.run_id, []).append(decode(delivery.value))

    # ---------------------------------------------------------------------------------------------------- the world

    def begin(self) -> None:
        """What a client orders at the start."""
        for count, options in ((4, {}), (1, {"delay_ms": 4000}), (1, {"deadline_ms": 25_000})):
            before = len(self.commands)
            self.trigger("story", count, **options)
            for trigger in list(self.commands)[before:]:
                assert isinstance(trigger, Trigger)
                trigger.input = encode([[self.random.randrange(1 << 30)], {}]).inline()

    def new_worker(self, name: str) -> CodeWorker:
        """A worker process of the build that is deployed."""
        return CodeWorker(name, self.random.randrange(1 << 30), self.build)

    def cancelable(self) -> list[RunId]:
        """Any run: a parent, its child, its grandchild, a task; now and then one between two attempts."""
        runs = [run for run in self.world.book.runs.values() if run.status not in FINAL]
        between = [run for run in runs if run.status is Status.RETRYING and run.flow is not None]
        runs = between if between and self.random.random() < 0.3 else runs
        chosen = self.random.choice(runs) if runs else None
        if chosen is None:
            return self.triggered
        self.cancels[f"{chosen.routine}, {self._depth(chosen)} deep"] += 1
        return [chosen.id]

    def _depth(self, run: Run) -> int:
        depth = 0
        while run.parent_id:
            run, depth = self.world.book.runs[run.parent_id], depth + 1
        return depth

    def _strike(self) -> None:
        super()._strike()
        for link in list(self.links.values()):
            worker = link.worker
            assert isinstance(worker, CodeWorker)
            worker.peril = 0.1 if self.faults.kill else 0.0
            if worker.doomed and not (link.up and link.bound):
                self._kill(link)
        if self.time >= self.deploys_at * 0.25 and not self.build:
            self.build = 1
            for link in list(self.links.values()):
                self._kill(link)

    def _kill(self, link: Any) -> None:
        self.lost_workers.append(link.worker)
        super()._kill(link)

    def _cut(self, link: Any) -> None:
        self.cuts += 1
        super()._cut(link)

    def speak(self) -> None:
        """A signal somebody waits for, one nobody waits for, one for the second time; the completion of a token."""
        chance, book = self.random, self.world.book
        if chance.random() < 0.5:
            runs = [run for run in book.runs.values() if run.routine in ("story", "crew") and run.status not in FINAL]
            if runs:
                self._signal(chance.choice(runs))
        if self.signals and chance.random() < 0.1:
            self.commands.append(chance.choice(list(self.signals.values())[-20:]))
        for token in book.tokens.values():
            if token.completed_at is None and chance.random() < 0.02:
                value = encode(chance.randrange(100)).inline()
                self.commands.append(
                    CompleteToken(token.token, value, ask_id=f"t{len(self.commands)} {token.token}", reply_to=CLIENT)
                )

    def _signal(self, run: Run) -> None:
        book, generation = self.world.book, run.flow.generation if run.flow else 0
        waits = [call for call in book.calls.get((run.id, generation), {}).values() if call.kind == "signal"]
        open_ = [call.name for call in waits if (run.id, generation, call.address) not in book.closed]
        quiet = self.time > QUIET_AFTER * 0.25
        if quiet and not open_:
            return
        number = len(self.signals)
        name = self.random.choice(open_ or SIGNALS)
        value, name_of = encode(number).inline(), f"signal {number}"
        self.signals[name_of] = Signal(run.id, name, value, name_of, ask_id=name_of, reply_to=CLIENT)
        self.commands.append(self.signals[name_of])

    def _serve(self, link: Link) -> None:
        """What is under way may be overtaken, in both directions."""
        if self.faults.kill:
            self._overtake(link.up)
            self._overtake(link.down)
        if len(self.commands) > 1 and self.faults.kill and self.random.random() < 0.02:
            self.commands.rotate(self.random.choice([-1, 1]))
        super()._serve(link)

    def _overtake(self, line: deque[Any]) -> None:
        if len(line) > 1 and self.random.random() < 0.01:
            line[0], line[1] = line[1], line[0]
            self.overtaken += 1

    def _coordinate(self) -> None:
        """Now and then the database is slow: what came meanwhile is one batch."""
        if self.time < self.stalled_until:
            return
        super()._coordinate()
        if self.faults.kill and self.random.random() < 0.03:
            self.stalled_until = self.time + self.random.uniform(0.5, 3.0)

    def at_once(self) -> int:
        """How many bodies of one worker are taken in this round."""
        return 100 if self.time - 0.5 < self.stalled_until else super().at_once()

    def _publish(self, changes: Changes) -> Any:
        answers = [one for replies in changes.replies.values() for one in replies if isinstance(one, Answer)]
        self.answered.update(one.ask_id for one in answers if one.error is None and one.ask_id in self.signals)
        return super()._publish(changes)

    def _send(self, link: Link, directives: list[Directive], term: int) -> None:
        for directive in directives:
            if isinstance(directive, Start):
                directive.input = self.world.book.inputs[directive.run_id]  # as the shell does
        super()._send(link, directives, term)

    def _page(self, run_id: RunId, epoch: int, after: int) -> JournalPage:
        """A page of a few facts, so that a journal has many."""
        whole = super()._page(run_id, epoch, after)
        upto = min(whole.upto, max(after, 0) + self.random.choice([1, 2, 5, 1000]))
        calls = [row for row in whole.calls if row.asked_seq <= upto]
        log = [delivery for delivery in whole.deliveries if delivery.seq <= upto]
        return JournalPage(run_id, epoch, after, upto, calls, log, last=upto >= whole.upto)

    # ---------------------------------------------------------------------------------------------------- what it was

    def counts(self) -> Counter[str]:
        """What was lived through."""
        workers = [link.worker for link in self.links.values()] + self.lost_workers
        hosts = [worker for worker in workers if isinstance(worker, CodeWorker)]
        found = Counter(
            {
                "facts delivered to workflows": self.facts.total(),
                "facts applied by their code, replays included": sum(host.applied for host in hosts),
                "crashes": self.kills + self.crashes,
                "- workers killed": self.kills,
                "- coordinators crashed and restarted from the book": self.crashes,
                "links cut": self.cuts,
                "messages that overtook others": self.overtaken,
                "workflows put away": sum(host.suspended for host in hosts),
                "journals replayed": sum(host.replays for host in hosts),
                "runs": len(self.world.book.runs),
            }
        )
        found.update({f"fact: {kind}": many for kind, many in self.facts.items()})
        found.update({f"cancel: {what}": many for what, many in self.cancels.items()})
        found.update(f"end: {run.routine} {run.status}" for run in self.world.book.runs.values())
        return found


def check_stories(storm: Storm) -> None:
    """Each fact is told once and none is lost; each call has one run; a finished journal is a fixed point."""
    book = storm.world.book
    for name in storm.answered:
        signal = storm.signals[name]
        assert decode(signal.value) in storm.told.get(signal.run_id, []), f"{name} was answered, and is not told"  # type: ignore[arg-type]
    for run_id, told in storm.told.items():
        assert len(told) == len(set(told)), f"{run_id} was told a signal twice: {told}"
    for (run_id, generation), log in book.deliveries.items():
        for kind in ("timer", "outcome", "token", "cancel"):
            once = [row.address for row in log if row.kind == kind]
            assert len(once) == len(set(once)), f"{run_id}: generation {generation} was told a {kind} twice"
    placed = Counter(
        (run.parent_id, run.parent_generation, run.parent_address) for run in book.runs.values() if run.parent_id
    )
    assert all(many == 1 for many in placed.values()), "a call has two runs"
    for run in book.runs.values():
        if run.routine in ("story", "crew") and run.status == "COMPLETED" and not run.cached:
            _check_fixed_point(storm, run)


def _check_fixed_point(storm: Storm, run: Run) -> None:
    book, flow = storm.world.book, run.flow
    assert flow is not None
    start = Start(
        run.id, run.epoch, run.attempt, run.routine, run.version, book.inputs[run.id], started_at=run.attempt_at,
        last_seq=flow.last_seq, processed_seq=flow.processed_seq, generation=flow.generation,
    )  # fmt: skip
    again = Flow(attempt_of(start), ("tests.simulation.stories",), BENCH.freeze)
    prepare(again, build=1)
    again.turn_page(
        JournalPage(run.id, run.epoch, -1, flow.last_seq, book.call_rows(run.id), book.delivery_log(run.id))
    )
    unread = 0
    while again.step():
        if again.applied == flow.processed_seq:
            unread = len(again.unread)
    assert again.outcome is not None, f"{run.id} does not end in a replay:\n{again.stacks()}"
    assert end_of(again).result == book.results[run.id], f"{run.id} ends otherwise in a replay: {again.outcome}"
    assert not again.calls, f"{run.id} asks for {again.calls} in a replay"
    _, heard = decode(book.results[run.id])  # type: ignore[arg-type]
    assert len(heard) == len(set(heard)), f"{run.id} took a signal twice: {heard}"
    log = book.deliveries.get((run.id, flow.generation), [])
    unread += sum(row.kind == "signal" and row.seq > flow.processed_seq for row in log)
    assert flow.unread == unread, f"{run.id} is said to have {flow.unread} unread signals, and has {unread}"
    left = [decode(row.value) for row in log if row.kind == "signal"]  # type: ignore[arg-type]
    told = storm.told.get(run.id, [])
    if run.routine == "story":  # what was heard is handed on from generation to generation
        assert set(heard) | set(left) == set(told), f"{run.id} was told {told}, took {heard} and was left {left}"


def simulate(seed: int, *, event_path: bool = True, steps: int = STEPS) -> Counter[str]:
    """One seed. Raises AssertionError for whatever must not be."""
    logging.getLogger("longshore.workflow").setLevel(
        logging.CRITICAL
    )  # failures that nobody awaits are its daily bread
    before = Story.done.copy()
    storm = Storm(seed, event_path=event_path)
    storm.begin()
    storm.run(steps=steps, quiet_after=QUIET_AFTER)
    check_histories(storm)
    check_stories(storm)
    for link in storm.links.values():
        link.worker.die()
    found = storm.counts()
    found.update({f"code: {what}": many for what, many in (Story.done - before).items()})
    return found


def attempt(seed: int) -> tuple[int, Counter[str], str]:
    """One seed, with its failure as a text."""
    try:
        return seed, simulate(seed, event_path=seed % 7 != 0), ""
    except Exception as error:  # noqa: BLE001 - whatever it is, it is that seed's
        return seed, Counter(), f"{type(error).__name__}: {error}"


def say(line: str, where: TextIO | None = None) -> None:
    """A line for people."""
    (where or sys.stdout).write(line + "\n")
    (where or sys.stdout).flush()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--until-crashes", type=int, default=0, help="go on until there were so many crashes")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    total, bad, begun, first = Counter[str](), [], time.monotonic(), asked.first
    with ProcessPoolExecutor(asked.processes) as pool:
        while first == asked.first or total["crashes"] < asked.until_crashes:
            many = asked.seeds if not asked.until_crashes else 40
            for seed, found, failure in pool.map(attempt, range(first, first + many), chunksize=5):
                total.update(found)
                if failure:
                    bad.append(seed)
                    say(f"seed {seed}: {failure}", sys.stderr)
            first += many
    seconds = time.monotonic() - begun
    say(f"seeds {asked.first} to {first - 1} in {seconds:.0f} s, {len(bad)} failed {bad[:20] or ''}")
    for what, many in sorted(total.items(), key=lambda one: (":" in one[0], one[0])):
        say(f"{many:>10,}  {what}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
