"""What can be said to the coordinator, and how its answers become values or errors. It keeps nothing of a run."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from longshore.client.crowd import FOR_EVER
from longshore.client.link import Link, Unanswered, Waiter
from longshore.client.outcome import COMPLETED, error_of
from longshore.client.outside import Completion, completion_of, signal_of
from longshore.client.pending import Errand, Question
from longshore.client.tracing import BROKER_UNAVAILABLE, Tracing
from longshore.core.errors import BrokerUnavailableError, Rejected, UnavailableError
from longshore.core.ids import RunId
from longshore.core.message import Ask, Order, Reply, RunChanged, Trigger
from longshore.payloads import AsyncCargo

ASK_TIMEOUT: Final = 10.0


class Conversation:
    """One client's way of asking, over its link."""

    def __init__(self, link: Link, cargo: AsyncCargo, tracing: Tracing, modules: Collection[str]) -> None:
        self._link = link
        self._cargo = cargo
        self._tracing = tracing
        self._modules = frozenset(modules)
        self._numbers = itertools.count(1)

    @property
    def over(self) -> bool:
        """Whether the client was closed, or its link is beyond repair."""
        return self._link.broken is not None

    # ------------------------------------------------------------------------------------------------- triggers

    def begin(self, trigger: Trigger, timeout: float | None) -> Errand[Waiter]:
        """Send a trigger; its waiter gets Accepted, Rejected, the final RunChanged, or Unanswered after `timeout` s.

        What comes of it, or instead of it, goes through `reply` or `given_up`: whoever waits for thousands of runs has
        one coroutine for each, not two.
        """
        span = self._tracing.begin(trigger)
        return self._link.trigger(trigger, FOR_EVER if timeout is None else timeout, span)

    def reply(self, errand: Errand[Waiter], answer: Reply | Unanswered, timeout: float | None) -> Reply | Unanswered:
        """The answer; Unanswered when the broker has the trigger but no coordinator has answered within `timeout` s.

        Raises BrokerUnavailableError when the broker did not take it.
        """
        if type(answer) is Unanswered and not answer.confirmed:
            self._tracing.failed(errand, BROKER_UNAVAILABLE)
            raise _not_taken(errand.run_id, answer, timeout)
        return answer

    def given_up(self, errand: Errand[Waiter], error: BaseException, limit: float | None) -> BaseException:
        """Nobody waits for this errand any more, because of this error; gives the one to raise."""
        taken = errand.confirmed or errand.over
        self._link.book.abandon(errand)
        if not isinstance(error, TimeoutError):
            return error
        if not taken:
            self._tracing.failed(errand, BROKER_UNAVAILABLE)
            return _not_taken(errand.run_id, Unanswered(errand), limit)
        routine = errand.message.routine if isinstance(errand.message, Trigger) else ""
        return TimeoutError(f"{routine} {errand.run_id} has not ended within {limit:g} s; it goes on")

    # ------------------------------------------------------------------------------------------------- outcomes

    async def outcome(self, run_id: RunId, routine: str = "") -> RunChanged:
        """How the run ended, once it has. Waits for ever, over every reconnect."""
        waiter = self._link.outcome(run_id, routine)
        try:
            change: RunChanged = await waiter
        except asyncio.CancelledError:
            self._link.book.forget(run_id, waiter)
            raise
        return change

    async def value(self, change: RunChanged, routine: str, module: str = "") -> Any:
        """The result in a final change, fetched and verified if it is a claim check. Raises how the run ended."""
        if change.status == COMPLETED:
            return None if change.result is None else await self._cargo.load(change.result)
        raise error_of(change, routine, self._modules | {module} if module else self._modules)

    def follow(self, run_id: RunId, feed: Callable[[RunChanged], None]) -> None:
        """Tell the feed of every change that is announced of this run, until `unfollow`."""
        self._link.book.follow(run_id, feed)
        self._link.ask_outcomes((run_id,))

    def unfollow(self, run_id: RunId, feed: Callable[[RunChanged], None]) -> None:
        """End what `follow` began."""
        self._link.book.unfollow(run_id, feed)

    # ------------------------------------------------------------------------------------------------- questions

    async def ask(
        self, what: str, run_ids: Sequence[RunId] = (), *, timeout: float = ASK_TIMEOUT, **params: Any
    ) -> Any:
        """The answer to a question, as plain data.

        Raises Rejected when the coordinator refuses it, BrokerUnavailableError when the broker did not take it, and
        UnavailableError when nobody answered within `timeout` seconds.
        """
        given = {name: value for name, value in params.items() if value is not None}
        question = Ask(what, self._number(), self._link.client_id, list(run_ids), given)
        return await self._answer(question, run_ids[0] if run_ids else "", timeout)

    async def order(self, order: Order, *, timeout: float = ASK_TIMEOUT) -> Any:
        """Give an order; where what it is about stands then, or what was made of it. Raises as `ask`."""
        order.ask_id, order.reply_to = self._number(), self._link.client_id
        return await self._answer(order, getattr(order, "run_id", ""), timeout)

    async def signal(self, run_id: RunId, name: str, value: Any, *, timeout: float = ASK_TIMEOUT) -> Any:
        """Tell a workflow something by name. Raises as `ask`, EncodingError, PayloadUnavailable."""
        order = await signal_of(self._cargo, run_id, name, value, self._link.client_id)
        order.ask_id = self._number()
        return await self._answer(order, run_id, timeout)

    async def complete_token(
        self, token: str, value: Any, error: str | BaseException | None, *, timeout: float = ASK_TIMEOUT
    ) -> Completion:
        """Complete a token. Raises as `signal`."""
        order = await completion_of(self._cargo, token, value, error, self._link.client_id)
        order.ask_id = self._number()
        return Completion(**await self._answer(order, "", timeout))

    def tell(self, order: Order) -> None:
        """Give an order whose answer nobody waits for."""
        order.ask_id, order.reply_to = self._number(), self._link.client_id
        if not self.over:
            self._link.question(order, ASK_TIMEOUT).waiter.add_done_callback(_nobody_waits)

    async def _answer(self, question: Question, run_id: str, timeout: float) -> Any:
        errand = self._link.question(question, timeout)
        try:
            answer = await errand.waiter
        except asyncio.CancelledError:
            self._link.book.abandon(errand)
            raise
        if type(answer) is Unanswered:
            raise _not_taken(run_id, answer, timeout) if not answer.confirmed else _no_answer(timeout)
        if answer.error is not None:
            rule, text = answer.error.get("rule", "unknown"), answer.error.get("text", "refused")
            if rule == "unavailable":
                raise UnavailableError(text)
            raise Rejected(rule, text, run_id=run_id)
        return answer.data

    def _number(self) -> str:
        return str(next(self._numbers))


def _not_taken(run_id: str, errand: Unanswered, timeout: float | None) -> BrokerUnavailableError:
    how = "it may have been sent" if errand.sent else "it was not sent"
    again = ": the same again with this run_id is safe" if run_id else ""
    return BrokerUnavailableError(
        f"the broker did not take the message within {timeout:g} s ({how}){again}",
        run_id=run_id,
        may_have_been_sent=errand.sent,
    )


def _nobody_waits(waiter: Waiter) -> None:
    if not waiter.cancelled():
        waiter.exception()


def _no_answer(timeout: float) -> UnavailableError:
    return UnavailableError(f"no coordinator answered within {timeout:g} s: is one running? (`longshore coordinator`)")
