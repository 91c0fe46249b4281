"""The book of pending answers: which runs and questions somebody waits for, and what must be said again for them.

Pure: time is an argument, and a waiter is whatever the shell gave; the book only says which waiter gets which answer.
One pass over a body of replies; nothing is kept for a run once nobody waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from longshore.core.ids import RunId
from longshore.core.message import (
    Accepted,
    Answer,
    Ask,
    Command,
    Order,
    Rejected,
    Reply,
    RunChanged,
    Trigger,
)
from longshore.core.run import FINAL

W = TypeVar("W")

Question = Ask | Order
"""What is answered with an Answer of the same `ask_id`."""

REASK_AFTER: Final = 10.0
"""Seconds after which an outcome that is still waited for is asked for again."""
LOOK_AFTER: Final = 5.0
"""Seconds of waiting after which the reason is worth telling."""

_ENDED: Final = frozenset(status.value for status in FINAL) | {""}  # "": there is no such run


class Errand(Generic[W]):
    """A command on its way to the ledger. `waiter` is told when it is answered, or when nobody answered in time.

    `sent`: handed to the broker at least once; `confirmed`: the broker has it; `over`: answered or given up, so it is
    never sent again; `queued`: waits to be sent, or is under way; `run_id`: the run it turned out to be about.
    """

    __slots__ = ("confirmed", "deadline", "message", "over", "queued", "run_id", "sent", "span", "waiter")

    def __init__(self, message: Command, waiter: W, deadline: float) -> None:
        self.message = message
        self.waiter = waiter
        self.deadline = deadline
        self.sent = False
        self.confirmed = False
        self.over = False
        self.queued = False
        self.run_id = RunId("")
        self.span: object = None  # what the shell wants to tell of it once it is sent


class Awaited(Generic[W]):
    """A run that somebody waits for. `errands` are its triggers (one, as a rule) until the ledger has answered."""

    __slots__ = ("accepting", "asked_at", "errands", "look_at", "outcome", "routine", "run_id")

    def __init__(self, run_id: RunId, now: float, routine: str = "") -> None:
        self.run_id = run_id
        self.routine = routine
        self.errands: tuple[Errand[W], ...] = ()
        self.accepting: tuple[W, ...] = ()
        self.outcome: tuple[W, ...] = ()
        self.asked_at = now
        self.look_at = now + LOOK_AFTER

    def answered(self) -> None:
        """Its triggers need no sending any more, nor their messages, which may be large."""
        errands, self.errands = self.errands, ()
        for errand in errands:
            errand.over = True
        if len(errands) > 1:  # one answer for all: the others may never have said that they want the outcome
            self.asked_at -= REASK_AFTER


class Again(NamedTuple, Generic[W]):
    """What is to be said again after answers may have been lost."""

    errands: list[Errand[W]]
    outcomes: list[RunId]


class Book(Generic[W]):
    """Everything one client waits for."""

    def __init__(self) -> None:
        self.runs: dict[RunId, Awaited[W]] = {}
        self._questions: dict[str, Errand[W]] = {}
        self._feeds: dict[RunId, list[Callable[[RunChanged], None]]] = {}
        self._lines: dict[float, deque[Errand[W]]] = {}  # by timeout, so that each is in order of its deadlines

    # ------------------------------------------------------------------------------------------------ what is asked

    def trigger(self, message: Trigger, waiter: W, now: float, timeout: float) -> Errand[W]:
        """A trigger whose waiter gets Accepted or Rejected, or the outcome if the message wants that."""
        errand: Errand[W] = Errand(message, waiter, now + timeout)
        errand.run_id = run_id = message.run_id
        awaited = self.runs.get(run_id)
        if awaited is None:
            awaited = self.runs[run_id] = Awaited(run_id, now, message.routine)
        awaited.errands += (errand,)
        if message.wants == "outcome":
            awaited.outcome += (waiter,)
        else:
            awaited.accepting += (waiter,)
        self._line_up(errand, timeout)
        return errand

    def question(self, message: Question, waiter: W, now: float, timeout: float) -> Errand[W]:
        """A question (or an order) whose waiter gets the Answer with the same `ask_id`."""
        errand: Errand[W] = Errand(message, waiter, now + timeout)
        self._questions[message.ask_id] = errand
        self._line_up(errand, timeout)
        return errand

    def await_outcome(self, run_id: RunId, waiter: W, now: float, routine: str = "") -> None:
        """Wait for how a run ends; the waiter gets the final RunChanged."""
        awaited = self.runs.get(run_id)
        if awaited is None:
            awaited = self.runs[run_id] = Awaited(run_id, now, routine)
        awaited.outcome += (waiter,)

    def follow(self, run_id: RunId, feed: Callable[[RunChanged], None]) -> None:
        """Tell the feed of every change that is announced, until `unfollow`."""
        self._feeds.setdefault(run_id, []).append(feed)

    def unfollow(self, run_id: RunId, feed: Callable[[RunChanged], None]) -> None:
        """End what `follow` began."""
        feeds = self._feeds.get(run_id, [])
        if feed in feeds:
            feeds.remove(feed)
        if not feeds:
            self._feeds.pop(run_id, None)

    def forget(self, run_id: RunId, waiter: W) -> None:
        """This waiter no longer waits for the run."""
        awaited = self.runs.get(run_id)
        if awaited is None:
            return
        awaited.accepting = tuple(one for one in awaited.accepting if one is not waiter)
        awaited.outcome = tuple(one for one in awaited.outcome if one is not waiter)
        if not awaited.accepting and not awaited.outcome:
            del self.runs[run_id]
            awaited.answered()

    def abandon(self, errand: Errand[W]) -> None:
        """Nobody waits for this errand any more: it is not sent again. Others may still wait for its run."""
        errand.over = True
        message = errand.message
        if not isinstance(message, Trigger):
            self._questions.pop(message.ask_id, None)
            return
        awaited = self.runs.get(errand.run_id)
        if awaited is not None:
            awaited.errands = tuple(one for one in awaited.errands if one is not errand)
            self.forget(errand.run_id, errand.waiter)

    # ------------------------------------------------------------------------------------------------ what is answered

    def take(self, replies: Sequence[Reply]) -> list[tuple[W, Reply]]:
        """Who gets which of these replies. Replies nobody waits for are passed over: they came twice, or too late."""
        told: list[tuple[W, Reply]] = []
        for reply in replies:
            kind = type(reply)
            if kind is RunChanged:
                self._take_change(reply, told)  # type: ignore[arg-type]
            elif kind is Accepted:
                self._take_accepted(reply, told)  # type: ignore[arg-type]
            elif kind is Rejected:
                self._take_rejected(reply, told)  # type: ignore[arg-type]
            else:
                self._take_answer(reply, told)  # type: ignore[arg-type]
        return told

    def _take_change(self, reply: RunChanged, told: list[tuple[W, Reply]]) -> None:
        run_id = reply.run_id
        if self._feeds:
            for feed in self._feeds.get(run_id, ()):
                feed(reply)
        awaited = self.runs.get(run_id)
        if awaited is None or reply.status not in _ENDED:
            return
        if awaited.errands:
            if not reply.status:
                return  # its trigger has not arrived yet, and will be answered itself
            awaited.answered()
        del self.runs[run_id]
        told.extend([(waiter, reply) for waiter in awaited.outcome])
        told.extend([(waiter, reply) for waiter in awaited.accepting])

    def _take_accepted(self, reply: Accepted, told: list[tuple[W, Reply]]) -> None:
        asked_id = reply.asked_id or reply.run_id
        awaited = self.runs.get(asked_id)
        if awaited is None:
            return
        if asked_id != reply.run_id:
            for errand in awaited.errands:
                errand.run_id = reply.run_id
        awaited.answered()
        if awaited.accepting:
            told.extend([(waiter, reply) for waiter in awaited.accepting])
            awaited.accepting = ()
        if asked_id != reply.run_id or not awaited.outcome:
            del self.runs[asked_id]
        if asked_id != reply.run_id and awaited.outcome:  # an idempotency key led to another run: wait for that one
            self._join(awaited, reply.run_id)

    def _join(self, awaited: Awaited[W], run_id: RunId) -> None:
        other = self.runs.get(run_id)
        if other is None:
            awaited.run_id = run_id
            self.runs[run_id] = awaited
        else:
            other.outcome += awaited.outcome

    def _take_rejected(self, reply: Rejected, told: list[tuple[W, Reply]]) -> None:
        awaited = self.runs.pop(reply.run_id, None)
        if awaited is None:
            return
        awaited.answered()
        told.extend([(waiter, reply) for waiter in awaited.accepting + awaited.outcome])

    def _take_answer(self, reply: Answer, told: list[tuple[W, Reply]]) -> None:
        errand = self._questions.pop(reply.ask_id, None)
        if errand is not None:
            errand.over = True
            told.append((errand.waiter, reply))

    # ------------------------------------------------------------------------------------------------ what time brings

    def next_deadline(self) -> float | None:
        """When somebody will have waited long enough for an answer; None if nobody waits."""
        fronts = [line[0].deadline for line in self._lines.values() if _trim(line)]
        return min(fronts, default=None)

    def overdue(self, now: float) -> list[Errand[W]]:
        """Errands nobody answered in time. They are over: nothing of them is sent again and their waiters forgotten."""
        late: list[Errand[W]] = []
        for timeout, line in list(self._lines.items()):
            while _trim(line) and line[0].deadline <= now:
                errand = line.popleft()
                self.abandon(errand)
                late.append(errand)
            if not line:
                del self._lines[timeout]
        return late

    def again(self, now: float) -> Again[W]:
        """What to say again after a reconnect: answers may have gone to a queue that is no more.

        The same trigger again is the same run, and a question changes nothing; so all of it is harmless.
        """
        errands = [one for one in self._questions.values() if one.sent and not one.queued]
        outcomes: list[RunId] = []
        for run_id, awaited in self.runs.items():
            if not awaited.errands:
                awaited.asked_at = now
                outcomes.append(run_id)
            errands += [errand for errand in awaited.errands if errand.sent and not errand.queued]
        outcomes += [run_id for run_id in self._feeds if run_id not in self.runs]
        return Again(errands, outcomes)

    def stale(self, now: float) -> list[RunId]:
        """Runs whose outcome is still waited for and was not asked for in the last REASK_AFTER seconds."""
        since = now - REASK_AFTER
        stale = [one for one in self.runs.values() if not one.errands and one.asked_at <= since]
        for awaited in stale:
            awaited.asked_at = now
        return [awaited.run_id for awaited in stale]

    def longest_waiting(self, now: float) -> Awaited[W] | None:
        """The first run whose outcome is waited for and whose reason for that is due to be told."""
        for awaited in self.runs.values():
            if awaited.look_at <= now and awaited.outcome:
                return awaited
        return None

    def clear(self) -> list[W]:
        """Wait for nothing any more; gives everybody who did."""
        waiters = [errand.waiter for errand in self._questions.values()]
        for awaited in self.runs.values():
            waiters += awaited.accepting + awaited.outcome
            awaited.answered()
        for errand in self._questions.values():
            errand.over = True
        self._questions.clear()
        self.runs.clear()
        self._lines.clear()
        return waiters

    def _line_up(self, errand: Errand[W], timeout: float) -> None:
        line = self._lines.get(timeout)
        if line is None:
            line = self._lines[timeout] = deque()
        while line and line[0].over:
            line.popleft()
        line.append(errand)


def _trim(line: deque[Errand[W]]) -> bool:
    """Drop what is answered from the front; whether anything is left."""
    while line and line[0].over:
        line.popleft()
    return bool(line)
