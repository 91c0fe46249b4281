"""Orders about workers. It sends nothing itself."""

from __future__ import annotations

from longshore.client.conversation import Conversation
from longshore.client.fields import Fields, rows
from longshore.core.durations import duration
from longshore.core.errors import UsageError
from longshore.core.ids import WorkerId
from longshore.core.message import DrainWorker
from longshore.routines.options import Duration


async def drain(
    talk: Conversation, worker_id: str, pool: str | None, host: str | None, version: str | None, grace: Duration | None
) -> list[Fields]:
    """Order it; who was told, as fields worker_id, status, held (how many runs). Raises Rejected, UsageError."""
    words = (worker_id, pool or "", host or "", version or "")
    if not all(isinstance(word, str) for word in words) or not any(words):
        raise UsageError("say which workers are to leave: a worker's id, or pool=, host= or version=")
    milliseconds = None if grace is None else int(duration(grace).total_seconds() * 1000)
    order = DrainWorker(WorkerId(words[0]), *words[1:], grace_ms=milliseconds)
    return rows((await talk.order(order))["workers"])
