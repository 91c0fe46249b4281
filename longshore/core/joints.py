"""Calls of workflows that are answered by a run which is not their own child, by that run and by the call. Structure
only: who joins whom is decided in `ledger/joining`, and whether that is a circle in `ledger/circles`."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from longshore.core.beginnings import Joint
from longshore.core.ids import Address, RunId
from longshore.core.parts import Failure


class Search(msgspec.Struct, gc=False):
    """Whether what a run has begun to wait for waits for that run. `address` is that of its call; "" for a run that is
    parked beside its equal."""

    waiter: RunId
    awaited: RunId
    address: Address
    seen: dict[RunId, tuple[RunId, bool]]  # who waits, for whom, and whether by such a call
    front: list[tuple[RunId, int]]  # who was not looked at yet, and the generation that waits (-1: whichever)


def refused(text: str) -> Failure:
    """What a call is told that would wait for itself."""
    return Failure(type="longshore.core.errors.CircularWait", message=text)


class Joints:
    """Those whose outcome is not told yet."""

    __slots__ = ("_by_call", "by_run", "telling")

    def __init__(self, joints: Iterable[Joint] = ()) -> None:
        self.by_run: dict[RunId, dict[tuple[RunId, Address], Joint]] = {}
        """Nobody changes it but here."""
        self._by_call: dict[tuple[RunId, Address], Joint] = {}
        self.telling: dict[RunId, None] = {}
        """Runs that have ended, or may have: whoever waits for them is told by the next ticks."""
        for joint in joints:
            self.add(joint)

    def add(self, joint: Joint) -> None:
        """This call waits for that run."""
        call = joint.parent_id, joint.address
        self.drop(*call)
        self._by_call[call] = joint
        self.by_run.setdefault(joint.run_id, {})[call] = joint

    def drop(self, parent_id: RunId, address: Address) -> Joint | None:
        """The call waits no longer; gives what it waited for."""
        joint = self._by_call.pop((parent_id, address), None)
        if joint is not None:
            waiting = self.by_run[joint.run_id]
            del waiting[parent_id, address]
            if not waiting:
                del self.by_run[joint.run_id]
                self.telling.pop(joint.run_id, None)
        return joint

    def find(self, parent_id: RunId, address: Address) -> Joint | None:
        """What the call waits for, if it is a shared run."""
        return self._by_call.get((parent_id, address))

    def of(self, run_id: RunId) -> list[Joint]:
        """The calls that wait for a run."""
        return list(self.by_run.get(run_id, {}).values())

    def ended(self, run_id: RunId) -> None:
        """The run has ended, or may have."""
        self.telling[run_id] = None
