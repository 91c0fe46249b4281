"""The verbs about the events of all runs for code without an event loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

from longshore.client.events import EventVerbs
from longshore.client.fields import Fields
from longshore.client.sync_thread import LoopThread, ended, following
from longshore.core.errors import UsageError


class SyncEventVerbs(ABC):
    """See EventVerbs."""

    @abstractmethod
    def _beside(self) -> tuple[LoopThread, EventVerbs]:
        """The thread and the client of a SyncClient that is open."""

    def events(
        self, *, routine: str | None = None, status: str | None = None, run_id: str | UUID | None = None
    ) -> Iterator[Fields]:
        """See Client.events."""
        thread, client = self._beside()
        changes = client.events(routine=routine, status=status, run_id=run_id)
        try:
            while (change := thread.call(following(changes))) is not None:
                yield change
        finally:
            with suppress(UsageError):  # the client was closed before its iterator was
                thread.call(ended(changes))
