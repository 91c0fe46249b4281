"""Scripted peers of a real coordinator: a worker and a client that say exactly what a test tells them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from longshore.broker.bus import Bus, Consumer, Headers, Incoming, Outgoing
from longshore.core import envelope
from longshore.core.envelope import Names
from longshore.core.ids import RunId, SessionId, WorkerId, uuid7
from longshore.core.message import (
    Answer,
    Ask,
    Command,
    Finished,
    Hello,
    Offer,
    Report,
    RunChanged,
    Start,
    Trigger,
    Welcome,
)
from longshore.serialization.envelope import pack, unpack_directives, unpack_replies
from tests.support.wait import eventually

T = TypeVar("T")
WITHIN = 20.0


def new_run_id() -> RunId:
    return RunId(uuid7(datetime.now(UTC), secrets.token_bytes(10)))


class Peer:
    """A private queue and what came through it."""

    def __init__(self, bus: Bus, names: Names, key: str) -> None:
        self.bus = bus
        self.names = names
        self.key = key
        self.bound = 0
        self.came: list[Incoming] = []
        self.consumer: Consumer | None = None

    async def listen(self, exchange: str) -> None:
        def on_message(message: Incoming) -> None:
            self.came.append(message)
            if self.consumer is not None:
                self.consumer.settle(message)

        def on_bound(number: int) -> None:
            self.bound = number

        self.consumer = await self.bus.consume_private(exchange, self.key, on_message, on_bound, prefetch=100)
        await eventually(lambda: self.bound, within=WITHIN)

    async def leave(self) -> None:
        """The queue is gone: what is sent to it comes back to the sender."""
        assert self.consumer is not None
        await self.consumer.close()

    async def send(self, exchange: str, key: str, body: bytes, **more: Any) -> None:
        (sent,) = await self.bus.publish([Outgoing(exchange, key, body, **more)], timeout=WITHIN)
        assert sent.confirmed, sent


class Worker(Peer):
    """Says what it is told; takes directives and remembers them."""

    def __init__(self, bus: Bus, names: Names) -> None:
        super().__init__(bus, names, secrets.token_hex(16))
        self.session = SessionId(self.key)
        self.number = 0

    @property
    def directives(self) -> list[Any]:
        return [one for message in self.came for one in unpack_directives(message.body)]

    def all(self, kind: type[T]) -> list[T]:
        return [one for one in self.directives if isinstance(one, kind)]

    async def join(self, *offers: Offer, **more: Any) -> Welcome:
        """Say Hello; the Welcome that came."""
        if self.consumer is None:
            await self.listen(self.names.workers)
        before = len(self.all(Welcome))
        more = {"worker_id": WorkerId("w"), "pool": "default", "slots": 4, "offers": list(offers), **more}
        await self.say(Hello(**more))
        return await self._welcome(before)

    async def _welcome(self, before: int) -> Welcome:
        found = await eventually(lambda: self.all(Welcome)[before:], within=WITHIN)
        return found[0]

    async def say(self, message: Report) -> None:
        """Something without a number."""
        await self._report(pack([message])[0], {})

    async def report(self, *messages: Report) -> None:
        """The next numbered body."""
        self.number += 1
        await self._report(pack(messages)[0], {envelope.NUMBER: self.number})

    async def _report(self, body: bytes, headers: Headers) -> None:
        headers = {envelope.SESSION: self.session, **headers}
        await self.send(self.names.reports, "reports", body, headers=headers)

    async def raw(self, body: bytes, **headers: str | int) -> None:
        """A body that nobody can read."""
        await self.send(self.names.reports, "reports", body, headers=headers)

    async def start(self, run_id: RunId, nth: int = 0) -> Start:
        """The Start that came for this run."""

        def found() -> list[Start]:
            return [one for one in self.all(Start) if one.run_id == run_id][nth:]

        return (await eventually(found, within=WITHIN))[0]

    async def finish(self, start: Start, how: str = "completed", **more: Any) -> None:
        now = datetime.now(UTC)
        more.setdefault("result", b"out" if how == "completed" else None)
        await self.report(Finished(run_id=start.run_id, epoch=start.epoch, how=how, at=now, started_at=now, **more))


class Caller(Peer):
    """A client."""

    def __init__(self, bus: Bus, names: Names) -> None:
        super().__init__(bus, names, secrets.token_hex(8))
        self._asked = 0

    @property
    def replies(self) -> list[Any]:
        return [one for message in self.came for one in unpack_replies(message.body)]

    async def command(self, *commands: Command, key: str = "command") -> None:
        await self.send(self.names.commands, key, pack(commands)[0], durable=True)

    async def trigger(self, routine: str = "t", **more: Any) -> RunId:
        run_id: RunId = more.pop("run_id", None) or new_run_id()
        more = {"wants": "outcome", "input": b"in", "reply_to": self.key, **more}
        await self.command(Trigger(routine=routine, run_id=run_id, **more), key="trigger")
        await self.until(lambda: [one for one in self.replies if getattr(one, "run_id", "") == run_id])
        return run_id

    async def send_meanwhile(self, run_ids: list[RunId]) -> None:
        """Triggers on their way while nobody can confirm them: the local bus does so when they are settled."""
        triggers = [
            Trigger(routine="t", run_id=one, input=b"in", reply_to=self.key, wants="outcome") for one in run_ids
        ]
        outgoing = Outgoing(self.names.commands, "trigger", pack(triggers)[0], durable=True)
        self._sending = asyncio.create_task(self.bus.publish([outgoing], timeout=60))

    async def until(self, check: Callable[[], T]) -> T:
        return await eventually(check, within=WITHIN)

    async def outcome(self, run_id: RunId) -> RunChanged:
        def found() -> list[RunChanged]:
            return [one for one in self.replies if isinstance(one, RunChanged) and one.run_id == run_id and one.at]

        return (await self.until(found))[-1]

    async def ask(self, what: str, *run_ids: RunId, **params: Any) -> Answer:
        self._asked += 1
        name = str(self._asked)
        await self.command(Ask(what=what, ask_id=name, reply_to=self.key, run_ids=list(run_ids), params=params))

        def found() -> list[Answer]:
            return [one for one in self.replies if isinstance(one, Answer) and one.ask_id == name]

        return (await self.until(found))[0]

    async def data(self, what: str, *run_ids: RunId, **params: Any) -> Any:
        answer = await self.ask(what, *run_ids, **params)
        assert answer.error is None, answer
        return answer.data


def task(name: str = "t", **more: Any) -> Offer:
    return Offer(routine=name, version="1.0.0", kind="task", **more)


def workflow(name: str = "wf", **more: Any) -> Offer:
    return Offer(routine=name, version="1.0.0", kind="workflow", max_attempts=1, **more)
