"""From what the ledger wants said to messages on the bus, and back: what was returned becomes news for the ledger.

Bodies for one session are in order and numbered since its Welcome (core/envelope.py). What fails on the way is not
sent again here: sessions are put right by their handshake, outcomes come back as returned.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from longshore.broker.bus import Bus, Headers, Outgoing, Sent
from longshore.coordinator import bodies
from longshore.coordinator.store import Store
from longshore.core import envelope
from longshore.core.changes import Changes, Internal, ReplyReturned, SessionReturned
from longshore.core.envelope import Names
from longshore.core.errors import EncodingError
from longshore.core.ids import RunId, SessionId
from longshore.core.message import Accepted, Answer, Directive, Mark, Ping, Rejected, Reply, RunChanged, Welcome
from longshore.core.run import FINAL
from longshore.serialization.envelope import pack
from longshore.serialization.plain import pack_plain

_log = logging.getLogger(__name__)

REPORTS_KEY: Final = "reports"
PUBLISH_TIMEOUT: Final = 10.0
MARK_TIMEOUT: Final = 5.0
_FINAL: Final = frozenset(status.value for status in FINAL)


class Letter(NamedTuple):
    """A message and whom it is for: a session, or a reply key with the runs whose outcomes it carries."""

    message: Outgoing
    session: SessionId = SessionId("")
    reply_to: str = ""
    outcomes: Sequence[RunId] = ()


class Sender:
    """Everything the coordinator publishes, under one term."""

    def __init__(self, bus: Bus, names: Names, store: Store) -> None:
        self._bus = bus
        self._names = names
        self._store = store
        self._numbers: dict[SessionId, int] = {}
        self._taken: dict[SessionId, int] = {}
        self.term = 0

    def restart(self, term: int) -> None:
        """A ledger was loaded: every session begins with a Welcome."""
        self.term = term
        self._numbers.clear()
        self._taken.clear()

    # ------------------------------------------------------------------------------------------------------- letters

    def letters(self, changes: Changes) -> list[Letter]:
        """What a batch sends, in order per session and per key."""
        self._taken.update(changes.taken)
        for session, row in changes.workers.items():
            self._taken[session] = row.taken
        letters: list[Letter] = []
        for session, directives in changes.directives.items():
            letters += self._to_session(session, directives)
        for session, run_id, epoch, after in changes.pages:
            page = self._store.journal_page(run_id, after)
            letters += self._numbered(session, list(bodies.pages(page, run_id, epoch, after)))
        for key, replies in changes.replies.items():
            letters += self._to_key(key, replies, plain=key in changes.plain_keys)
        self._forget(changes)
        return letters

    def _to_session(self, session: SessionId, directives: list[Directive]) -> Iterator[Letter]:
        waiting: list[Directive] = []
        for directive in directives:
            kind = type(directive)
            if kind is not Welcome and kind is not Ping:
                waiting.append(directive)
                continue
            yield from self._numbered(session, waiting)
            waiting = []
            if kind is Welcome:
                self._numbers[session] = 0
            yield from self.alone(session, directive)
        yield from self._numbered(session, waiting)

    def _numbered(self, session: SessionId, directives: Sequence[Directive]) -> Iterator[Letter]:
        number = self._numbers.get(session, 0)
        for body in _packed(directives):
            number += _items(body)
            headers: Headers = {
                envelope.NUMBER: number,
                envelope.TERM: self.term,
                envelope.TAKEN: self._taken.get(session, 0),
            }
            yield Letter(Outgoing(self._names.workers, session, body, headers), session)
        self._numbers[session] = number

    def alone(self, session: SessionId, directive: Directive) -> Iterator[Letter]:
        """A directive without a number, in a body of its own."""
        for body in _packed([directive]):
            headers: Headers = {envelope.TERM: self.term}
            yield Letter(Outgoing(self._names.workers, session, body, headers), session)

    def _to_key(self, key: str, replies: list[Reply], *, plain: bool) -> Iterator[Letter]:
        if plain:
            for reply, body in zip(replies, pack_plain(replies), strict=True):
                yield self._plain(key, reply, body)
            return
        outcomes = [one.run_id for one in replies if type(one) is RunChanged and one.status in _FINAL]
        for body in _packed(replies):
            headers: Headers = {envelope.TERM: self.term}
            yield Letter(Outgoing(self._names.replies, key, body, headers), reply_to=key, outcomes=outcomes)

    def _plain(self, key: str, reply: Reply, body: bytes) -> Letter:
        correlation = reply.correlation_id if isinstance(reply, Accepted | Rejected | RunChanged) else reply.ask_id
        outgoing = Outgoing(self._names.replies, key, body, {}, content_type=envelope.JSON, correlation_id=correlation)
        final = type(reply) is RunChanged and reply.status in _FINAL
        return Letter(outgoing, reply_to=key, outcomes=[reply.run_id] if final else [])  # type: ignore[union-attr]

    def answers(self, key: str, answers: list[Answer]) -> list[Letter]:
        """Answers to questions, which no batch sends."""
        return list(self._to_key(key, list(answers), plain=False))

    def _forget(self, changes: Changes) -> None:
        """What is counted of sessions that have closed."""
        for session, row in changes.workers.items():
            if row.status == "CLOSED":
                self._numbers.pop(session, None)
                self._taken.pop(session, None)

    # ------------------------------------------------------------------------------------------------------- sending

    async def send(self, letters: Sequence[Letter]) -> list[Internal]:
        """Publish and wait until each is confirmed, returned or given up: the news for the ledger."""
        sent = await self._bus.publish([letter.message for letter in letters], timeout=PUBLISH_TIMEOUT)
        news: list[Internal] = []
        for letter, one in zip(letters, sent, strict=True):
            if not one.confirmed or one.returned:
                news += _news(letter, one)
        return list({_key(one): one for one in news}.values())

    async def mark(self, number: int) -> None:
        """A second has passed."""
        body = pack([Mark(term=self.term, number=number)])[0]
        await self._bus.publish([Outgoing(self._names.reports, REPORTS_KEY, body)], timeout=MARK_TIMEOUT)


def _news(letter: Letter, sent: Sent) -> Iterator[Internal]:
    if letter.session:
        if sent.returned:
            yield SessionReturned(letter.session)
        else:
            _log.info("directives for session %.6s... were not confirmed: %s", letter.session, sent.failed)
    elif letter.outcomes:
        yield ReplyReturned(letter.reply_to, list(letter.outcomes))


def _key(news: Internal) -> object:
    """Many directives to one session that came back are one piece of news."""
    return news.session if isinstance(news, SessionReturned) else id(news)


def _packed(messages: Sequence[Directive | Reply]) -> list[bytes]:
    try:
        return pack(messages)
    except EncodingError:
        return pack([fitting for one in messages if (fitting := _fitting(one)) is not None])


def _fitting(message: Directive | Reply) -> Directive | Reply | None:
    """The message if it fits a body by itself; an answer that does not becomes an error, all else is left out."""
    try:
        pack([message])
    except EncodingError as error:
        _log.error("a %s cannot be sent: %s", type(message).__name__, error)
        if isinstance(message, Answer):
            return Answer(ask_id=message.ask_id, error={"rule": "too_large", "text": f"{error}: ask for less (limit=)"})
        return None
    return message


def _items(body: bytes) -> int:
    """How many messages a body of ours holds."""
    return int.from_bytes(body[1:3], "big") if body[0] == 0xDC else body[0] & 0x0F
