"""A workflow's journal, fetched a page at a time and put together. It decodes no value and replays nothing."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from longshore.client.conversation import Conversation
from longshore.core.errors import UnavailableError
from longshore.core.ids import RunId
from longshore.core.message import Recorded

_TRIES: Final = 5


async def journal_of(talk: Conversation, run_id: RunId) -> Recorded:
    """The whole journal of a run's present generation.

    Raises Rejected (`unknown_run`, `no_workflow`), UnavailableError when the run begins generations faster than one can
    be read.
    """
    for _ in range(_TRIES):
        whole = last = await _page(talk, run_id)
        while last.more:
            last = await _page(talk, run_id, after=last.after, address=last.address)
            if last.generation != whole.generation:
                break
            whole.calls += last.calls
            whole.deliveries += last.deliveries
        if last.generation == whole.generation:
            whole.more = False
            return whole
    raise UnavailableError(f"run {run_id} continues faster than its journal can be read; try again later")


async def _page(talk: Conversation, run_id: RunId, **where: Any) -> Recorded:
    data = await talk.ask("journal", [run_id], **where)
    return msgspec.convert(data, Recorded, builtin_types=(bytes,))
