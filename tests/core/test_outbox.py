"""The worker's side of a session, against a bus that loses, doubles and reorders bodies."""

from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.core.ids import RunId
from longshore.core.message import Abandon, Directive, Ping, Welcome
from longshore.core.outbox import HELLO_EVERY, STALE_AFTER, Outbox, Phase, held_digest


def opened(*, term: int = 1, taken: int = 0) -> Outbox:
    outbox = Outbox()
    outbox.bound()
    assert outbox.hello_due(0.0)
    hear(outbox, Welcome(term=term, taken=taken), term=term)
    assert outbox.phase is Phase.OPEN
    return outbox


def hear(
    outbox: Outbox, *directives: Directive, number: int = 0, term: int = 1, taken: int = 0, now: float = 0.0
) -> int:
    return len(outbox.receive(directives, number=number, term=term, taken=taken, now=now))


def abandon(name: str = "a") -> Abandon:
    return Abandon(RunId(name), 1)


def numbers(outbox: Outbox, now: float = 0.0) -> list[int]:
    return [number for number, _ in outbox.unsent(now)]


# ------------------------------------------------------------------------------------------------------- the handshake


def test_nothing_is_said_before_a_queue_of_ours_is_bound() -> None:
    outbox = Outbox()
    outbox.keep([b"a"])
    assert not outbox.hello_due(0.0)
    assert numbers(outbox) == []


def test_hello_is_repeated_each_second_until_welcome() -> None:
    outbox = Outbox()
    outbox.bound()
    assert outbox.hello_due(10.0)
    assert not outbox.hello_due(10.5)
    assert outbox.hello_due(10.0 + HELLO_EVERY)
    hear(outbox, Welcome(term=1, taken=0))
    assert not outbox.hello_due(20.0)


def test_while_opening_nothing_is_sent_and_nothing_is_taken() -> None:
    outbox = Outbox()
    outbox.bound()
    outbox.keep([b"a"])
    assert numbers(outbox) == []
    assert hear(outbox, abandon(), number=1) == 0
    assert outbox.directives == 0


def test_after_welcome_the_outbox_goes_again_from_the_last_one_taken() -> None:
    outbox = opened()
    outbox.keep([b"a", b"b", b"c"])
    assert numbers(outbox) == [1, 2, 3]
    outbox.lost()
    outbox.bound()
    outbox.keep([b"d"])
    hear(outbox, Welcome(term=1, taken=2))
    assert outbox.unsent(0.0) == [(3, b"c"), (4, b"d")]
    assert outbox.kept == 2


def test_a_refusal_is_kept_and_opens_nothing() -> None:
    outbox = Outbox()
    outbox.bound()
    hear(outbox, Welcome(term=1, taken=0, refused="another payload store"))
    assert outbox.refused == "another payload store"
    assert outbox.phase is Phase.OPENING


def test_a_welcome_on_a_lost_connection_opens_nothing() -> None:
    outbox = opened()
    outbox.lost()
    hear(outbox, Welcome(term=1, taken=0))
    assert outbox.phase is Phase.CLOSED


def test_a_coordinator_that_was_replaced_is_not_heard() -> None:
    outbox = opened(term=5)
    assert hear(outbox, Welcome(term=4, taken=0), term=4) == 0
    assert hear(outbox, Ping(term=4, taken=0, hello=True), term=4) == 0
    assert hear(outbox, abandon(), number=1, term=4) == 0
    assert outbox.phase is Phase.OPEN and outbox.term == 5


# -------------------------------------------------------------------------------------------------- what makes it doubt


@pytest.mark.parametrize(
    "ping",
    [
        Ping(term=1, taken=0, hello=True),
        Ping(term=2, taken=0),
        Ping(term=1, taken=0, report_queue=7),
    ],
    ids=["asked for", "a new term", "a new report queue"],
)
def test_such_a_ping_is_answered_with_hello(ping: Ping) -> None:
    outbox = opened()
    hear(outbox, ping, term=ping.term)
    assert outbox.phase is Phase.OPENING
    assert outbox.hello_due(0.0)


def test_a_ping_before_welcome_leaves_it_at_the_hello_that_is_under_way() -> None:
    outbox = Outbox()
    outbox.bound()
    assert outbox.hello_due(0.0)
    hear(outbox, Ping(term=1, taken=0, hello=True))
    assert outbox.phase is Phase.OPENING and not outbox.hello_due(0.5) and outbox.hello_due(HELLO_EVERY)


def test_an_ordinary_ping_says_what_is_taken() -> None:
    outbox = opened()
    hear(outbox, Ping(term=1, taken=0, report_queue=7))
    hear(outbox, Welcome(term=1, taken=0))
    outbox.keep([b"a", b"b"])
    outbox.unsent(0.0)
    hear(outbox, Ping(term=1, taken=1, report_queue=7))
    hear(outbox, Ping(term=1, taken=1))  # without a number: nothing is said of the queue
    assert outbox.phase is Phase.OPEN
    assert outbox.kept == 1


def test_a_directive_of_a_new_term_is_not_carried_out_before_its_welcome() -> None:
    outbox = opened(term=1)
    assert hear(outbox, abandon(), number=1, term=2) == 0
    assert outbox.phase is Phase.OPENING


def test_a_returned_report_makes_it_say_hello_once() -> None:
    outbox = opened()
    outbox.doubted()
    outbox.doubted()
    assert outbox.hello_due(0.0)
    assert not outbox.hello_due(0.1)


def test_what_is_sent_and_never_taken_is_asked_about() -> None:
    outbox = opened()
    outbox.keep([b"a"])
    numbers(outbox, now=5.0)
    assert not outbox.hello_due(5.0 + STALE_AFTER - 0.1)
    assert outbox.hello_due(5.0 + STALE_AFTER)


def test_progress_of_the_ledger_is_no_staleness() -> None:
    outbox = opened()
    outbox.keep([b"a", b"b"])
    numbers(outbox, now=0.0)
    hear(outbox, abandon(), number=1, taken=1, now=STALE_AFTER - 1)
    assert not outbox.hello_due(STALE_AFTER + 1)
    assert outbox.hello_due(2 * STALE_AFTER)


# ------------------------------------------------------------------------------------------------------- the directives


def test_directives_are_counted_over_bodies() -> None:
    outbox = opened()
    assert hear(outbox, abandon(), abandon("b"), number=2) == 2
    assert hear(outbox, abandon("c"), number=3) == 1
    assert outbox.directives == 3


def test_a_doubled_body_has_no_effect() -> None:
    outbox = opened()
    assert hear(outbox, abandon(), number=1) == 1
    assert hear(outbox, abandon(), number=1) == 0
    assert outbox.phase is Phase.OPEN


def test_a_gap_is_a_doubt_and_nothing_of_it_is_carried_out() -> None:
    outbox = opened()
    assert hear(outbox, abandon(), number=2) == 0
    assert outbox.phase is Phase.OPENING


def test_counting_begins_again_at_welcome() -> None:
    outbox = opened()
    hear(outbox, abandon(), abandon("b"), number=2)
    outbox.doubted()
    hear(outbox, Welcome(term=1, taken=0))
    assert hear(outbox, abandon("c"), number=1) == 1


def test_a_number_that_was_never_given_cannot_be_taken() -> None:
    outbox = opened()
    outbox.keep([b"a"])
    outbox.unsent(0.0)
    hear(outbox, abandon(), number=1, taken=99)
    assert (outbox.taken, outbox.kept) == (1, 0)
    assert outbox.keep([b"b"]) == 2
    assert outbox.unsent(0.0) == [(2, b"b")]


# ---------------------------------------------------------------------------------------------------- against the world


class Ledger:
    """The coordinator's side as the ledger does it: takes n + 1 only, counts directives from Welcome."""

    def __init__(self) -> None:
        self.term = 1
        self.taken = 0
        self.reports: list[bytes] = []
        self.sent = 0

    def take(self, number: int, body: bytes) -> None:
        if number == self.taken + 1:
            self.taken = number
            self.reports.append(body)


class World:
    """An outbox and a ledger with a bad bus between them, driven by a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.outbox = Outbox()
        self.ledger = Ledger()
        self.now = 0.0
        self.up: deque[tuple[int, bytes]] = deque()  # 0: Hello
        self.down: deque[tuple[int, int, int, tuple[Directive, ...]]] = deque()
        self.kept: list[bytes] = []
        self.done: list[tuple[int, int]] = []  # directives carried out: (welcome, index)
        self.welcomes = 0
        self.heard = 0

    def tick(self) -> None:
        if self.outbox.hello_due(self.now):
            self.up.append((0, b""))
        self.up.extend(self.outbox.unsent(self.now))

    def coordinator_reads(self) -> None:
        if not self.up:
            return
        number, body = self.up.popleft()
        ledger = self.ledger
        if number:
            ledger.take(number, body)
        else:
            self.welcomes += 1
            ledger.sent = 0
            self.down.append((0, ledger.term, ledger.taken, (Welcome(term=ledger.term, taken=ledger.taken),)))

    def direct(self) -> None:
        if self.welcomes:
            count = self.chance.randint(1, 3)
            body = tuple(abandon(f"{self.welcomes}:{self.ledger.sent + k}") for k in range(count))
            self.ledger.sent += count
            self.down.append((self.ledger.sent, self.ledger.term, self.ledger.taken, body))

    def worker_reads(self) -> None:
        if self.down:
            number, term, taken, body = self.down.popleft()
            for directive in self.outbox.receive(body, number=number, term=term, taken=taken, now=self.now):
                assert isinstance(directive, Abandon)
                welcome, index = directive.run_id.split(":")
                self.done.append((int(welcome), int(index)))

    def report(self) -> None:
        body = f"r{len(self.kept)}".encode()
        self.kept.append(body)
        self.outbox.keep([body])

    def harm(self) -> None:
        line: deque[object] = self.chance.choice([self.up, self.down])  # type: ignore[list-item]
        if not line:
            return
        at = self.chance.randrange(len(line))
        match self.chance.choice(["lose", "double", "swap"]):
            case "lose":
                del line[at]
            case "double":
                line.insert(at, line[at])
            case "swap":
                line.append(line[at])
                del line[at]

    def cut(self) -> None:
        self.outbox.lost()
        self.up.clear()
        self.down.clear()
        self.outbox.bound()

    def restart_coordinator(self) -> None:
        self.ledger.term += 1
        self.ledger.sent = 0
        self.up.clear()
        self.down.append((0, self.ledger.term, 0, (Ping(term=self.ledger.term, taken=0, hello=True),)))

    def step(self, name: str) -> None:
        getattr(self, name)()
        self.now += self.chance.random()
        assert self.outbox.taken <= self.ledger.taken
        assert self.ledger.reports == self.kept[: self.ledger.taken]


ACTS = ["tick", "coordinator_reads", "direct", "worker_reads", "report"]
FAULTS = ["harm", "cut", "restart_coordinator"]


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), acts=st.lists(st.sampled_from(ACTS * 4 + FAULTS), max_size=200))
def test_no_report_is_lost_or_reordered_whatever_the_bus_does(seed: int, acts: list[str]) -> None:
    world = World(seed)
    world.outbox.bound()
    for act in acts:
        world.step(act)
    for _ in range(200):  # the world is well again
        for act in ("tick", "coordinator_reads", "coordinator_reads", "direct", "worker_reads", "worker_reads"):
            world.step(act)
        if world.outbox.kept == 0 and world.outbox.phase is Phase.OPEN:
            break
    assert world.ledger.reports == world.kept
    assert world.outbox.kept == 0


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), acts=st.lists(st.sampled_from(ACTS * 4 + FAULTS), max_size=200))
def test_directives_of_one_welcome_are_carried_out_in_order_and_once(seed: int, acts: list[str]) -> None:
    world = World(seed)
    world.outbox.bound()
    for act in acts:
        world.step(act)
    for welcome in {welcome for welcome, _ in world.done}:
        indexes = [index for number, index in world.done if number == welcome]
        assert indexes == sorted(set(indexes))


def test_the_digest_of_what_is_held_knows_no_order() -> None:
    pairs = [(RunId("a"), 1), (RunId("b"), 2), (RunId("c"), 3)]
    assert held_digest(pairs) == held_digest(reversed(pairs))
    assert held_digest(pairs) != held_digest([*pairs[:2], (RunId("c"), 4)])
    assert held_digest([]) == 1  # 0 in Beat means: not to be compared


# ------------------------------------------------------------------------------------------------------------ oddities


def test_reports_kept_while_others_are_under_way_do_not_make_those_younger() -> None:
    outbox = opened()
    outbox.keep([b"1"])
    assert numbers(outbox, 1.0) == [1]
    outbox.keep([b"2"])
    assert numbers(outbox, 2.0) == [2]
    assert outbox._sent_at == 1.0


def test_what_comes_without_a_number_is_only_welcome_or_ping() -> None:
    outbox = opened()
    assert (hear(outbox, abandon()), outbox.directives, outbox.phase) == (0, 0, Phase.OPEN)


def test_a_ping_of_a_coordinator_that_was_replaced_is_not_heard() -> None:
    outbox = opened(term=2)
    hear(outbox, Ping(term=1, taken=0, hello=True), term=0)
    assert outbox.phase is Phase.OPEN
