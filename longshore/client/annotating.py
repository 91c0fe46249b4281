"""`run.metadata`: a run's metadata from outside, changed where it is kept. It holds no copy of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict, Unpack

from longshore.client.conversation import Conversation
from longshore.client.person import person
from longshore.core.errors import UsageError
from longshore.core.ids import RunId
from longshore.core.message import Annotate, Edit
from longshore.core.metadata import ADD_TAG, APPEND, DELETE, INCREMENT, REMOVE_TAG, SET, problem_of_all
from longshore.routines.metadata import edit_of

_ID_BYTES: Final = 16


class Changed(TypedDict, total=False):
    """What may be changed at once."""

    set: Mapping[str, Any]
    delete: Sequence[str]
    append: Mapping[str, Any]
    increment: Mapping[str, float]
    add_tags: Sequence[str]
    remove_tags: Sequence[str]


def edits_of(
    *,
    set: Mapping[str, Any] | None = None,
    delete: Sequence[str] = (),
    append: Mapping[str, Any] | None = None,
    increment: Mapping[str, float] | None = None,
    add_tags: Sequence[str] = (),
    remove_tags: Sequence[str] = (),
) -> list[Edit]:
    """All of it as edits, checked. Raises UsageError."""
    found = [edit_of(DELETE, key) for key in _texts("delete", delete)]
    for op, given in ((SET, set), (APPEND, append), (INCREMENT, increment)):
        found += [edit_of(op, key, value) for key, value in _mapping(op, given).items()]
    found += [edit_of(REMOVE_TAG, tag) for tag in _texts("remove_tags", remove_tags)]
    found += [edit_of(ADD_TAG, tag) for tag in _texts("add_tags", add_tags)]
    refused = problem_of_all(found)
    if refused:
        raise UsageError(f"metadata: {refused}")
    return found


def _mapping(name: str, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise UsageError(f"{name}={given!r} is no mapping of keys to values: write {name}={{'key': value}}")
    return given or {}


def _texts(name: str, given: Sequence[str]) -> Sequence[str]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise UsageError(f"{name}={given!r} is no list of texts: write {name}=['...']")
    return given


class RunMetadata:
    """The metadata and tags of a run. Each change is applied once, in the ledger, to what is there then: what several
    do at the same time is not lost. Raises Rejected (`already_final`, `unknown_run`; `metadata` for what cannot be
    done: over 256 KiB, a text incremented) and UsageError."""

    __slots__ = ("_conversation", "_run_id")

    def __init__(self, conversation: Conversation, run_id: RunId) -> None:
        self._conversation = conversation
        self._run_id = run_id

    async def get(self) -> dict[str, Any]:
        """What it is now."""
        found: dict[str, Any] = (await self._conversation.ask("run", [self._run_id]))["metadata"]
        return found

    async def set(self, key: str, value: Any) -> None:
        """Make this the value of the key: plain data, as in JSON."""
        await self._change(edit_of(SET, key, value))

    async def delete(self, key: str) -> None:
        """Let go of the key, if it is there."""
        await self._change(edit_of(DELETE, key))

    async def append(self, key: str, value: Any) -> None:
        """Add an item to the list under this key; the first one makes the list."""
        await self._change(edit_of(APPEND, key, value))

    async def increment(self, key: str, by: float = 1) -> float:
        """Add to the number under this key, which begins at 0; gives what it is then."""
        values = await self._change(edit_of(INCREMENT, key, by))
        number: float = values[key] if key in values else (await self.get())[key]
        return number

    async def add_tags(self, *tags: str) -> None:
        """Add tags: a run has at most 10, of 1 to 128 characters."""
        await self._change(*edits_of(add_tags=tags))

    async def remove_tags(self, *tags: str) -> None:
        """Take these tags away, where they are there."""
        await self._change(*edits_of(remove_tags=tags))

    async def change(self, **what: Unpack[Changed]) -> dict[str, Any]:
        """All of this at once (`set`, `delete`, `append`, `increment`, `add_tags`, `remove_tags`), or nothing of it;
        gives what the incremented keys are then."""
        return await self._change(*edits_of(**what))

    async def _change(self, *edits: Edit) -> dict[str, Any]:
        order = Annotate(self._run_id, list(edits), os.urandom(_ID_BYTES).hex(), person())
        told: dict[str, Any] = (await self._conversation.order(order))["values"]
        return told
