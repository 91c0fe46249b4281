"""What a workflow waits for from outside: an instant, signals by name, tokens. Made when one is first asked for.

A signal that nobody waits for yet is kept, in the order of its fact; each goes to one who waits. Nothing in here talks
to anybody: the execution says what is new, and is told what has come.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

from longshore.core.durations import duration
from longshore.core.errors import TokenExpired, TokenFailed, UsageError
from longshore.core.ids import Address
from longshore.core.message import Delivery
from longshore.core.run import Status
from longshore.engine.journal import SIGNAL, TIMER, TOKEN, fingerprint
from longshore.engine.loop import WorkflowLoop

MAX_NAME: Final = 200
TOKEN_BYTES: Final = 16
"""Of a token's name: nobody guesses 128 bits."""
_MICROSECOND: Final = timedelta(microseconds=1)


class ClosingFuture(asyncio.Future[Any]):
    """What an address is waited for with. A cancellation closes the address."""

    address: Address
    closing: Callable[[Address], None]

    def cancel(self, msg: Any | None = None) -> bool:
        """As a future's; the first time it also tells the execution."""
        canceled = super().cancel(msg)
        if canceled:
            self.closing(self.address)
        return canceled


class WaitFuture(ClosingFuture):
    """An instant, or a signal (its result is a Told)."""


class Told(NamedTuple):
    """A signal that came. A value that cannot be read is the exception to raise."""

    seq: int
    value: Any


class Token:
    """A token of this workflow, and who waits for it. It stays open while nobody does."""

    __slots__ = ("address", "delivery", "name", "value", "waiting")

    def __init__(self) -> None:
        self.address = Address("")
        self.name = ""
        self.delivery: Delivery | None = None  # that completed it, or told that it expired
        self.value: Any = None
        self.waiting: list[asyncio.Future[None]] = []

    def settle(self, delivery: Delivery, value: Any) -> None:
        """It is completed, or expired."""
        self.delivery, self.value = delivery, value
        for future in self.waiting:
            if not future.done():
                future.set_result(None)
        self.waiting = []

    def outcome(self) -> Any:
        """The value. Raises TokenExpired, TokenFailed, or what kept the value from being read."""
        if self.delivery is not None and self.delivery.kind == TIMER:
            raise TokenExpired(f"the token {self.name} expired before anybody completed it", token=self.name)
        if isinstance(self.value, BaseException):
            raise self.value
        if self.delivery is not None and self.delivery.status != Status.COMPLETED:
            raise TokenFailed(str(self.value), token=self.name)
        return self.value


Opened = WaitFuture | Token


class Owner(Protocol):
    """The execution: it keeps the journal and the open addresses."""

    def open_wait(self, kind: str, name: str, digest: str, due_at: datetime | None, opened: Opened) -> str | None: ...
    def close_wait(self, address: Address) -> None: ...
    def signal_taken(self, seq: int) -> None: ...


class Waits:
    """One per execution; see `routines.context.Durable`."""

    def __init__(self, owner: Owner, loop: WorkflowLoop, started_at: datetime) -> None:
        self._owner = owner
        self._loop = loop
        self._started_at = started_at
        self._kept: dict[str, deque[Told]] = {}  # signals that nobody has asked for
        self._asking: dict[str, deque[WaitFuture]] = {}  # who waits for a signal of this name, the first first
        self._tokens: dict[str, Token] = {}

    # ---------------------------------------------------------------------------------------------- what the code asks

    async def until(self, at: datetime) -> None:
        """Wait for an instant."""
        if not isinstance(at, datetime) or at.tzinfo is None:
            raise UsageError(
                f"context.wait_until({at!r}): an instant is a datetime with a time zone, for instance "
                "context.now + timedelta(days=1)"
            )
        at = at.astimezone(UTC)
        if at <= self._now:
            await asyncio.sleep(0)
            return
        future = self._future()
        self._owner.open_wait(TIMER, "", fingerprint(TIMER, "until", at.isoformat()), at, future)
        await future

    async def for_signal(self, name: str) -> Any:
        """The next signal of this name that nobody has taken."""
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            raise UsageError(f"context.wait_for_signal({name!r}): a name is a text of 1 to {MAX_NAME} characters")
        future = self._future()
        self._owner.open_wait(SIGNAL, name, fingerprint(SIGNAL, name, ""), None, future)
        self._asking.setdefault(name, deque()).append(future)
        self._hand_out(name)
        value = (await future).value
        if isinstance(value, BaseException):
            raise value
        return value

    async def create_token(self, timeout: str | float | timedelta | None = None) -> str:
        """A new token, or the one that was recorded here."""
        length = None if timeout is None else duration(timeout)
        due_at = None if length is None else self._now + length
        token = Token()
        digest = fingerprint(TOKEN, "", "" if length is None else str(length // _MICROSECOND))
        name = self._owner.open_wait(TOKEN, os.urandom(TOKEN_BYTES).hex(), digest, due_at, token)
        if name is None:
            await self._future()  # never comes: nothing more is executed
            raise AssertionError
        token.name = name
        self._tokens[name] = token
        return name

    async def for_token(self, name: str) -> Any:
        """What a token of this run is completed with."""
        token = self._tokens.get(name)
        if token is None:
            raise UsageError(
                f"context.wait_for_token({str(name)[:MAX_NAME]!r}): this run has made no such token; a token is waited "
                "for by the run that made it, with context.create_token(...)"
            )
        if token.delivery is None:
            future = self._loop.create_future()
            token.waiting.append(future)
            await future
        return token.outcome()

    # ------------------------------------------------------------------------------------------------- what has come

    def signaled(self, delivery: Delivery, value: Any) -> None:
        """A signal has come."""
        name = delivery.status
        self._kept.setdefault(name, deque()).append(Told(delivery.seq, value))
        self._hand_out(name)

    @property
    def unread(self) -> list[int]:
        """The seqs of the signals that the code has not taken."""
        return sorted(told.seq for line in self._kept.values() for told in line)

    def _hand_out(self, name: str) -> None:
        # Who is handed a signal goes on with it before anything else does: at once where it was kept, or as the first
        # of the pump. So nothing can cancel it in between, and no signal is lost.
        kept, asking = self._kept.get(name), self._asking.get(name)
        while kept and asking:
            future = asking.popleft()
            if not future.done():
                told = kept.popleft()
                future.set_result(told)
                self._owner.signal_taken(told.seq)
                self._owner.close_wait(future.address)
        if not kept:
            self._kept.pop(name, None)
        if not asking:
            self._asking.pop(name, None)

    # ---------------------------------------------------------------------------------------------------------- inside

    @property
    def _now(self) -> datetime:
        return self._started_at + timedelta(seconds=self._loop.clock)

    def _future(self) -> WaitFuture:
        future = WaitFuture(loop=self._loop)
        future.address, future.closing = Address(""), self._owner.close_wait
        return future
