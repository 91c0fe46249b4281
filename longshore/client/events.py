"""Changes of runs as they come, whoever triggered them: what the coordinator publishes to `{ns}.events`, one by one."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import msgspec

from longshore.broker.bus import Consumer, Incoming
from longshore.client.fields import Fields
from longshore.client.link import Link
from longshore.core.errors import UsageError
from longshore.core.run import Status

_log = logging.getLogger(__name__)

LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether the link is still good, while nothing comes."""
_STATUSES: Final = frozenset(status.value for status in Status)


class Watch:
    """What is to be seen: nothing said is everything."""

    def __init__(self, routine: str | None, status: str | None, run_id: str | None) -> None:
        if status is not None and (not isinstance(status, str) or status.upper() not in _STATUSES):
            raise UsageError(f"status={status!r} is no status; there are {', '.join(sorted(_STATUSES))}")
        self._routine, _, self._version = (routine or "").partition("@")
        self._status = "" if status is None else status.upper()
        self._run_id = run_id or ""

    def fits(self, change: dict[str, Any]) -> bool:
        """Whether this one is."""
        return (
            (not self._routine or change["routine"] == self._routine)
            and (not self._version or change["version"] == self._version)
            and (not self._status or change["to_status"] == self._status)
            and (not self._run_id or self._run_id in (change["run_id"], change["root_id"]))
        )


async def events_of(link: Link, watch: Watch) -> AsyncIterator[Fields]:
    """The changes that fit, from about a second after the beginning on, for ever."""
    bodies: deque[Incoming] = deque()
    came = asyncio.Event()

    def take(message: Incoming) -> None:
        bodies.append(message)
        came.set()

    consumer = await link.listen(take)
    try:
        while True:
            for change in filter(watch.fits, _unread(bodies, consumer)):
                yield Fields(change)
            await _coming(link, came)
    finally:
        await consumer.close()


def _unread(bodies: deque[Incoming], consumer: Consumer) -> Iterator[dict[str, Any]]:
    """All changes that came; a body is settled when its first one is taken."""
    while bodies:
        yield from _read(bodies, consumer)


def _read(bodies: deque[Incoming], consumer: Consumer) -> Collection[dict[str, Any]]:
    message = bodies.popleft()
    consumer.settle(message)
    try:
        return msgspec.json.decode(message.body, type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        _log.warning("a body of %d bytes on the events exchange cannot be read: %s", len(message.body), error)
        return ()


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
        for a while; for every one of them bind a durable queue of your own to the exchange `{ns}.events`.
        """
        watch = Watch(routine, status, None if run_id is None else str(run_id))
        async for change in events_of(self._linked(), watch):
            yield change
