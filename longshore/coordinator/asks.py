"""Questions people ask, answered from the store and the ledger's memory. It never waits on the loop and never decides.

| what          | run_ids | params                            | data                                             |
|---------------|---------|-----------------------------------|--------------------------------------------------|
| run           | one     |                                   | the run's fields                                 |
| history       | one     | after (seq), limit                | rows, oldest first                               |
| tree          | any one | after (the last row's no), limit  | rows of the whole tree, parents before children, |
|               |         |                                   | with the call, reason and error in short         |
| journal       | one     | after (seq), address (of a call)  | a page of its journal: core.parts.Recorded       |
| why           | one     |                                   | why it waits, or None                            |
| runs          |         | status (several), routine, version, tag, queue,   | rows, newest first               |
|               |         | concurrency_key, batch_id, schedule, parent_id,   |                                  |
|               |         | created_after, created_before, limit,             |                                  |
|               |         | cursor (the last row's no)                        |                                  |
| batch         |         | batch_id                          | the batch, and how many of its runs stand where  |
| batches       |         | status, limit                     | rows, newest first                               |
| schedules     |         | routine, limit, after (the last row's id)               | rows, by id                |
| schedule      |         | id                                | its fields, with its arguments                   |
| schedule_next |         | id, count                         | its next ticks                                   |
| bulk          |         | bulk_id                           | how far a bulk order is                          |
| bulk_preview  |         | order, filter, limit              | how many runs fit it now, and the first of them  |
| bulks         |         | limit                             | rows, newest first                               |
| workers       |         |                                   | rows                                             |
| queues        |         | after (the last row's name), limit | rows, by name                                   |
| dead          |         | limit, cursor (the last row's id) | rows, newest first                               |
| dead_letter   |         | id                                | the letter with its body                         |
| ping          |         |                                   | term, holder, at (of the last commit), now       |
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec

from longshore.coordinator import lists
from longshore.coordinator.calendar import calendar
from longshore.coordinator.params import LONGEST, Refused, limit, one_run, text, whole
from longshore.coordinator.store import Queries, rfc3339
from longshore.core.batches import ABORTED, OPEN, SEALED
from longshore.core.errors import LongshoreError
from longshore.core.message import Answer, Ask
from longshore.core.run import FINAL, Status
from longshore.core.schedules import UPCOMING, Schedule, fields_of
from longshore.serialization.written import written

_log = logging.getLogger("longshore.coordinator")

OUTSIDE_SHOWN: Final = 5
MOST_NEXT: Final = 100
"""How many ticks to come are told at once."""
_FINAL: Final = frozenset(status.value for status in FINAL)
_WAITS_FOR_CALLS: Final = (Status.HANGING, Status.SUSPENDED)

Memory = dict[str, Any]
"""What the ledger says from memory for one question: `why` of the run, `workers`, `queues`, `now`; how long runs are
`kept`."""


def answer(ask: Ask, queries: Queries, memory: Memory) -> Answer:
    """The answer, or why there is none. Runs in a thread of its own."""
    try:
        find = _FIND.get(ask.what)
        if find is None:
            raise Refused("unknown_question", f"{ask.what!r} is no question; there are {', '.join(sorted(_FIND))}")
        return Answer(ask_id=ask.ask_id, data=_plain(find(ask, queries, memory)))
    except Refused as refused:
        return Answer(ask_id=ask.ask_id, error={"rule": refused.rule, "text": str(refused)})
    except LongshoreError as error:
        return Answer(ask_id=ask.ask_id, error={"rule": "unavailable", "text": str(error)})
    except Exception as error:  # noqa: BLE001 - no question, however odd, may end the coordinator
        _log.exception("the question %s cannot be answered", ask.what)
        return Answer(ask_id=ask.ask_id, error={"rule": "internal", "text": f"{type(error).__name__}: {error}"})


def _run(ask: Ask, queries: Queries, memory: Memory) -> Any:
    found = queries.run(one_run(ask))
    if found is None:
        raise _unknown(ask, memory)
    found["why_waiting"] = _why_of(found, queries, memory)
    found["progress"] = memory["progress"]
    return found


def _why(ask: Ask, queries: Queries, memory: Memory) -> Any:
    found = queries.run(one_run(ask))
    if found is None:
        raise _unknown(ask, memory)
    return _why_of(found, queries, memory)


def _why_of(found: dict[str, Any], queries: Queries, memory: Memory) -> Any:
    status = found["status"]
    if status in _FINAL:
        return None
    row = found["why_waiting"]
    why = {**row, "kind": status.lower(), **(memory["why"] or {})}
    if why["kind"] != "paused" or datetime.fromisoformat(row["since"]) > why["since"]:
        why["since"] = row["since"]  # a queue may have been paused while it waited
    if status in _WAITS_FOR_CALLS:
        waits = queries.waits(found["run_id"]) or {}
        late = f"; {why['text']}" if why["kind"] == "worker" else ""  # its worker is silent, or has not answered yet
        why |= {"kind": _kind(waits), "text": _text(waits) + late, "holders": waits.get("children", [])}
        why["next_at"] = waits.get("next_at")
    return why


def _kind(waits: dict[str, Any]) -> str:
    """What is waited for: calls (and timers), or else only what comes from outside."""
    outside = waits.get("outside")
    return str(outside[0]).partition(" ")[0] if outside and not waits["calls"] and not waits["timers"] else "calls"


def _text(waits: dict[str, Any]) -> str:
    parts = [_counted(waits.get("calls", 0), "sub-routine"), _counted(waits.get("timers", 0), "timer")]
    outside = waits.get("outside", [])
    parts += outside[:OUTSIDE_SHOWN]
    if len(outside) > OUTSIDE_SHOWN:
        parts.append(f"{len(outside) - OUTSIDE_SHOWN} more from outside")
    return f"waits for {' and '.join(part for part in parts if part) or 'its next step'}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}" if count else ""


def _history(ask: Ask, queries: Queries, memory: Memory) -> Any:
    rows = queries.history(one_run(ask), after=whole(ask, "after", 0), limit=limit(ask, LONGEST))
    if not rows and not ask.params.get("after"):
        raise _unknown(ask, memory)
    return rows


def _tree(ask: Ask, queries: Queries, memory: Memory) -> Any:
    rows, _ = queries.tree(one_run(ask), after=whole(ask, "after", 0), limit=limit(ask, LONGEST))
    if not rows and not ask.params.get("after"):
        raise _unknown(ask, memory)
    return rows


def _runs(ask: Ask, queries: Queries, memory: Memory) -> Any:
    return lists.runs(ask, queries)


def _bulk_preview(ask: Ask, queries: Queries, memory: Memory) -> Any:
    return lists.preview(ask, queries)


def _batch(ask: Ask, queries: Queries, memory: Memory) -> Any:
    batch_id = text(ask.params, "batch_id")
    found = queries.many.batch(batch_id)
    if found is None:
        raise Refused("unknown_batch", f"there is no batch {batch_id!r}")
    return found


def _batches(ask: Ask, queries: Queries, memory: Memory) -> Any:
    status = text(ask.params, "status").lower()
    if status not in ("", OPEN, SEALED, ABORTED):
        raise Refused("status", f"{status!r} is no status of a batch; there are {OPEN}, {SEALED}, {ABORTED}")
    return queries.many.batches(status=status, limit=limit(ask, 50))


def _bulk(ask: Ask, queries: Queries, memory: Memory) -> Any:
    bulk_id = text(ask.params, "bulk_id")
    found = queries.many.bulk(bulk_id)
    if found is None:
        raise Refused("unknown_bulk", f"there is no bulk order {bulk_id!r}")
    return found


def _bulks(ask: Ask, queries: Queries, memory: Memory) -> Any:
    return queries.many.bulks(limit(ask, 50))


def _journal(ask: Ask, queries: Queries, memory: Memory) -> Any:
    address = ask.params.get("address", "")
    if not isinstance(address, str):
        raise Refused("address", f"`address` must be a text, not {address!r}")
    page = queries.journal(one_run(ask), after=whole(ask, "after", 0), address=address)
    if page is None:
        raise _unknown(ask, memory)
    if page.generation < 0:
        raise Refused("no_workflow", f"run {page.run_id} of {page.routine} has no journal: no workflow has begun there")
    return msgspec.to_builtins(page, builtin_types=(bytes,))


def _schedules(ask: Ask, queries: Queries, memory: Memory) -> Any:
    routine, after = text(ask.params, "routine"), text(ask.params, "after")
    found = queries.schedules(routine=routine.partition("@")[0], after=after, limit=limit(ask, LONGEST))
    return [fields_of(schedule) for schedule in found]


def _schedule(ask: Ask, queries: Queries, memory: Memory) -> Any:
    schedule = _schedule_of(ask, queries)
    given = schedule.input if isinstance(schedule.input, bytes) else b""
    return {**fields_of(schedule), "arguments": written(given) if given else []}


def _schedule_next(ask: Ask, queries: Queries, memory: Memory) -> Any:
    schedule, count = _schedule_of(ask, queries), whole(ask, "count", UPCOMING)
    if not 1 <= count <= MOST_NEXT:
        raise Refused("count", f"count is {count}; it must be from 1 to {MOST_NEXT}")
    table, now = schedule.plan.timetable, memory["now"]
    found = calendar(table, now, max(now - schedule.offset, schedule.last_at or now), 0, count)
    if found.error is not None:
        raise Refused(*found.error)
    spread = schedule.offset.total_seconds()
    return {
        "schedule_id": schedule.id,
        "timezone": table.timezone,
        "paused": schedule.paused,
        "upcoming": found.upcoming,
        "starts_later_by": spread,
    }


def _schedule_of(ask: Ask, queries: Queries) -> Schedule:
    name = text(ask.params, "id")
    found = queries.schedule(name)
    if found is None:
        raise Refused("unknown_schedule", f"there is no schedule {name!r}")
    return found


def _workers(ask: Ask, queries: Queries, memory: Memory) -> Any:
    return memory["workers"]


def _queues(ask: Ask, queries: Queries, memory: Memory) -> Any:
    after, most = text(ask.params, "after"), limit(ask, LONGEST)
    return [row for row in memory["queues"] if row["name"] > after][:most]


def _dead(ask: Ask, queries: Queries, memory: Memory) -> Any:
    rows, _ = queries.dead_letters(limit=limit(ask, 50), cursor=whole(ask, "cursor", 0) or None)
    return rows


def _dead_letter(ask: Ask, queries: Queries, memory: Memory) -> Any:
    number = whole(ask, "id", 0)
    found = queries.dead_letter(number)
    if found is None:
        raise Refused("unknown_letter", f"there is no dead letter {number}")
    return found


def _ping(ask: Ask, queries: Queries, memory: Memory) -> Any:
    return {**queries.owner(), "now": memory["now"]}


_FIND: Final[dict[str, Callable[[Ask, Queries, Memory], Any]]] = {
    "run": _run,
    "why": _why,
    "history": _history,
    "tree": _tree,
    "journal": _journal,
    "runs": _runs,
    "bulk_preview": _bulk_preview,
    "batch": _batch,
    "batches": _batches,
    "schedules": _schedules,
    "schedule": _schedule,
    "schedule_next": _schedule_next,
    "bulk": _bulk,
    "bulks": _bulks,
    "workers": _workers,
    "queues": _queues,
    "dead": _dead,
    "dead_letter": _dead_letter,
    "ping": _ping,
}


def _unknown(ask: Ask, memory: Memory) -> Refused:
    kept = memory["kept"]
    text = f"there is no run {ask.run_ids[0]}; it may have been deleted: what has ended is kept {kept}"
    return Refused("unknown_run", text)


def _plain(value: Any) -> Any:
    """Times as RFC 3339, all else as it is."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
