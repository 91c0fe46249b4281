"""What a workflow has asked for, compared with what was recorded. Pure: no loop, no clock, no chance.

A call or timer has an address and a fingerprint. Asked again in a replay it must be the same; without a row it is new
only in a pump that was not processed before.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from longshore.core.differences import THE_CODE, call_of, listed
from longshore.core.errors import Nondeterminism
from longshore.core.ids import Address
from longshore.core.message import CallRow, Differs
from longshore.serialization.arguments import Arguments
from longshore.serialization.written import written_call

CALL: Final = "call"
TIMER: Final = "timer"
PATCH: Final = "patch"
SIGNAL: Final = "signal"
TOKEN: Final = "token"

_ADVICE: Final = (
    "The workflow's code was changed while this run was under way, or it depends on something that differs each time "
    "(clock, chance, the order of a set). Nothing new was executed. Put the old code back under this version, or run "
    "it anew."
)


class Difference(Nondeterminism):
    """The code does not do what the journal says; `differs` says where, if it is at an address."""

    def __init__(self, message: str, differs: Differs | None = None) -> None:
        super().__init__(message)
        self.differs = differs


def fingerprint(kind: str, name: str, digest: str) -> str:
    """The short digest by which an operation is recognized."""
    return sha256(f"{kind}\0{name}\0{digest}".encode()).hexdigest()[:16]


class Journal:
    """The rows not yet asked for, and every address that was. `seq` is the delivery whose pump is under way.

    A fork knows what its code did before pump `forked_seq` (-1: it is none), though some of that is to be asked anew.
    """

    def __init__(self, processed_seq: int, forked_seq: int = -1) -> None:
        self.seq = -1
        self.processed_seq = processed_seq
        self._recorded_seq = max(processed_seq, forked_seq - 1)
        self._rows: dict[Address, CallRow] = {}
        self._asked: set[Address] = set()
        self._patches: dict[Address, bool] = {}
        self._forked_seq = forked_seq
        self._begun: set[int] = set()  # pumps that were not processed, but some of what they asked for is recorded

    @property
    def replaying(self) -> bool:
        """Whether this pump has been processed before: what it asks for and says is known."""
        return self.seq <= self.processed_seq

    @property
    def recorded(self) -> bool:
        """Whether this pump went on before, in this run or in the one that it is a fork of."""
        return self.seq <= self._recorded_seq

    def learn(self, rows: Iterable[CallRow]) -> None:
        """Recorded calls and timers; those asked for already are known to be right."""
        asked, upto = self._asked, self.processed_seq
        for row in rows:
            if row.address not in asked:
                self._rows[row.address] = row
            if row.asked_seq > upto:
                self._begun.add(row.asked_seq)

    def ask(
        self, address: Address, kind: str, name: str, digest: str, place: str, arguments: Arguments | None = None
    ) -> bool:
        """Whether this operation is new. Raises Difference when the journal says otherwise; the arguments of a call are
        for its text."""
        row = self._rows.pop(address, None)
        if row is None and self.seq > self.processed_seq:
            self._asked.add(address)
            return True
        if row is not None and row.kind == kind and row.digest == digest:
            self._asked.add(address)
            return False
        said = None if arguments is None else written_call(arguments)
        asked = _described(kind, name, digest if said is None else listed(said), place)
        raise self._mismatch(address, "nothing was asked for here" if row is None else _recorded(row), asked, said)

    def patched(self, address: Address) -> tuple[bool, bool]:
        """Whether this patch applies to the run, and whether that is to be recorded.

        The first pump that asks decides for the whole run: a pump processed before without a row of the patch was
        processed by the code before it. So was a pump whose worker was lost while it said what it asked for: patches
        are said first.
        """
        known = self._patches.get(address)
        if known is not None:
            return known, False
        row = self._rows.get(address)  # it may have come with its page, ahead of the pump it was asked in
        recorded = row is not None and row.asked_seq <= self.seq
        before = self.recorded or (self.seq in self._begun and self.seq != self._forked_seq)
        applies = self._patches[address] = recorded or not before
        return applies, applies and not recorded

    def recorded_name(self, address: Address) -> str | None:
        """The name that was recorded where something is about to be asked for; None if nothing was."""
        row = self._rows.get(address)
        return None if row is None else row.name

    def was_asked(self, address: Address) -> bool:
        """Whether the code asked for something at this address."""
        return address in self._asked

    def unasked(self, address: Address, kind: str) -> Difference:
        """The error for a delivery to an address where the code asked for nothing of that kind."""
        row = self._rows.get(address)
        recorded = _recorded(row) if row is not None else f"something answered by a delivery of kind {kind!r}"
        asked = "something of another kind" if address in self._asked else "asks for nothing here"
        return self._mismatch(address, recorded, asked)

    def left_over(self) -> list[CallRow]:
        """What is recorded of the pumps up to here and was not asked for. Patches are no question: code may forget
        them."""
        return [row for row in self._rows.values() if row.asked_seq <= self.seq and row.kind != PATCH]

    def ended_early(self) -> Difference:
        """The error for code that ends in a delivery after which it has gone on before."""
        return Difference(
            f"the code does not match the journal in delivery {self.seq}\n"
            f"  recorded: it went on, at least to delivery {self._recorded_seq}\n"
            f"{THE_CODE}ends here\n{_ADVICE}"
        )

    def _mismatch(self, address: Address, recorded: str, asked: str, said: list[str] | None = None) -> Difference:
        return Difference(
            f"the code does not match the journal at address {address}, in delivery {self.seq}\n"
            f"  recorded: {recorded}\n"
            f"{THE_CODE}{asked}\n{_ADVICE}",
            Differs(address, said),
        )


def _recorded(row: CallRow) -> str:
    return f"{_described(row.kind, row.name, row.digest, row.place)}, in delivery {row.asked_seq}"


def _described(kind: str, name: str, digest: str, place: str) -> str:
    whats = {
        CALL: call_of(name, digest),
        SIGNAL: f"wait for signal {name!r}, in short {digest}",
        TOKEN: f"token with a timeout, in short {digest}",
    }
    return f"{whats.get(kind, f'timer of length {digest}')} at {place or 'an unknown place'}"
