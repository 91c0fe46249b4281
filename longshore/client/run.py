"""A handle of one run: what can be asked of it and how to wait for it. It holds no state of the run itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import structs

from longshore.client.annotating import RunMetadata
from longshore.client.conversation import Conversation
from longshore.client.fields import Fields, row, rows
from longshore.client.journals import journal_of
from longshore.client.orders import fork_of, rerun_of, reschedule_of, seconds
from longshore.client.person import person
from longshore.core.errors import Rejected, UnavailableError
from longshore.core.ids import RunId
from longshore.core.message import Cancel, Pause, Recorded, Resume, RunChanged
from longshore.core.run import FINAL, Status
from longshore.routines.options import Duration

R_co = TypeVar("R_co", covariant=True)

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the history while watching; ends, retries and progress are announced at once."""


PAGE: Final = 1000
TREE_PAGE: Final = 500
"""Rows at once: an answer must fit one message, and rows of a tree say more."""
"""Rows that are asked for at once."""


_BEGUN: Final = frozenset({Status.EXECUTING, Status.HANGING, Status.SUSPENDED, Status.CANCELING})


class Change(msgspec.Struct, frozen=True):
    """A change of a run: a row of its history, or its word on how far it is (`seq` 0). `metadata` and `tags` are given
    where they are what has changed, as long as that is news."""

    run_id: str
    status: str
    reason: str = ""
    attempt: int = 0
    at: datetime | None = None
    seq: int = 0
    worker_id: str = ""
    metadata: dict[str, Any] | None = None
    tags: list[str] | None = None


class Run(Generic[R_co]):
    """A run, by its id. `routine` is what it was triggered as, where that is known here. `existing`: the trigger that
    gave this handle made no run: one was there, by its id, its idempotency key or its debounce."""

    __slots__ = ("_conversation", "_module", "existing", "id", "routine")

    def __init__(self, conversation: Conversation, run_id: RunId, routine: str = "", module: str = "") -> None:
        self._conversation = conversation
        self._module = module
        self.id = run_id
        self.routine = routine
        self.existing = False

    def __repr__(self) -> str:
        return f"<run {self.id}{f' of {self.routine}' if self.routine else ''}>"

    async def status(self) -> str:
        """Where it stands now. Raises Rejected (`unknown_run`) when there is no such run."""
        return str((await self.info())["status"])

    async def info(self) -> Fields:
        """The run's fields, as keys and attributes alike."""
        return row(await self._conversation.ask("run", [self.id]))

    async def history(self) -> list[Fields]:
        """Every change of its status, the first first."""
        return await self._pages("history", "seq")

    async def tree(self) -> list[Fields]:
        """The run and everything below it, with times and sizes."""
        return await self._pages("tree", "no", limit=TREE_PAGE)

    async def why_waiting(self) -> Fields | None:
        """Why it does not go on and who holds it; None when it does not wait."""
        why = await self._conversation.ask("why", [self.id])
        return None if why is None else row(why)

    async def result(self, timeout: Duration | None = None) -> R_co:
        """Its result, once it has ended.

        Raises RunFailed, RunCanceled, ... with the routine's own exception as `__cause__`, and TimeoutError when the
        wait ends first; the run goes on then.
        """
        patience = seconds(timeout)
        try:
            async with asyncio.timeout(patience):
                change = await self._conversation.outcome(self.id, self.routine)
                value: R_co = await self._conversation.value(change, self.routine, self._module)
                return value
        except TimeoutError:
            raise TimeoutError(f"{self!r} has not ended within {patience:g} s; it goes on") from None

    async def cancel(self, reason: str = "") -> None:
        """Cancel it and, by its routine's policy, its children. Raises Rejected when it has already ended otherwise."""
        try:
            await self._conversation.order(Cancel(self.id, reason, by=person()))
        except Rejected as refused:
            if refused.rule != "already_final" or await self.status() != Status.CANCELED:
                raise

    async def pause(self, reason: str = "") -> None:
        """Have it wait, BLOCKED, until it is resumed: at once where it waits, else when it next waits, fails or is
        handed back. Its calls go on, and so does its deadline; a ttl that is over ends it when it is resumed. Raises
        Rejected (`not_pausable`: it is BLOCKED, canceling, final, or paused already; `unknown_run`)."""
        await self._conversation.order(Pause(self.id, person(), reason))

    async def resume(self, reason: str = "") -> None:
        """Let it go on, now that what BLOCKED it is repaired, or that it was paused long enough; its crashes and losses
        are forgotten, its history says who resumed it. What was paused before its time waits for its time again.
        Raises Rejected (`not_blocked`, `unknown_run`) for any other run."""
        await self._conversation.order(Resume(self.id, person(), reason))

    async def reschedule(self, to: Duration | datetime) -> None:
        """Give a DELAYED run another time: so long from now, or an aware datetime (one that has gone is now); at most
        30 days from now. Raises Rejected (`not_delayed`, `unknown_run`), UsageError."""
        await self._conversation.order(reschedule_of(self.id, to))

    async def rerun(
        self, *, version: str | None = None, rerun_id: str | UUID | None = None, reason: str = ""
    ) -> Run[R_co]:
        """Run it again from the beginning, now that it has ended: a new run with the same input and options (but for
        delay and idempotency key), of the newest version unless one is given. Nothing comes from the cache.

        The same `rerun_id` again is the same run; the `reason` stands in its history. Raises Rejected (`not_final`,
        `max_size`, `unknown_run`).
        """
        told = await self._conversation.order(rerun_of(self.id, version, rerun_id, reason))
        return Run(self._conversation, RunId(told["run_id"]), self.routine.partition("@")[0], self._module)

    async def fork(self, *, at: str, version: str | None = None, fork_id: str | UUID | None = None) -> Run[R_co]:
        """Run a workflow again from one of its calls on: a new run, which keeps what came before the call at this
        address, and the results of others that ended after it. The call and what follows is executed anew.

        `version` is another one of the routine; the same `fork_id` again is the same run. Raises Rejected
        (`unknown_address`, `not_a_call`, `not_begun`, `behind_cancel`, `open_token`, `not_a_workflow`, `unknown_run`).
        """
        told = await self._conversation.order(fork_of(self.id, at, version, fork_id))
        return Run(self._conversation, RunId(told["run_id"]), self.routine, self._module)

    async def journal(self) -> Recorded:
        """What a workflow's present generation asked for and was told, as recorded (for `replay-check`). Raises
        Rejected (`no_workflow`, `unknown_run`)."""
        return await journal_of(self._conversation, self.id)

    @property
    def metadata(self) -> RunMetadata:
        """Its metadata and tags, to be read and changed: `await run.metadata.increment("done")`."""
        return RunMetadata(self._conversation, self.id)

    async def signal(self, name: str, value: Any = None) -> None:
        """Tell a workflow something: `await context.wait_for_signal(name)` gives the value there, now or whenever it
        comes to wait. Each signal is taken once, in their order. Raises Rejected (`already_final`, `not_a_workflow`,
        `unknown_run`)."""
        await self._conversation.signal(self.id, name, value)

    async def watch(self) -> AsyncIterator[Change]:
        """Its changes from the first on, as they come, until it has ended.

        Waits over every restart of a coordinator. Raises Rejected (`unknown_run`) when there is no such run.
        """
        news: deque[RunChanged] = deque()
        stirred = asyncio.Event()

        def feed(change: RunChanged) -> None:
            news.append(change)
            stirred.set()

        self._conversation.follow(self.id, feed)
        try:
            seen, status = 0, ""
            while True:
                changes = _with_metadata(news, await self._unseen(seen), seen)
                for change in changes:
                    yield change
                if changes and changes[-1].status in FINAL:
                    return
                if changes:
                    seen, status = changes[-1].seq, changes[-1].status
                await self._stirring(stirred)
                for change in _progress(news, begun=status in _BEGUN):
                    yield change
        finally:
            self._conversation.unfollow(self.id, feed)

    async def _pages(self, what: str, mark: str, after: int = 0, *, limit: int = PAGE) -> list[Fields]:
        """All rows behind `after`; each page is asked for with the mark of the last row before it."""
        found: list[Fields] = []
        while True:
            page = await self._conversation.ask(what, [self.id], after=after, limit=limit)
            found += rows(page)
            if len(page) < limit:
                return found
            after = page[-1][mark]

    async def _unseen(self, seen: int) -> list[Change]:
        try:
            rows = await self._pages("history", "seq", seen)
        except UnavailableError:
            if self._conversation.over:
                raise
            return []  # watching outlives a coordinator
        return [_change(row) for row in rows if row.get("valid", True)]

    async def _stirring(self, stirred: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await stirred.wait()
        stirred.clear()


def _change(row: dict[str, Any]) -> Change:
    at = row.get("at")
    return Change(
        run_id=row["run_id"],
        status=row["to_status"],
        reason=row.get("reason") or "",
        attempt=row.get("attempt") or 0,
        at=datetime.fromisoformat(at) if isinstance(at, str) else at,
        seq=row["seq"],
        worker_id=row.get("worker_id") or "",
    )


def _with_metadata(news: deque[RunChanged], changes: list[Change], seen: int) -> list[Change]:
    """The rows, those that tell of metadata with what it was then; that news has been told."""
    told = {one.seq: one for one in news if one.metadata is not None}
    if not told:
        return changes
    shown = [
        structs.replace(change, metadata=told[change.seq].metadata, tags=told[change.seq].tags)
        if change.seq in told
        else change
        for change in changes
    ]
    last = changes[-1].seq if changes else seen
    left = [one for one in news if one.metadata is None or one.seq > last]
    news.clear()
    news.extend(left)
    return shown


def _progress(news: deque[RunChanged], *, begun: bool) -> list[Change]:
    """What the run said of itself since the last look; all else is in its history.

    It stays in `news` until the history has told that the attempt has begun.
    """
    said: list[Change] = []
    while news:
        one = news[0]
        if not one.status:
            raise Rejected("unknown_run", one.reason, run_id=one.run_id)
        if one.metadata is not None:
            break  # its row is about to be seen
        if one.status == Status.EXECUTING:
            if not begun:
                break
            said.append(Change(one.run_id, one.status, one.reason, one.attempt, one.at))
        news.popleft()
    return said
