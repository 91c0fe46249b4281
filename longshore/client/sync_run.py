"""The handle of one run for code without an event loop: the verbs of `Run`, each a wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from longshore.client.fields import Fields
from longshore.client.run import Change, Run
from longshore.client.sync_annotating import SyncMetadata
from longshore.client.sync_thread import LoopThread, ended, following
from longshore.core.errors import UsageError
from longshore.core.ids import RunId
from longshore.core.message import Recorded
from longshore.routines.options import Duration

R_co = TypeVar("R_co", covariant=True)


class SyncRun(Generic[R_co]):
    """A run, by its id: the verbs of `Run` without await."""

    def __init__(self, thread: LoopThread, run: Run[R_co]) -> None:
        self._thread = thread
        self._run = run

    def __repr__(self) -> str:
        return repr(self._run)

    @property
    def id(self) -> RunId:
        """Its id."""
        return self._run.id

    @property
    def routine(self) -> str:
        """What it was triggered as, where that is known here."""
        return self._run.routine

    @property
    def existing(self) -> bool:
        """See Run."""
        return self._run.existing

    def status(self) -> str:
        """See Run.status."""
        return self._thread.call(self._run.status())

    def info(self) -> Fields:
        """See Run.info."""
        return self._thread.call(self._run.info())

    def history(self) -> list[Fields]:
        """See Run.history."""
        return self._thread.call(self._run.history())

    def tree(self) -> list[Fields]:
        """See Run.tree."""
        return self._thread.call(self._run.tree())

    def why_waiting(self) -> Fields | None:
        """See Run.why_waiting."""
        return self._thread.call(self._run.why_waiting())

    def result(self, timeout: Duration | None = None) -> R_co:
        """See Run.result."""
        return self._thread.call(self._run.result(timeout))

    def cancel(self, reason: str = "") -> None:
        """See Run.cancel."""
        self._thread.call(self._run.cancel(reason))

    def pause(self, reason: str = "") -> None:
        """See Run.pause."""
        self._thread.call(self._run.pause(reason))

    def resume(self, reason: str = "") -> None:
        """See Run.resume."""
        self._thread.call(self._run.resume(reason))

    def reschedule(self, to: Duration | datetime) -> None:
        """See Run.reschedule."""
        self._thread.call(self._run.reschedule(to))

    def journal(self) -> Recorded:
        """See Run.journal."""
        return self._thread.call(self._run.journal())

    @property
    def metadata(self) -> SyncMetadata:
        """See Run.metadata."""
        return SyncMetadata(self._thread.call, self._run.metadata)

    def signal(self, name: str, value: Any = None) -> None:
        """See Run.signal."""
        self._thread.call(self._run.signal(name, value))

    def rerun(
        self, *, version: str | None = None, rerun_id: str | UUID | None = None, reason: str = ""
    ) -> SyncRun[R_co]:
        """See Run.rerun."""
        again = self._run.rerun(version=version, rerun_id=rerun_id, reason=reason)
        return SyncRun(self._thread, self._thread.call(again))

    def fork(self, *, at: str, version: str | None = None, fork_id: str | UUID | None = None) -> SyncRun[R_co]:
        """See Run.fork."""
        return SyncRun(self._thread, self._thread.call(self._run.fork(at=at, version=version, fork_id=fork_id)))

    def watch(self) -> Iterator[Change]:
        """See Run.watch."""
        changes = self._run.watch()
        try:
            while (change := self._thread.call(following(changes))) is not None:
                yield change
        finally:
            with suppress(UsageError):  # the client was closed before its iterator was
                self._thread.call(ended(changes))
