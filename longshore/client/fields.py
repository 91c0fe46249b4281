"""What the coordinator says of runs, changes, workers and reasons: rows whose names are keys and attributes alike.

They are plain data as they came; nothing is asked when a field is read.
"""

from __future__ import annotations

from typing import Any, Final

_INSIDE: Final = ("error", "why_waiting")
"""Fields that are rows themselves."""


class Fields(dict[str, Any]):
    """One row: `row["status"]` and `row.status` are the same."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no field {name!r}; there are {', '.join(self)}") from None


def row(answer: dict[str, Any]) -> Fields:
    """An answer's row; the rows in it too."""
    fields = Fields(answer)
    for name in _INSIDE:
        if isinstance(fields.get(name), dict):
            fields[name] = Fields(fields[name])
    return fields


def rows(answer: list[dict[str, Any]]) -> list[Fields]:
    """All rows of an answer."""
    return [row(one) for one in answer]
