"""The world around waiting workflows: it sends signals, some twice, completes tokens, and looks what became of them."""

from __future__ import annotations

from longshore.core.ids import RunId
from longshore.core.message import CompleteToken, Signal
from longshore.core.run import FINAL
from tests.simulation.book import Book
from tests.simulation.fleet import CLIENT, Fleet
from tests.simulation.models import Script, signal_name

SURPLUS = 2
"""How many signals of each name are sent that nobody asks for."""


class Outside:
    """What the runs of `wait` are told, until the book has it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.signals: dict[RunId, list[Signal]] = {}
        self.asks = 0
        fleet.outside = self.speak

    def trigger(self, count: int, **options: object) -> None:
        """Start workflows, and plan what they are to be told."""
        before = len(self.fleet.triggered)
        self.fleet.trigger("wait", count, **options)
        for run_id in self.fleet.triggered[before:]:
            names = [f"s{n % 2}" for n in range(2 * SURPLUS)]
            for kind, many in Script.waiting(run_id).rounds:
                names += [signal_name(f"0:{index}") for index in range(many)] if kind == "signal" else []  # type: ignore[arg-type]
            self.signals[run_id] = [
                Signal(run_id, name, f"value {n}".encode(), f"{run_id[-6:]}/{n}", reply_to=CLIENT)
                for n, name in enumerate(names)
            ]

    def speak(self) -> None:
        """One of those that are not told yet, now and then one that is; or the completion of a token."""
        chance, book = self.fleet.random, self.fleet.world.book
        for run_id, planned in self.signals.items():
            run = book.runs.get(run_id)
            if (run is not None and run.status in FINAL) or chance.random() > 0.2:
                continue
            told = ids(book, run_id)
            left = [signal for signal in planned if signal.signal_id not in told]
            if left and chance.random() < 0.9:
                self.fleet.commands.append(left[0] if chance.random() < 0.7 else chance.choice(left))
            elif chance.random() < 0.2:
                self.fleet.commands.append(chance.choice(planned))
        for token in book.tokens.values():
            if (
                (token.completed_at is None or chance.random() < 0.1)
                and book.runs[token.run_id].status not in FINAL
                and chance.random() < 0.05
            ):
                self.asks += 1
                number = str(self.asks - (chance.random() < 0.2))  # as if it were the order before, sent again
                self.fleet.commands.append(CompleteToken(token.token, b"paid", ask_id=number, reply_to=CLIENT))


def ids(book: Book, run_id: RunId) -> set[str]:
    """The signals that a run was told in its latest generation."""
    generation = max((number for name, number in book.deliveries if name == run_id), default=0)
    return {str(row.address) for row in book.deliveries.get((run_id, generation), []) if row.kind == "signal"}


def check_waits(outside: Outside) -> None:
    """No signal is told twice to one generation or lost to the next; each is taken in its order; tokens answer once."""
    book = outside.fleet.world.book
    for (run_id, generation), log in book.deliveries.items():
        told = [str(row.address) for row in log if row.kind == "signal"]
        assert len(told) == len(set(told)), f"{run_id} was told a signal twice"
        assert set(told) <= ids(book, run_id), f"{run_id} lost a signal after generation {generation}"
        answered = [row.address for row in log if row.kind == "token"]
        assert len(answered) == len(set(answered)), f"{run_id}: a token was completed twice"
        expired = {row.address for row in log if row.kind == "timer"} & set(answered)
        assert not expired, f"{run_id}: {expired} were completed and expired"
    for run_id in outside.signals:
        run = book.runs[run_id]
        if run.status != "COMPLETED" or run.flow is None:
            continue
        log = book.deliveries.get((run_id, run.flow.generation), [])
        taken = [one for one in (book.results[run_id] or b"").decode().split(",") if one]  # type: ignore[union-attr]
        for name in ("s0", "s1"):
            came = [str(row.address) for row in log if row.kind == "signal" and row.status == name]
            assert [one for one in taken if one in came] == came[: len([one for one in taken if one in came])], run_id
