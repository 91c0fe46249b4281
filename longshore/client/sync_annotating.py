"""`run.metadata` of a SyncRun: the verbs of RunMetadata without await."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Unpack

from longshore.client.annotating import Changed, RunMetadata

Call = Callable[[Coroutine[Any, Any, Any]], Any]


class SyncMetadata:
    """See RunMetadata."""

    __slots__ = ("_call", "_metadata")

    def __init__(self, call: Call, metadata: RunMetadata) -> None:
        self._call = call
        self._metadata = metadata

    def get(self) -> dict[str, Any]:
        """See RunMetadata.get."""
        found: dict[str, Any] = self._call(self._metadata.get())
        return found

    def set(self, key: str, value: Any) -> None:
        """See RunMetadata.set."""
        self._call(self._metadata.set(key, value))

    def delete(self, key: str) -> None:
        """See RunMetadata.delete."""
        self._call(self._metadata.delete(key))

    def append(self, key: str, value: Any) -> None:
        """See RunMetadata.append."""
        self._call(self._metadata.append(key, value))

    def increment(self, key: str, by: float = 1) -> float:
        """See RunMetadata.increment."""
        number: float = self._call(self._metadata.increment(key, by))
        return number

    def add_tags(self, *tags: str) -> None:
        """See RunMetadata.add_tags."""
        self._call(self._metadata.add_tags(*tags))

    def remove_tags(self, *tags: str) -> None:
        """See RunMetadata.remove_tags."""
        self._call(self._metadata.remove_tags(*tags))

    def change(self, **what: Unpack[Changed]) -> dict[str, Any]:
        """See RunMetadata.change."""
        values: dict[str, Any] = self._call(self._metadata.change(**what))
        return values
