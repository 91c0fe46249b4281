"""Changes of runs as they come, whoever triggered them: what the coordinator publishes to `{ns}.events`, one by one."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from longshore.broker.bus import Consumer, Headers, Incoming
from longshore.client.fields import Fields
from longshore.client.link import Link
from longshore.core.errors import UsageError
from longshore.core.ids import is_run_id
from longshore.core.run import Status

_log = logging.getLogger(__name__)

LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether the link is still good, while nothing comes."""
NOTHING: Final = b"[]"
"""The body that says: you are heard from here on."""
_STATUSES: Final = frozenset(status.value for status in Status)


class Watch:
    """What is to be seen: nothing said is everything."""

    def __init__(self, routine: str | None, status: str | None, run_id: str | None) -> None:
        if status is not None and (not isinstance(status, str) or status.upper() not in _STATUSES):
            raise UsageError(f"status={status!r} is no status; there are {', '.join(sorted(_STATUSES))}")
        if run_id is not None and not is_run_id(run_id):
            raise UsageError(f"{run_id!r} is no run id: a UUID in canonical form (36 characters, lower case)")
        self._routine, _, self._version = (routine or "").partition("@")
        self._status = "" if status is None else status.upper()
        self._run_id = run_id or ""

    def fits(self, change: dict[str, Any]) -> bool:
        """Whether this one is. A gap always is."""
        return bool(change.get("gap")) or (
            (not self._routine or change["routine"] == self._routine)
            and (not self._version or change["version"] == self._version)
            and (not self._status or change["to_status"] == self._status)
            and (not self._run_id or self._run_id in (change["run_id"], change["root_id"]))
        )


class Hearing:
    """Whether a listener heard everything: bodies are numbered, a link that was lost is told."""

    def __init__(self) -> None:
        self._begun = False
        self._last: tuple[str, int] | None = None

    def rebound(self) -> str:
        """There is a fresh queue; what went before it is lost with the old one. Gives the reason of a gap."""
        self._begun, self._last = True, None
        return "the link to the broker was lost for a while"

    def missed(self, headers: Headers, body: bytes) -> str:
        """The reason of a gap before this body; empty if there is none."""
        stream, number = str(headers.get("stream", "")), int(headers.get("number", 0))
        if not stream:
            return ""
        begun, last, self._begun, self._last = self._begun, self._last, True, (stream, number)
        if headers.get("anew"):
            return "the coordinator heard nobody listen for a while" if begun else ""
        if last is None:
            return ""
        expected = (last[1] if last[0] == stream else 0) + (body != NOTHING)
        return f"{number - expected} bodies of changes were given up, unread" if number > expected else ""


def gap(reason: str) -> Fields:
    """What stands where changes are missed: a change of no run."""
    texts = dict.fromkeys(("from_status", "to_status"), "")
    about = dict.fromkeys(("routine", "version", "queue"), "")
    return Fields(
        run_id="", seq=0, **texts, reason=f"changes are missed here: {reason}", actor="", attempt=0, epoch=0,
        worker_id="", at=datetime.now(UTC).isoformat().replace("+00:00", "Z"), valid=True, **about, tags=[],
        parent_id="", root_id="", gap=True,
    )  # fmt: skip


async def events_of(link: Link, watch: Watch) -> AsyncIterator[Fields]:
    """The changes that fit, from about a second after the beginning on, for ever, and the gaps."""
    bodies: deque[Incoming | None] = deque()  # None: a fresh queue
    came = asyncio.Event()

    def take(message: Incoming | None) -> None:
        bodies.append(message)
        came.set()

    consumer = await link.listen(take, lambda number: None if number == 1 else take(None))
    hearing = Hearing()
    try:
        while True:
            for change in filter(watch.fits, _unread(bodies, consumer, hearing)):
                yield change
            await _coming(link, came)
    finally:
        await consumer.close()


def _unread(bodies: deque[Incoming | None], consumer: Consumer, hearing: Hearing) -> Iterator[Fields]:
    while bodies:
        yield from _read(bodies.popleft(), consumer, hearing)


def _read(message: Incoming | None, consumer: Consumer, hearing: Hearing) -> Iterator[Fields]:
    """The changes of a body that came, which is settled when it is taken, and the gap before it."""
    if message is None:
        yield gap(hearing.rebound())
        return
    consumer.settle(message)
    if missed := hearing.missed(message.headers, message.body):
        yield gap(missed)
    try:
        for change in msgspec.json.decode(message.body, type=list[dict[str, Any]]):
            yield Fields(change, gap=False)
    except msgspec.DecodeError as error:
        _log.warning("a body of %d bytes on the events exchange cannot be read: %s", len(message.body), error)


async def _coming(link: Link, came: asyncio.Event) -> None:
    """Until something came. Raises what broke the link."""
    while not came.is_set():
        if link.broken is not None:
            raise link.broken
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await came.wait()
    came.clear()


class EventVerbs(ABC):
    """What a client can hear of all runs."""

    @abstractmethod
    def _linked(self) -> Link:
        """The link of a client that is open."""

    async def events(
        self, *, routine: str | None = None, status: str | None = None, run_id: str | UUID | None = None
    ) -> AsyncIterator[Fields]:
        """Every change of every run as it is committed, whoever triggered it: run_id, seq, from_status, to_status,
        reason, at, routine, queue, tags, ... From about a second after the beginning on, each run's in their order.

        `run_id` is a run or the root of a tree. Who reads too slowly misses the oldest, and so does who loses its link
        for a while: there comes a row whose `gap` is True, with the reason and no run, whatever was asked for (look
        again with `runs` then). To miss none, bind a durable queue of your own to the exchange `{ns}.events`.
        """
        watch = Watch(routine, status, None if run_id is None else str(run_id))
        async for change in events_of(self._linked(), watch):
            yield change
