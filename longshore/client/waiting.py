"""What a client says of runs that keep it waiting: after 5 s the reason, once per run. It never ends a wait.

A run that works, or waits for what it called or asked for itself, keeps nobody waiting.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from longshore.client.pending import LOOK_AFTER, Awaited, Book
from longshore.core.errors import BrokerUnavailableError, Rejected, UnavailableError
from longshore.core.ids import RunId
from longshore.core.run import Status

_log = logging.getLogger("longshore.client")

STUCK: Final = frozenset({Status.QUEUED, Status.PENDING_VERSION, Status.RETRYING, Status.BLOCKED})
NO_COORDINATOR: Final = {"kind": "coordinator", "text": "no coordinator answers: start `longshore coordinator`"}
NO_BROKER: Final = {"kind": "broker", "text": "the broker does not answer; the link is tried again and again"}

Why = Mapping[str, Any]
Ask = Callable[[RunId], Awaitable[Mapping[str, Any]]]
"""Gives a run's fields."""
Tell = Callable[[RunId, str, Why], None]


class Impatience:
    """Looks at the run that has been waited for longest. At most one question is under way, whatever waits."""

    def __init__(self, book: Book[Any], ask: Ask, tell: Tell) -> None:
        self._book = book
        self._ask = ask
        self._tell = tell

    async def look(self, now: float) -> None:
        """Look at the first run due for it, and say why it waits; one that goes on is looked at again later."""
        awaited = self._book.longest_waiting(now)
        if awaited is None:
            return
        awaited.look_at = now + LOOK_AFTER
        why: Why
        try:
            run = await self._ask(awaited.run_id)
            if run["status"] not in STUCK:
                return
            why = run.get("why_waiting") or {"kind": run["status"].lower(), "text": run.get("reason") or run["status"]}
        except Rejected:
            return  # there is no such run: who waits for it is told as much
        except BrokerUnavailableError:
            why = NO_BROKER
        except UnavailableError:
            why = NO_COORDINATOR
        awaited.look_at = math.inf
        self._say(awaited, why)

    def _say(self, awaited: Awaited[Any], why: Why) -> None:
        what = f"{awaited.routine} {awaited.run_id}".strip()
        _log.warning("%s is still waiting after %g s: %s", what, LOOK_AFTER, why.get("text") or why.get("kind"))
        self._tell(awaited.run_id, awaited.routine, why)
