"""The verbs that look at many runs for code without an event loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from typing import Unpack

from longshore.client.bulks import Which
from longshore.client.fields import Fields
from longshore.client.looking import FIRST, Listed, Listing, LookVerbs
from longshore.client.sync_thread import LoopThread, ended, following
from longshore.core.errors import UsageError


class SyncLookVerbs(ABC):
    """See LookVerbs."""

    @abstractmethod
    def _looking(self) -> tuple[LoopThread, LookVerbs]:
        """The parts of a client that is open."""

    def runs(self, *, limit: int = 50, cursor: int | None = None, **which: Unpack[Listing]) -> Listed:
        """See Client.runs."""
        thread, verbs = self._looking()
        return thread.call(verbs.runs(limit=limit, cursor=cursor, **which))

    def each_run(self, **which: Unpack[Listing]) -> Iterator[Fields]:
        """See Client.each_run."""
        thread, verbs = self._looking()
        runs = verbs.each_run(**which)
        try:
            while (run := thread.call(following(runs))) is not None:
                yield run
        finally:
            with suppress(UsageError):  # the client was closed before its iterator was
                thread.call(ended(runs))

    def preview_runs(self, what: str, *, first: int = FIRST, **which: Unpack[Which]) -> Fields:
        """See Client.preview_runs."""
        thread, verbs = self._looking()
        return thread.call(verbs.preview_runs(what, first=first, **which))
