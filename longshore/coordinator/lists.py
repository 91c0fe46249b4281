"""Lists of runs, and what a bulk order would be about: the conditions as they are asked, the rows as they are told."""

from __future__ import annotations

from typing import Any, Final

from longshore.coordinator import params
from longshore.coordinator.params import Refused
from longshore.coordinator.store import Queries
from longshore.core.bulks import RunFilter, problem_of, said_filter, statuses_of
from longshore.core.errors import nearest
from longshore.core.message import Ask

FIRST: Final = 10
"""How many runs a preview shows unless it is told."""
_TEXTS: Final = ("routine", "version", "tag", "queue", "concurrency_key", "batch_id")


def runs(ask: Ask, queries: Queries) -> list[dict[str, Any]]:
    """A page of the newest runs that fit. Raises Refused."""
    rows, _ = queries.runs(
        _filter(ask.params),
        schedule=params.text(ask.params, "schedule"),
        limit=params.limit(ask, 50),
        cursor=params.whole(ask, "cursor", 0) or None,
    )
    return rows


def preview(ask: Ask, queries: Queries) -> dict[str, Any]:
    """What a bulk order with this filter would be about now; nothing is ordered. Raises Refused."""
    what, given = params.text(ask.params, "order"), ask.params.get("filter")
    if not isinstance(given, dict):
        raise Refused("filter", f"`filter` must be an object of conditions, not {given!r}")
    known = RunFilter.__struct_fields__
    for name in given:
        if name not in known:
            meant = nearest(str(name), known)
            hint = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(known)}"
            raise Refused("filter", f"there is no condition {str(name)[:64]!r}; {hint}")
    wanted = _filter(given)
    wanted.all = given.get("all") is True
    problem = problem_of(what, wanted)
    if problem is not None:
        raise Refused(*problem)
    said = said_filter(wanted)
    wanted.status = statuses_of(what, wanted)
    fits, first = queries.preview(wanted, params.limit(ask, FIRST))
    return {"what": what, "filter": said, "fits": fits, "runs": first}


def _filter(given: dict[str, Any]) -> RunFilter:
    found = RunFilter(params.statuses(given))
    for name in _TEXTS:
        setattr(found, name, params.text(given, name))
    found.parent_id = params.run_id(given, "parent_id")
    found.created_after = params.moment(given, "created_after")
    found.created_before = params.moment(given, "created_before")
    return found
